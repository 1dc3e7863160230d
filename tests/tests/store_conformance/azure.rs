//! The promises on Azure (azurite), and what an account's owner may give: a key, a token with few rights, an
//! end.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use futures::{StreamExt, TryStreamExt, stream};
use lifeboat::error::Kind;
use lifeboat::store::{Store, StoreOptions};
use lifeboat_tests::{Azurite, skip};
use tempfile::TempDir;

use crate::suite;

/// More than a page of a listing has.
const OBJECTS: usize = 5_100;

fn credentials(dir: &TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("credentials");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn options(azurite: &Azurite, dir: &TempDir, text: &str) -> StoreOptions {
    StoreOptions {
        endpoint: Some(azurite.endpoint()),
        allow_http: true,
        credentials_file: Some(credentials(dir, text)),
        part_bytes: suite::PART_BYTES,
        ..Default::default()
    }
}

fn with_key() -> String {
    format!("account_name = acme\naccount_key = {}\n", Azurite::key())
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_keeps_the_promises() {
    let azurite = match Azurite::start() {
        Ok(azurite) => azurite,
        Err(why) => skip!("{why}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&azurite.url("some/prefix"), &options(&azurite, &dir, &with_key())).unwrap();
    suite::all(&store).await;
    suite::directories_are_no_objects(&store).await;
    suite::replacing(&store).await;
    suite::no_locks(&store).await;
    // A connection string knows the endpoint by itself.
    let text = format!("connection_string = {}\n", azurite.connection_string());
    let options = StoreOptions { endpoint: None, ..options(&azurite, &dir, &text) };
    let store = Store::open("az://lifeboat/other", &options).unwrap();
    suite::all_but_uploads(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_azure_goes_over_pages() {
    let azurite = match Azurite::start() {
        Ok(azurite) => azurite,
        Err(why) => skip!("{why}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&azurite.url("p"), &options(&azurite, &dir, &with_key())).unwrap();
    let put = stream::iter(0..OBJECTS).map(|n| {
        let store = store.clone();
        async move { store.put_new(&format!("many/{n:06}"), "x").await }
    });
    put.buffer_unordered(16).try_collect::<Vec<()>>().await.unwrap();
    assert_eq!(suite::listed(&store, "many").await.unwrap().len(), OBJECTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sas_token_does_what_its_permissions_say() {
    let azurite = match Azurite::start() {
        Ok(azurite) => azurite,
        Err(why) => skip!("{why}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let open = |token: &str| {
        let options = options(&azurite, &dir, &format!("sas_token = {token}\n"));
        Store::open(&azurite.url("p"), &options).unwrap()
    };
    // docs/repositories.md: what a production host needs, with and without the question mark that portals put
    // before.
    let agent = open(&format!("?{}", azurite.sas("rwl")));
    agent.put_new("a", "1").await.unwrap();
    suite::replacing(&agent).await;
    let mut upload = agent.upload("large").await.unwrap();
    upload.write(crate::content::bytes(1, 2 * suite::PART_BYTES + 1)).await.unwrap();
    upload.finish().await.unwrap();
    assert!(agent.probe_conditional_put("probe").await.unwrap());
    assert_eq!(suite::listed(&agent, "probe").await.unwrap().len(), 1, "it may not delete");
    let refused = agent.remove(vec!["a".to_owned(), "large".to_owned()]).await.unwrap();
    assert_eq!((refused.removed, refused.failed.len()), (0, 2), "{refused:?}");
    assert!(refused.failed.iter().all(|(_, e)| e.kind() == Kind::Denied), "{refused:?}");
    // What a restore host needs.
    let reader = open(&azurite.sas("rl"));
    assert_eq!(reader.get("a", 10).await.unwrap(), "1");
    assert!(reader.head("no/such").await.unwrap().is_none());
    let denied = reader.put_new("b", "1").await.unwrap_err();
    assert_eq!(denied.kind(), Kind::Denied, "{denied:?}");
    let drills = open(&azurite.sas("rcl"));
    drills.put_new("drills/report.json", "{}").await.unwrap();
    // Azure answers 403, not 409, where a blob is there that this token may not overwrite.
    let taken = drills.put_new("a", "2").await.unwrap_err();
    assert_eq!(taken.kind(), Kind::AlreadyExists, "{taken:?}");
    drills.put_new("a", "1").await.unwrap();
    assert!(drills.probe_conditional_put("probe").await.unwrap());
    assert_eq!(reader.get("a", 10).await.unwrap(), "1");
    // A token that has ended.
    let error = open(&azurite.sas_until("rwl", "2020-01-01T00:00:00Z")).head("a").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error:?}");
    assert!(error.next_text().unwrap().contains("expired at 2020-01-01T00:00:00Z"), "{error:?}");
    for store in [&agent, &reader] {
        let error = store.put_new("../x", "").await.unwrap_err();
        assert!(!format!("{error:?} {store:?}").contains("sig="));
    }
    assert!(!format!("{denied:?} {error:?}").contains("sig="), "the token is shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_azure_name_container_and_account_and_no_secret() {
    let azurite = match Azurite::start() {
        Ok(azurite) => azurite,
        Err(why) => skip!("{why}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let open = |url: &str, text: &str| Store::open(url, &options(&azurite, &dir, text)).unwrap();
    let place = "the container absent of the storage account acme";
    let store = open("az://absent/p", &with_key());
    for error in [
        store.head("a").await.unwrap_err(),
        store.get("a", 10).await.unwrap_err(),
        store.put_new("a", "x").await.unwrap_err(),
        suite::listed(&store, "").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Repository, "{error:?}");
        assert!(error.what().contains(place) && error.next_text().unwrap().contains(place), "{error:?}");
        assert!(!format!("{error:?}").contains("bucket"), "{error:?}");
    }
    let wrong = "d3JvbmcgbGlmZWJvYXQga2V5";
    let store = open("az://lifeboat/p", &format!("account_name = acme\naccount_key = {wrong}\n"));
    let error = store.head("a").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error:?}");
    assert!(error.next_text().unwrap().contains("the container lifeboat of the storage account acme"));
    assert!(!format!("{error:?} {store:?}").contains(wrong));

    let refused = |change: fn(&mut StoreOptions), text: &str| {
        let mut options = options(&azurite, &dir, text);
        change(&mut options);
        let error = Store::open("az://lifeboat/p", &options).unwrap_err();
        assert_eq!(error.kind(), Kind::Config, "{error:?}");
        let said = format!("{error:?} {}", error.next_text().unwrap_or_default());
        assert!(!said.contains("hunter2"), "{said}");
        said
    };
    let bare = refused(|options| options.endpoint = Some("http://127.0.0.1:10000".into()), &with_key());
    assert!(bare.contains("write http://127.0.0.1:10000/acme"), "{bare}");
    let none = refused(|options| options.endpoint = None, "sas_token = sv=1&sig=hunter2\n");
    assert!(none.contains("no storage account is given") && none.contains("AZURE_STORAGE_ACCOUNT"), "{none}");
    refused(|_| (), "account_name = acme\naccount_key = hunter2!\n");
    refused(|_| (), "account_name = acme\nconnection_string = AccountKey=hunter2\n");
    refused(|_| (), "connection_string = AccountName=acme;hunter2\n");
    refused(|options| options.endpoint = Some("https://acme.example/?sig=hunter2".into()), &with_key());
}
