//! The report for people, in Markdown: first the verdict, then the measurements, then everything that is
//! wrong, then what was not exercised.

use std::fmt::Write;

use lifeboat::clock;
use lifeboat::names::{bytes_text, counted};
use lifeboat::odoo::changes::Weight;

use super::finding::State;
use super::verdict::{Measure, Verdict, span};
use super::{Report, Tally};
use crate::catalogue::check::Severity;
use crate::catalogue::run::{Outcome, Status};

/// Changes that are listed; report.json has all.
const CHANGES_MAX: usize = 200;

/// Renders a report. Values from the database are escaped, so that they cannot act as markup.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = head(&mut out, report)
        .and_then(|()| measures(&mut out, report))
        .and_then(|()| tenants(&mut out, report))
        .and_then(|()| stages(&mut out, report))
        .and_then(|()| failed_checks(&mut out, report))
        .and_then(|()| accepted(&mut out, report))
        .and_then(|()| integrity(&mut out, report))
        .and_then(|()| baseline(&mut out, report))
        .and_then(|()| changes(&mut out, report))
        .and_then(|()| trade(&mut out, report))
        .and_then(|()| checks(&mut out, report))
        .and_then(|()| not_exercised(&mut out, report));
    out
}

fn head(out: &mut String, report: &Report) -> std::fmt::Result {
    let drilled = plain(&report.drilled());
    writeln!(out, "# Restore drill {}: {drilled}\n", report.verdict.words())?;
    writeln!(out, "{} of a recovery were exercised. {}\n", report.coverage.text(), report.verdict.meaning())?;
    match report.summary.hard.accepted {
        0 => {}
        1 => writeln!(out, "One hard check found violations that the plan accepts: see below.\n")?,
        n => writeln!(out, "{n} hard checks found violations that the plan accepts: see below.\n")?,
    }
    for reason in &report.reasons {
        writeln!(out, "- {}", plain(reason))?;
    }
    if !report.reasons.is_empty() {
        let owner = plain(report.owner.as_deref().unwrap_or("nobody is named in the plan"));
        let due = report.due.map_or_else(String::new, |due| format!(", due {}", due.strftime("%Y-%m-%d")));
        writeln!(out, "\nOwner: {owner}{due}. Retest: {}\n", code(&report.retest()))?;
    }
    writeln!(out, "| | |\n|---|---|")?;
    writeln!(out, "| drill | {} |", report.drill)?;
    writeln!(out, "| begun, ended | {}, {} |", clock::text(report.begun), clock::text(report.ended))?;
    if let Some(snapshot) = &report.snapshot {
        let chosen = if snapshot.by_choice { "named in the plan" } else { "the latest" };
        writeln!(out, "| snapshot | {} ({chosen}) |", snapshot.id)?;
        writeln!(out, "| instance | {} |", snapshot.instance)?;
        let release = snapshot.release.as_ref().map_or("none", |release| release.as_str());
        writeln!(out, "| release | {} |", plain(release))?;
        writeln!(out, "| state of | {} |", clock::text(snapshot.point))?;
        let odoo = snapshot.odoo_version.as_deref().unwrap_or("unknown");
        let size = bytes_text(snapshot.database_bytes);
        let major = snapshot.postgres_major;
        match &snapshot.tenant {
            Some(_) => {
                writeln!(out, "| source | Odoo {}, PostgreSQL {major}, database of {size} |", plain(odoo))?;
            }
            None => {
                writeln!(out, "| source | PostgreSQL {major}, {} |", counted(report.tenants.len(), "tenant"))?
            }
        }
    }
    writeln!(out, "| plan | {} |", plain(&report.plan))?;
    let commit = report.commit.as_ref().map_or_else(String::new, |commit| format!(", commit {commit}"));
    writeln!(out, "| program | {}{} |", plain(&report.written_by), plain(&commit))?;
    for (what, who) in [("run by", &report.run_by), ("approved by", &report.approved_by)] {
        writeln!(out, "| {what} | {} |", plain(who.as_deref().unwrap_or("not recorded")))?;
    }
    for one in &report.manifests {
        writeln!(out, "| manifest of {} | SHA-256 {} |", one.id, one.manifest_sha256)?;
    }
    if let Some(previous) = &report.previous {
        writeln!(out, "| report before | {}, SHA-256 {} |", plain(&previous.drill), previous.sha256)?;
    }
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
        "\nRPO is the age of the newest state that could be restored when the drill began: of a dump, the age of its \
         state; of a point in time, the age of the last stored WAL. RTO is the time from the beginning of the drill to the last \
         check: finding the snapshot, creating the server, restoring, validating. It does not include the time to \
         notice a disaster, to decide, to get a machine, or to start Odoo."
    )?;
    match report.snapshot.as_ref().is_some_and(|snapshot| snapshot.by_choice) {
        true => {
            writeln!(out, "\nThis dump was named, so the RPO is its age. Newer dumps may be stored.")
        }
        false => Ok(()),
    }
}

