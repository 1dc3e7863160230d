//! Both databases, and what their rows are.

use crate::clock::Timestamp;
use crate::odoo::business::{Document, Source};
use crate::release::salvage::kept::Kept;
use crate::release::salvage::kinds::{ATTACHED_TO, ATTACHMENTS};
use crate::release::salvage::shape::Shape;
use crate::release::salvage::side::Side;

/// The columns with the name of a document; the first that is not empty counts.
pub const NAMES: [&str; 2] = ["name", "pos_reference"];

/// Both databases.
#[derive(Clone, Copy)]
pub struct Sides<'a> {
    /// That of production.
    pub from: &'a Side<'a>,
    /// That of the point.
    pub against: &'a Side<'a>,
    /// The time of the point.
    pub point: Timestamp,
}

/// The column that tells what a row of a table of documents is.
pub fn split(table: &str) -> Option<&'static str> {
    if table == ATTACHMENTS { Some("res_model") } else { Source::of(table)?.split() }
}

/// What a row of this table is; `None` if it is not a document that is exported.
pub fn document(table: &str, word: &[u8]) -> Option<(Document, bool)> {
    if table == ATTACHMENTS && !ATTACHED_TO.iter().any(|model| model.as_bytes() == word) {
        return None;
    }
    Source::of(table)?.document(word)
}

/// [`document`] of a row that was kept.
pub fn document_of(shape: &Shape, row: &Kept) -> Option<(Document, bool)> {
    let at = split(shape.table).and_then(|name| shape.at(name));
    document(shape.table, row.field(at).unwrap_or_default())
}

/// Where a column is among the fields of the copy's rows.
pub fn in_copy(shape: &Shape, name: Option<&str>) -> Option<usize> {
    let place = shape.at(name?)?;
    shape.common().iter().position(|at| *at == place)
}

/// What people call a document.
pub fn name(shape: &Shape, row: &Kept) -> String {
    NAMES.iter().find_map(|column| row.text(shape, column)).unwrap_or_default()
}
