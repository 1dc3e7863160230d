//! The part of `lifeboat agent` that follows schedules: which job is due, its run as a child process,
//! a record of each run, and what monitoring is told.
//!
//! A run is the shipped `lifeboat backup` as a child: its memory, its crash and its deadline are its
//! own, and the stream of WAL beside it goes on. One at a time.

mod child;
pub mod due;
pub mod http;
pub mod metrics;
pub mod needs;
pub mod pages;
mod run;

pub use run::{Daemon, run};
