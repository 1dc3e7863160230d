//! One check: a business rule, the databases to which it applies, and what a violation means.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::series::Versions;

/// What a violation means for the drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Clean data has no violations: one is corruption and fails the drill.
    Hard,
    /// Clean data has none or a constant number: only a difference from the source means something.
    Base,
    /// The rule does not hold everywhere: violations are reported and never fail the drill.
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
    /// The column's name; `None` if only the table is required.
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
    /// The rule, as a statement.
    pub title: String,
    /// The Odoo series for which it is meant.
    pub versions: Versions,
    /// What must exist for the statement to run; otherwise the check is skipped.
    pub requires: Vec<Requirement>,
    /// Why a violation means trouble, for someone who does not read SQL.
    pub reason: String,
    /// One statement that returns one text column and one row for each violation.
    pub sql: String,
}
