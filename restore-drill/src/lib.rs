//! Restore drills: what the program `restore-drill` is made of.

pub mod checks;
pub mod process;
pub mod programs;
pub mod run_checks;
pub mod series;
pub mod stages;
