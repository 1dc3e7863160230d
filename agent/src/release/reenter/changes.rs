//! What the export lists and nobody enters by program: rows that existed at the point and differ, and master
//! data. The report names each, so that a person can do it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::release::salvage::found::{Change, Difference, LinesDiffer};
use crate::release::salvage::summary::NotExported;

/// A row of `changed.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedRow {
    /// The kind of documents, or of master data.
    pub kind: String,
    /// Its table.
    pub table: String,
    /// Its `id`, in the source and at the point.
    pub id: i64,
    /// Its number or name.
    pub name: String,
    /// How it differs.
    pub change: Change,
    /// Its columns that differ.
    pub columns: Vec<Difference>,
    /// By table, what differs in the rows that belong to it.
    pub lines: BTreeMap<String, LinesDiffer>,
}

/// A row that is not entered.
#[derive(Clone, Debug, Serialize)]
pub struct NotEntered {
    /// Which, and what differs.
    #[serde(flatten)]
    pub row: ChangedRow,
    /// Why it is not entered.
    pub why: &'static str,
}

impl NotEntered {
    /// With the reason.
    pub fn of(row: ChangedRow) -> NotEntered {
        let why = why(row.change);
        NotEntered { row, why }
    }
}

/// Why such rows are not entered.
pub fn why(change: Change) -> &'static str {
    match change {
        Change::New => "new master data: create by hand what people created",
        Change::Changed => {
            "changed after the point: repeat by hand what people changed, not what the release changed"
        }
        Change::Deleted => "deleted after the point, and present again: delete by hand what people deleted",
    }
}

/// What `summary.json` says is in no file.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Missing {
    /// What is not exported.
    #[serde(default)]
    pub not_exported: Vec<NotExported>,
    #[serde(default)]
    kinds: BTreeMap<String, Unlisted>,
    #[serde(default)]
    masters: BTreeMap<String, Unlisted>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Unlisted {
    #[serde(default)]
    changed_not_listed: u64,
    #[serde(default)]
    not_listed: u64,
}

impl Missing {
    /// How many rows differ and are not listed.
    pub fn not_listed(&self) -> u64 {
        let all = self.kinds.values().chain(self.masters.values());
        all.fold(0, |sum: u64, one| sum.saturating_add(one.changed_not_listed).saturating_add(one.not_listed))
    }
}
