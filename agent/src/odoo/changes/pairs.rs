//! Relations of two tables: who has which group, which product has which tax.

use std::collections::{BTreeMap, BTreeSet};

use super::records::named;
use super::{About, Change, Weight, is_mass};
use crate::odoo::baseline::decisive::{Decisive, Part};
use crate::odoo::baseline::values::{Record, TableValues};

/// A user always has a group: it says whether he is an employee.
const OF_USERS: &str = "res_groups_users_rel";

pub(super) fn changes(before: &[TableValues], after: &[TableValues]) -> Vec<Change> {
    let mut all = Vec::new();
    for was in before {
        let Some(decisive) = Decisive::of(&was.table).filter(|decisive| decisive.key.len() == 2) else {
            continue;
        };
        let Some(is) = after.iter().find(|is| is.table == was.table) else { continue };
        if !(was.has_records() && is.has_records()) {
            continue;
        }
        let follows = Follows::of(decisive, before, after);
        let only = |one: &'_ TableValues, other: &TableValues, rows: [&BTreeSet<String>; 2]| -> Vec<String> {
            let own = one.records.iter().filter(|(key, _)| !other.records.contains_key(*key));
            let own = own
                .filter(|(key, _)| sides(key).into_iter().zip(rows).all(|(side, rows)| !rows.contains(side)));
            own.map(|(key, record)| named(key, record)).collect()
        };
        let gone = only(was, is, [&follows.gone[0], &follows.gone[1]]);
        let new = only(is, was, [&follows.new[0], &follows.new[1]]);
        let change = |weight, says: String| Change::new(weight, About::Values, &*was.table, says);
        if !gone.is_empty() {
            let (bare, had) = bare(was, is, &follows.gone[0]);
            let lost = match decisive.table {
                OF_USERS => bare > 0,
                _ => is_mass(bare, had),
            };
            let left = if bare > 0 { format!("; {bare} of {had} have none any more") } else { String::new() };
            let says = format!("{} of {} gone{left}", gone.len(), was.records.len());
            all.push(change(if lost { Weight::Lost } else { Weight::Changed }, says).with(gone));
        }
        if !new.is_empty() {
            all.push(change(Weight::Changed, format!("{} new", new.len())).with(new));
        }
    }
    all
}

/// Rows that came or went with the row that they belong to.
struct Follows {
    gone: [BTreeSet<String>; 2],
    new: [BTreeSet<String>; 2],
}

impl Follows {
    fn of(decisive: &Decisive, before: &[TableValues], after: &[TableValues]) -> Follows {
        let records = |all: &'_ [TableValues], table: &str| -> BTreeMap<String, Record> {
            all.iter().find(|one| one.table == table).map(|one| one.records.clone()).unwrap_or_default()
        };
        let mut follows = Follows { gone: Default::default(), new: Default::default() };
        for (side, key) in decisive.key.iter().enumerate() {
            let of = decisive.label.iter().find_map(|part| match part {
                Part::Of(column, table) if column == key => Some(*table),
                _ => None,
            });
            let Some(table) = of else { continue };
            let (was, is) = (records(before, table), records(after, table));
            follows.gone[side].extend(was.keys().filter(|id| !is.contains_key(*id)).cloned());
            follows.new[side].extend(is.keys().filter(|id| !was.contains_key(*id)).cloned());
        }
        follows
    }
}

fn sides(key: &str) -> [&str; 2] {
    key.split_once(' ').map_or([key, ""], |(left, right)| [left, right])
}

/// How many rows that are still there had one, and have none any more; and how many had one.
fn bare(was: &TableValues, is: &TableValues, gone: &BTreeSet<String>) -> (usize, usize) {
    let lefts = |values: &'_ TableValues| -> BTreeSet<String> {
        values.records.keys().map(|key| sides(key)[0].to_owned()).collect()
    };
    let (had, have) = (lefts(was), lefts(is));
    (had.iter().filter(|left| !have.contains(*left) && !gone.contains(*left)).count(), had.len())
}
