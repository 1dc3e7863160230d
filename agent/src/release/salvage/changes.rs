//! `changed.jsonl` and `changed.csv`: documents of the copy that were changed or deleted after the point.

use std::path::Path;

use crate::error::Result;
use crate::release::salvage::csv;
use crate::release::salvage::found::{Change, Salvage};
use crate::release::salvage::out::{Out, not_json};

/// Writes both: in the table, a row for each column, and one for each table of lines.
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
    for found in &salvage.found {
        for one in &found.changed {
            let mut value = serde_json::to_value(one).map_err(not_json)?;
            value["kind"] = found.name.into();
            lines.json(&value)?;
            let id = one.id.to_string();
            let change = match one.change {
                Change::Changed => "changed",
                Change::Deleted => "deleted",
            };
            let begin = [
                (found.name, false),
                (one.document.as_str(), false),
                (&*id, true),
                (&*one.name, false),
                (change, false),
            ];
            if one.columns.is_empty() && one.lines.is_empty() {
                let rest = [(found.shapes[0].table, false)].into_iter().chain([("", false); 6]);
                csv::row(&mut text, begin.into_iter().chain(rest));
            }
            for column in &one.columns {
                let cells = [
                    found.shapes[0].table,
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
            table.text(&text)?;
            text.clear();
        }
    }
    table.text(&text)?;
    lines.finish()?;
    table.finish()
}
