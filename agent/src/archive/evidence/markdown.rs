//! `evidence.md`: a checkpoint for a change ticket. A function of the predicate alone, so that everybody can
//! make the same text again. Whatever others wrote is escaped: it can neither change the page nor a terminal.

use std::fmt::Write as _;
use std::time::Duration;

use super::gate::{GateResult, Outcome};
use super::predicate::{ChangeWhen, Checkpoint, Level, TenantState};
use crate::clock;
use crate::error::shown::{foreign, printable};
use crate::names::{bytes_text, counted};

/// How many rows a table or a list has; the rest is counted.
const ROWS_MAX: usize = 40;
/// How many modules or files one line names.
const NAMED_MAX: usize = 8;

/// The page.
pub fn text(checkpoint: &Checkpoint) -> String {
    let mut out = format!("# Checkpoint of release {}\n\n", escaped(checkpoint.release.id.as_str()));
    let _ = writeln!(out, "**{}**\n", checkpoint.verdict_sentence());
    facts(&mut out, checkpoint);
    gates(&mut out, checkpoint);
    tenants(&mut out, checkpoint);
    point(&mut out, checkpoint);
    rollback(&mut out, checkpoint);
    out.push_str(
        "This page is not signed; `checkpoint.json` beside it is. `lifeboat evidence verify` checks it.\n",
    );
    out
}

fn facts(out: &mut String, checkpoint: &Checkpoint) {
    let (release, card) = (&checkpoint.release, &checkpoint.scorecard);
    let mut row = |name: &str, value: String| {
        let _ = writeln!(out, "| {name} | {value} |");
    };
    row("readiness", format!("{} % of the required gates passed", card.readiness));
    out.push_str("|---|---|\n");
    let mut row = |name: &str, value: String| {
        let _ = writeln!(out, "| {name} | {value} |");
    };
    row("risk", level(card.risk).to_owned());
    row("confidence of rollback", level(card.rollback_confidence).to_owned());
    let of = match (&checkpoint.scope.cohort, checkpoint.scope.all) {
        (_, true) => ", all of the instance".to_owned(),
        (Some(cohort), false) => format!(", cohort {}", escaped(cohort)),
        (None, false) => String::new(),
    };
    row("tenants affected", format!("{}{of}", card.tenants_affected));
    row("instance", escaped(checkpoint.origin.instance.as_str()));
    let given = [("image", &release.image), ("commit", &release.commit), ("ticket", &release.ticket)];
    for (name, value) in given {
        value.iter().for_each(|value| row(name, escaped(value)));
    }
    row("tier", escaped(&release.tier));
    let approved =
        [("approved by", &release.approved_by), ("migration approved by", &release.migration_approved_by)];
    for (name, people) in approved.into_iter().filter(|(_, people)| !people.is_empty()) {
        row(name, listed(people));
    }
    let migrates = match release.migrates {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not known",
    };
    row("migrates", migrates.to_owned());
    row("decided", clock::text(checkpoint.ended));
    for place in &checkpoint.repositories {
        let region =
            place.region.as_ref().map_or(String::new(), |region| format!(", region {}", escaped(region)));
        row("repository", format!("{}{region}", escaped(&place.url)));
    }
}

fn gates(out: &mut String, checkpoint: &Checkpoint) {
    out.push_str("\n## Gates\n\n| gate | result | found |\n|---|---|---|\n");
    for gate in &checkpoint.gates {
        let _ = writeln!(out, "| {} | {} | {} |", gate.gate, result(gate), escaped(&gate.found));
    }
    for gate in checkpoint.overridden() {
        if let Some(by) = &gate.overridden {
            let (who, why) = (escaped(&by.by), escaped(&by.reason));
            let _ = writeln!(out, "\nGate {} was overridden by {who}: {why}", gate.gate);
        }
    }
}

/// The word of a gate's result.
fn result(gate: &GateResult) -> &'static str {
    match (gate.outcome, gate.overridden.is_some()) {
        (Outcome::Passed, _) => "passed",
        (Outcome::NotRequired, _) => "not required",
        (Outcome::Failed, false) => "**FAILED**",
        (Outcome::Unknown, false) => "**UNKNOWN**",
        (Outcome::Failed, true) => "**FAILED, overridden**",
        (Outcome::Unknown, true) => "**UNKNOWN, overridden**",
    }
}