fn met(measure: Measure) -> &'static str {
    match measure.met() {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "",
    }
}

fn tenants(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.tenants.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n## Tenants\n\n| tenant | result | hard checks | files | since the dump before | first reason |"
    )?;
    writeln!(out, "|---|---|---:|---:|---|---|")?;
    for part in &report.tenants {
        let row = part.row();
        let word =
            if part.verdict == Verdict::Passed { row.word.to_owned() } else { format!("**{}**", row.word) };
        let (tenant, first) = (plain(part.tenant.as_str()), plain(row.first));
        writeln!(out, "| {tenant} | {word} | {} | {} | {} | {first} |", row.hard, row.files, row.before)?;
    }
    Ok(())
}

fn stages(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "\n## Stages\n\n| stage | time | in RTO | |\n|---|---:|---|---|")?;
    for stage in &report.stages {
        let (time, note) = match stage.state {
            State::Done => (span(stage.ms), plain(&stage.note)),
            State::Failed => (span(stage.ms), format!("**failed**: {}", plain(&stage.note))),
            State::Unknown => (span(stage.ms), format!("**error**: {}", plain(&stage.note))),
            State::NotRun => ("not run".to_owned(), plain(&stage.note)),
        };
        let counts = if stage.in_rto { "yes" } else { "no" };
        writeln!(out, "| {} | {time} | {counts} | {note} |", stage.name)?;
    }
    Ok(())
}

fn failed_checks(out: &mut String, report: &Report) -> std::fmt::Result {
    let bad =
        |o: &&Outcome| o.severity == Severity::Hard && matches!(o.status, Status::Failed | Status::Error);
    let bad: Vec<(String, &Outcome)> = report.all_checks().filter(|(_, outcome)| bad(outcome)).collect();
    if bad.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Failed checks")?;
    for (of, outcome) in bad {
        writeln!(out, "\n### {}{}: {}\n", plain(&of), outcome.id, plain(&outcome.title))?;
        match outcome.status {
            Status::Failed => {
                writeln!(
                    out,
                    "{} violations. {}\n",
                    outcome.violations.unwrap_or(0),
                    plain(&outcome.reason)
                )?;
                if let Some(known) = &outcome.accepted {
                    let why = outcome.message.as_deref().unwrap_or_default();
                    writeln!(
                        out,
                        "Not accepted: {} (reason given: {}).\n",
                        plain(why),
                        plain(&known.reason)
                    )?;
                }
            }
            _ => {
                let message = outcome.message.as_deref().unwrap_or("unknown error");
                writeln!(out, "This check could not be run: {}\n", plain(message))?;
            }
        }
        for sample in &outcome.samples {
            writeln!(out, "- {}", code(sample))?;
        }
    }
    Ok(())
}

fn accepted(out: &mut String, report: &Report) -> std::fmt::Result {
    let known = |o: &Outcome| o.accepted.clone().filter(|_| o.status != Status::Failed);
    let known: Vec<_> = report.all_checks().filter_map(|(of, o)| Some((of, o, known(o)?))).collect();
    if known.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Accepted by the plan\n\n| check | rule | found | at most | until | reason |")?;
    writeln!(out, "|---|---|---:|---:|---|---|")?;
    for (of, outcome, known) in &known {
        let found = outcome.violations.map_or_else(|| "not checked".to_owned(), |n| n.to_string());
        let (title, reason) = (plain(&outcome.title), plain(&known.reason));
        let (id, max, day) = (format!("{}{}", plain(of), outcome.id), known.max, known.last_day());
        writeln!(out, "| {id} | {title} | {found} | {max} | {day} | {reason} |")?;
    }
    let samples: Vec<&String> = known.iter().flat_map(|(_, outcome, _)| &outcome.samples).collect();
    if !samples.is_empty() {
        writeln!(out, "\nThe first violations:\n")?;
    }
    samples.iter().try_for_each(|sample| writeln!(out, "- {}", code(sample)))
}

