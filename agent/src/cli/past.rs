//! The flag of commands that can read the repository as it was.

use crate::clock::Timestamp;
use crate::inventory::target::ZonedTime;

/// The flag.
#[derive(clap::Args, Debug, Clone, Copy)]
pub struct PastArgs {
    /// Read the repository as it was at this time; give the time zone. What was overwritten or deleted later
    /// is there again. Needs a bucket of S3 that keeps versions
    #[arg(long = "as-of", id = AS_OF, value_name = "TIME", hide_short_help = true)]
    at: Option<ZonedTime>,
}

/// The flag's name among a command's arguments.
pub const AS_OF: &str = "past";

impl PastArgs {
    /// The moment.
    pub fn at(self) -> Option<Timestamp> {
        self.at.map(|at| at.0)
    }
}
