//! A backup compares itself with the one before: what no normal work explains is reported, by table and
//! number, and never fails the backup.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // a failing test panics

mod database;
mod filestore;
mod hold;
mod runbook;
mod world;
