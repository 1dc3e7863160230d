//! Until when a new object is promised, and so locked (`repository.lock`): pure, from the recovery classes,
//! the schedules and the time.
//!
//! What will be known only later is left to `lifeboat expire`, which makes locks longer: what newer backups
//! need, releases, holds, and a first of a period that came at an unscheduled time. Each lock is one grace
//! longer than its promise, so that a daily run of expire comes in time.

use std::time::Duration;

use crate::archive::manifest::SnapshotKind;
use crate::clock::{Timestamp, later};
use crate::config::period::Period;
use crate::config::{Class, Cold, Config, LockMode, Scheduled, Work, class_of};
use crate::names::TenantName;
use crate::store::versions::Lock;

/// What is kept until something else happens (a hold is removed, a newer one is there) is locked for so long
/// from now on, again and again.
pub const ROLLING: Duration = Duration::from_secs(14 * 86_400);
/// How long it takes until the next backup, where no schedule says so.
const NEXT_WITHIN: Duration = Duration::from_secs(86_400);

/// How long after it was due a run may come to a tenant: it backs up one after the other.
const LATE: Duration = Duration::from_secs(6 * 3_600);

/// The promises of a configuration.
#[derive(Clone, Debug)]
pub struct Promises {
    config: Config,
}

impl Promises {
    /// Those of this configuration.
    pub fn of(config: &Config) -> Promises {
        Promises { config: config.clone() }
    }

    /// The mode of locks; `None` where nothing is locked.
    pub fn mode(&self) -> Option<LockMode> {
        self.config.repository.lock
    }

    /// The storage class of the content of a dump that is begun now: that of the longest period of which it
    /// is the first and that has one. `None` where none has, or where no dump was due within six hours: one
    /// that is made by hand then is wanted soon.
    pub fn cold(&self, tenant: &TenantName, now: Timestamp) -> Option<&Cold> {
        let classes: Vec<(&str, &Class)> = class_of(&self.config.classes, tenant).into_iter().collect();
        let lines = self.lines(SnapshotKind::Dump, &classes);
        let due = lines.iter().filter_map(|line| line.schedule.last_until(now)).max()?;
        if later(due, LATE) < now {
            return None;
        }
        let firsts = self.periods(&lines, &classes, now);
        firsts.into_iter().rev().find_map(|(period, _)| self.config.cold.get(&period))
    }

    /// The lock of a snapshot that is begun now.
    pub fn snapshot(&self, kind: SnapshotKind, tenant: Option<&TenantName>, now: Timestamp) -> Option<Lock> {
        let classes: Vec<(&str, &Class)> = match tenant {
            Some(tenant) => class_of(&self.config.classes, tenant).into_iter().collect(),
            None => self.config.classes.iter().map(|(name, class)| (name.as_str(), class)).collect(),
        };
        let Some(window) = classes.iter().map(|(_, class)| class.window).max() else {
            return self.rolling(now); // of such a tenant everything is kept
        };
        let lines = self.lines(kind, &classes);
        let mut until = self.window(&lines, window, now);
        if kind != SnapshotKind::Arrivals {
            until = self
                .periods(&lines, &classes, now)
                .into_iter()
                .map(|(_, end)| end)
                .fold(until, Timestamp::max);
        }
        self.lock(until)
    }

