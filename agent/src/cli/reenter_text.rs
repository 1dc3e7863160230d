//! The report of `lifeboat rollback reenter`, for people.

use super::screen::{Text, Tone};
use crate::names::counted;
use crate::release::reenter::Kind;
use crate::release::reenter::changes::{ChangedRow, why};
use crate::release::reenter::report::{Outcome, Report, ReportedDocument};
use crate::release::salvage::found::Change;

/// Where values begin.
const VALUE: usize = 14;
/// Columns that are shown of a row that differs; the files and --json have all.
const COLUMNS_MAX: usize = 12;
/// Columns that Odoo writes with every change: not shown.
const OF_ODOO: [&str; 4] = ["create_date", "create_uid", "write_date", "write_uid"];

/// All of it: numbers, each document that is entered, and what a person has to look at.
pub fn text(report: &Report) -> Text {
    let mut text = Text::default();
    let Report { release, tenant, database, url, odoo, .. } = report;
    text.add(format!("re-entry of {tenant} after release {release}"));
    text.line(VALUE).plain(format!("  {:<12}database {database}, Odoo {odoo}, {url}", "into"));
    for (kind, outcomes) in report.counts() {
        let all: u64 = outcomes.values().sum();
        let parts: Vec<String> =
            outcomes.iter().map(|(outcome, count)| format!("{count} {}", word(*outcome))).collect();
        text.line(VALUE).plain(format!("  {:<12}{}: {}", "", counted(all, kind.word()), parts.join(", ")));
    }
    for one in &report.documents {
        document(&mut text, one, report.dry_run);
    }
    for other in &report.others {
        let what = counted(other.count, other.kind.trim_end_matches('s'));
        text.line(VALUE).plain("  ").push(Tone::Bad, "not entered").plain(format!(" {what}: {}", other.why));
    }
    changed(&mut text, report);
    if report.dry_run {
        text.add("nothing was entered: run it without --dry-run to enter this");
    }
    text
}

/// What a person has to do by hand, by the reason.
fn changed(text: &mut Text, report: &Report) {
    for change in [Change::New, Change::Changed, Change::Deleted] {
        let rows: Vec<&ChangedRow> =
            report.changed.iter().map(|one| &one.row).filter(|row| row.change == change).collect();
        if rows.is_empty() {
            continue;
        }
        let what = format!(" {}: {}", counted(rows.len(), "row"), why(change));
        text.line(VALUE).plain("  ").push(Tone::Bad, "not entered").plain(what);
        for row in rows {
            text.line(VALUE).plain(format!("  {:<12}{}", "", row_text(row)));
        }
    }
    if report.changed_not_listed > 0 {
        let what = format!(" {} more that differ: the export does not list them", report.changed_not_listed);
        text.line(VALUE).plain("  ").push(Tone::Bad, "not entered").plain(what);
    }
    for one in &report.not_exported {
        let what = format!(" {}: {}", one.what, one.why);
        text.line(VALUE).plain("  ").push(Tone::Bad, "not exported").plain(what);
    }
}

/// A row with its columns, from what to what.
fn row_text(row: &ChangedRow) -> String {
    let word = row.table.replace('_', " ");
    let mut parts: Vec<String> = Vec::new();
    // of a new row, what is not set is no help
    let is_set = |now: &Option<String>| now.as_deref().is_some_and(|now| !["", "false"].contains(&now));
    let columns = row.columns.iter().filter(|one| {
        !OF_ODOO.contains(&one.column.as_str()) && (row.change != Change::New || is_set(&one.now))
    });
    for one in columns.clone().take(COLUMNS_MAX) {
        let value =
            |value: &Option<String>| value.as_ref().map_or("empty".to_owned(), |text| format!("{text:?}"));
        let now = value(&one.now);
        parts.push(match row.change {
            Change::New => format!("{} {now}", one.column),
            _ => format!("{} {} -> {now}", one.column, value(&one.at_point)),
        });
    }
    let more = columns.count().saturating_sub(COLUMNS_MAX);
    if more > 0 {
        parts.push(format!("{more} more columns: changed.csv"));
    }
    for (table, lines) in &row.lines {
        let counts = [(lines.new, "new"), (lines.changed, "changed"), (lines.deleted, "deleted")];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, what)| format!("{count} {what}")).collect();
        let columns: Vec<&str> = lines.columns.iter().map(String::as_str).collect();
        let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
        parts.push(format!("{table}: {}{columns}", counts.join(", ")));
    }
    let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join("; ")) };
    format!("{word} {:?} (id {}){parts}", row.name, row.id)
}

fn document(text: &mut Text, one: &ReportedDocument, dry_run: bool) {
    let ReportedDocument { kind, old_id, old_name, .. } = one;
    let called = match kind {
        Kind::Partner => format!("{} {old_name:?}", kind.word()),
        _ => format!("{} {old_name}", kind.word()),
    };
    let total = one.total.as_ref().map_or(String::new(), |total| format!(", {total}"));
    let why = one.why.as_deref().unwrap_or_default();
    match one.outcome {
        Outcome::ToEnter => {
            text.line(VALUE).plain(format!("  {:<12}{called}{total}", "to enter"));
        }
        Outcome::Entered | Outcome::EnteredBefore if !dry_run => {
            let new = one.new_name.as_deref().unwrap_or_default();
            let before = if one.outcome == Outcome::EnteredBefore { " (before)" } else { "" };
            text.line(VALUE).plain(format!("  {:<12}{called} -> {new}{total}{before}", "entered"));
        }
        Outcome::Entered | Outcome::EnteredBefore => {}
        Outcome::LeftOut => {
            text.line(VALUE).plain(format!("  {:<12}{called}: {why}", "left out"));
        }
        Outcome::Refused | Outcome::Unfinished | Outcome::NotKnown | Outcome::NotReached => {
            let label = word(one.outcome);
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            text.line(VALUE)
                .plain("  ")
                .push(Tone::Bad, label)
                .plain(format!(" {called} (id {old_id}){why}"));
        }
    }
    for differs in one.differs() {
        let (what, old, new) = (differs.what, &differs.old, &differs.new);
        text.line(VALUE)
            .plain("  ")
            .push(Tone::Bad, "differs")
            .plain(format!(" {called}: {what} was {old:?}, is {new:?}"));
    }
    for note in &one.notes {
        text.line(VALUE).plain(format!("  {:<12}{called}: {note}", "note"));
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::ToEnter => "to enter",
        Outcome::Entered => "entered",
        Outcome::EnteredBefore => "entered before",
        Outcome::Unfinished => "not finished",
        Outcome::LeftOut => "left out",
        Outcome::Refused => "not entered",
        Outcome::NotKnown => "not known",
        Outcome::NotReached => "not reached",
    }
}
