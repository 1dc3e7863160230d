//! Values that only the state before can judge, of tables whose rows have an `id`.

use std::collections::{BTreeMap, HashMap};

use super::updated::Updated;
use super::{About, Change, Weight, is_mass};
use crate::names::counted;
use crate::odoo::baseline::decisive::{Decisive, Gone, Rule};
use crate::odoo::baseline::values::{ColumnValues, Record, TableValues};

/// The code of a view was emptied if it had so many bytes, and so few of a hundred are left.
const CODE_BYTES_MIN: u64 = 500;
const CODE_LEFT_PER_100: u64 = 20;

pub(super) fn changes(before: &[TableValues], after: &[TableValues], updated: &Updated) -> Vec<Change> {
    let mut all = Vec::new();
    for was in before {
        let Some(decisive) = Decisive::of(&was.table).filter(|decisive| decisive.key.len() == 1) else {
            continue;
        };
        let Some(is) = after.iter().find(|is| is.table == was.table) else { continue };
        match was.has_records() && is.has_records() {
            true => OfTable::new(decisive, was, is, updated).compare(&mut all),
            false => all.extend(totals(decisive, was, is)),
        }
    }
    all
}

/// Two states of one table, row by row.
struct OfTable<'a> {
    decisive: &'static Decisive,
    updated: &'a Updated,
    was: &'a TableValues,
    is: &'a TableValues,
    both: Vec<(&'a Record, &'a Record)>,
    gone: Vec<(&'a String, &'a Record)>,
    new: Vec<(&'a String, &'a Record)>,
}

impl<'a> OfTable<'a> {
    fn new(
        decisive: &'static Decisive,
        was: &'a TableValues,
        is: &'a TableValues,
        updated: &'a Updated,
    ) -> Self {
        let mut both: Vec<(&Record, &Record)> = Vec::new();
        let mut gone: Vec<(&String, &Record)> = Vec::new();
        let mut new: BTreeMap<&String, &Record> =
            is.records.iter().filter(|(key, _)| !was.records.contains_key(*key)).collect();
        let mut successors: HashMap<&str, &String> = HashMap::new();
        if decisive.is_known_by_label {
            successors.extend(new.iter().map(|(key, record)| (record.label.as_str(), *key)));
        }
        for (key, record) in &was.records {
            let successor = || new.remove(successors.remove(record.label.as_str())?);
            match is.records.get(key).or_else(successor) {
                Some(now) => both.push((record, now)),
                None => gone.push((key, record)),
            }
        }
        OfTable { decisive, updated, was, is, both, gone, new: new.into_iter().collect() }
    }

    fn compare(&self, all: &mut Vec<Change>) {
        all.extend(self.rows_gone());
        if !self.new.is_empty() {
            let confirm =
                self.decisive.confirm_new && !self.new.iter().all(|(_, record)| self.explained(record));
            let weight = if confirm { Weight::Changed } else { Weight::Grown };
            let says = format!("{} new", counted(self.new.len() as u64, "row"));
            all.push(
                self.change(weight, "", says).with(self.new.iter().map(|(key, record)| named(key, record))),
            );
        }
        for (at, column) in self.was.columns.iter().enumerate() {
            if let Some(now_at) = self.is.columns.iter().position(|one| one.name == column.name) {
                self.column(all, column, (at, now_at));
            }
        }
    }

    fn change(&self, weight: Weight, column: &str, says: String) -> Change {
        let dot = if column.is_empty() { "" } else { "." };
        Change::new(weight, About::Values, format!("{}{dot}{column}", self.was.table), says)
    }

    /// Whether the module that made a row has another version, or was installed or removed.
    fn explained(&self, record: &Record) -> bool {
        record.module.as_ref().is_some_and(|module| self.updated.versions.contains_key(module))
    }

    fn rows_gone(&self) -> Option<Change> {
        let unexplained: Vec<_> = self.gone.iter().filter(|(_, record)| !self.explained(record)).collect();
        let of_modules =
            || !self.updated.any && unexplained.iter().any(|(_, record)| record.module.is_some());
        let (part, whole) = (unexplained.len(), self.was.records.len());
        // fewer than three rows are what a person deletes
        let most = part >= 3 && is_mass(part, whole);
        let lost = match self.decisive.gone {
            Gone::Lost => part > 0,
            Gone::OfModule => of_modules() || most,
            Gone::Confirm => most,
        };
        let weight = if lost { Weight::Lost } else { Weight::Changed };
        let says = format!("{} of {whole} rows gone", self.gone.len());
        let change = self.change(weight, "", says);
        (!self.gone.is_empty()).then(|| change.with(self.gone.iter().map(|(key, record)| named(key, record))))
    }

