//! One check: a business rule, where it applies, and what a violation of it means.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::series::Versions;

/// What a violation means for the drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// None on clean data: a violation is corruption and fails the drill.
    Hard,
    /// None or a constant on clean data: only a difference to the source means something.
    Base,
    /// Known not to hold everywhere: reported, never failing.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Hard => "hard",
            Severity::Base => "base",
            Severity::Info => "info",
        })
    }
}

/// A table of schema `public`, or one of its columns, that a check's statement uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The table's name.
    pub table: String,
    /// The column's name; `None` where the table alone is required.
    pub column: Option<String>,
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "{}.{column}", self.table),
            None => f.write_str(&self.table),
        }
    }
}

/// One business rule as a statement that selects its violations.
#[derive(Clone, Debug)]
pub struct Check {
    /// The file's name without `.sql`; unique in a catalogue.
    pub id: String,
    /// The folder's name.
    pub area: String,
    /// What a violation means for the drill.
    pub severity: Severity,
    /// What holds, as a statement.
    pub title: String,
    /// The Odoo series that it is meant for.
    pub versions: Versions,
    /// What must exist for the statement to run; where it does not, the check is skipped.
    pub requires: Vec<Requirement>,
    /// Why a violation means trouble, for someone who does not read SQL.
    pub reason: String,
    /// One statement that returns one text column, a row for each violation.
    pub sql: String,
}
