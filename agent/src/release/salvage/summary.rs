//! The numbers of a salvage, and what it does not export. `summary.json` holds it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::names::{ReleaseId, TenantName};
use crate::odoo::business::Document;
use crate::postgres::decimal::Decimal;

/// The version of `summary.json` and of the files beside it.
pub const FORMAT: u32 = 1;

/// What an export is of: the part of `summary.json` that a re-entry reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// [`FORMAT`].
    pub format: u32,
    /// The release whose point it is.
    pub release: ReleaseId,
    /// The tenant.
    pub tenant: TenantName,
    /// The database with what was written after the point.
    pub from: TenantName,
    /// The copy at the point.
    pub against: TenantName,
    /// The time of the point.
    pub point: Timestamp,
}

/// All numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// What it is of.
    #[serde(flatten)]
    pub head: Head,
    /// By kind of documents.
    pub kinds: BTreeMap<&'static str, KindSummary>,
    /// Master data that differs, by table.
    pub masters: BTreeMap<&'static str, Differing>,
    /// New partners that new documents name.
    pub partners: u64,
    /// Files that new attachments name, and that are copied.
    pub files: u64,
    /// Kinds whose module is not installed.
    pub not_installed: Vec<&'static str>,
    /// What should be in the files and is not.
    pub not_exported: Vec<NotExported>,
    /// What a person should know besides.
    pub notes: Vec<String>,
}

/// The numbers of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KindSummary {
    /// By what the documents are.
    pub documents: BTreeMap<Document, Counts>,
    /// Rows that belong to new documents, by table.
    pub lines: BTreeMap<&'static str, u64>,
    /// Documents and lines that differ, and are not listed because there are too many.
    pub changed_not_listed: u64,
}

/// The numbers of one sort of documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Those that only production has.
    pub new: u64,
    /// Those that both have and that differ, they or their lines.
    pub changed: u64,
    /// Those that only the copy has.
    pub deleted: u64,
    /// The totals of the new ones, by currency; what goes out is negative.
    pub totals: BTreeMap<String, Decimal>,
}

/// Rows of master data that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Differing {
    /// Those that only production has, without exported partners.
    pub new: u64,
    /// Those that both have and that differ.
    pub changed: u64,
    /// Those that only the copy has.
    pub deleted: u64,
    /// Those that are not listed because there are too many.
    pub not_listed: u64,
}

/// Something that is not exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotExported {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

impl Summary {
    /// Whether everything that was looked for is in the files.
    pub fn is_complete(&self) -> bool {
        self.not_exported.is_empty()
            && self.kinds.values().all(|kind| kind.changed_not_listed == 0)
            && self.masters.values().all(|differing| differing.not_listed == 0)
    }
}