fn tenants(out: &mut String, checkpoint: &Checkpoint) {
    out.push_str(
        "\n## Tenants\n\n| tenant | database | Odoo | files | module changes |\n|---|---|---|---|---|\n",
    );
    for tenant in checkpoint.tenants.iter().take(ROWS_MAX) {
        let odoo = tenant.odoo_version.as_deref().map_or("-".to_owned(), escaped);
        let _ = writeln!(
            out,
            "| {} | {} | {odoo} | {} | {} |",
            escaped(tenant.tenant.as_str()),
            bytes_text(tenant.database_bytes),
            files(tenant),
            modules(tenant),
        );
    }
    if checkpoint.tenants.len() > ROWS_MAX {
        let _ = writeln!(out, "\n{} more are in `checkpoint.json`.", checkpoint.tenants.len() - ROWS_MAX);
    }
}

fn files(tenant: &TenantState) -> String {
    let files = &tenant.files;
    let mut text = format!("{} named, {} held, {} stored now", files.named, files.held, files.stored_now);
    if files.elsewhere > 0 {
        let _ = write!(text, ", {} elsewhere", files.elsewhere);
    }
    if files.missing > 0 {
        let _ = write!(text, ", **{} missing**: {}", files.missing, listed(&files.missing_named));
    }
    text
}

fn modules(tenant: &TenantState) -> String {
    let version = |version: &Option<String>| version.as_deref().map_or("none".to_owned(), escaped);
    let change = |one: &super::predicate::ModuleChange| {
        let when = match one.when {
            ChangeWhen::SincePrevious => "since the previous checkpoint",
            ChangeWhen::WithRelease => "with this release",
        };
        format!("{} {} to {} {when}", escaped(&one.name), version(&one.from), version(&one.to))
    };
    let all = &tenant.module_changes;
    let mut words: Vec<String> = all.iter().take(NAMED_MAX).map(change).collect();
    words.extend((all.len() > NAMED_MAX).then(|| format!("{} more", all.len() - NAMED_MAX)));
    if words.is_empty() { "none".to_owned() } else { words.join("; ") }
}

fn point(out: &mut String, checkpoint: &Checkpoint) {
    out.push_str("\n## The point to go back to\n\n");
    match &checkpoint.point {
        Some(point) => {
            let stored = point
                .stored_after_seconds
                .map_or(String::new(), |s| format!("; its WAL was stored after {}", span(s)));
            let _ = writeln!(
                out,
                "- Restore point {} at {}, {}, timeline {}{stored}",
                escaped(&point.name),
                clock::text(point.time),
                point.lsn,
                point.timeline
            );
        }
        None => out.push_str("- No restore point: only dumps could be taken\n"),
    }
    if let Some(base) = &checkpoint.base {
        let id = base.chain.last().map_or("-", |last| last.id.as_str());
        let _ = writeln!(
            out,
            "- Base backup {id} of {} ({} in the chain), then {} of WAL",
            clock::text(base.point),
            counted(base.chain.len() as u64, "snapshot"),
            bytes_text(base.wal_bytes)
        );
    }
    match &checkpoint.rehearsal {
        Some(one) => {
            let _ = writeln!(
                out,
                "- Rehearsal of tenant {}: {}, restored in {}, {} in {}{}",
                escaped(one.tenant.as_str()),
                escaped(&one.verdict),
                span(one.restore_seconds),
                counted(one.checks, "check"),
                span(one.check_seconds),
                if one.failed.is_empty() {
                    String::new()
                } else {
                    format!("; failed: {}", listed(&one.failed))
                },
            );
        }
        None => out.push_str("- No rehearsal was asked for\n"),
    }
    match &checkpoint.drill {
        Some(drill) => {
            let took = drill.rto_seconds.map_or(String::new(), |s| format!(", restored in {}", span(s)));
            let age = span(drill.age_seconds.max(0) as f64);
            let _ = writeln!(
                out,
                "- Last drill {}: {}, {age} before this{took}",
                escaped(&drill.id),
                escaped(&drill.verdict)
            );
        }
        None => out.push_str("- No drill is known\n"),
    }
    if let Some(configuration) = &checkpoint.configuration {
        let changed = match configuration.changed.is_empty() {
            true => "nothing changed since the previous checkpoint".to_owned(),
            false => format!("changed since the previous checkpoint: {}", listed(&configuration.changed)),
        };
        let _ = writeln!(out, "- Configuration {}: {changed}", configuration.snapshot.id);
    }
    for artifact in checkpoint.artifacts.iter().take(ROWS_MAX) {
        let _ = writeln!(out, "- Attached: {} ({})", escaped(&artifact.name), bytes_text(artifact.bytes));
    }
    if let Some(previous) = &checkpoint.previous {
        let _ = writeln!(out, "- Previous checkpoint: release {}", escaped(previous.release.as_str()));
    }
}