    fn column(&self, all: &mut Vec<Change>, column: &ColumnValues, (at, now_at): (usize, usize)) {
        let rule = self.decisive.rule(&column.name);
        let purpose = self.decisive.purpose.and_then(|name| {
            let place = |values: &TableValues| values.columns.iter().position(|one| one.name == name);
            Some((place(self.was)?, place(self.is)?))
        });
        let (mut emptied, mut changed, mut filled) = (Vec::new(), Vec::new(), 0);
        for (was, is) in &self.both {
            let (from, to) = (cell(was, at), cell(is, now_at));
            filled += usize::from(!is_nothing(from));
            let other_purpose = purpose.is_some_and(|(at, now_at)| cell(was, at) != cell(is, now_at));
            let text = || format!("{}{} to {}", of(is), shown(from), shown(to));
            match from == to {
                true => {}
                false if rule.can_be_emptied() && !other_purpose && is_emptied(rule, from, to) => {
                    emptied.push((text(), was));
                }
                false => changed.push((text(), was)),
            }
        }
        if !emptied.is_empty() {
            let is_of_unchanged_module = |record: &Record| record.module.is_some() && !self.explained(record);
            let lost = match rule {
                Rule::Vital => true,
                Rule::Code => emptied.iter().any(|(_, record)| is_of_unchanged_module(record)),
                _ => is_mass(emptied.len(), filled),
            };
            let nothing = if matches!(rule, Rule::Kept | Rule::Moving | Rule::Vital) {
                "zero or empty"
            } else {
                "empty"
            };
            let says = format!("{} of {filled} values that were there are {nothing} now", emptied.len());
            let weight = if lost { Weight::Lost } else { Weight::Changed };
            all.push(self.change(weight, &column.name, says).with(emptied.into_iter().map(|(text, _)| text)));
        }
        if !changed.is_empty() {
            let by_modules = changed.iter().all(|(_, record)| self.explained(record));
            let made_by_hand = changed.iter().all(|(_, record)| record.module.is_none());
            let weight = match rule {
                Rule::Moving | Rule::Secret => Weight::Grown,
                Rule::Code if made_by_hand => Weight::Grown,
                _ if by_modules => Weight::Grown,
                _ => Weight::Changed,
            };
            let says = format!("{} of {} values changed", changed.len(), self.both.len());
            all.push(self.change(weight, &column.name, says).with(changed.into_iter().map(|(text, _)| text)));
        }
    }
}

impl Rule {
    fn can_be_emptied(self) -> bool {
        !matches!(self, Rule::Setting | Rule::SecretSetting)
    }
}

/// A table whose rows are not recorded one by one.
fn totals(decisive: &Decisive, was: &TableValues, is: &TableValues) -> Vec<Change> {
    let mut all = Vec::new();
    for column in &was.columns {
        let Some(now) = is.columns.iter().find(|one| one.name == column.name) else { continue };
        let rule = decisive.rule(&column.name);
        let what = format!("{}.{}", was.table, column.name);
        let (from, to) = (column.non_zero, now.non_zero);
        // Rows that are gone take their values along.
        let emptied = from.saturating_sub(to).saturating_sub(was.rows.saturating_sub(is.rows));
        let is_loss = rule.can_be_emptied() && is_mass(emptied as usize, from as usize);
        if is_loss {
            let says = format!("{to} values are neither empty nor zero, before {from}");
            all.push(Change::new(Weight::Lost, About::Values, what, says));
        } else if column.digest != now.digest {
            let sums = column
                .sum
                .zip(now.sum)
                .map_or(String::new(), |(was, is)| format!(": the sum is {is}, before {was}"));
            let says = format!("values changed, in {} rows, before {}{sums}", is.rows, was.rows);
            all.push(Change::new(Weight::Grown, About::Values, what, says));
        }
    }
    all
}

fn cell(record: &Record, at: usize) -> &str {
    record.cells.get(at).map_or("", String::as_str)
}

fn is_nothing(cell: &str) -> bool {
    cell.is_empty() || cell == "0"
}

fn is_emptied(rule: Rule, from: &str, to: &str) -> bool {
    let bytes =
        |cell: &str| cell.rsplit_once(' ').and_then(|(_, bytes)| bytes.parse::<u64>().ok()).unwrap_or(0);
    match rule {
        Rule::Code if bytes(from) >= CODE_BYTES_MIN => bytes(to) * 100 < bytes(from) * CODE_LEFT_PER_100,
        _ => !is_nothing(from) && is_nothing(to),
    }
}

/// What a person knows a row by, and its key.
pub(super) fn named(key: &str, record: &Record) -> String {
    match record.label.is_empty() {
        true => key.to_owned(),
        false => record.label.clone(),
    }
}

fn of(record: &Record) -> String {
    if record.label.is_empty() { String::new() } else { format!("{}: ", record.label) }
}

/// A value for a person; what is recorded as a digest is not shown.
fn shown(cell: &str) -> &str {
    match cell {
        "" => "nothing",
        cell if cell.starts_with('#') => "another value",
        cell => cell,
    }
}
