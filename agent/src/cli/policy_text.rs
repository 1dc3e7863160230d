//! `lifeboat policy` for people: a block for each class, and a block for each difference.

use super::screen::{Text, Tone};
use crate::clock;
use crate::names::{TenantName, counted};
use crate::policy::drift::{Drift, Held, Place};
use crate::policy::{Finding, Outcome, PolicyReport};

/// Where the text of a finding begins, and where it continues after a line break.
const VALUE: usize = 18;
/// The same for its next step.
const NEXT: usize = VALUE + 6;
/// How far lines below a heading are indented after a line break.
const INDENT: usize = 4;
/// Tenants of a class that are named.
const TENANTS_MAX: usize = 6;
/// Files with the same value that are named; JSON names all.
const FILES_MAX: usize = 4;

/// The classes, and what is wrong with them.
pub fn check_text(report: &PolicyReport) -> Text {
    let mut text = Text::default();
    let when = clock::text(report.now);
    text.line(INDENT).plain(format!("instance {} in {}, {when}", report.instance, report.repository));
    report.findings.iter().for_each(|one| finding(&mut text, one));
    for (n, one) in report.unclassed.iter().enumerate() {
        let word = match one.classes.len() {
            0 => "NO CLASS".to_owned(),
            count => format!("{count} CLASSES"),
        };
        text.line(INDENT).plain("  ").push(Tone::Bad, word).plain(format!(": {}", one.text));
        // Once, below the last tenant that it is for.
        let is_last = report.unclassed[n + 1..].iter().all(|later| later.next != one.next);
        if let Some(next) = one.next.as_ref().filter(|_| is_last) {
            text.line(INDENT + 6).plain(format!("    next: {next}"));
        }
    }
    for class in &report.classes {
        text.line(0);
        let live: Vec<&TenantName> =
            class.tenants.iter().filter(|tenant| !class.dropped.contains(tenant)).collect();
        let head = text.line(INDENT);
        head.plain(format!("{}: {}", class.class, counted(live.len() as u64, "tenant")));
        if !live.is_empty() {
            head.plain(format!(" ({})", named(&live)));
        }
        if !class.dropped.is_empty() {
            let dropped: Vec<&TenantName> = class.dropped.iter().collect();
            text.line(INDENT).plain(format!("  not backed up any more: {}", named(&dropped)));
        }
        class.findings.iter().for_each(|one| finding(&mut text, one));
    }
    text.line(0);
    let count = |outcome| report.all().filter(|one| one.outcome == outcome).count();
    let failed = count(Outcome::Fail) + report.unclassed.len();
    let last = text.line(0).plain(format!("{} ok, {failed} failed", count(Outcome::Ok)));
    match count(Outcome::Unknown) {
        0 => {}
        unknown => drop(last.plain(format!(", {unknown} not known"))),
    }
    text
}

fn finding(text: &mut Text, one: &Finding) {
    let (tone, word) = match one.outcome {
        Outcome::Ok => (Tone::Plain, "ok"),
        Outcome::Note => (Tone::Plain, "note"),
        Outcome::Unknown => (Tone::Warning, "?"),
        Outcome::Fail => (Tone::Bad, "FAIL"),
    };
    let line = text.line(VALUE);
    line.plain("  ").push(tone, word).plain(format!("{:1$}", "", 6 - word.len()));
    line.plain(format!("{:<9} {}", one.about, one.text));
    if let (Some(next), Outcome::Fail | Outcome::Unknown) = (&one.next, one.outcome) {
        text.line(NEXT).plain(format!("{:VALUE$}next: {next}", ""));
    }
}

fn named(tenants: &[&TenantName]) -> String {
    let mut names: Vec<&str> = tenants.iter().take(TENANTS_MAX).map(|tenant| tenant.as_str()).collect();
    let more = tenants.len().saturating_sub(TENANTS_MAX);
    let rest = format!("{more} more");
    if more > 0 {
        names.push(&rest);
    }
    names.join(", ")
}

/// The differences by key.
pub fn drift_text(drift: &Drift) -> Text {
    let mut text = Text::default();
    for difference in &drift.differences {
        text.line(INDENT).plain(&difference.key);
        for held in &difference.values {
            let value = held.value.as_deref().unwrap_or("not set");
            text.line(INDENT).plain(format!("  {value}  in {}", places(held)));
        }
    }
    let files = counted(drift.files.len() as u64, "file");
    text.line(INDENT).plain(match drift.differences.len() {
        0 => format!("no difference in the classes of {files}, nor in what belongs to them"),
        count => format!("{} in {files}", counted(count as u64, "difference")),
    });
    text
}

fn places(held: &Held) -> String {
    let place = |place: &Place| {
        let file = place.file.display();
        match (place.line, &held.value) {
            (Some(line), _) => format!("{file}:{line}"),
            (None, Some(_)) => format!("{file} (default)"),
            (None, None) => file.to_string(),
        }
    };
    let names: Vec<String> = held.places.iter().take(FILES_MAX).map(place).collect();
    match held.places.len().saturating_sub(FILES_MAX) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
