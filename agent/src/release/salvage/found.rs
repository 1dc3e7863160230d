//! What was found: documents that only the production database has, and those that differ.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The column.
    pub column: String,
    /// In the copy; long ones are cut.
    pub at_point: Option<String>,
    /// In production; long ones are cut.
    pub now: Option<String>,
}

/// What differs in the rows that belong to a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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

/// How a document differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Both have it.
    Changed,
    /// Only the copy has it.
    Deleted,
}

/// A document that the copy has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedDocument {
    /// What it is.
    pub document: Document,
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
    /// Sorted by `id`.
    pub changed: Vec<ChangedDocument>,
    /// How many more differ than could be listed.
    pub unlisted: u64,
}

/// All of it.
pub struct Salvage {
    /// Numbers, and what cannot be exported.
    pub summary: Summary,
    /// By kind, in the order of the files.
    pub found: Vec<Found>,
    /// The keys of the rows that these documents name.
    pub keys: Keys,
    /// The filestore, and the files of it that are copied.
    pub files: Option<(Dir, Vec<BlobName>)>,
}
