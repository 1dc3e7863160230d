//! Backups of a tenant that differ from the one before as no normal work makes them differ: what was found,
//! and which snapshots are the last good ones. `lifeboat status` shows a finding until somebody accepts it,
//! for 30 days at most.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::archive::path::escape;
use crate::clock::{self, Timestamp};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, TenantName, counted};

/// The version of the records that this program writes, and the newest that it reads.
const VERSION: u32 = 1;
/// Largest record that is read.
const BYTES_MAX: u64 = 1 << 20;
/// Most records that are read: one a tenant.
const RECORDS_MAX: usize = 10_000;
/// Most alarms of a tenant that are kept; the oldest goes first.
const ALARMS_MAX: usize = 32;
/// Most modules that are named.
const NAMED_MAX: usize = 10;
/// An alarm is shown at least for so long, however short its snapshots are kept for it.
const SHOWN_AT_LEAST: Duration = Duration::from_secs(30 * 86_400);
/// How long a change waits for another one.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// One thing that was found. It holds numbers of the company: it stays on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "found", rename_all = "kebab-case")]
pub enum Finding {
    /// Confirmed rows that Odoo does not delete are gone.
    DocumentsGone {
        /// The table.
        table: String,
        /// How many are gone.
        gone: u64,
        /// How many the backup before had of these days.
        of: u64,
        /// On how many days they were made.
        days: u64,
        /// The first of these days, `2026-11-19`; `None` for rows without a date.
        first: Option<String>,
        /// The last of them.
        last: Option<String>,
    },
    /// A large part of a table is gone.
    RowsGone {
        /// The table.
        table: String,
        /// How many rows are gone.
        gone: u64,
        /// How many rows the backup before had.
        of: u64,
    },
    /// A table is gone.
    TableGone {
        /// The table.
        table: String,
        /// How many rows the backup before had.
        of: u64,
    },
    /// The sum of the confirmed rows changed although the rows are there.
    SumChanged {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The sum in the backup before.
        from: String,
        /// The sum of the same rows now.
        to: String,
    },
    /// Modules came or went without a release.
    ModulesChanged {
        /// Modules that are installed now.
        added: Vec<String>,
        /// Modules that are not installed any more.
        removed: Vec<String>,
    },
    /// Something is gone or empty that only the state before can tell: values, rights, a part of the schema.
    Lost {
        /// The thing, as in `product_pricelist_item.fixed_price`.
        what: String,
        /// What happened to it.
        says: String,
    },
    /// A large part of the filestore is gone.
    FilesGone {
        /// How many files are gone.
        gone: u64,
        /// How many the backup before had.
        of: u64,
    },
    /// Files were overwritten: their content is not the one that their names say.
    FilesAltered {
        /// How many of the files that were read.
        altered: u64,
        /// How many files were read, at random.
        read: u64,
    },
    /// Data can hardly be compressed any more, as if it were encrypted.
    Incompressible {
        /// `dump` or `filestore`.
        what: String,
        /// How much was left of it after compression in the backup before, in percent.
        from: u64,
        /// And now.
        to: u64,
    },
}

