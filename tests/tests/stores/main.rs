//! Lifeboat on the stores that are not S3, from `init` to a restored second, with the rights that
//! docs/repositories.md calls the least. Skipped where the emulator is not installed.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test panics, and waits by itself

mod least;
mod whole;

use std::os::unix::fs::PermissionsExt;

use lifeboat_tests::{Azurite, Cluster, FakeGcs, Options, skip};

use whole::Place;

/// A server that WAL can be streamed from.
fn cluster() -> Cluster {
    let settings = vec![("wal_level".to_owned(), "replica".to_owned())];
    Cluster::with(Options { settings, ..Options::default() })
}

/// A private file beside nothing else.
fn private(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::Builder::new().prefix("lbkeys-").tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    (dir, path.display().to_string())
}

#[test]
fn azure_from_init_to_a_restored_second() {
    let azurite = match Azurite::start() {
        Ok(azurite) => azurite,
        Err(why) => skip!("{why}"),
    };
    // The token of docs/repositories.md for a production host.
    let (_dir, file) = private("azure", &format!("sas_token = {}\n", azurite.sas("rwl")));
    let place = Place { url: azurite.url("odoo"), endpoint: azurite.endpoint(), credentials: file };
    whole::from_init_to_a_restored_second(&cluster(), &place);
}

#[test]
fn google_from_init_to_a_restored_second() {
    let server = match FakeGcs::start() {
        Ok(server) => server,
        Err(why) => skip!("{why}"),
    };
    let credentials = server.service_account().display().to_string();
    let place = Place { url: server.url("odoo"), endpoint: server.endpoint(), credentials };
    whole::from_init_to_a_restored_second(&cluster(), &place);
}
