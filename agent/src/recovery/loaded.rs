//! What came of loading a dump: the comparison, the neutralizing, and what could not be made.

use serde::Serialize;

use crate::postgres::load::NotMade;

/// The comparison with the baseline.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// Tables compared.
    pub tables: usize,
    /// Sentences; empty in a restore that succeeded.
    pub differences: Vec<String>,
}

/// What neutralizing did.
#[derive(Debug, Clone, Serialize)]
pub struct Silenced {
    /// Statement and rows changed.
    pub applied: Vec<(String, u64)>,
    /// The copy's own `database.uuid`.
    pub database_uuid: String,
    /// Columns of unknown modules that look like credentials and still hold something.
    pub unknown_secrets: Vec<String>,
    /// What the copy still reaches outside.
    pub reaches: Vec<String>,
}

/// What came of it; the database is whole and still hidden.
pub(super) struct Loaded {
    pub(super) compared: Compared,
    pub(super) silenced: Option<Silenced>,
    pub(super) warnings: Vec<String>,
    /// What of the dump is not in it.
    pub(super) not_made: Vec<NotMade>,
}
