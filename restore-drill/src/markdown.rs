//! The report for people, in Markdown: the verdict first, then the measures, then everything
//! that is wrong, then what was not looked at.

use std::fmt::Write;

use lifeboat::clock;
use lifeboat::names::bytes_text;

use crate::checks::Severity;
use crate::report::{Report, StageStatus, Tally};
use crate::run_checks::{Outcome, Status};
use crate::verdict::{Measure, Verdict, span};

/// Renders a report. Values from the database are escaped: they cannot pass for markup.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = head(&mut out, report)
        .and_then(|()| measures(&mut out, report))
        .and_then(|()| stages(&mut out, report))
        .and_then(|()| failed_checks(&mut out, report))
        .and_then(|()| integrity(&mut out, report))
        .and_then(|()| baseline(&mut out, report))
        .and_then(|()| checks(&mut out, report))
        .and_then(|()| not_checked(&mut out, report));
    out
}

fn head(out: &mut String, report: &Report) -> std::fmt::Result {
    let tenant = plain(report.tenant.as_str());
    writeln!(out, "# Restore drill {}: tenant {tenant}\n", report.verdict.words())?;
    let meaning = match report.verdict {
        Verdict::Passed => {
            "The snapshot was restored, everything that was checked is right, and the objectives were met."
        }
        Verdict::Failed => {
            "Something that was restored is missing, damaged or contradicts itself, or the archive is damaged."
        }
        Verdict::MissedObjective => "What was restored is right, but an objective was missed.",
        Verdict::CouldNotRun => {
            "Something that belongs to the validation was not done, so nothing can be said for the snapshot."
        }
    };
    writeln!(out, "{meaning}\n")?;
    for reason in &report.reasons {
        writeln!(out, "- {}", plain(reason))?;
    }
    if !report.reasons.is_empty() {
        writeln!(out)?;
    }
    writeln!(out, "| | |\n|---|---|")?;
    writeln!(out, "| drill | {} |", report.drill)?;
    writeln!(out, "| begun, ended | {}, {} |", clock::text(report.begun), clock::text(report.ended))?;
    if let Some(snapshot) = &report.snapshot {
        let chosen = if snapshot.by_choice { "named in the plan" } else { "the latest of the tenant" };
        writeln!(out, "| snapshot | {} ({chosen}) |", snapshot.id)?;
        writeln!(out, "| instance | {} |", snapshot.instance)?;
        let release = snapshot.release.as_ref().map_or("none", |release| release.as_str());
        writeln!(out, "| release | {} |", plain(release))?;
        writeln!(out, "| point | {} |", clock::text(snapshot.point))?;
        let odoo = snapshot.odoo_version.as_deref().unwrap_or("unknown");
        let size = bytes_text(snapshot.database_bytes);
        writeln!(
            out,
            "| source | Odoo {}, PostgreSQL {}, database of {size} |",
            plain(odoo),
            snapshot.postgres_major
        )?;
    }
    writeln!(out, "| plan | {} |", plain(&report.plan))?;
    writeln!(out, "| program | {} |", plain(&report.written_by))?;
    match &report.kept {
        Some(dir) => writeln!(out, "| restored data | **kept** in {} |", plain(dir)),
        None => Ok(()),
    }
}

fn measures(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "\n## Objective and measured\n")?;
    writeln!(out, "| | objective | measured | |\n|---|---|---|---|")?;
    for (name, measure) in [("RPO", report.rpo), ("RTO", report.rto)] {
        let of = |ms: Option<u64>, none: &str| ms.map_or_else(|| none.to_owned(), span);
        let (objective, measured) =
            (of(measure.objective_ms, "none given"), of(measure.measured_ms, "not measured"));
        writeln!(out, "| {name} | {objective} | {measured} | {} |", met(measure))?;
    }
    writeln!(
        out,
        "\nRPO is the time from the snapshot's point to the beginning of the drill: what would have been lost had \
         production failed at that moment. RTO is the time from the beginning of the drill to the last check: finding \
         the snapshot, making the server, restoring, validating. It does not contain noticing a disaster, deciding, \
         getting a machine, or starting Odoo."
    )
}

fn met(measure: Measure) -> &'static str {
    match measure.met() {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "",
    }
}

fn stages(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "\n## Stages\n\n| stage | time | in RTO | |\n|---|---:|---|---|")?;
    for stage in &report.stages {
        let (time, note) = match stage.status {
            StageStatus::Done => (span(stage.ms), plain(&stage.note)),
            StageStatus::Error => (span(stage.ms), format!("**error**: {}", plain(&stage.note))),
            StageStatus::NotRun => ("not run".to_owned(), plain(&stage.note)),
        };
        let counts = if stage.in_rto { "yes" } else { "no" };
        writeln!(out, "| {} | {time} | {counts} | {note} |", stage.name)?;
    }
    Ok(())
}

