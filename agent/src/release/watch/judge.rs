//! What the numbers mean: continue, pause, or roll back. Pure.

use serde::Serialize;

use crate::clock::span_text;
use crate::config::Watch;
use crate::names::counted;
use crate::odoo::business::{Document, Failure, LockWaits};
use crate::release::watch::series::Counts;

/// What to do, from good to bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The release goes on.
    #[default]
    Continue,
    /// A person looks before it goes on.
    Pause,
    /// The release is undone.
    RollBack,
}

impl Verdict {
    /// Its stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Continue => "continue",
            Verdict::Pause => "pause",
            Verdict::RollBack => "roll-back",
        }
    }
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indicator {
    /// Documents that are made.
    Documents(Document),
    /// What fails.
    Failures(Failure),
    /// Sessions that wait for a lock.
    LockWaits,
}

/// The documents that are watched.
pub const DOCUMENTS: [Document; 4] =
    [Document::SaleOrder, Document::PosOrder, Document::StockMove, Document::Payment];

impl Indicator {
    /// Its stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Indicator::Documents(document) => document.as_str(),
            Indicator::Failures(failure) => failure.as_str(),
            Indicator::LockWaits => "lock-wait",
        }
    }

    /// So many, for people.
    pub fn counted(self, count: u64) -> String {
        match self {
            Indicator::Documents(document) => document.counted(count),
            Indicator::Failures(failure) => failure.counted(count),
            Indicator::LockWaits => counted(count, "lock wait"),
        }
    }
}

impl Serialize for Indicator {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What was found of one indicator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which.
    pub indicator: Indicator,
    /// Its numbers; of waits only `now`, and that at this moment.
    pub counts: Counts,
    /// What it is compared with; `None` if there is too little to compare.
    pub expected: Option<u64>,
    /// How much less than expected, in percent.
    pub drop_percent: Option<u64>,
    /// What it alone would mean.
    pub verdict: Verdict,
    /// Why, if that is not "continue".
    pub why: Option<String>,
}

/// Documents that were made.
///
/// The smaller of the two comparisons is what is expected: whoever deploys after closing time, or in the week
/// after a sale, sees no drop.
pub fn documents(document: Document, counts: Counts, limits: &Watch) -> Finding {
    let expected = counts.week.map_or(counts.before, |week| week.min(counts.before));
    let indicator = Indicator::Documents(document);
    let mut finding = Finding {
        indicator,
        counts,
        expected: None,
        drop_percent: None,
        verdict: Verdict::Continue,
        why: None,
    };
    if expected < limits.least.max(1) {
        return finding;
    }
    let drop = expected.saturating_sub(counts.now).saturating_mul(100) / expected;
    finding.expected = Some(expected);
    finding.drop_percent = Some(drop);
    finding.verdict = match drop {
        drop if drop >= limits.rollback_drop_percent => Verdict::RollBack,
        drop if drop >= limits.pause_drop_percent => Verdict::Pause,
        _ => Verdict::Continue,
    };
    if finding.verdict > Verdict::Continue {
        let now = document.counted(counts.now);
        finding.why = Some(format!("{now} instead of {expected}: {drop} % less"));
    }
    finding
}

/// Failures: more than are allowed, and more than before the release.
pub fn failures(failure: Failure, counts: Counts, limits: &Watch) -> Finding {
    let is_bad = counts.now > limits.failures_max && counts.now > counts.before;
    let text = || format!("{}; before the release {}", failure.counted(counts.now), counts.before);
    Finding {
        indicator: Indicator::Failures(failure),
        counts,
        expected: None,
        drop_percent: None,
        verdict: if is_bad { Verdict::Pause } else { Verdict::Continue },
        why: is_bad.then(text),
    }
}

