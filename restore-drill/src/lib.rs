//! Restore drills: what the program `restore-drill` is made of.

pub mod accept;
mod arguments;
mod begin_anew;
pub mod check;
pub mod check_file;
pub mod checks;
pub mod cli;
mod completions;
pub mod drill;
pub mod markdown;
pub mod plan;
pub mod process;
pub mod publish;
pub mod report;
pub mod run_checks;
pub mod say;
pub mod schema;
pub mod series;
pub mod setup;
pub mod snapshot;
pub mod stages;
mod steps;
pub mod vault;
pub mod verdict;
