//! Columns, indexes, constraints and sequences that are gone or are otherwise.

use std::collections::BTreeMap;

use super::updated::Updated;
use super::{About, Change, Weight};
use crate::odoo::baseline::schema::{ColumnFacts, ConstraintFacts, IndexFacts, SchemaFacts, TableSchema};

pub(super) fn changes(before: &SchemaFacts, after: &SchemaFacts, updated: &Updated) -> Vec<Change> {
    let same_major = before.server_major == after.server_major;
    let mut all = Vec::new();
    for (name, was) in &before.tables {
        let shown = name.strip_prefix("public.").unwrap_or(name);
        if let Some(is) = after.tables.get(name) {
            let mut of = OfTable { all: &mut all, table: shown, modules: &was.modules, updated, same_major };
            of.compare(was, is);
        }
    }
    sequences(&mut all, before, after, updated);
    all
}

/// The changes of one table.
struct OfTable<'a> {
    all: &'a mut Vec<Change>,
    table: &'a str,
    modules: &'a [String],
    updated: &'a Updated,
    same_major: bool,
}

impl OfTable<'_> {
    fn compare(&mut self, was: &TableSchema, is: &TableSchema) {
        for (name, was) in &was.columns {
            self.column(name, was, is.columns.get(name));
        }
        self.added("column", &was.columns, &is.columns);
        for (name, was) in &was.indexes {
            self.index(name, was, is);
        }
        for (name, was) in &was.constraints {
            self.constraint(name, was, is.constraints.get(name));
        }
        self.added("constraint", &was.constraints, &is.constraints);
    }

    fn add(&mut self, weight: Weight, what: String, says: impl Into<String>) {
        self.all.push(Change::new(weight, About::Schema, what, says));
    }

    fn column(&mut self, name: &str, was: &ColumnFacts, is: Option<&ColumnFacts>) {
        let what = format!("{}.{name}", self.table);
        let Some(is) = is else { return self.add(weight(self.updated.any), what, "the column is gone") };
        if was.kind != is.kind {
            self.add(Weight::Changed, what.clone(), format!("its type is {}, before {}", is.kind, was.kind));
        }
        if was.not_null && !is.not_null {
            self.add(weight(self.updated.any), what.clone(), "it may be NULL now");
        }
        match (&was.default, &is.default) {
            (Some(was), None) => {
                self.add(weight(self.updated.any), what, format!("its default {was} is gone"))
            }
            (Some(was), Some(is)) if self.same_major && plain(was) != plain(is) => {
                self.add(Weight::Changed, what, format!("its default is {is}, before {was}"));
            }
            _ => {}
        }
    }

    fn index(&mut self, name: &str, was: &IndexFacts, table: &TableSchema) {
        let unique = if was.unique { "unique index" } else { "index" };
        let what = format!("{unique} {name}");
        match table.indexes.get(name) {
            // Odoo renames indexes: one on the same columns takes its place.
            None if table.indexes.values().any(|is| same_index(was, is)) => {}
            None => self.add(self.index_loss(was.unique), what, format!("it is gone from {}", self.table)),
            Some(is) if was.unique && !is.unique => {
                self.add(
                    self.index_loss(true),
                    what,
                    format!("it is not unique any more, on {}", self.table),
                );
            }
            Some(is) if is.invalid && !was.invalid => {
                self.add(Weight::Lost, what, format!("it is invalid now, on {}", self.table));
            }
            Some(is) if self.same_major && plain(&was.on) != plain(&is.on) => {
                self.add(
                    Weight::Changed,
                    what,
                    format!("on {}: it is {}, before {}", self.table, is.on, was.on),
                );
            }
            Some(_) => {}
        }
    }

    /// An index may go with an update of a module that has to do with its table; be it in the same version,
    /// unless it promises that values are unique.
    fn index_loss(&self, unique: bool) -> Weight {
        let same_version = self.updated.any && self.updated.versions.is_empty() && !unique;
        weight(same_version || self.updated.explains(self.modules))
    }

    fn constraint(&mut self, name: &str, was: &ConstraintFacts, is: Option<&ConstraintFacts>) {
        let what = format!("{} {name}", was.kind.as_str());
        let Some(is) = is else {
            let explained = match &was.module {
                Some(module) => self.updated.versions.contains_key(module),
                None => self.updated.any && self.updated.explains(self.modules),
            };
            return self.add(weight(explained), what, format!("it is gone from {}: {}", self.table, was.is));
        };
        if !was.not_validated && is.not_validated {
            let says = format!("on {}: it is not validated any more", self.table);
            return self.add(Weight::Lost, what, says);
        }
        if self.same_major && plain(&was.is) != plain(&is.is) {
            self.add(Weight::Changed, what, format!("on {}: it is {}, before {}", self.table, is.is, was.is));
        }
    }

    fn added<T>(&mut self, word: &str, was: &BTreeMap<String, T>, is: &BTreeMap<String, T>) {
        let weight = if self.updated.any { Weight::Grown } else { Weight::Changed };
        for name in is.keys().filter(|name| !was.contains_key(*name)) {
            self.add(weight, format!("{}.{name}", self.table), format!("the {word} is new"));
        }
    }
}

