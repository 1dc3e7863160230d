//! Two drills side by side: what became better, and what worse. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Report;
use super::finding::State;
use super::verdict::{Measure, span};
use crate::catalogue::run::{Outcome, Status};

/// Times that differ by less than this, in percent, are called the same: no two restores take the same time.
const NOISE_PERCENT: u64 = 10;
/// And those that differ by less than this.
const NOISE_MS: u64 = 1_000;

/// Which way something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// It is worse now.
    Worse,
    /// It is better now.
    Better,
    /// It is another value; neither is better.
    Changed,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Of what.
    pub what: String,
    /// In the first drill.
    pub before: String,
    /// In the second.
    pub after: String,
    /// Which way it went.
    pub way: Way,
}

/// What differs from `before` to `after`, in the order of a report.
pub fn compare(before: &Report, after: &Report) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut add = |what: &str, before: String, after: String, way: Way| {
        if before != after {
            all.push(Difference { what: what.to_owned(), before, after, way });
        }
    };
    add("drilled", before.drilled(), after.drilled(), Way::Changed);
    let id = |report: &Report| {
        report.snapshot.as_ref().map_or_else(|| "none".to_owned(), |snapshot| snapshot.id.to_string())
    };
    add("snapshot", id(before), id(after), Way::Changed);
    let rank = |report: &Report| i64::from(report.verdict.rank());
    add(
        "verdict",
        before.verdict.to_string(),
        after.verdict.to_string(),
        more_is_better(rank(before), rank(after)),
    );
    let exercised = |report: &Report| report.coverage.exercised as i64;
    let way = more_is_better(exercised(before), exercised(after));
    add("exercised", before.coverage.text(), after.coverage.text(), way);
    for (name, of) in [("RPO", |report: &Report| report.rpo), ("RTO", |report: &Report| report.rto)]
        as [(&str, fn(&Report) -> Measure); 2]
    {
        let (old, new) = (of(before).measured_ms, of(after).measured_ms);
        if let Some(way) = slower(old, new) {
            add(name, time(old), time(new), way);
        }
    }
    for stage in &after.stages {
        let Some(old) = before.stages.iter().find(|old| old.name == stage.name) else { continue };
        let of = |stage: &super::StageRecord| match stage.state {
            State::Done => Some(stage.ms),
            State::NotRun | State::Unknown | State::Failed => None,
        };
        let name = format!("stage {}", stage.name);
        if old.state != stage.state {
            let way = more_is_better(-(old.state as i64), -(stage.state as i64));
            add(&name, old.state.word().to_owned(), stage.state.word().to_owned(), way);
        } else if let Some(way) = slower(of(old), of(stage)) {
            add(&name, time(of(old)), time(of(stage)), way);
        }
    }
    let verdicts: BTreeMap<_, _> = before.tenants.iter().map(|part| (&part.tenant, part.verdict)).collect();
    for part in &after.tenants {
        let (name, new) = (format!("tenant {}", part.tenant), part.verdict);
        match verdicts.get(&part.tenant) {
            Some(old) => {
                let way = more_is_better(old.rank().into(), new.rank().into());
                add(&name, old.to_string(), new.to_string(), way);
            }
            None => add(&name, "not drilled".to_owned(), new.to_string(), Way::Changed),
        }
    }
    let old: BTreeMap<String, &Outcome> =
        before.all_checks().map(|(of, check)| (format!("{of}{}", check.id), check)).collect();
    for (of, check) in after.all_checks() {
        let id = format!("{of}check {}", check.id);
        let Some(old) = old.get(&format!("{of}{}", check.id)) else { continue };
        let way = match (badness(old), badness(check)) {
            (a, b) if a != b => more_is_better(-a, -b),
            _ => Way::Changed,
        };
        add(&id, ended(old), ended(check), way);
    }
    let differences = |report: &Report| report.baseline.as_ref().map_or(0, |b| b.differences_count);
    let wrong = |report: &Report| {
        report.integrity.as_ref().map_or(0, |found| {
            found.missing + found.missing_known + found.wrong_size + found.wrong_content + found.unreadable
        })
    };
    for (what, of) in
        [("differences from the source", &differences as &dyn Fn(&Report) -> u64), ("wrong files", &wrong)]
    {
        let (old, new) = (of(before), of(after));
        add(what, old.to_string(), new.to_string(), more_is_better(-(old as i64), -(new as i64)));
    }
    let files = |report: &Report| report.integrity.as_ref().map_or(0, |found| found.files).to_string();
    add("files", files(before), files(after), Way::Changed);
    all
}

fn more_is_better(before: i64, after: i64) -> Way {
    if after > before { Way::Better } else { Way::Worse }
}

fn time(ms: Option<u64>) -> String {
    ms.map_or_else(|| "not measured".to_owned(), span)
}

/// Which way a time went; `None` if it is about the same.
fn slower(before: Option<u64>, after: Option<u64>) -> Option<Way> {
    match (before, after) {
        (None, None) => None,
        (None, Some(_)) => Some(Way::Better),
        (Some(_), None) => Some(Way::Worse),
        (Some(old), Some(new)) => {
            let noise = NOISE_MS.max(old / 100 * NOISE_PERCENT);
            match old.abs_diff(new) > noise {
                true if new > old => Some(Way::Worse),
                true => Some(Way::Better),
                false => None,
            }
        }
    }
}

/// How bad the outcome of a check is: from passed to failed.
fn badness(outcome: &Outcome) -> i64 {
    match outcome.status {
        Status::Passed => 0,
        Status::Noted => 1,
        Status::Accepted => 2,
        Status::Skipped => 3,
        Status::Error => 4,
        Status::Failed => 5,
    }
}

fn ended(outcome: &Outcome) -> String {
    let word = match outcome.status {
        Status::Passed => "passed",
        Status::Failed => "failed",
        Status::Accepted => "accepted",
        Status::Noted => "noted",
        Status::Skipped => "not run",
        Status::Error => "could not be checked",
    };
    match outcome.violations {
        Some(found @ 1..) => format!("{word} ({found})"),
        _ => word.to_owned(),
    }
}