impl Finding {
    /// Its stable word: in JSON and in records.
    pub fn word(&self) -> &'static str {
        match self {
            Finding::DocumentsGone { .. } => "documents-gone",
            Finding::RowsGone { .. } => "rows-gone",
            Finding::TableGone { .. } => "table-gone",
            Finding::SumChanged { .. } => "sum-changed",
            Finding::ModulesChanged { .. } => "modules-changed",
            Finding::Lost { .. } => "lost",
            Finding::FilesGone { .. } => "files-gone",
            Finding::FilesAltered { .. } => "files-altered",
            Finding::Incompressible { .. } => "incompressible",
        }
    }

    /// Its word and its table or thing, without numbers: `documents-gone sale_order`.
    pub fn label(&self) -> String {
        match self.table() {
            Some(table) => format!("{} {table}", self.word()),
            None => self.word().to_owned(),
        }
    }

    /// The table that it is about, if it is about one.
    fn table(&self) -> Option<&str> {
        match self {
            Finding::DocumentsGone { table, .. }
            | Finding::RowsGone { table, .. }
            | Finding::TableGone { table, .. }
            | Finding::SumChanged { table, .. }
            | Finding::Lost { what: table, .. } => Some(table),
            Finding::ModulesChanged { .. }
            | Finding::FilesGone { .. }
            | Finding::FilesAltered { .. }
            | Finding::Incompressible { .. } => None,
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Finding::DocumentsGone { table, gone, of, days, first, last } => {
                let made = match (first, last) {
                    (Some(first), Some(last)) if first != last => {
                        format!("on {} from {first} to {last}", counted(*days, "day"))
                    }
                    (Some(day), _) => format!("on {day}"),
                    _ => "at an unknown time".to_owned(),
                };
                write!(f, "{table}: {gone} of {of} confirmed rows made {made} are gone")
            }
            Finding::RowsGone { table, gone, of } => write!(f, "{table}: {gone} of {of} rows are gone"),
            Finding::TableGone { table, of } => write!(f, "{table}: the table is gone; it had {of} rows"),
            Finding::SumChanged { table, column, from, to } => {
                write!(f, "{table}: the sum of {column} of the same rows changed from {from} to {to}")
            }
            Finding::ModulesChanged { added, removed } => {
                let list = |names: &[String]| match names.len() {
                    0..=NAMED_MAX => names.join(", "),
                    more => format!("{} and {} more", names[..NAMED_MAX].join(", "), more - NAMED_MAX),
                };
                let parts = [("installed", added), ("removed", removed)].into_iter();
                let parts = parts.filter(|(_, names)| !names.is_empty());
                let parts: Vec<String> =
                    parts.map(|(what, names)| format!("{what}: {}", list(names))).collect();
                write!(f, "modules changed without a release; {}", parts.join("; "))
            }
            Finding::Lost { what, says } => write!(f, "{what}: {says}"),
            Finding::FilesGone { gone, of } => write!(f, "filestore: {gone} of {of} files are gone"),
            Finding::FilesAltered { altered, read } => write!(
                f,
                "filestore: {altered} of {read} files, read at random, do not have the content that their names say"
            ),
            Finding::Incompressible { what, from, to } => write!(
                f,
                "{what}: {to} % of the data is left after compression; it was {from} % before: it may be encrypted"
            ),
        }
    }
}

/// A backup that is suspicious.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Its snapshots.
    pub snapshots: Vec<SnapshotId>,
    /// When it was found.
    pub found_at: Timestamp,
    /// What was found.
    pub findings: Vec<Finding>,
    /// The last snapshots in which nothing was found; none if there are no earlier ones.
    pub good: Vec<SnapshotId>,
    /// Until when the good ones are kept for this.
    pub keep_until: Timestamp,
    /// Why they are not kept for it; `None` if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
}

impl Alarm {
    fn is_open(&self, now: Timestamp) -> bool {
        let at_least = self.found_at.checked_add(SHOWN_AT_LEAST).unwrap_or(Timestamp::MAX);
        self.keep_until.max(at_least) > now
    }

    /// All that it says, one sentence each: what was found, then which snapshots to go back to.
    pub fn lines(&self) -> Vec<String> {
        self.findings.iter().map(ToString::to_string).chain([self.good_text()]).collect()
    }

    /// Which snapshots to go back to, in a sentence.
    fn good_text(&self) -> String {
        let names: Vec<&str> = self.good.iter().map(SnapshotId::as_str).collect();
        match (names.as_slice(), &self.not_kept) {
            ([], _) => "no earlier backup was compared and found good".to_owned(),
            (names, None) => format!(
                "the last good snapshots are {}, kept until {}",
                names.join(" and "),
                clock::text(self.keep_until)
            ),
            (names, Some(why)) => {
                format!("the last good snapshots are {}; not kept for this: {why}", names.join(" and "))
            }
        }
    }
}