fn integrity(out: &mut String, report: &Report) -> std::fmt::Result {
    let Some(found) = &report.integrity else { return Ok(()) };
    writeln!(out, "\n## Files and indexes\n\n| | |\n|---|---:|")?;
    for (what, count) in [
        ("files that attachments name", found.files),
        ("read completely, with the right size and SHA-1", found.files_right),
        ("missing", found.missing),
        ("missing, and known to be missing in the snapshot", found.missing_known),
        ("empty and missing: Odoo does not always write empty files", found.empty_absent),
        ("in an object store, which the backup does not contain: not checked", found.elsewhere),
        ("wrong size", found.wrong_size),
        ("wrong content", found.wrong_content),
        ("not readable", found.unreadable),
        ("names that Odoo never gives", found.bad_names),
        ("tables checked by amcheck (the system's too)", found.tables),
        ("indexes checked by amcheck", found.indexes),
        ("problems found by amcheck", found.index_problems),
    ] {
        writeln!(out, "| {what} | {count} |")?;
    }
    if let (Some(pages), Some(bad)) = (found.pages, found.bad_pages) {
        writeln!(
            out,
            "| pages whose checksum was verified | {pages} |\n| pages with a wrong checksum | {bad} |"
        )?;
    }
    writeln!(out, "| read from the files | {} |", bytes_text(found.bytes))?;
    if !found.examples.is_empty() {
        writeln!(out, "\nThe first problems:\n")?;
    }
    found.examples.iter().try_for_each(|example| writeln!(out, "- {}", code(example)))
}

fn baseline(out: &mut String, report: &Report) -> std::fmt::Result {
    let Some(baseline) = &report.baseline else { return Ok(()) };
    writeln!(out, "\n## Baseline of the backup\n")?;
    let tables = baseline.tables.map_or_else(String::new, |tables| format!(" in {tables} tables"));
    writeln!(
        out,
        "{} differences{tables} from the state that was recorded when the backup was taken.",
        baseline.differences_count
    )?;
    if !baseline.differences.is_empty() {
        writeln!(out)?;
    }
    baseline.differences.iter().try_for_each(|difference| writeln!(out, "- {}", code(difference)))
}

fn changes(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.changes.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n## Since earlier dumps\n\nA loss fails the drill. A change is for a person to confirm.\n"
    )?;
    for change in report.changes.iter().take(CHANGES_MAX) {
        let word = if change.weight == Weight::Lost { "**lost**" } else { "changed" };
        writeln!(out, "- {word}: {}", plain(&change.to_string()))?;
    }
    match report.changes.len().saturating_sub(CHANGES_MAX) {
        0 => Ok(()),
        more => writeln!(out, "- {more} more in report.json"),
    }
}

fn trade(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.transactions.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Business transactions\n\n| step | time | result | |\n|---|---:|---|---|")?;
    for step in &report.transactions {
        let (flow, name, what) = (plain(&step.flow), plain(&step.name), plain(&step.what));
        writeln!(out, "| {flow}: {name} | {} | {} | {what} |", span(step.ms), step.state.word())?;
    }
    match &report.traffic {
        None => Ok(()),
        Some(traffic) => writeln!(
            out,
            "\n{} packets left the copy's network. {} connections were tried from the start of Odoo to the end; {} scheduled actions ran once.",
            traffic.packets_out, traffic.attempts, traffic.actions
        ),
    }
}

fn checks(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.all_checks().next().is_none() {
        return Ok(());
    }
    writeln!(
        out,
        "\n## Checks\n\n| severity | all | passed | failed | accepted | noted | skipped | error |"
    )?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|---:|---:|")?;
    let row = |name: &str, t: Tally| {
        format!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} |",
            t.all, t.passed, t.failed, t.accepted, t.noted, t.skipped, t.error
        )
    };
    let summary = report.summary;
    for (name, tally) in [("hard", summary.hard), ("base", summary.base), ("info", summary.info)] {
        writeln!(out, "{}", row(name, tally))?;
    }
    let noted: Vec<_> = report.all_checks().filter(|(_, o)| o.status == Status::Noted).collect();
    if !noted.is_empty() {
        writeln!(out, "\nNoted (healthy data may break these rules; they never fail a drill):\n")?;
        writeln!(out, "| check | severity | found | rule |\n|---|---|---:|---|")?;
    }
    for (of, outcome) in noted {
        let (found, of) = (outcome.violations.unwrap_or(0), plain(&of));
        writeln!(out, "| {of}{} | {} | {found} | {} |", outcome.id, outcome.severity, plain(&outcome.title))?;
    }
    Ok(())
}

/// Checks are many, and most are skipped because a module is not installed: they come last.
fn not_exercised(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "\n## Not exercised\n\n{} were exercised.", report.coverage.text())?;
    writeln!(out, "\n| what | why |\n|---|---|")?;
    let open = |state| matches!(state, State::NotRun | State::Unknown);
    for finding in report.findings.iter().filter(|finding| open(finding.state)) {
        writeln!(out, "| {} | {} |", plain(&finding.about()), plain(&finding.what))?;
    }
    for (of, outcome) in report.all_checks() {
        if let (Status::Skipped | Status::Error, Some(why)) = (outcome.status, &outcome.message) {
            let (id, severity, title) = (&outcome.id, outcome.severity, plain(&outcome.title));
            let of = plain(&of);
            writeln!(out, "| {of}check {id} ({severity}): {title} | {} |", plain(why))?;
        }
    }
    Ok(())
}

