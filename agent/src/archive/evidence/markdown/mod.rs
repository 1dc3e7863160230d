//! `evidence.md`: a checkpoint for a change ticket. A function of the predicate alone, so that everybody can
//! make the same text again. Whatever others wrote is escaped: it can neither change the page nor a terminal.

mod escape;

use std::fmt::Write as _;
use std::time::Duration;

use super::gate::{GateResult, Outcome};
use super::predicate::{ChangeWhen, Checkpoint, Level, TenantState};
use crate::clock;
use crate::error::shown::printable;
use crate::names::{bytes_text, counted};
use escape::{NAMED_MAX, escaped, listed};

/// How many rows a table or a list has; the rest is counted.
const ROWS_MAX: usize = 40;

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
        None => out.push_str("- No restore point: the checkpoint took dumps\n"),
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
                "- Rehearsal of tenant {}: {}, restored in {} ({}, {} of files), {} in {}{}",
                escaped(one.tenant.as_str()),
                escaped(&one.verdict),
                span(one.restore_seconds),
                bytes_text(one.database_bytes),
                bytes_text(one.file_bytes),
                counted(one.checks, "check"),
                span(one.check_seconds),
                if one.failed.is_empty() {
                    String::new()
                } else {
                    format!("; failed: {}", listed(&one.failed))
                },
            );
        }
        None => out.push_str("- No rehearsal: `--rehearse` was not given\n"),
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
        out.push_str("There are no commands: no tenant can be restored.\n\n");
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

#[cfg(test)]
mod tests;
