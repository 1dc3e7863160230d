//! A private PostgreSQL for a test, gone when the test is.

#![allow(dead_code)] // each test uses a part of it
#![allow(clippy::unwrap_used)] // a test panics where it fails

use std::path::{Path, PathBuf};

use lifeboat::postgres::{PostgresOptions, Tools};
use restore_drill::place::local::server::Scratch;
use restore_drill::place::{PORT, Room, SUPERUSER};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Executor, PgConnection};

/// A scratch cluster below a directory of its own that user postgres may enter.
pub struct Cluster {
    pub scratch: Scratch,
    pub bin_dir: PathBuf,
    pub _dir: tempfile::TempDir,
}

/// Starts one of the newest PostgreSQL that is installed; panics where none is, since a test that
/// cannot run must not look as if it had passed.
pub async fn cluster() -> Cluster {
    let bin_dir = newest().await.dir;
    let dir = open_dir();
    let scratch = Scratch::start(&dir.path().join("s"), &bin_dir, &[]).await.unwrap();
    Cluster { scratch, bin_dir, _dir: dir }
}

/// A connection as the superuser, for tests that make things: names are found in `public`.
pub async fn superuser(room: &Room, database: &str) -> PgConnection {
    let options = PgConnectOptions::new_without_pgpass().socket(&room.socket_dir).port(PORT);
    let options = options.username(SUPERUSER).database(database).ssl_mode(PgSslMode::Disable);
    let mut connection = options.connect().await.unwrap();
    connection.execute("SET search_path = public").await.unwrap();
    connection
}

/// Waits until something is so, and fails where it is not in a minute: a test never waits for ever.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = lifeboat::clock::instant();
    while !is_so() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "it was never so: {what}");
        lifeboat::clock::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// A temporary directory that other users may pass through.
pub fn open_dir() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("rd-").tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(dir.path(), open).unwrap();
    dir
}

/// The programs of the newest PostgreSQL that is installed.
pub async fn newest() -> Tools {
    for major in (13..=20).rev() {
        if let Ok(tools) = Tools::server(&PostgresOptions::default(), major).await {
            return tools;
        }
    }
    panic!("no PostgreSQL server is installed: apt-get install postgresql");
}

/// The real tenants, `<name>.dump` each, in the directory named by `TEST_ODOO_TENANTS`.
pub fn real_dumps() -> Vec<PathBuf> {
    let Some(dir) = std::env::var_os("TEST_ODOO_TENANTS") else { return Vec::new() };
    let entries = lifeboat::disk::read_dir(Path::new(&dir)).unwrap().unwrap_or_default();
    let mut dumps: Vec<PathBuf> = entries.iter().map(|entry| entry.path()).collect();
    dumps.retain(|path| path.extension().is_some_and(|ext| ext == "dump"));
    dumps.sort();
    dumps
}

/// Says that a test does not run here, and why, on a line that the test runner does not capture and
/// that `./check` counts: a skip never looks like a pass.
pub fn skip(test: &str, reason: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(format!("SKIPPED {test}: {reason}\n").as_bytes());
}