/// Text without markup, in one line, for a table.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let goes_on = rest.peek().is_some_and(|next| next.is_alphanumeric());
        match c {
            '_' if in_word && goes_on => out.push(c), // as in sale_order, which is not emphasis
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' => out.extend(['\\', c]),
            c if c.is_whitespace() => out.push(' '),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
        in_word = c.is_alphanumeric();
    }
    out
}

/// Text as a code span in one line, fenced by more backticks than it contains.
fn code(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let longest = line.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if line.starts_with('`') || line.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{line}{pad}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::report::finding::{Coverage, Finding};
    use crate::report::integrity::Integrity;
    use crate::report::verdict::Verdict;
    use crate::report::{StageRecord, Summary};
    use lifeboat::clock::Timestamp;

    fn report() -> Report {
        let outcome = |id: &str, severity, status| Outcome {
            id: id.into(),
            area: "own".into(),
            severity,
            title: format!("rule {id} of a_b | c"),
            reason: "Because <b>it</b> matters.".into(),
            sql: "SELECT 1".into(),
            status,
            violations: Some(2),
            samples: vec!["12 `S00012`\n# not a heading".into()],
            message: None,
            accepted: None,
            ms: 3,
        };
        let checks = vec![
            outcome("ABC01", Severity::Hard, Status::Failed),
            outcome("ABC02", Severity::Base, Status::Noted),
            outcome("ABC03", Severity::Hard, Status::Passed),
        ];
        let stage = |name: &str, state, note: &str| StageRecord {
            name: name.into(),
            state,
            ms: 1_500,
            note: note.into(),
            in_rto: name != "tear down",
            exercised: state == State::Done,
        };
        let mut plan = Plan::of("/etc/lifeboat.toml".into(), "shop".parse().unwrap());
        plan.file = "/plans/shop.toml".into();
        let id = "19700101T000000Z-drill-00000000".to_owned();
        Report {
            verdict: Verdict::Failed,
            reasons: vec!["check ABC01: 2 violations".into()],
            rpo: Measure { objective_ms: Some(3_600_000), measured_ms: Some(7_200_000) },
            coverage: Coverage { exercised: 5, parts: 7 },
            stages: vec![
                stage("restore", State::Done, "restored"),
                stage("files", State::Unknown, "no luck"),
                stage("tear down", State::NotRun, "nothing to tear down"),
            ],
            findings: vec![
                Finding::new("transactions", State::NotRun, "Odoo was not started"),
                Finding::new("files", State::Done, "all are right"),
            ],
            integrity: Some(Integrity { files: 3, missing: 1, ..Integrity::default() }),
            summary: Summary::of(&checks),
            checks,
            kept: Some("/var/tmp/x".into()),
            ..Report::new(&plan, Some(&"shop".parse().unwrap()), id, Timestamp::UNIX_EPOCH)
        }
    }

    #[test]
    fn the_verdict_comes_first_and_what_was_not_exercised_is_named() {
        let text = render(&report());
        assert!(text.starts_with("# Restore drill FAILED: tenant shop\n"), "{text}");
        for line in [
            "- check ABC01: 2 violations\n",
            "| RPO | 60 min 0 s | 2 h 0 min | **missed** |\n",
            "| RTO | none given | not measured |  |\n",
            "| restore | 1 s | yes | restored |\n",
            "| files | 1 s | yes | **error**: no luck |\n",
            "| tear down | not run | no | nothing to tear down |\n",
            "### ABC01: rule ABC01 of a_b \\| c\n",
            "2 violations. Because \\<b\\>it\\</b\\> matters.\n",
            "- ``12 `S00012` # not a heading``\n",
            "| missing | 1 |\n",
            "| hard | 2 | 1 | 1 | 0 | 0 | 0 | 0 |\n",
            "| ABC02 | base | 2 | rule ABC02 of a_b \\| c |\n",
            "5 of 7 parts were exercised.\n",
            "| transactions | Odoo was not started |\n",
            "| restored data | **kept** in /var/tmp/x |\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in:\n{text}");
        }
        assert!(!text.contains("\n# not"), "a sample cannot make a heading");
        assert!(!text.contains("all are right"), "{text}");
    }

    #[test]
    fn text_from_a_database_cannot_pass_for_markup() {
        assert_eq!(plain("sale_order _x_ <a>|*b*`c`"), "sale_order \\_x\\_ \\<a\\>\\|\\*b\\*\\`c\\`");
        assert_eq!(plain("a\nb\tc"), "a b c");
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("`a``b"), "``` `a``b ```");
        assert_eq!(code("\u{1b}[31mred"), "` [31mred`");
    }
}
