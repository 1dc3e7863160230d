//! What was done and found, in full.

use std::fmt::Write;

use lifeboat::error::shown::markup;
use lifeboat::names::{bytes_text, counted};

use super::pictures::{bar, class as verdict_class};
use super::state;
use crate::catalogue::check::Severity;
use crate::catalogue::run::{Outcome, Status};
use crate::report::Report;
use crate::report::finding::State;
use crate::report::verdict::span;

/// The place in the list of checks that passed or did not run: in the drill of an instance, they are not
/// listed.
const LISTED: u8 = 4;

/// The class that colours a state.
pub fn class(state: State) -> &'static str {
    match state {
        State::Done => "passed",
        State::Failed => "failed",
        State::Unknown | State::NotRun => "unknown",
    }
}

pub fn stages(out: &mut String, report: &Report) {
    out.push_str(
        "<h2>Timeline</h2>\n<table><thead><tr><th>Stage</th><th>When</th><th class=\"n\">Time</th><th>Result</th></tr></thead><tbody>\n",
    );
    let whole: u64 = report.stages.iter().map(|stage| stage.ms).sum();
    let mut begin = 0;
    for stage in &report.stages {
        let time = if stage.shown() == State::NotRun { "-".to_owned() } else { span(stage.ms) };
        let rto = if stage.in_rto { "" } else { " <span class=\"soft\">(not in RTO)</span>" };
        let _ = writeln!(
            out,
            "<tr><td class=\"w\">{}{rto}</td><td class=\"bar\">{}</td><td class=\"n w\" data-l=\"time\">{time}</td>\
             <td>{} <span class=\"soft\">{}</span></td></tr>",
            markup(&stage.name),
            bar(begin, stage.ms, whole),
            state(class(stage.shown()), stage.shown().word()),
            markup(&stage.note)
        );
        begin += stage.ms;
    }
    out.push_str(
        "</tbody></table>\n<p class=\"soft small\">RPO is the age of the newest state that could be restored when the drill began. \
         RTO is the time from the beginning of the drill to the last check: finding the snapshot, creating the server, \
         restoring, validating. It does not include the time to notice a disaster, to decide, to get a machine, or to start Odoo.</p>\n",
    );
}

pub fn findings(out: &mut String, report: &Report) {
    out.push_str("<h2>Findings</h2>\n");
    let open = |state| matches!(state, State::Failed | State::Unknown);
    let mut found: Vec<_> = report.findings.iter().filter(|finding| open(finding.state)).collect();
    found.sort_by_key(|finding| std::cmp::Reverse(finding.state));
    if found.is_empty() && report.reasons.is_empty() {
        out.push_str("<p>Nothing is wrong. Changes to confirm, and what was not exercised, are below.</p>\n");
        return;
    }
    let owner = markup(report.owner.as_deref().unwrap_or("nobody is named in the plan"));
    let due = report
        .due
        .map_or("no date is named in the plan".to_owned(), |due| due.strftime("%Y-%m-%d").to_string());
    out.push_str(
        "<table><thead><tr><th>Finding</th><th>Result</th><th>Owner</th><th>Due</th></tr></thead><tbody>\n",
    );
    let mut row = |what: &str, state: &str| {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td class=\"w\">{state}</td><td data-l=\"owner\">{owner}</td><td class=\"w\" data-l=\"due\">{due}</td></tr>",
            markup(what)
        );
    };
    for finding in found {
        row(&finding.reason(), &state(class(finding.state), finding.state.word()));
    }
    for (name, measure) in [("RPO", report.rpo), ("RTO", report.rto)] {
        if let (Some(false), Some(ms), Some(objective)) =
            (measure.met(), measure.measured_ms, measure.objective_ms)
        {
            row(
                &format!("{name} is {}, but the objective is {}", span(ms), span(objective)),
                &state("missed", "missed"),
            );
        }
    }
    let _ = write!(
        out,
        "</tbody></table>\n<p class=\"small\">Retest: <code>{}</code>. A finding is closed by a later drill that exercises it and passes.</p>\n",
        markup(&report.retest())
    );
}

