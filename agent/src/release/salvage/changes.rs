//! `changed.jsonl` and `changed.csv`: documents of the copy that were changed or deleted after the point, and
//! master data that differs.

use std::path::Path;

use crate::error::Result;
use crate::odoo::business::Document;
use crate::release::salvage::csv;
use crate::release::salvage::found::{ChangedRow, Salvage};
use crate::release::salvage::out::{Out, not_json};

/// Writes both.
///
/// # Errors
/// Those of the disk.
pub fn changed(salvage: &Salvage, dir: &Path) -> Result<()> {
    let (mut lines, mut table) = (Out::new(dir, "changed.jsonl")?, Out::new(dir, "changed.csv")?);
    let head = [
        "kind",
        "document",
        "id",
        "name",
        "change",
        "table",
        "column",
        "at_point",
        "now",
        "lines_new",
        "lines_changed",
        "lines_deleted",
    ];
    let mut text = String::new();
    csv::row(&mut text, head.map(|name| (name, false)));
    table.text(&text)?;
    let documents = salvage.found.iter().map(|one| (one.name, one.shapes[0].table, &one.changed));
    let masters = salvage.masters.iter().map(|one| (one.name, one.table, &one.rows));
    for (kind, of, rows) in documents.chain(masters) {
        for one in rows {
            let mut value = serde_json::to_value(one).map_err(not_json)?;
            value["kind"] = kind.into();
            value["table"] = of.into();
            lines.json(&value)?;
            table.text(&cells(kind, of, one))?;
        }
    }
    lines.finish()?;
    table.finish()
}

/// A row in the table for each column, and for each table of lines.
fn cells(kind: &str, of: &str, one: &ChangedRow) -> String {
    let mut text = String::new();
    let id = one.id.to_string();
    let begin = [
        (kind, false),
        (one.document.map_or("", Document::as_str), false),
        (&*id, true),
        (&*one.name, false),
        (one.change.as_str(), false),
    ];
    if one.columns.is_empty() && one.lines.is_empty() {
        let rest = [(of, false)].into_iter().chain([("", false); 6]);
        csv::row(&mut text, begin.into_iter().chain(rest));
    }
    for column in &one.columns {
        let cells = [
            of,
            &column.column,
            column.at_point.as_deref().unwrap_or_default(),
            column.now.as_deref().unwrap_or_default(),
        ];
        let rest = cells.map(|cell| (cell, false)).into_iter().chain([("", false); 3]);
        csv::row(&mut text, begin.into_iter().chain(rest));
    }
    for (name, differ) in &one.lines {
        let columns = differ.columns.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let counts = [differ.new, differ.changed, differ.deleted].map(|count| count.to_string());
        let rest = [(*name, false), (&*columns, false), ("", false), ("", false)];
        let counts = counts.iter().map(|count| (count.as_str(), true));
        csv::row(&mut text, begin.into_iter().chain(rest).chain(counts));
    }
    text
}
