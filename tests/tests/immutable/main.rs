//! Versions and locks in a bucket that has them: what they keep, and what Lifeboat makes of them. What needs
//! locks is skipped where ministack is not installed.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test panics, and waits by itself

mod backup;
mod cold;
mod doctor;
mod expire;
mod legal_hold;
mod lock;
mod past;
mod profile;
mod runbook;
mod thief;
mod versions;

use lifeboat::store::{Store, StoreOptions};
use lifeboat_tests::{Ministack, S3};

/// The smallest parts that a server of S3 takes.
const PART_BYTES: usize = 5 << 20;

/// A bucket with versions and locks; returns from the test, visibly, where it cannot be had.
macro_rules! bucket {
    () => {
        match lifeboat_tests::Ministack::start() {
            Ok(server) => server,
            Err(why) => lifeboat_tests::skip!("{why}"),
        }
    };
}
pub(crate) use bucket;

/// Credentials, which this server does not check.
fn credentials() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "access_key_id = test\nsecret_access_key = test\n").unwrap();
    file
}

fn options(s3: &S3) -> StoreOptions {
    StoreOptions {
        endpoint: Some(s3.endpoint()),
        region: Some("us-east-1".to_owned()),
        allow_http: true,
        part_bytes: PART_BYTES,
        ..StoreOptions::default()
    }
}

/// The repository's place in its bucket.
fn open(server: &Ministack) -> Store {
    let file = credentials();
    let options = StoreOptions { credentials_file: Some(file.path().to_owned()), ..options(server.s3()) };
    Store::open(&server.s3().url("p"), &options).unwrap()
}
