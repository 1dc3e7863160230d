//! Compares the values of decisive tables, and business documents by day.

use std::collections::BTreeMap;

use super::Difference;
use crate::odoo::baseline::figures::Figures;
use crate::odoo::baseline::inputs::Input;
use crate::odoo::baseline::values::{ColumnValues, TableValues};
use crate::odoo::lasting::LastingCounts;

/// What differs in the tables and columns that both have.
pub(super) fn differences(was: &[TableValues], is: &[TableValues]) -> Vec<Difference> {
    let by_name: BTreeMap<&str, &TableValues> = is.iter().map(|one| (one.table.as_str(), one)).collect();
    let mut out = Vec::new();
    for was in was {
        let Some(is) = by_name.get(was.table.as_str()) else { continue };
        for column in &was.columns {
            let found = is.columns.iter().find(|one| one.name == column.name);
            if let Some(found) = found.filter(|found| *found != column) {
                out.push(part(&was.table, format!("values of {}", column.name), text(column), text(found)));
            }
        }
    }
    out
}

/// What differs in the documents of each day.
pub(super) fn days(
    was: &BTreeMap<String, LastingCounts>,
    is: &BTreeMap<String, LastingCounts>,
) -> Vec<Difference> {
    let mut out = Vec::new();
    for (table, was) in was {
        let Some(is) = is.get(table).filter(|is| *is != was) else { continue };
        let text = |one: &LastingCounts| {
            let rows: u64 = one.days.values().map(|day| day.rows).sum();
            format!("{rows} rows, {} confirmed, on {} days", one.confirmed(), one.days.len())
        };
        out.push(part(table, "rows by day".to_owned(), text(was), text(is)));
    }
    out
}

/// What differs in the totals of documents.
pub(super) fn figures(was: &[Figures], is: &[Figures]) -> Vec<Difference> {
    let mut out = Vec::new();
    for was in was {
        let found = is.iter().find(|one| one.document == was.document);
        if found != Some(was) {
            let text = |one: &Figures| {
                let sums: Vec<String> =
                    one.totals.iter().filter_map(|total| total.total).map(|sum| sum.to_string()).collect();
                format!("{} with {}", one.rows, sums.join(", "))
            };
            let found = found.map_or_else(|| "absent".to_owned(), text);
            out.push(part(
                was.document.table(),
                format!("total of {}", was.document.plural()),
                text(was),
                found,
            ));
        }
    }
    out
}

/// What differs in what base checks read, of tables that both recorded.
pub(super) fn inputs(was: &BTreeMap<String, Input>, is: &BTreeMap<String, Input>) -> Vec<Difference> {
    let both = was.iter().filter_map(|(table, was)| Some((table, was, is.get(table)?)));
    let differ = both.filter(|(_, was, is)| was != is && was.columns == is.columns);
    let text =
        |one: &Input| format!("{} rows (digest {})", one.rows, one.digest.get(..8).unwrap_or_default());
    differ
        .map(|(table, was, is)| part(table, "what base checks read".to_owned(), text(was), text(is)))
        .collect()
}

fn part(table: &str, what: String, expected: String, found: String) -> Difference {
    Difference::Part { table: format!("public.{table}"), what, expected, found }
}

fn text(column: &ColumnValues) -> String {
    let sum = column.sum.map_or(String::new(), |sum| format!(", sum {sum}"));
    let digest = column.digest.get(..8).unwrap_or_default();
    format!("{} of them not empty, {} not zero{sum} (digest {digest})", column.filled, column.non_zero)
}
