//! WAL as PostgreSQL's own archive_command and restore_command drive it: archived, fetched,
//! replayed; and refused where it is not what it says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // a failing test panics

mod ahead;
mod alarms;
mod along;
mod archive;
mod break_glass;
mod catch_up;
mod claims;
mod commands;
#[path = "../base/copy.rs"]
mod copy;
mod foreign;
mod kills;
mod login;
mod partial;
mod recovered;
mod segment_sizes;
mod streaming;