/// The tenants of a whole instance, the worst first.
pub fn tenants(out: &mut String, report: &Report) {
    if report.tenants.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Tenants</h2>\n<table><thead><tr><th>Tenant</th><th>Result</th><th class=\"n\">Hard checks</th><th class=\"n\">Files</th>\
         <th>Since the dump before</th></tr></thead><tbody>\n",
    );
    for part in &report.tenants {
        let row = part.row();
        let _ = writeln!(
            out,
            "<tr><td><strong>{}</strong></td><td>{} <span class=\"soft\">{}</span></td><td class=\"n\" data-l=\"hard checks\">{}</td>\
             <td class=\"n\" data-l=\"files\">{}</td><td data-l=\"since the dump before\">{}</td></tr>",
            markup(part.tenant.as_str()),
            state(verdict_class(part.verdict), row.word),
            markup(row.first),
            row.hard,
            row.files,
            row.before
        );
    }
    out.push_str("</tbody></table>\n");
}

pub fn counts(out: &mut String, report: &Report) {
    if report.baseline.is_none() && report.integrity.is_none() {
        return;
    }
    out.push_str(
        "<h2>Restored against source</h2>\n<table><thead><tr><th>What</th><th class=\"n\">Source</th><th class=\"n\">Restored and right</th><th>Difference</th></tr></thead><tbody>\n",
    );
    let mut row = |what: &str, source: &str, restored: &str, difference: &str| {
        let _ = writeln!(
            out,
            "<tr><td>{what}</td><td class=\"n\" data-l=\"source\">{source}</td><td class=\"n\" data-l=\"restored\">{restored}</td><td>{difference}</td></tr>"
        );
    };
    let differs = |count: u64, what: &str| match count {
        0 => state("passed", "none"),
        n => state("failed", &counted(n, what)),
    };
    if let Some(baseline) = &report.baseline {
        let tables = baseline.tables.map_or("-".to_owned(), |tables| tables.to_string());
        let what = "tables: rows, values, columns, indexes, constraints, documents by day";
        let right = if baseline.differences_count == 0 { tables.as_str() } else { "not all" };
        row(what, &tables, right, &differs(baseline.differences_count, "difference"));
    }
    if let Some(found) = &report.integrity {
        let (files, right) = (found.files.to_string(), found.files_right.to_string());
        let wrong =
            found.missing + found.missing_known + found.wrong_size + found.wrong_content + found.unreadable;
        row("files that attachments name: size and SHA-1", &files, &right, &differs(wrong, "wrong file"));
        let source = report.snapshot.as_ref().map_or(0, |snapshot| snapshot.database_bytes);
        if source > 0 {
            row("size of the database", &bytes_text(source), &bytes_text(found.database_bytes), "");
        }
        let checked = format!("{} tables, {} indexes", found.tables, found.indexes);
        let amcheck = match &found.amcheck_skipped {
            Some(why) => state("unknown", &format!("not checked: {why}")),
            None => differs(found.index_problems, "problem"),
        };
        row("tables and indexes below SQL (amcheck)", "", &checked, &amcheck);
        if let (Some(pages), Some(bad)) = (found.pages, found.bad_pages) {
            row(
                "checksums of pages",
                &pages.to_string(),
                &(pages - bad.min(pages)).to_string(),
                &differs(bad, "wrong page"),
            );
        }
    }
    out.push_str("</tbody></table>\n");
    let differences = report.baseline.iter().flat_map(|baseline| &baseline.differences);
    let examples = report.integrity.iter().flat_map(|found| &found.examples);
    list(out, "The first of them:", differences.chain(examples));
}

fn list<'a>(out: &mut String, head: &str, lines: impl Iterator<Item = &'a String>) {
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        return;
    }
    let _ = write!(out, "<p class=\"small\">{head}</p><ul class=\"small\">");
    for line in lines {
        let _ = write!(out, "<li><code>{}</code></li>", markup(line));
    }
    out.push_str("</ul>\n");
}

/// How a check ended: what colours it, its word, and its place in the list.
fn ended(outcome: &Outcome) -> (&'static str, String, u8) {
    let rows = || counted(outcome.violations.unwrap_or(0), "row");
    match outcome.status {
        Status::Failed => ("failed", format!("failed: {}", rows()), 0),
        Status::Error => ("unknown", "could not be checked".to_owned(), 1),
        Status::Accepted => ("missed", format!("accepted: {}", rows()), 2),
        Status::Noted => ("missed", format!("noted: {}", rows()), 3),
        Status::Passed => ("passed", "passed".to_owned(), 4),
        Status::Skipped => ("unknown", "not run".to_owned(), 5),
    }
}