/// Sessions that wait now.
pub fn waits(waits: LockWaits, limits: &Watch) -> Finding {
    let is_bad = waits.sessions > 0 && waits.longest() > limits.lock_wait_max;
    let longest = span_text(waits.longest());
    Finding {
        indicator: Indicator::LockWaits,
        counts: Counts { now: waits.sessions, ..Counts::default() },
        expected: None,
        drop_percent: None,
        verdict: if is_bad { Verdict::Pause } else { Verdict::Continue },
        why: is_bad.then(|| {
            format!("{} waiting for a lock, the longest for {longest}", counted(waits.sessions, "session"))
        }),
    }
}

/// One tenant at one look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TenantLook {
    /// What was found, in a fixed order; modules that are not installed have nothing.
    pub findings: Vec<Finding>,
    /// What could not be read, one sentence each.
    pub not_known: Vec<String>,
}

impl TenantLook {
    /// What to do. What is not known is never "continue".
    pub fn verdict(&self) -> Verdict {
        let found = self.findings.iter().map(|finding| finding.verdict).max().unwrap_or_default();
        let least = if self.not_known.is_empty() { Verdict::Continue } else { Verdict::Pause };
        found.max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIMITS: Watch = Watch {
        pause_drop_percent: 30,
        rollback_drop_percent: 60,
        failures_max: 20,
        lock_wait_max: Duration::from_secs(30),
        least: 20,
        read_time_max: Duration::from_secs(60),
    };

    fn judged(now: u64, before: u64, week: Option<u64>) -> (Verdict, Option<u64>) {
        let finding = documents(Document::SaleOrder, Counts { now, before, week }, &LIMITS);
        (finding.verdict, finding.drop_percent)
    }

    #[test]
    fn a_drop_counts_against_both_comparisons_and_with_enough_to_compare() {
        assert_eq!(judged(100, 100, Some(100)), (Verdict::Continue, Some(0)));
        assert_eq!(judged(150, 100, None), (Verdict::Continue, Some(0)), "more is no drop");
        assert_eq!(judged(71, 100, None), (Verdict::Continue, Some(29)));
        assert_eq!(judged(70, 100, None), (Verdict::Pause, Some(30)));
        assert_eq!(judged(40, 100, Some(300)), (Verdict::RollBack, Some(60)));
        assert_eq!(judged(40, 100, Some(45)), (Verdict::Continue, Some(11)), "as quiet as a week before");
        assert_eq!(judged(0, 19, None), (Verdict::Continue, None), "too few");
        assert_eq!(judged(0, 500, Some(3)), (Verdict::Continue, None), "closed at this hour");
        let nothing = Watch { least: 0, ..LIMITS };
        let finding = documents(Document::Payment, Counts::default(), &nothing);
        assert_eq!(finding.verdict, Verdict::Continue, "nothing cannot drop");
        let why = documents(Document::SaleOrder, Counts { now: 10, before: 100, week: None }, &LIMITS).why;
        assert_eq!(why.as_deref(), Some("10 sale orders instead of 100: 90 % less"));
    }

    #[test]
    fn failures_and_waits_pause_and_what_is_not_known_does_too() {
        let counts = |now, before| Counts { now, before, week: None };
        assert_eq!(failures(Failure::Job, counts(20, 0), &LIMITS).verdict, Verdict::Continue);
        assert_eq!(failures(Failure::Job, counts(21, 0), &LIMITS).verdict, Verdict::Pause);
        assert_eq!(
            failures(Failure::Mail, counts(21, 30), &LIMITS).verdict,
            Verdict::Continue,
            "fewer than before"
        );
        let wait = |longest_seconds| waits(LockWaits { sessions: 2, longest_seconds }, &LIMITS).verdict;
        assert_eq!((wait(30), wait(31)), (Verdict::Continue, Verdict::Pause));
        let mut look = TenantLook::default();
        assert_eq!(look.verdict(), Verdict::Continue);
        look.not_known.push("sale orders: x".into());
        assert_eq!(look.verdict(), Verdict::Pause);
        look.findings.push(documents(Document::SaleOrder, counts(0, 100), &LIMITS));
        assert_eq!(look.verdict(), Verdict::RollBack);
    }
}
