//! Reports of drills as values, for tests of what is made of them.

#![allow(dead_code)] // each test uses a part of it
#![allow(clippy::unwrap_used)] // a test panics where it fails

use std::time::Duration;

use lifeboat::archive::digest::Sha256;
use lifeboat::archive::evidence::predicate::SnapshotRef;
use lifeboat::clock::{Timestamp, earlier, later};
use restore_drill::catalogue::check::Severity;
use restore_drill::catalogue::run::{Outcome, Status};
use restore_drill::plan::Plan;
use restore_drill::plan::accept::{Acceptance, end_of_day};
use restore_drill::report::baseline::Baseline;
use restore_drill::report::finding::{Coverage, Finding, State};
use restore_drill::report::integrity::Integrity;
use restore_drill::report::past::{Past, Previous};
use restore_drill::report::verdict::{Measure, Verdict};
use restore_drill::report::{Report, StageRecord, Summary};
use restore_drill::snapshot::Snapshot;
use restore_drill::stages::{NAMES, PARTS};

const MIN: u64 = 60_000;

fn begun() -> Timestamp {
    "2026-11-30T04:00:00Z".parse().unwrap()
}

fn measure(measured: Option<u64>, objective: u64) -> Measure {
    Measure { measured_ms: measured, objective_ms: Some(objective) }
}

fn check(id: &str, severity: Severity, status: Status, title: &str) -> Outcome {
    Outcome {
        id: id.into(),
        area: "account".into(),
        severity,
        title: title.into(),
        reason: "A violation changes a balance that was reported before.".into(),
        sql: "SELECT id FROM sale_order\nWHERE amount < 0\n".into(),
        status,
        violations: matches!(status, Status::Passed).then_some(0),
        samples: Vec::new(),
        message: None,
        accepted: None,
        ms: 12,
    }
}

fn checks() -> Vec<Outcome> {
    let mut known = check("ACC02", Severity::Hard, Status::Accepted, "no line is without an account");
    known.violations = Some(3);
    known.accepted = Some(Acceptance {
        check: "ACC02".into(),
        max: 3,
        reason: "of 2019".into(),
        until: end_of_day("2027-01-31").unwrap(),
    });
    let mut noted = check("STK05", Severity::Info, Status::Noted, "no quant is negative");
    noted.violations = Some(4);
    let mut skipped = check("POS01", Severity::Hard, Status::Skipped, "every paid order has a payment");
    skipped.message = Some("table pos_order is missing: the module is not installed".into());
    vec![
        check("ACC01", Severity::Hard, Status::Passed, "every posted journal entry balances"),
        known,
        check("SAL01", Severity::Hard, Status::Passed, "the total of an order is the sum of its lines"),
        noted,
        skipped,
    ]
}

fn stage(name: &str, state: State, ms: u64, note: &str) -> StageRecord {
    StageRecord {
        name: name.into(),
        state,
        ms,
        note: note.into(),
        in_rto: name != "tear down",
        exercised: !["odoo", "transactions", "silence"].contains(&name),
    }
}

fn past(tenant: &str, days: u64, verdict: Verdict, rto: Option<u64>) -> Past {
    Past {
        drill: format!("20261101T040000Z-drill-{days:08x}"),
        tenant: Some(tenant.parse().unwrap()),
        ended: earlier(begun(), Duration::from_secs(days * 86_400)),
        verdict,
        rpo: measure(Some(120 * MIN), 1_440 * MIN),
        rto: measure(rto, 30 * MIN),
        coverage: Some(Coverage { exercised: 8, parts: 11 }),
    }
}