pub fn checks(out: &mut String, report: &Report) {
    out.push_str("<h2>Business checks</h2>\n");
    if report.all_checks().next().is_none() {
        out.push_str("<p>None was run.</p>\n");
        return;
    }
    let hard = report.summary.hard;
    let _ = writeln!(
        out,
        "<p>{} of {} hard checks passed, {} failed, {} accepted, {} not run, {} could not be checked. Clean data breaks no \
         hard rule; it may break others, which are noted and fail no drill.</p>",
        hard.passed, hard.all, hard.failed, hard.accepted, hard.skipped, hard.error
    );
    // Of many tenants, only what a person should read is listed; report.json has the rest.
    let listed = |outcome: &Outcome| report.tenants.is_empty() || ended(outcome).2 < LISTED;
    let mut all: Vec<(String, &Outcome)> =
        report.all_checks().filter(|(_, outcome)| listed(outcome)).collect();
    all.sort_by_key(|(_, outcome)| (ended(outcome).2, outcome.severity));
    for (of, outcome) in all {
        check(out, &of, outcome);
    }
}

fn check(out: &mut String, of: &str, outcome: &Outcome) {
    let (class, word, place) = ended(outcome);
    let open = if place < 2 && outcome.severity == Severity::Hard { " open" } else { "" };
    let _ = write!(
        out,
        "<details{open}><summary>{}<strong>{}{}</strong> {} <span class=\"soft\">{}</span></summary><div><p>{}</p><dl>",
        state(class, &word),
        markup(of),
        markup(&outcome.id),
        markup(&outcome.title),
        outcome.severity,
        markup(&outcome.reason)
    );
    let expected = match &outcome.accepted {
        Some(known) => format!(
            "at most {}, until {}: {}",
            counted(known.max, "row"),
            known.last_day(),
            markup(&known.reason)
        ),
        None => "0 rows".to_owned(),
    };
    let found = outcome.violations.map_or("not known".to_owned(), |rows| counted(rows, "row"));
    let _ = write!(out, "<dt>Expected</dt><dd>{expected}</dd><dt>Found</dt><dd>{found}</dd>");
    if let Some(message) = &outcome.message {
        let _ = write!(out, "<dt>Why</dt><dd>{}</dd>", markup(message));
    }
    let _ = write!(out, "<dt>Time</dt><dd>{}</dd></dl>", span(outcome.ms));
    list(out, "The first rows:", outcome.samples.iter());
    if !outcome.sql.is_empty() {
        let lines: Vec<String> = outcome.sql.trim().lines().map(markup).collect();
        let _ = write!(out, "<pre>{}</pre>", lines.join("\n"));
    }
    out.push_str("</div></details>\n");
}

pub fn not_exercised(out: &mut String, report: &Report) {
    let open = |state| matches!(state, State::NotRun | State::Unknown);
    let parts: Vec<_> = report.findings.iter().filter(|finding| open(finding.state)).collect();
    let skipped = report.all_checks().filter(|(_, outcome)| outcome.status == Status::Skipped).count();
    let _ = write!(out, "<h2>Not exercised</h2>\n<p>{} were exercised.</p>\n", report.coverage.text());
    if !parts.is_empty() {
        out.push_str("<table><thead><tr><th>What</th><th>Why</th></tr></thead><tbody>\n");
        for finding in parts {
            let (part, why) = (markup(&finding.about()), markup(&finding.what));
            let _ = writeln!(out, "<tr><td class=\"w\">{part}</td><td>{why}</td></tr>");
        }
        out.push_str("</tbody></table>\n");
    }
    if skipped > 0 {
        let checks = counted(skipped, "check");
        let _ = writeln!(
            out,
            "<p>{checks} did not apply, mostly because a module is not installed: each says why, above.</p>"
        );
    }
    out.push_str(
        "<p class=\"small soft\">No drill exercises people, sites, networks, or what Odoo's customers use besides the database \
         and its files.</p>\n",
    );
}
