//! The result of loading a dump: the comparison, the neutralizing, and what could not be created.

use serde::Serialize;

use crate::odoo::Unknowns;
use crate::postgres::load::NotMade;

/// The comparison with the baseline.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// Tables compared.
    pub tables: usize,
    /// Sentences; empty in a restore that succeeded.
    pub differences: Vec<String>,
    /// What base checks read and was compared by digest, as `table.column`.
    pub inputs: Vec<String>,
}

/// What neutralizing did.
#[derive(Debug, Clone, Serialize)]
pub struct Silenced {
    /// Statement and rows changed.
    pub applied: Vec<(String, u64)>,
    /// The copy's own `database.uuid`.
    pub database_uuid: String,
    /// What nobody could judge: columns, parameters, key files, code and modules.
    pub unknown: Unknowns,
    /// What the copy can still reach outside.
    pub reaches: Vec<String>,
}

/// The result; the database is complete and still hidden.
pub(super) struct Loaded {
    pub(super) compared: Compared,
    pub(super) silenced: Option<Silenced>,
    pub(super) warnings: Vec<String>,
    /// What is in the dump but not in the database.
    pub(super) not_made: Vec<NotMade>,
}