    /// The schedules that make snapshots of this kind, of these classes.
    fn lines(&self, kind: SnapshotKind, classes: &[(&str, &Class)]) -> Vec<Scheduled<'_>> {
        let makes = |line: &Scheduled<'_>| match (kind, line.work) {
            (SnapshotKind::Filestore, Work::Filestore) => true,
            (SnapshotKind::Dump | SnapshotKind::Filestore, Work::Class(of)) => {
                classes.iter().any(|(name, _)| *name == of)
            }
            (SnapshotKind::Dump | SnapshotKind::Filestore, Work::Backup) => {
                classes.iter().any(|(_, class)| class.backup.is_none())
            }
            (SnapshotKind::Globals, Work::Backup | Work::Class(_)) => true,
            (SnapshotKind::Config, Work::Configuration) => true,
            // What is stored between two base backups is needed by the first of them.
            (SnapshotKind::Base | SnapshotKind::Arrivals, work) => work.is_base(),
            _ => false,
        };
        self.config.scheduled().into_iter().filter(makes).collect()
    }

    /// The lock of WAL that is stored now.
    pub fn wal(&self, now: Timestamp) -> Option<Lock> {
        self.snapshot(SnapshotKind::Arrivals, None, now)
    }

    /// The lock of a signed record that is stored now: a checkpoint of a release, a hold.
    pub fn record(&self, now: Timestamp) -> Option<Lock> {
        let releases = self.config.classes.values().map(|class| class.releases).max();
        self.lock(later(now, releases.unwrap_or_default().max(ROLLING)))
    }

    /// The lock of what is kept until something else happens.
    fn rolling(&self, now: Timestamp) -> Option<Lock> {
        self.lock(later(now, ROLLING))
    }

    fn lock(&self, promised: Timestamp) -> Option<Lock> {
        Some(Lock { mode: self.mode()?, until: later(promised, self.config.expire.grace) })
    }

    /// The window begins with the last one that was stored before it: so one is needed until the next one is
    /// as old as the window.
    fn window(&self, lines: &[Scheduled<'_>], window: Duration, now: Timestamp) -> Timestamp {
        let next = lines.iter().filter_map(|line| line.schedule.next_after(now)).min();
        later(next.unwrap_or_else(|| later(now, NEXT_WITHIN)), window)
    }

    /// The periods of which this is the first, the shortest first, and until when it is kept for each. Where
    /// the last run before the one that is due now was in an earlier period, this is the first of its own.
    fn periods(
        &self,
        lines: &[Scheduled<'_>],
        classes: &[(&str, &Class)],
        now: Timestamp,
    ) -> Vec<(Period, Timestamp)> {
        let last = |at: Timestamp| lines.iter().filter_map(|line| line.schedule.last_until(at)).max();
        let second = jiff::SignedDuration::from_secs(1);
        let before = last(now).and_then(|due| last(due.checked_sub(second).ok()?));
        let Some(before) = before else { return Vec::new() };
        let zone = &self.config.schedule.zone;
        let ends = Period::ALL.into_iter().filter_map(|period| {
            let count = classes.iter().map(|(_, class)| class.count(period)).max()?;
            let number = period.number(now, zone);
            let is_first = count > 0 && period.number(before, zone) < number;
            let end = is_first.then(|| period.begins(number + i64::from(count), zone))?;
            Some((period, end?))
        });
        ends.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Inputs;

    fn promises(text: &str) -> Promises {
        let text = format!(
            "instance = \"prod\"\n[repository]\nurl = \"s3://b/r\"\nlock = \"compliance\"\n[expire]\ngrace = \"1d\"\n{text}"
        );
        Promises::of(&Config::parse("lifeboat.toml".as_ref(), &text, &Inputs::default()).unwrap())
    }

    fn until(of: &Promises, kind: SnapshotKind, tenant: Option<&str>, at: &str) -> String {
        let tenant = tenant.map(|name| name.parse().unwrap());
        let lock = of.snapshot(kind, tenant.as_ref(), at.parse().unwrap()).unwrap();
        assert_eq!(lock.mode, LockMode::Compliance);
        crate::clock::text(lock.until)
    }

    const NIGHTLY: &str = "[schedule]\nbackup = \"0 2 * * *\"\nbase = \"0 6 * * 0\"\ntime_zone = \"UTC\"\n\
        [class.a]\ntenants = [\"*\"]\nwindow = \"7d\"\ndaily = 14\nweekly = 8\nmonthly = 12\nyearly = 3\n\
        releases = \"90d\"\n";

    #[test]
    fn a_snapshot_is_locked_for_the_longest_reason_that_is_known_when_it_is_stored() {
        let of = promises(NIGHTLY);
        let dump = |at| until(&of, SnapshotKind::Dump, Some("x"), at);
        // A Tuesday: the first of its day. 14 days with the current one, and one grace.
        assert_eq!(dump("2026-11-17T02:05:00Z"), "2026-12-02T00:00:00Z");
        // By hand in the afternoon: the last run before the one that was due is of yesterday.
        assert_eq!(dump("2026-11-17T15:00:00Z"), "2026-12-02T00:00:00Z");
        // A Monday: eight weeks.
        assert_eq!(dump("2026-11-16T02:05:00Z"), "2027-01-12T00:00:00Z");
        // The first of a month, and of a year.
        assert_eq!(dump("2026-12-01T02:05:00Z"), "2027-12-02T00:00:00Z");
        assert_eq!(dump("2027-01-01T02:05:00Z"), "2030-01-02T00:00:00Z");
    }

    #[test]
    fn of_many_backups_of_a_period_one_is_locked_for_the_period() {
        let hourly =
            NIGHTLY.replace("0 2 * * *", "0 * * * *").replace("daily = 14", "hourly = 48\ndaily = 90");
        let of = promises(&hourly.replace("7d", "1d"));
        let dump = |at| until(&of, SnapshotKind::Dump, Some("x"), at);
        assert_eq!(dump("2026-11-17T14:01:00Z"), "2026-11-20T14:00:00Z");
        assert_eq!(dump("2026-11-17T00:01:00Z"), "2027-02-16T00:00:00Z");
    }

    #[test]
    fn what_serves_all_is_locked_until_the_next_base_backup_leaves_the_window() {
        let of = promises(NIGHTLY);
        // The next one is on Sunday, 22 November, 06:00.
        assert_eq!(until(&of, SnapshotKind::Arrivals, None, "2026-11-17T10:00:00Z"), "2026-11-30T06:00:00Z");
        let at: Timestamp = "2026-11-17T10:00:00Z".parse().unwrap();
        assert_eq!(of.wal(at), of.snapshot(SnapshotKind::Arrivals, None, at));
        // A record is kept for the releases of the class.
        assert_eq!(crate::clock::text(of.record(at).unwrap().until), "2027-02-16T10:00:00Z");
    }

    #[test]
    fn a_dump_goes_to_the_class_of_the_longest_period_of_which_it_is_the_first() {
        let cold = "[cold.monthly]\nstorage_class = \"COOL\"\n[cold.yearly]\nstorage_class = \"ICE\"\n";
        let of = promises(&format!("{NIGHTLY}{cold}"));
        let class = |at: &str, tenant: &str| {
            let cold = of.cold(&tenant.parse().unwrap(), at.parse().unwrap());
            cold.map(|cold| cold.storage_class.clone())
        };
        assert_eq!(class("2026-11-17T02:05:00Z", "x"), None, "the first of a day");
        assert_eq!(class("2026-12-01T02:05:00Z", "x").as_deref(), Some("COOL"));
        assert_eq!(class("2027-01-01T02:05:00Z", "x").as_deref(), Some("ICE"));
        assert_eq!(class("2027-01-02T02:05:00Z", "x"), None);
        assert_eq!(class("2027-01-01T15:00:00Z", "x"), None, "by hand in the afternoon");
        // One whose longer period has no class goes to that of the shorter one.
        let of = promises(&format!("{NIGHTLY}[cold.monthly]\nstorage_class = \"COOL\"\n"));
        let new_year = of.cold(&"x".parse().unwrap(), "2027-01-01T02:05:00Z".parse().unwrap());
        assert_eq!(new_year.unwrap().storage_class, "COOL");
    }

    #[test]
    fn what_no_class_covers_is_locked_for_a_while() {
        let of = promises(&NIGHTLY.replace("[\"*\"]", "[\"y\"]"));
        assert_eq!(until(&of, SnapshotKind::Dump, Some("x"), "2026-11-17T02:05:00Z"), "2026-12-02T02:05:00Z");
    }
}
