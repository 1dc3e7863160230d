//! The part of `lifeboat agent` that runs schedules: it decides which job is due, runs it as a child
//! process, records each run, serves metrics and health pages, and decides checks of pipelines.
//!
//! A run is the shipped `lifeboat backup` as a child process. It has its own memory and deadline, and if it
//! crashes, WAL streaming in the agent continues. Runs never overlap, but for checks of the repository and
//! for restore drills: each of these has a lane of its own.

pub mod checks;
mod child;
pub mod drilled;
pub mod due;
pub mod http;
pub mod metrics;
pub mod needs;
pub mod pages;
mod run;

pub use run::{Daemon, run};
