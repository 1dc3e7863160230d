//! Everything that is scheduled: the lines of `[schedule]` and those of the classes, in one list.
//!
//! Dumps and filestores: a class's own `backup` wins for its tenants, and `schedule.backup` is for the rest.
//! Base backups are of the whole cluster: those of classes come in addition to those of `[schedule]`.

use super::Config;
use crate::crontab::Schedule;

/// A line of the crontab, and what it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduled<'c> {
    /// The key that says it: `schedule.backup`, `class.critical.backup`.
    pub key: String,
    /// What it runs.
    pub work: Work<'c>,
    /// When.
    pub schedule: &'c Schedule,
}

/// What a schedule runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work<'c> {
    /// Dumps and filestores of all tenants but those of classes with a `backup` of their own.
    Backup,
    /// Dumps and filestores of the tenants of this class.
    Class(&'c str),
    /// Filestores of all tenants.
    Filestore,
    /// A base backup.
    Base,
    /// A full base backup.
    BaseFull,
    /// A capture of the configuration.
    Configuration,
    /// Deletes what nobody needs any more.
    Expire,
    /// Checks the repository.
    Verify,
    /// A restore drill.
    Drill,
}

impl Work<'_> {
    /// Whether it is a base backup.
    pub fn is_base(&self) -> bool {
        matches!(self, Work::Base | Work::BaseFull)
    }
}

impl Config {
    /// Every schedule, those of `[schedule]` first. A base backup that two sections have at the same times is
    /// in it once.
    pub fn scheduled(&self) -> Vec<Scheduled<'_>> {
        let own = &self.schedule;
        let fixed = [
            ("backup", Work::Backup, &own.backup),
            ("filestore", Work::Filestore, &own.filestore),
            ("base", Work::Base, &own.base),
            ("base_full", Work::BaseFull, &own.base_full),
            ("configuration", Work::Configuration, &own.configuration),
            ("expire", Work::Expire, &own.expire),
            ("verify", Work::Verify, &own.verify),
            ("drill", Work::Drill, &own.drill),
        ];
        let fixed = fixed.map(|(key, work, schedule)| (format!("schedule.{key}"), work, schedule));
        let of_classes = self.classes.iter().flat_map(|(name, class)| {
            let all = [
                ("backup", Work::Class(name), &class.backup),
                ("base", Work::Base, &class.base),
                ("base_full", Work::BaseFull, &class.base_full),
            ];
            all.map(|(key, work, schedule)| (format!("class.{name}.{key}"), work, schedule))
        });
        let mut found: Vec<Scheduled<'_>> = Vec::new();
        for (key, work, schedule) in fixed.into_iter().chain(of_classes) {
            let Some(schedule) = schedule else { continue };
            let is_same = |other: &Scheduled<'_>| other.work == work && other.schedule == schedule;
            if !(work.is_base() && found.iter().any(is_same)) {
                found.push(Scheduled { key, work, schedule });
            }
        }
        found
    }

    /// The classes with a `backup` of their own.
    pub fn classes_with_backup(&self) -> impl Iterator<Item = &str> {
        let own = self.classes.iter().filter(|(_, class)| class.backup.is_some());
        own.map(|(name, _)| name.as_str())
    }
}
