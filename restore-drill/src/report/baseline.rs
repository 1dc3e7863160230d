//! The comparison with the baseline of the backup.

use serde::{Deserialize, Serialize};

/// How many differences are kept as text.
const DIFFERENCES_MAX: usize = 50;

/// The comparison of the restored database with what was recorded when the backup was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Tables compared (rows, highest id, last write), if the restore reported it.
    pub tables: Option<u64>,
    /// The number of differences.
    pub differences_count: u64,
    /// The first differences.
    pub differences: Vec<String>,
}

impl Baseline {
    /// Keeps the first differences.
    pub fn of(tables: Option<u64>, differences: Vec<String>) -> Baseline {
        let differences_count = differences.len() as u64;
        Baseline {
            tables,
            differences_count,
            differences: differences.into_iter().take(DIFFERENCES_MAX).collect(),
        }
    }

    /// The number of differences, and the first one.
    pub fn text(&self) -> String {
        let first =
            self.differences.first().map_or_else(String::new, |first| format!("; the first: {first}"));
        let count = self.differences_count;
        format!("{count} differences from the state that was recorded when the backup was taken{first}")
    }
}
