//! Compares the state with earlier dumps of the tenant: what is consistent and gone shows nowhere else.
//!
//! The dump that the last passed drill proved is the measure: a weekly drill sees what was lost on any day of
//! the week. What came after it and is gone again shows only beside the dump directly before. A loss that
//! both comparisons see is reported once.

use std::collections::BTreeSet;
use std::time::Duration;

use lifeboat::clock::{self, Timestamp, earlier};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::SnapshotId;
use lifeboat::odoo::changes::{Change, Weight};
use lifeboat::odoo::neutralize::Touched;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::drill::stage::{Stage, Stop};
use crate::place::Room;
use crate::plan::accept::Acceptance;
use crate::process;
use crate::report::Report;
use crate::report::finding::{Finding, State, shortened};
use crate::setup::{Chosen, OlderDump, Setup};
use crate::shipped::{answer, kind, lifeboat};
use crate::vault::{Vault, is_dump};

/// The part of a drill that compares with the backups before.
pub const BEFORE: &str = "backup before";
const LIMIT: Duration = Duration::from_secs(4 * 3600);
/// How far back the first drill of a tenant looks.
const FIRST_SPAN: Duration = Duration::from_secs(35 * 86_400);
/// Losses that become findings of their own.
const LOST_MAX: usize = 50;
const CHARS_MAX: usize = 300;

/// `lifeboat diff` of earlier dumps, and of what is drilled.
pub struct Before<'a> {
    /// The program, the configuration and the identities.
    pub setup: &'a Setup,
    /// Where the tenant is.
    pub room: &'a Room,
    /// What is drilled, and the dumps before.
    pub chosen: &'a Chosen,
    /// How many losses the plan accepts.
    pub accepted: Option<&'a Acceptance>,
    /// Asks the program to stop.
    pub cancel: &'a CancellationToken,
}

/// What the program prints.
#[derive(Default, Deserialize)]
struct Told {
    changes: Vec<Change>,
    #[serde(default)]
    not_compared: Vec<String>,
}

impl Told {
    /// What is lost, by what it is about.
    fn lost(&self) -> BTreeSet<&str> {
        self.changes.iter().filter(|one| one.weight == Weight::Lost).map(|one| one.what.as_str()).collect()
    }

    fn of(&self, what: &str) -> Option<&Change> {
        self.changes.iter().find(|one| one.weight == Weight::Lost && one.what == what)
    }
}

impl Stage for Before<'_> {
    const NAME: &'static str = "before";
    const STOP: Stop = Stop::ByItself;
    const IN_RTO: bool = false;
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let Before { chosen, accepted, .. } = self;
        let Some(before) = chosen.older.last() else {
            let why = "no older dump of this tenant is stored".to_owned();
            report.findings.push(Finding::new(BEFORE, State::NotRun, why.clone()));
            return Ok(((), why));
        };
        let (since, why) = self.since(before, report).await;
        let mut told = self.compare(&since.id, None).await?;
        let mut lost: Vec<(&SnapshotId, Change)> = Vec::new();
        let is_lost = |change: &&Change| change.weight == Weight::Lost;
        lost.extend(told.changes.iter().filter(is_lost).map(|change| (&since.id, change.clone())));
        if since.id != before.id {
            let gone_again = self.only_before(&since.id, &before.id, &told).await?;
            told.changes.splice(lost.len()..lost.len(), gone_again.iter().cloned());
            lost.extend(gone_again.into_iter().map(|change| (&before.id, change)));
        }
        if chosen.snapshot.replayed_to.is_some() {
            let what = "database.uuid, and the values that neutralizing changes: they were not compared";
            report.findings.push(Finding::new(BEFORE, State::NotRun, what));
        }
        let since = &since.id;
        let changed = told.changes.iter().filter(|change| change.weight == Weight::Changed).count();
        let refused = accepted.map(|known| known.refuses(lost.len() as u64, clock::now()));
        let state = if matches!(refused, Some(None)) { State::Done } else { State::Failed };
        for (since, change) in lost.iter().take(LOST_MAX) {
            let known = match (state, accepted, &refused) {
                (State::Done, Some(known), _) => format!(" (accepted: {})", known.reason),
                (_, _, Some(Some(why))) => format!(" ({why})"),
                _ => String::new(),
            };
            let what = shortened(&format!("since {since}: {change}"), CHARS_MAX);
            report.findings.push(Finding::new(BEFORE, state, what + &known));
        }
        if lost.is_empty() {
            let what = format!("nothing is lost since {since}, {why}; {changed} changes to confirm");
            report.findings.push(Finding::new(BEFORE, State::Done, what));
        }
        for what in told.not_compared {
            report.findings.push(Finding::new(BEFORE, State::NotRun, format!("{what}: not recorded then")));
        }
        let note = format!("{} losses and {changed} changes since {since}, {why}", lost.len());
        told.changes.retain(|change| change.weight > Weight::Grown);
        report.changes = told.changes;
        Ok(((), note))
    }
}

impl<'a> Before<'a> {
    /// The dump from which on nothing was proved yet, and why it is this one.
    async fn since(&self, before: &'a OlderDump, report: &mut Report) -> (&'a OlderDump, &'static str) {
        let (older, point) = (&self.chosen.older, self.chosen.snapshot.point);
        let passed = async {
            let Some(tenant) = &self.setup.tenant else { return Ok(None) };
            Vault::open(&self.setup.plan.config).await?.last_passed(tenant, point).await
        };
        let proved = match passed.await {
            Ok(drill) => drill.and_then(|drill| drill.state),
            Err(e) => {
                let what = format!("the last drill that passed is not known: {}", e.line());
                report.findings.push(Finding::new(BEFORE, State::NotRun, what));
                return (before, "the dump before");
            }
        };
        match proved {
            Some(state) => (
                since(older, &state.snapshot, state.point).unwrap_or(before),
                "from the last drill that passed",
            ),
            None => {
                let first = older.iter().find(|dump| dump.point >= earlier(point, FIRST_SPAN));
                (first.unwrap_or(before), "because no drill of it passed yet")
            }
        }
    }

