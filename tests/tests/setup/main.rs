//! What people set up by hand: pages, units, roles and scripts, run or checked as they stand.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test panics, and touches files as a user does

mod commands;
mod hooks;
mod installation;
mod page;
mod quick_start;
mod releases;
mod runbook;
mod rust;
mod units;