/// The alarms of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarms {
    version: u32,
    /// The repository's id.
    pub repository: String,
    /// The tenant.
    pub tenant: TenantName,
    /// Those that nobody accepted, the oldest first.
    pub alarms: Vec<Alarm>,
}

fn file(dir: &Path, tenant: &TenantName) -> PathBuf {
    dir.join(format!("{}.alarms.json", escape(tenant.as_str().as_bytes())))
}

impl Alarms {
    /// The open alarms of every tenant of this repository, or of all, by tenant, and in sentences what could
    /// not be read. Old alarms whose snapshots are no longer kept are left out.
    ///
    /// # Errors
    /// If the directory cannot be listed.
    pub fn all(dir: &Path, repository: Option<&str>, now: Timestamp) -> Result<(Vec<Alarms>, Vec<String>)> {
        let (mut all, mut damaged) = (Vec::new(), Vec::new());
        let entries = disk::read_dir(dir)?.unwrap_or_default();
        let paths = entries.iter().map(|entry| entry.path());
        let is_one = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(".alarms.json"));
        for path in paths.filter(is_one).take(RECORDS_MAX) {
            match read(&path) {
                Ok(Some(mut one)) if repository.is_none_or(|id| one.repository == id) => {
                    one.alarms.retain(|alarm| alarm.is_open(now));
                    if !one.alarms.is_empty() {
                        all.push(one);
                    }
                }
                Ok(_) => {}
                Err(e) => damaged.push(format!("it is not known which backups are suspicious: {}", e.what())),
            }
        }
        all.sort_by(|a, b| a.tenant.cmp(&b.tenant));
        Ok((all, damaged))
    }

    /// Adds an alarm, durably. A record that is damaged, or of another repository, is replaced. Blocking.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(dir: &Path, repository: &str, tenant: &TenantName, alarm: Alarm) -> Result<()> {
        change(dir, tenant, |path| {
            let read = read(path).ok().flatten().filter(|one| one.repository == repository);
            let mut one = read.unwrap_or_else(|| Alarms {
                version: VERSION,
                repository: repository.to_owned(),
                tenant: tenant.clone(),
                alarms: Vec::new(),
            });
            one.alarms.retain(|known| known.is_open(alarm.found_at));
            one.alarms.push(alarm);
            let more = one.alarms.len().saturating_sub(ALARMS_MAX);
            one.alarms.drain(..more);
            Ok(one)
        })
        .map(drop)
    }

    /// Accepts the alarms of a tenant, durably: they were expected, or have been dealt with. Blocking.
    ///
    /// # Errors
    /// `NotFound` if it has none; if they cannot be read or written.
    pub fn accept(dir: &Path, repository: &str, tenant: &TenantName, now: Timestamp) -> Result<Vec<Alarm>> {
        let none = || {
            Error::new(Kind::NotFound, format!("no backup of {tenant} is suspicious"))
                .next("lifeboat status names the tenants with suspicious backups")
        };
        if disk::metadata(&file(dir, tenant))?.is_none() {
            return Err(none());
        }
        let mut accepted = Vec::new();
        change(dir, tenant, |path| {
            let mut one = read(path)?.filter(|one| one.repository == repository).ok_or_else(none)?;
            accepted = std::mem::take(&mut one.alarms);
            accepted.retain(|alarm| alarm.is_open(now));
            if accepted.is_empty() { Err(none()) } else { Ok(one) }
        })?;
        Ok(accepted)
    }
}