/// A drill that passed; only Odoo was not started.
pub fn passed() -> Report {
    let mut plan = Plan::of("/etc/lifeboat/restore.toml".into(), "retail_north".parse().unwrap());
    plan.file = "/etc/lifeboat/shop.toml".into();
    plan.approved_by = Some("J. Doe, head of operations".into());
    plan.owner = Some("operations@example.com".into());
    plan.due = Some(Duration::from_secs(7 * 86_400));
    let mut findings: Vec<Finding> =
        PARTS.iter().map(|part| Finding::new(part, State::Done, "all is right")).collect();
    for last in findings.iter_mut().rev().take(3) {
        (last.state, last.what) = (State::NotRun, "Odoo was not started: the plan names none".into());
    }
    let notes = [
        (400, "20261130T015812Z-dump-4f3a9c1e, state of 2026-11-30T01:58:12Z"),
        (2_100, "PostgreSQL 17 in /var/tmp/lifeboat-drill-7c1d"),
        (412_000, "restored, and compared with 481 tables of the baseline"),
        (310, "nothing known is live"),
        (61_000, "18,204 files are right"),
        (38_000, "481 tables and 1,904 indexes are right"),
        (9_500, "41 of 52 hard checks passed"),
        (2_300, "0 losses and 3 changes since 20261129T015812Z-dump-4f3a9c1d"),
        (0, "Odoo was not started"),
        (0, "Odoo was not started"),
        (0, "Odoo was not started"),
        (3_300, "removed"),
    ];
    let stages: Vec<_> =
        NAMES.iter().zip(notes).map(|(name, (ms, note))| stage(name, State::Done, ms, note)).collect();
    let id: lifeboat::names::SnapshotId = "20261130T015812Z-dump-4f3a9c1e".parse().unwrap();
    Report {
        ended: later(begun(), Duration::from_secs(527)),
        verdict: Verdict::Passed,
        exit_code: 0,
        run_by: Some("postgres@restore-1".into()),
        rpo: measure(Some(122 * MIN), 1_440 * MIN),
        rto: measure(Some(523_000), 30 * MIN),
        snapshot: Some(Snapshot {
            instance: "production".parse().unwrap(),
            id: id.clone(),
            tenant: Some("retail_north".parse().unwrap()),
            release: None,
            point: "2026-11-30T01:58:12Z".parse().unwrap(),
            ended: "2026-11-30T02:04:40Z".parse().unwrap(),
            by_choice: false,
            postgres_major: 17,
            odoo_version: Some("17.0.1.3".into()),
            database_bytes: 3_400_000_000,
            filestore: None,
            missing_files: 0,
            missing: Vec::new(),
            replayed_to: None,
        }),
        manifests: vec![SnapshotRef { id, manifest_sha256: Sha256::of(b"manifest") }],
        recipients: vec!["age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq".into()],
        previous: Some(Previous {
            drill: "20261123T040000Z-drill-00000007".into(),
            sha256: Sha256::of(b"previous"),
        }),
        history: vec![
            past("retail_north", 7, Verdict::Passed, Some(530_000)),
            past("retail_north", 14, Verdict::MissedObjective, Some(1_980_000)),
            past("retail_north", 21, Verdict::Passed, Some(601_000)),
            past("retail_north", 28, Verdict::Failed, Some(577_000)),
            past("retail_north", 35, Verdict::CouldNotRun, None),
            past("retail_north", 42, Verdict::Passed, Some(512_000)),
            past("retail_north", 49, Verdict::Passed, Some(498_000)),
        ],
        others: vec![
            past("retail_west", 3, Verdict::Failed, Some(301_000)),
            past("retail_south", 2, Verdict::Passed, Some(744_000)),
        ],
        coverage: Coverage { exercised: 8, parts: 11 },
        stages,
        findings,
        baseline: Some(Baseline { tables: Some(481), differences_count: 0, differences: Vec::new() }),
        integrity: Some(Integrity {
            files: 18_204,
            files_right: 18_204,
            bytes: 9_120_000_000,
            database_bytes: 3_402_000_000,
            tables: 481,
            indexes: 1_904,
            ..Integrity::default()
        }),
        summary: Summary::of(&checks()),
        checks: checks(),
        ..Report::new(
            &plan,
            Some(&"retail_north".parse().unwrap()),
            "20261130T040000Z-drill-0a1b2c3d".into(),
            begun(),
        )
    }
}

