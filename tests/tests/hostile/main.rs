//! Tenants whose owner is hostile: everything that he may define is a trap that says as whom it
//! runs. No command of ours may spring one with any rights but his own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // a failing test panics

mod log;
mod looking;
mod silencing;
mod trap;