fn read(path: &Path) -> Result<Option<Alarms>> {
    let bytes = match disk::read(path, BYTES_MAX) {
        Err(e) if e.kind() == Kind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let damaged = || Error::new(Kind::Io, format!("{} is damaged", path.display()));
    let one: Alarms = serde_json::from_slice(&bytes).map_err(|e| damaged().because(e))?;
    match one.version {
        VERSION => Ok(Some(one)),
        other => Err(damaged().because(format!("it has version {other}"))),
    }
}

/// Replaces the record of a tenant, one change at a time.
fn change(dir: &Path, tenant: &TenantName, changed: impl FnOnce(&Path) -> Result<Alarms>) -> Result<Alarms> {
    disk::create_private_dir(dir)?;
    let (path, lock) = (file(dir, tenant), dir.join("lock"));
    let begun = clock::instant();
    let _lock = loop {
        if let Some(lock) = disk::try_lock(&lock)? {
            break lock;
        }
        if begun.elapsed() >= LOCK_LIMIT {
            let what = format!("the records of suspicious backups are in use: {}", lock.display());
            return Err(Error::new(Kind::Busy, what));
        }
        clock::sleep_blocking(Duration::from_millis(50));
    };
    let one = changed(&path)?;
    let bytes = serde_json::to_vec_pretty(&one)
        .map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))?;
    disk::replace_durable(&path, &bytes)?;
    Ok(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(keep_until: i64) -> Alarm {
        Alarm {
            snapshots: vec!["20261120T015812Z-dump-0123456789".parse().unwrap()],
            found_at: Timestamp::UNIX_EPOCH,
            findings: vec![Finding::RowsGone { table: "sale_order".into(), gone: 60, of: 100 }],
            good: Vec::new(),
            keep_until: Timestamp::from_second(keep_until).unwrap(),
            not_kept: None,
        }
    }

    #[test]
    fn an_alarm_stays_until_it_is_accepted_or_over() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("suspicion");
        let (shop, other): (TenantName, TenantName) = ("shop".parse().unwrap(), "o%her".parse().unwrap());
        let at = |second| Timestamp::from_second(second).unwrap();
        let open = |second| Alarms::all(&dir, Some("repo"), at(second)).unwrap();
        assert_eq!(open(0), (Vec::new(), Vec::new()));
        assert_eq!(Alarms::accept(&dir, "repo", &shop, at(0)).unwrap_err().kind(), Kind::NotFound);
        let month = 30 * 86_400;
        Alarms::add(&dir, "repo", &shop, alarm(100)).unwrap();
        Alarms::add(&dir, "repo", &shop, alarm(month + 200)).unwrap();
        Alarms::add(&dir, "repo", &other, alarm(100)).unwrap();
        assert_eq!(open(50).0.iter().map(|one| one.alarms.len()).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(open(month + 150).0.iter().map(|one| one.tenant.as_str()).collect::<Vec<_>>(), ["shop"]);
        assert!(Alarms::all(&dir, Some("another"), at(0)).unwrap().0.is_empty());
        assert_eq!(Alarms::accept(&dir, "repo", &shop, at(0)).unwrap().len(), 2);
        assert_eq!(Alarms::accept(&dir, "repo", &shop, at(0)).unwrap_err().kind(), Kind::NotFound);
        disk::replace_durable(&dir.join("x.alarms.json"), b"{").unwrap();
        let (all, damaged) = open(50);
        assert_eq!((all.len(), damaged.len()), (1, 1), "a damaged one hides no other");
    }

    #[test]
    fn findings_are_sentences() {
        let gone = |first: Option<&str>, last: Option<&str>, days| Finding::DocumentsGone {
            table: "sale_order".into(),
            gone: 14,
            of: 14,
            days,
            first: first.map(str::to_owned),
            last: last.map(str::to_owned),
        };
        let day = Some("2026-11-19");
        for (finding, text) in [
            (gone(day, day, 1), "sale_order: 14 of 14 confirmed rows made on 2026-11-19 are gone"),
            (
                gone(day, Some("2026-11-21"), 2),
                "sale_order: 14 of 14 confirmed rows made on 2 days from 2026-11-19 to 2026-11-21 are gone",
            ),
            (gone(None, None, 1), "sale_order: 14 of 14 confirmed rows made at an unknown time are gone"),
            (
                Finding::ModulesChanged { added: Vec::new(), removed: vec!["stock".into()] },
                "modules changed without a release; removed: stock",
            ),
        ] {
            assert_eq!(finding.to_string(), text);
        }
    }
}
