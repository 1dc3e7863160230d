//! The database as a whole: whose it is, its properties, modules and extensions, and how new it is.

use std::collections::BTreeMap;

use super::updated::Updated;
use super::{About, Change, Weight};
use crate::names::counted;
use crate::odoo::baseline::{Baseline, TableFacts};

/// So many tables must have gone back, and none forward, for an older state.
const BACK_MIN: usize = 3;

pub(super) fn changes(before: &Baseline, after: &Baseline, updated: &Updated) -> Vec<Change> {
    let mut all = Vec::new();
    let mut add =
        |weight, what: &str, says: String| all.push(Change::new(weight, About::Database, what, says));
    match (&before.database_uuid, &after.database_uuid) {
        (Some(was), Some(is)) if was != is => {
            add(Weight::Lost, "database.uuid", format!("it is that of another database: {is}, before {was}"));
        }
        (Some(was), None) => add(Weight::Lost, "database.uuid", format!("it is gone; it was {was}")),
        _ => {}
    }
    let (was, is) = (&before.properties, &after.properties);
    for (what, was, is) in [
        ("encoding", &was.encoding, &is.encoding),
        ("collation", &was.collate, &is.collate),
        ("character type", &was.ctype, &is.ctype),
        ("owner", &was.owner, &is.owner),
    ] {
        if was != is {
            add(Weight::Changed, what, format!("{is}, before {was}"));
        }
    }
    for extension in &before.extensions {
        if !after.extensions.iter().any(|one| one.name == extension.name) {
            add(Weight::Changed, &format!("extension {}", extension.name), "it is gone".to_owned());
        }
    }
    all.extend(modules(updated));
    all.extend(older(&before.tables, &after.tables));
    all
}

fn modules(updated: &Updated) -> Vec<Change> {
    let of = |word: &str,
              is_one: fn(&[Option<String>; 2]) -> bool,
              shown: fn(&str, &[Option<String>; 2]) -> String| {
        let found: Vec<String> = updated
            .versions
            .iter()
            .filter(|(_, versions)| is_one(versions))
            .map(|(name, versions)| shown(name, versions))
            .collect();
        let says = format!("{} {word}", counted(found.len() as u64, "module"));
        let change = Change::new(Weight::Changed, About::Database, format!("modules {word}"), says);
        (!found.is_empty()).then(|| change.with(found))
    };
    [
        of("removed", |[_, is]| is.is_none(), |name, _| name.to_owned()),
        of("installed", |[was, _]| was.is_none(), |name, _| name.to_owned()),
        of(
            "updated",
            |both| both.iter().all(Option::is_some),
            |name, [was, is]| {
                let shown = |version: &Option<String>| version.clone().unwrap_or_default();
                format!("{name} {} to {}", shown(was), shown(is))
            },
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// An older state: the newest rows of tables are older than before, and none is newer.
fn older(before: &[TableFacts], after: &[TableFacts]) -> Option<Change> {
    let newest = |tables: &[TableFacts]| -> BTreeMap<String, String> {
        let one = |table: &TableFacts| Some((table.name.clone(), table.max_write_date.clone()?));
        tables.iter().filter(|table| table.schema == "public").filter_map(one).collect()
    };
    let (was, is) = (newest(before), newest(after));
    let both = || was.iter().filter_map(|(name, was)| Some((was, is.get(name)?)));
    let back = both().filter(|(was, is)| is < was).count();
    if back < BACK_MIN || both().any(|(was, is)| is > was) {
        return None;
    }
    let last = |all: &BTreeMap<String, String>| all.values().max().cloned().unwrap_or_default();
    let says = format!("it is an older state: last written at {}, before at {}", last(&is), last(&was));
    Some(Change::new(Weight::Lost, About::Database, "newest rows", says))
}
