//! What was found: documents that only the production database has, and those that differ.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::disk::beneath::Dir;
use crate::odoo::blob::BlobName;
use crate::odoo::business::Document;
use crate::postgres::decimal::Decimal;
use crate::release::salvage::kept::Kept;
use crate::release::salvage::keys::Keys;
use crate::release::salvage::shape::Shape;
use crate::release::salvage::summary::Summary;

/// A document that the copy does not have.
#[derive(Debug)]
pub struct NewDocument {
    /// Which document; a partner has no such word.
    pub document: Option<Document>,
    /// Its row.
    pub row: Kept,
    /// Its number or name.
    pub name: String,
    /// Its total, negative where money goes out, and the name of its currency.
    pub amount: Option<(Decimal, String)>,
    /// The rows that belong to it, for each table of [`super::kinds::Kind::lines`], sorted by `id`.
    pub lines: Vec<Vec<Kept>>,
}

/// A value that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The column.
    pub column: String,
    /// In the copy; long ones are cut.
    pub at_point: Option<String>,
    /// In production; long ones are cut.
    pub now: Option<String>,
}

/// What differs in the rows that belong to a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinesDiffer {
    /// Rows that only production has.
    pub new: u64,
    /// Rows that both have and that differ.
    pub changed: u64,
    /// Rows that only the copy has.
    pub deleted: u64,
    /// The columns that differ.
    pub columns: BTreeSet<String>,
}

/// How a row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Only production has it; new documents are exported instead.
    New,
    /// Both have it.
    Changed,
    /// Only the copy has it.
    Deleted,
}

impl Change {
    /// Its stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::New => "new",
            Change::Changed => "changed",
            Change::Deleted => "deleted",
        }
    }
}

/// A document that the copy has, or a row of master data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedRow {
    /// Which document; `None` for master data.
    pub document: Option<Document>,
    /// Its `id`.
    pub id: i64,
    /// Its number or name, in production, or else in the copy.
    pub name: String,
    /// How it differs.
    pub change: Change,
    /// The columns of its own row that differ.
    pub columns: Vec<Difference>,
    /// By table, what differs in the rows that belong to it.
    pub lines: BTreeMap<&'static str, LinesDiffer>,
}

/// An invoice or bill that a payment paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paid {
    /// What it is.
    pub document: Document,
    /// Its `id`.
    pub id: i64,
    /// Its number.
    pub name: String,
    /// Whether the copy has it.
    pub at_point: bool,
    /// How much of it, in the currency of the invoice; `None` if they were not reconciled, or that is no
    /// exact number.
    pub amount: Option<String>,
    /// The name of that currency.
    pub currency: Option<String>,
}

/// What was found of one table of master data.
pub struct MasterFound {
    /// Its name in the files.
    pub name: &'static str,
    /// The table.
    pub table: &'static str,
    /// The rows that differ, sorted by `id`.
    pub rows: Vec<ChangedRow>,
    /// How many more differ than could be listed.
    pub unlisted: u64,
    /// How many differ only in what Odoo writes by itself.
    pub by_itself: u64,
}

/// What was found of one kind.
pub struct Found {
    /// Its name.
    pub name: &'static str,
    /// Its tables: the documents', then those of the lines.
    pub shapes: Vec<Shape>,
    /// Sorted by `id`.
    pub new: Vec<NewDocument>,
    /// The table whose lines have taxes, and these, by the `id` of the line.
    pub taxes: Option<(&'static str, HashMap<i64, Vec<i64>>)>,
    /// The invoices that payments paid, by payment; `None` if that is not known.
    pub paid: Option<HashMap<i64, Vec<Paid>>>,
    /// Sorted by `id`.
    pub changed: Vec<ChangedRow>,
    /// How many more differ than could be listed.
    pub unlisted: u64,
}

/// All of it.
pub struct Salvage {
    /// Numbers, and what cannot be exported.
    pub summary: Summary,
    /// By kind, in the order of the files.
    pub found: Vec<Found>,
    /// Master data that differs.
    pub masters: Vec<MasterFound>,
    /// The keys of the rows that these documents name.
    pub keys: Keys,
    /// The filestore, and the files of it that are copied.
    pub files: Option<(Dir, Vec<BlobName>)>,
}
