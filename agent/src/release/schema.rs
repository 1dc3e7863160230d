//! How the tables of a tenant differ from those at the point, column by column.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::odoo::counters::{Counters, TableCounters};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchemaChange {
    /// `table`, or `schema.table` outside of `public`.
    pub table: String,
    /// The column; `None` for the whole table.
    pub column: Option<String>,
    /// What was done.
    #[serde(flatten)]
    pub change: Change,
}

/// What was done to a table or to a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    /// It is gone.
    Dropped,
    /// It is new.
    Added {
        /// What rows must have in it.
        is: Option<String>,
    },
    /// It takes other values.
    Altered {
        /// At the point.
        was: String,
        /// Now.
        is: String,
    },
}

impl SchemaChange {
    /// Whether an older program that does not know of it can read and write as before: a new table, or a new
    /// column that may stay empty.
    pub fn is_addition(&self) -> bool {
        match &self.change {
            Change::Added { is } => {
                is.as_deref().is_none_or(|is| !is.contains(" not null") || is.ends_with(" default"))
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for SchemaChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.column {
            Some(column) => write!(f, "column {}.{column}", self.table)?,
            None => write!(f, "table {}", self.table)?,
        }
        match &self.change {
            Change::Dropped => write!(f, " was dropped"),
            Change::Added { is: Some(is) } => write!(f, " was added ({is})"),
            Change::Added { is: None } => write!(f, " was added"),
            Change::Altered { was, is } => write!(f, " was changed from {was} to {is}"),
        }
    }
}

/// All differences, sorted by table and column.
pub fn changes(point: &Counters, now: &Counters) -> Vec<SchemaChange> {
    let (before, after) = (by_name(point), by_name(now));
    let mut out = Vec::new();
    for (table, old) in &before {
        match after.get(table) {
            None => out.push(SchemaChange { table: table.clone(), column: None, change: Change::Dropped }),
            Some(new) => columns(table, old, new, &mut out),
        }
    }
    let new = after.keys().filter(|table| !before.contains_key(*table));
    out.extend(new.map(|table| SchemaChange {
        table: table.clone(),
        column: None,
        change: Change::Added { is: None },
    }));
    out.sort_by(|a, b| (&a.table, &a.column).cmp(&(&b.table, &b.column)));
    out
}

fn by_name(counters: &Counters) -> BTreeMap<String, &TableCounters> {
    let name = |table: &TableCounters| match table.schema.as_str() {
        "public" => table.name.clone(),
        schema => format!("{schema}.{}", table.name),
    };
    counters.tables.iter().map(|table| (name(table), table)).collect()
}

fn columns(table: &str, old: &TableCounters, new: &TableCounters, out: &mut Vec<SchemaChange>) {
    let mut push = |column: &str, change| {
        out.push(SchemaChange { table: table.to_owned(), column: Some(column.to_owned()), change });
    };
    for (column, was) in &old.columns {
        match new.columns.get(column) {
            None => push(column, Change::Dropped),
            Some(is) if is != was => push(column, Change::Altered { was: was.clone(), is: is.clone() }),
            Some(_) => {}
        }
    }
    for (column, is) in new.columns.iter().filter(|(column, _)| !old.columns.contains_key(*column)) {
        push(column, Change::Added { is: Some(is.clone()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::made_up::{counters, table};

    #[test]
    fn each_difference_is_named_and_only_additions_are_harmless() {
        let (mut point, mut now) = (counters(0), counters(1));
        point.tables = vec![
            table("gone", &[]),
            table(
                "sale_order",
                &[("id", "integer not null default"), ("note", "text"), ("promo", "numeric")],
            ),
        ];
        now.tables = vec![
            table(
                "sale_order",
                &[
                    ("flag", "boolean"),
                    ("id", "integer not null default"),
                    ("must", "text not null"),
                    ("note", "text not null"),
                ],
            ),
            table("x_new", &[]),
        ];
        let found = changes(&point, &now);
        let said: Vec<(String, bool)> =
            found.iter().map(|one| (one.to_string(), one.is_addition())).collect();
        let expected = [
            ("table gone was dropped", false),
            ("column sale_order.flag was added (boolean)", true),
            ("column sale_order.must was added (text not null)", false),
            ("column sale_order.note was changed from text to text not null", false),
            ("column sale_order.promo was dropped", false),
            ("table x_new was added", true),
        ];
        assert_eq!(said, expected.map(|(text, addition)| (text.to_owned(), addition)));
        assert!(changes(&now, &now).is_empty());
        let added = serde_json::to_value(&found[1]).unwrap();
        assert_eq!(added["change"], "added");
    }
}