fn failed_checks(out: &mut String, report: &Report) -> std::fmt::Result {
    let bad =
        |o: &&Outcome| o.severity == Severity::Hard && matches!(o.status, Status::Failed | Status::Error);
    let bad: Vec<&Outcome> = report.checks.iter().filter(bad).collect();
    if bad.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Failed checks")?;
    for outcome in bad {
        writeln!(out, "\n### {}: {}\n", outcome.id, plain(&outcome.title))?;
        match outcome.status {
            Status::Failed => {
                writeln!(out, "{} violations. {}\n", outcome.violations.unwrap_or(0), plain(&outcome.reason))?
            }
            _ => {
                let message = outcome.message.as_deref().unwrap_or("unknown error");
                writeln!(out, "It could not be run: {}\n", plain(message))?;
            }
        }
        for sample in &outcome.samples {
            writeln!(out, "- {}", code(sample))?;
        }
    }
    Ok(())
}

fn integrity(out: &mut String, report: &Report) -> std::fmt::Result {
    let Some(found) = &report.integrity else { return Ok(()) };
    writeln!(out, "\n## Files and indexes\n\n| | |\n|---|---:|")?;
    for (what, count) in [
        ("files that attachments name", found.files),
        ("read to their end, size and SHA-1 right", found.files_right),
        ("missing", found.missing),
        ("missing, as the snapshot says", found.missing_known),
        ("empty and not there, as Odoo does", found.empty_absent),
        ("wrong size", found.wrong_size),
        ("wrong content", found.wrong_content),
        ("not readable", found.unreadable),
        ("names that Odoo does not give", found.bad_names),
        ("tables looked at by amcheck", found.tables),
        ("indexes looked at by amcheck", found.indexes),
        ("problems found by amcheck", found.index_problems),
    ] {
        writeln!(out, "| {what} | {count} |")?;
    }
    writeln!(out, "| read | {} |", bytes_text(found.bytes))?;
    if !found.examples.is_empty() {
        writeln!(out, "\nThe first of what is wrong:\n")?;
    }
    found.examples.iter().try_for_each(|example| writeln!(out, "- {}", code(example)))
}

fn baseline(out: &mut String, report: &Report) -> std::fmt::Result {
    let Some(baseline) = &report.baseline else { return Ok(()) };
    writeln!(out, "\n## Baseline of the backup\n")?;
    let tables = baseline.tables.map_or_else(String::new, |tables| format!(" in {tables} tables"));
    writeln!(
        out,
        "{} differences{tables} to what was recorded when the backup was taken.",
        baseline.differences_count
    )?;
    if !baseline.differences.is_empty() {
        writeln!(out)?;
    }
    baseline.differences.iter().try_for_each(|difference| writeln!(out, "- {}", code(difference)))
}

fn checks(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.checks.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Checks\n\n| severity | all | passed | failed | noted | skipped | error |")?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|---:|")?;
    let row = |name: &str, t: Tally| {
        format!(
            "| {name} | {} | {} | {} | {} | {} | {} |",
            t.all, t.passed, t.failed, t.noted, t.skipped, t.error
        )
    };
    let summary = report.summary;
    for (name, tally) in [("hard", summary.hard), ("base", summary.base), ("info", summary.info)] {
        writeln!(out, "{}", row(name, tally))?;
    }
    let noted: Vec<&Outcome> = report.checks.iter().filter(|o| o.status == Status::Noted).collect();
    if !noted.is_empty() {
        writeln!(out, "\nNoted (rules that healthy data may break; they fail no drill):\n")?;
        writeln!(out, "| check | severity | found | rule |\n|---|---|---:|---|")?;
    }
    for outcome in noted {
        let found = outcome.violations.unwrap_or(0);
        writeln!(out, "| {} | {} | {found} | {} |", outcome.id, outcome.severity, plain(&outcome.title))?;
    }
    Ok(())
}

fn not_checked(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "\n## Not checked\n\n| what | why |\n|---|---|")?;
    report
        .not_checked
        .iter()
        .try_for_each(|item| writeln!(out, "| {} | {} |", plain(&item.what), plain(&item.why)))
}

/// Text that is no markup, in one line, fit for a table.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let goes_on = rest.peek().is_some_and(|next| next.is_alphanumeric());
        match c {
            '_' if in_word && goes_on => out.push(c), // as in sale_order, which is no emphasis
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' => out.extend(['\\', c]),
            c if c.is_whitespace() => out.push(' '),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
        in_word = c.is_alphanumeric();
    }
    out
}

/// Text as a code span in one line: fenced by more backticks than it holds.
fn code(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let longest = line.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if line.starts_with('`') || line.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{line}{pad}{fence}")
}
