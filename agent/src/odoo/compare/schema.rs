//! Compares what tables are: what is missing, and what it is otherwise. Expressions (checks, defaults, what
//! an index is on) are not compared: PostgreSQL may write them in another way after a restore.

use std::collections::BTreeMap;

use super::{Difference, merged};
use crate::odoo::baseline::schema::{ColumnFacts, ConstraintFacts, ConstraintKind, SchemaFacts, TableSchema};

/// What differs in the tables that both have, and in the sequences.
pub(super) fn differences(was: &SchemaFacts, is: &SchemaFacts) -> Vec<Difference> {
    let mut out = Vec::new();
    for (name, was) in &was.tables {
        if let Some(is) = is.tables.get(name) {
            table(&mut out, name, was, is);
        }
    }
    for name in merged(was.sequences.keys(), is.sequences.keys()) {
        let owner = |schema: &SchemaFacts| match schema.sequences.get(name).map(|one| &one.owner) {
            None => "absent".to_owned(),
            Some(None) => "of no column".to_owned(),
            Some(Some(owner)) => format!("of {owner}"),
        };
        let (expected, found) = (owner(was), owner(is));
        if expected != found {
            out.push(Difference::Value { what: format!("sequence {name}"), expected, found });
        }
    }
    out
}

fn table(out: &mut Vec<Difference>, name: &str, was: &TableSchema, is: &TableSchema) {
    parts(out, (name, "column"), &was.columns, &is.columns, column);
    parts(out, (name, "default of"), &with_default(was), &with_default(is), |_| "there".to_owned());
    parts(out, (name, "index"), &was.indexes, &is.indexes, |index| {
        let unique = if index.unique { "unique" } else { "not unique" };
        format!("{unique}{}", if index.invalid { ", invalid" } else { "" })
    });
    parts(out, (name, "constraint"), &was.constraints, &is.constraints, constraint);
}

fn with_default(table: &TableSchema) -> BTreeMap<String, &ColumnFacts> {
    let has = |(_, column): &(&String, &ColumnFacts)| column.default.is_some();
    table.columns.iter().filter(has).map(|(name, column)| (name.clone(), column)).collect()
}

fn parts<T>(
    out: &mut Vec<Difference>,
    (table, word): (&str, &str),
    was: &BTreeMap<String, T>,
    is: &BTreeMap<String, T>,
    text: impl Fn(&T) -> String,
) {
    for name in merged(was.keys(), is.keys()) {
        let side = |all: &BTreeMap<String, T>| all.get(name).map_or_else(|| "absent".to_owned(), &text);
        let (expected, found) = (side(was), side(is));
        if expected != found {
            let (table, what) = (table.to_owned(), format!("{word} {name}"));
            out.push(Difference::Part { table, what, expected, found });
        }
    }
}

fn column(column: &ColumnFacts) -> String {
    let null = if column.not_null { " not null" } else { "" };
    let made = column.made.as_ref().map_or(String::new(), |made| format!(" {made}"));
    format!("{}{null}{made}", column.kind)
}

fn constraint(constraint: &ConstraintFacts) -> String {
    let has_columns = !matches!(constraint.kind, ConstraintKind::Check | ConstraintKind::Exclusion);
    let not_validated = if constraint.not_validated { ", not validated" } else { "" };
    match has_columns {
        true => constraint.is.clone(),
        false => format!("{}{not_validated}", constraint.kind.as_str()),
    }
}
