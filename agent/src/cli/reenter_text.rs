//! The report of `lifeboat rollback reenter`, for people.

use super::screen::{Text, Tone};
use crate::names::counted;
use crate::release::reenter::Kind;
use crate::release::reenter::report::{Outcome, Report, ReportedDocument};

/// Where values begin.
const VALUE: usize = 14;

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
    if report.dry_run {
        text.add("nothing was entered: run it without --dry-run to enter this");
    }
    text
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
