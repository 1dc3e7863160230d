//! `lifeboat backup`, run as a user runs it, against real PostgreSQL, a local repository and a
//! real S3 server; and on its bad days. After each fault: whole snapshots only, nothing that was
//! stored is gone, and the next run succeeds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // a failing test panics

mod archive;
mod as_root;
mod both_kinds;
mod class_recipients;
mod database;
mod full_disk;
mod hostile_files;
mod kills;
mod known;
mod load;
mod local_kills;
mod lost_lease;
mod meant;
mod memory;
mod odd_files;
mod refused;
mod s3_faults;
