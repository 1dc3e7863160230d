//! Restore drills: what the program `restore-drill` is made of.

pub mod checks;
pub mod drill;
pub mod markdown;
pub mod plan;
pub mod process;
pub mod programs;
pub mod report;
pub mod run_checks;
pub mod say;
pub mod series;
pub mod snapshot;
pub mod stages;
pub mod verdict;
