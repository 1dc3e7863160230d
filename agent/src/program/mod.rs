//! What both programs say of themselves: help, manual pages, completions and their version; and where they
//! break lines.
//!
//! `lifeboat` and `restore-drill` define their arguments with clap. Everything else that clap is asked for is
//! asked here, once, so that both programs look the same.

pub mod completions;
pub mod help;
pub mod manual;
pub mod version;
pub mod wrap;