fn rollback(out: &mut String, checkpoint: &Checkpoint) {
    out.push_str("\n## To go back\n\n");
    if checkpoint.rollback.is_empty() {
        out.push_str("There are no commands: nothing leads back.\n\n");
        return;
    }
    let lines: Vec<String> = checkpoint.rollback.iter().map(|line| printable(line)).collect();
    let longest = lines.iter().flat_map(|line| line.split(|c| c != '`')).map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(3.max(longest + 1));
    let _ = writeln!(out, "{fence}sh\n{}\n{fence}\n", lines.join("\n"));
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Low => "low",
        Level::Medium => "medium",
        Level::High => "high",
    }
}

fn span(seconds: f64) -> String {
    // What is not a span (a negative number, an infinite one) is shown as it is.
    Duration::try_from_secs_f64(seconds).map_or_else(|_| format!("{seconds} s"), clock::span_text)
}

fn listed(texts: &[String]) -> String {
    let mut words: Vec<String> = texts.iter().take(NAMED_MAX).map(|text| escaped(text)).collect();
    words.extend((texts.len() > NAMED_MAX).then(|| format!("{} more", texts.len() - NAMED_MAX)));
    words.join(", ")
}

/// A text of others within a line of Markdown: no mark-up, no link, no HTML, no mention, no control character.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in foreign(text).chars() {
        match c {
            '\t' => out.push(' '),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '(' | ')' | '#' | '!' | '|'
            | '~' | '&' | '$' | '@' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.replace("://", ":\\//").replace("www.", "www\\.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::evidence::sample;

    #[test]
    fn the_verdict_comes_first_and_everything_that_a_ticket_needs_is_there() {
        let checkpoint = sample::checkpoint();
        let page = text(&checkpoint);
        let lines: Vec<&str> = page.lines().collect();
        assert_eq!(lines[0], "# Checkpoint of release 2026.11.29-rc1");
        assert!(lines[2].starts_with("**The release may go ahead, although"), "{page}");
        for part in [
            "| readiness | 90 % of the required gates passed |\n|---|---|\n| risk | high |",
            "| base | **FAILED, overridden** | the base backup is 24 h old; 12 h are allowed |",
            "Gate base was overridden by release-manager: the next one runs tonight",
            "| shop\\_east | 700.0 MiB | 17.0.1.3 | 1201 named, 1195 held, 2 stored now, 3 elsewhere, **1 missing**: 0a/",
            "shop\\_promotion 17.0.1.0 to 17.0.2.0 with this release; shop\\_stock none to 17.0.1.0 since",
            "- Restore point lifeboat-2026.11.29-rc1-4f3a9c1e at 2026-11-29T01:58:12Z, 2/A7000130, timeline 3",
            "- Rehearsal of tenant shop\\_north: passed, restored in 38 s, 42 checks in 4 s; failed: stock-quants-match",
            "```sh\nlifeboat restore --tenant shop_east --before-release 2026.11.29-rc1\nlifeboat",
            "s3:\\//acme-backups/odoo, region eu-central-1",
        ] {
            assert!(page.contains(part), "{part:?} is not in\n{page}");
        }
        assert!(lines.len() < 80, "{} lines", lines.len());
        assert_eq!(page, text(&checkpoint), "the same text every time");
    }

    #[test]
    fn nothing_that_others_wrote_changes_the_page() {
        let mut checkpoint = sample::checkpoint();
        let evil = "x | y\n# Forged <script> [link](https://e.example) `a` \u{1b}[2J @all \u{202e}";
        checkpoint.gates[0].found = evil.to_owned();
        checkpoint.release.ticket = Some(evil.to_owned());
        checkpoint.tenants[0].files.missing_named = vec![evil.to_owned(); 30];
        checkpoint.gates[4].overridden.as_mut().unwrap().reason = evil.to_owned();
        checkpoint.rollback = vec![format!("echo {evil}"), "echo ```".to_owned()];
        let page = text(&checkpoint);
        assert!(!page.contains('\u{1b}') && !page.contains('\u{202e}'));
        assert!(!page.lines().any(|line| line.starts_with("# Forged")));
        assert!(
            page.contains("x \\| y\\\\u\\{a\\}\\# Forged \\<script\\> \\[link\\]\\(https:\\//e.example\\)"),
            "{page}"
        );
        assert!(
            page.contains("````sh\n") && page.contains("\n````\n"),
            "the fence is longer than what is in it"
        );
        assert!(page.contains("22 more"), "30 names are cut");
        checkpoint.rollback.clear();
        (checkpoint.point, checkpoint.base, checkpoint.rehearsal, checkpoint.drill) =
            (None, None, None, None);
        let page = text(&checkpoint);
        for part in ["No restore point", "No rehearsal", "No drill", "nothing leads back"] {
            assert!(page.contains(part), "{page}");
        }
    }
}
