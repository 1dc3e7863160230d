//! Which columns of two rows differ.

use crate::release::salvage::found::Difference;
use crate::release::salvage::kept::Kept;
use crate::release::salvage::shape::{Column, Shape};
use crate::release::salvage::value;

/// The longest value in a list of differences, in characters.
const VALUE_CHARS_MAX: usize = 200;

/// The common columns of two rows that differ.
pub fn differences(shape: &Shape, before: &Kept, now: &Kept) -> Vec<Difference> {
    let mut out = Vec::new();
    for at in shape.common() {
        let (was, is) = (before.field(Some(at)), now.field(Some(at)));
        if was != is {
            let column = &shape.columns[at];
            let text = |field: Option<&[u8]>| Some(cut(value::text(column.kind, field?)));
            out.push(Difference { column: column.name.clone(), at_point: text(was), now: text(is) });
        }
    }
    out
}

/// All columns of a row that only production has, but those that are empty.
pub fn values(shape: &Shape, row: &Kept) -> Vec<Difference> {
    let columns = shape.columns.iter().enumerate().filter(|(_, column)| column.name != "id");
    let of = |(at, column): (usize, &Column)| {
        let now = Some(cut(value::text(column.kind, row.field(Some(at))?)));
        Some(Difference { column: column.name.clone(), at_point: None, now })
    };
    columns.filter_map(of).collect()
}

fn cut(text: String) -> String {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