    /// What is lost since the dump directly before, and does not show beside the older one.
    async fn only_before(&self, since: &SnapshotId, before: &SnapshotId, told: &Told) -> Result<Vec<Change>> {
        let near = self.compare(before, None).await?;
        let middle = match near.lost().is_disjoint(&told.lost()) {
            true => Told::default(),
            false => self.compare(since, Some(before)).await?,
        };
        Ok(only_near(near, &middle, told))
    }

    /// What `lifeboat diff` says of this dump, and of another or else of what is drilled.
    async fn compare(&self, before: &SnapshotId, after: Option<&SnapshotId>) -> Result<Told> {
        let snapshot = &self.chosen.snapshot;
        let is_copy = after.is_none() && snapshot.replayed_to.is_some();
        let mut command = lifeboat(self.setup, self.room, "diff");
        command.arg(before.as_str());
        // What a dump recorded is what was restored: that was compared. Of a point nothing was recorded.
        match is_copy {
            true => command.args(["--database", &self.room.database]),
            false => command.arg(after.unwrap_or(&snapshot.id).as_str()),
        };
        command.arg("--json");
        let stopped = self.cancel.cancelled();
        let ended = process::run_heard(&mut command, "lifeboat diff", LIMIT, stopped, |_| {}).await?;
        let compared =
            ended.is_success() || ended.status.code() == Some(i32::from(Kind::Incomplete.exit_code()));
        let told: Option<Told> = answer(&ended.stdout).and_then(|told| serde_json::from_value(told).ok());
        let Some(mut told) = told.filter(|_| compared) else {
            let why = shortened(&ended.last_words().replace('\n', " | "), CHARS_MAX);
            return Err(Error::new(
                kind(ended.status.code()),
                format!("lifeboat diff ended with {}", ended.how()),
            )
            .because(why));
        };
        if is_copy {
            let left_out = Touched::by_neutralizing();
            told.changes.retain(|change| !left_out.has(&change.what));
        }
        Ok(told)
    }
}

/// The dump that a drill proved. A point was compared with the dump before it. If that expired, the oldest
/// one since then.
fn since<'a>(older: &'a [OlderDump], proved: &SnapshotId, point: Timestamp) -> Option<&'a OlderDump> {
    match is_dump(proved) {
        true => older.iter().find(|dump| dump.id == *proved),
        false => older.iter().rev().find(|dump| dump.point <= point),
    }
    .or_else(|| older.iter().find(|dump| dump.point > point))
}

/// The losses of `near` that `far` does not have: those of a thing that `far` does not name, or of which it
/// says no more than was lost in the `middle`.
fn only_near(near: Told, middle: &Told, far: &Told) -> Vec<Change> {
    let is_new =
        |change: &Change| far.of(&change.what).is_none_or(|one| middle.of(&change.what) == Some(one));
    near.changes.into_iter().filter(|change| change.weight == Weight::Lost && is_new(change)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lost: &[(&str, &str)]) -> Told {
        let one = |(what, says): &(&str, &str)| -> Change {
            let json = serde_json::json!({"weight": "lost", "about": "rows", "what": what, "says": says});
            serde_json::from_value(json).unwrap()
        };
        Told { changes: lost.iter().map(one).collect(), not_compared: Vec::new() }
    }

    #[test]
    fn a_loss_that_both_comparisons_see_is_reported_once() {
        let near = |far: &[(&str, &str)], middle: &[(&str, &str)]| -> Vec<String> {
            let near = told(&[("sale_order", "5 gone"), ("mail_message", "empty")]);
            only_near(near, &told(middle), &told(far)).iter().map(ToString::to_string).collect()
        };
        assert_eq!(near(&[], &[]), ["sale_order: 5 gone", "mail_message: empty"]);
        assert_eq!(near(&[("sale_order", "5 gone")], &[]), ["mail_message: empty"]);
        // Five were lost before, and five others that came since then.
        let (before, all) = ([("sale_order", "5 gone")], [("sale_order", "10 gone")]);
        assert_eq!(near(&before, &before), ["sale_order: 5 gone", "mail_message: empty"]);
        assert_eq!(near(&all, &before), ["mail_message: empty"]);
    }

    #[test]
    fn the_dump_that_was_proved_is_the_measure_or_the_oldest_since_then() {
        let at = |hour: i64| Timestamp::from_second(hour * 3600).unwrap();
        let id = |n: i64| -> SnapshotId { format!("2026112{n}T015812Z-dump-4f3a9c1e").parse().unwrap() };
        let older: Vec<OlderDump> = (3..6).map(|hour| OlderDump { id: id(hour), point: at(hour) }).collect();
        let base: SnapshotId = "20261120T015812Z-base-4f3a9c1e".parse().unwrap();
        let found = |id: &SnapshotId, hour| since(&older, id, at(hour)).map(|dump| dump.point);
        assert_eq!(found(&id(4), 4), Some(at(4)));
        assert_eq!(found(&id(1), 1), Some(at(3)), "it expired");
        assert_eq!(found(&base, 4), Some(at(4)), "a point in time: the dump before it");
        assert_eq!(found(&base, 1), Some(at(3)));
        assert_eq!(since(&[], &id(1), at(1)), None);
    }
}
