//! The promises on Google Cloud Storage (fake-gcs-server behind a front), and the limit of that server alone.

use lifeboat::store::{Store, StoreOptions};
use lifeboat_tests::{FakeGcs, skip};

use crate::suite;

fn open(server: &FakeGcs, endpoint: String) -> Store {
    let options = StoreOptions {
        endpoint: Some(endpoint),
        allow_http: true,
        credentials_file: Some(server.service_account()),
        part_bytes: suite::PART_BYTES,
        ..Default::default()
    };
    Store::open(&server.url("some/prefix"), &options).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn google_keeps_the_promises() {
    let server = match FakeGcs::start() {
        Ok(server) => server,
        Err(why) => skip!("{why}"),
    };
    let store = open(&server, server.endpoint());
    suite::all(&store).await;
    suite::directories_are_no_objects(&store).await;
    suite::replacing(&store).await;
    suite::no_locks(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_conditions_is_found_out() {
    let server = match FakeGcs::start() {
        Ok(server) => server,
        Err(why) => skip!("{why}"),
    };
    let store = open(&server, server.bare_endpoint());
    let probed = store.probe_conditional_put("probe").await;
    assert!(
        !matches!(probed, Ok(true)),
        "fake-gcs-server has conditions in its XML API by now: drop the front"
    );
}