fn weight(explained: bool) -> Weight {
    if explained { Weight::Changed } else { Weight::Lost }
}

fn same_index(was: &IndexFacts, is: &IndexFacts) -> bool {
    was.unique == is.unique && plain(&was.on) == plain(&is.on) && !is.invalid
}

fn sequences(all: &mut Vec<Change>, before: &SchemaFacts, after: &SchemaFacts, updated: &Updated) {
    for (name, was) in &before.sequences {
        let what = format!("sequence {}", name.strip_prefix("public.").unwrap_or(name));
        let mut add = |weight, says: String| all.push(Change::new(weight, About::Schema, what.clone(), says));
        let owner_table = was.owner.as_ref().and_then(|owner| Some(owner.rsplit_once('.')?.0));
        let owner_is_there = owner_table.is_some_and(|table| after.tables.contains_key(table));
        let Some(is) = after.sequences.get(name) else {
            // One for numbers of documents goes with its row of ir_sequence.
            let explained = updated.any || !owner_is_there;
            add(weight(explained), "it is gone".to_owned());
            continue;
        };
        if let (Some(owner), None, true) = (&was.owner, &is.owner, owner_is_there) {
            add(weight(updated.any), format!("it does not belong to {owner} any more"));
        }
        if let (Some(was_at), is_at) = (was.last, is.last.unwrap_or(0))
            && is_at < was_at
        {
            // A person may let a number of documents begin again, but not an id.
            add(weight(was.owner.is_none()), format!("it went back from {was_at} to {is_at}"));
        }
    }
}

/// An expression without what PostgreSQL adds or leaves out when it writes it again: parentheses, casts,
/// spaces.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '(' | ')' | ' ' => {}
            ':' if rest.starts_with(':') => {
                let is_type = |c: char| c.is_alphanumeric() || matches!(c, '_' | ' ' | '"' | '.' | '[' | ']');
                let cast = &rest[1..];
                // a type of several words: "character varying", "timestamp without time zone"
                let end = cast.find(|c: char| !is_type(c)).unwrap_or(cast.len());
                let words = ["AND", "OR", "IS", "NOT", "THEN", "ELSE", "END"];
                let named = &cast[..end];
                let stop = words.iter().filter_map(|word| named.find(&format!(" {word}"))).min();
                rest = &cast[stop.unwrap_or(end)..];
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_that_was_written_again_is_the_same() {
        let was =
            "CHECK (((kind)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))";
        let is = "CHECK (((kind)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text])))";
        assert_eq!(plain(was), plain(is));
        assert_ne!(plain(was), plain(&was.replace("'b'", "'c'")));
        assert_eq!(plain("btree (name) WHERE (key IS NOT NULL)"), "btreenameWHEREkeyISNOTNULL");
        assert_eq!(plain("((a)::text IS NOT NULL)"), "aISNOTNULL");
    }
}