/// A drill that found damage.
pub fn failed() -> Report {
    let mut report = passed();
    let mut broken = check("SAL04", Severity::Hard, Status::Failed, "no order has a negative amount");
    broken.violations = Some(2);
    broken.samples = vec!["12 S00012: -3.50 EUR".into(), "14 S00014: -9.00 EUR".into()];
    report.checks.insert(0, broken);
    report.summary = Summary::of(&report.checks);
    report.findings.push(Finding::of_check("hard checks", "SAL04", State::Failed, "2 violations: 12 S00012"));
    let lost =
        "3 files that attachments name are missing; the first: 4a/4a5bc6d7e8f90123456789abcdef0123456789ab";
    report.findings.push(Finding::new("files", State::Failed, lost));
    report.verdict = Verdict::Failed;
    report.exit_code = 1;
    report.rto = measure(Some(1_920_000), 30 * MIN);
    report.reasons =
        report.findings.iter().filter(|f| f.state == State::Failed).map(Finding::reason).collect();
    for name in ["files", "checks"] {
        let stage = report.stages.iter_mut().find(|stage| stage.name == name).unwrap();
        stage.state = State::Failed;
    }
    let found = report.integrity.as_mut().unwrap();
    (found.files_right, found.missing) = (18_201, 3);
    found.examples = vec!["4a/4a5bc6d7e8f90123456789abcdef0123456789ab is missing".into()];
    report
}

/// A drill that ended in its third stage.
pub fn could_not_run() -> Report {
    let mut report = passed();
    report.verdict = Verdict::CouldNotRun;
    report.exit_code = 4;
    let why =
        "lifeboat restore ended with exit code 7: s3://acme-dr/prod: HTTP 403 AccessDenied (5 tries in 92 s)";
    report.rto.measured_ms = None;
    report.coverage = Coverage { exercised: 0, parts: 11 };
    report.findings = vec![Finding::new("restore", State::Unknown, why)];
    report.findings.extend(
        PARTS.iter().map(|part| Finding::new(part, State::NotRun, "an earlier stage did not finish")),
    );
    report.reasons = vec![format!("restore: {why}")];
    for stage in report.stages.iter_mut().skip(2).take(9) {
        (stage.state, stage.ms, stage.note) = (State::NotRun, 0, "an earlier stage did not finish".into());
    }
    (report.stages[2].state, report.stages[2].ms, report.stages[2].note) =
        (State::Unknown, 92_000, why.into());
    (report.baseline, report.integrity) = (None, None);
    report.checks = Vec::new();
    report.summary = Summary::default();
    report
}

/// A failed drill whose every text of others is an attack.
pub fn hostile() -> Report {
    let text =
        "\"><script>alert(1)</script><img src=x onerror=\"alert(1)\">]]>&\u{202e}\u{1b}[31m\u{0}\u{ffff}|`x`";
    let mut report = failed();
    for check in &mut report.checks {
        check.title = text.into();
        check.reason = text.into();
        check.samples = vec![text.into()];
        check.sql = format!("SELECT '{text}'\n-- {text}");
        check.message = Some(text.into());
        if let Some(known) = &mut check.accepted {
            known.reason = text.into();
        }
    }
    report.findings.iter_mut().for_each(|finding| finding.what = text.into());
    report.stages.iter_mut().for_each(|stage| stage.note = text.into());
    report.reasons = vec![text.into()];
    report.run_by = Some(text.into());
    report.approved_by = Some(text.into());
    report.owner = Some(text.into());
    report.recipients = vec![text.into()];
    report.plan = text.into();
    report.kept = Some(text.into());
    report.integrity.as_mut().unwrap().examples = vec![text.into()];
    report.integrity.as_mut().unwrap().amcheck_skipped = Some(text.into());
    report.baseline.as_mut().unwrap().differences = vec![text.into()];
    report.snapshot.as_mut().unwrap().odoo_version = Some(text.into());
    report.tenant = "\"><script>alert(1)</script".parse().ok().or_else(|| report.tenant.clone());
    report
}
