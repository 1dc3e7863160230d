//! Compares each backup of a tenant with the one before. A sudden loss is reported, in the backup's own
//! report, in `lifeboat status` and in the metrics; it never fails the backup.
//!
//! The next backup compares with the new state: each loss is reported once, and stays in `lifeboat status`
//! until somebody accepts it. Everything is read in the transaction of the dump, together with its baseline.

mod content;
mod numbers;
mod rules;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::archive::manifest::Manifest;
use crate::archive::suspicion::SuspicionRecord;
use crate::backup::filestore::Changes;
use crate::backup::job::{Job, on_blocking_thread};
use crate::catalog::last_checkpoint::LastCheckpoint;
use crate::catalog::suspicion::{Alarm, Alarms, Finding};
use crate::clock::{self, Timestamp};
use crate::config::{Class, class_of};
use crate::disk;
use crate::error::Result;
use crate::names::{Lsn, SnapshotId, TenantName};
use crate::odoo::baseline::Baseline;
use crate::odoo::lasting::Counted;
use numbers::{Compressed, DatabaseNumbers, Good, Numbers};
use rules::DatabaseNow;

/// What the last backup of a tenant left for this one.
pub(super) struct Before {
    file: PathBuf,
    numbers: Numbers,
}

/// What was stored, for the comparison.
#[derive(Default)]
pub(super) struct Measured {
    /// Of a dump.
    pub(super) database: Option<DatabaseMeasured>,
    /// Of a filestore.
    pub(super) files: Option<Changes>,
}

/// What a dump was made of.
pub(super) struct DatabaseMeasured {
    /// When its point was taken, by this host's clock.
    pub(super) at: Timestamp,
    /// Where its WAL was.
    pub(super) lsn: Lsn,
    /// The database's number in its cluster.
    pub(super) oid: u32,
    /// Odoo's `database.uuid`.
    pub(super) uuid: Option<String>,
    /// Installed modules.
    pub(super) modules: Vec<String>,
    /// The tables whose rows last.
    pub(super) tables: BTreeMap<String, Counted>,
    /// The baseline without what is in it.
    pub(super) baseline: Box<Baseline>,
}

impl DatabaseMeasured {
    /// Of a dump and its baseline.
    pub(super) fn of(
        baseline: &Baseline,
        tables: BTreeMap<String, Counted>,
        (at, lsn, oid): (Timestamp, Lsn, u32),
    ) -> DatabaseMeasured {
        let modules = baseline.modules.iter().map(|module| module.name.clone()).collect();
        let uuid = baseline.database_uuid.clone();
        let baseline = Box::new(baseline.without_content());
        DatabaseMeasured { at, lsn, oid, uuid, modules, tables, baseline }
    }
}

impl Before {
    /// Reads it. What cannot be read is a note, and nothing is compared.
    pub(super) fn read(job: &Job, tenant: &TenantName) -> Before {
        let file = Numbers::file(&job.state.suspicion_dir(), tenant);
        let repository = job.repository.id();
        let numbers = Numbers::read(&file, repository).unwrap_or_else(|e| {
            job.progress
                .note(format!("{tenant}: this backup is not compared with the one before: {}", e.line()));
            None
        });
        Before { file, numbers: numbers.unwrap_or_else(|| Numbers::none(repository)) }
    }

    /// The highest `id` of each table then.
    pub(super) fn max_ids(&self) -> BTreeMap<String, i64> {
        let tables = self.numbers.database.iter().flat_map(|database| &database.tables);
        tables.filter_map(|(name, counts)| Some((name.clone(), counts.max_id?))).collect()
    }

    /// Compares what was stored with it, and keeps the numbers for the next backup. `None` if nothing was
    /// found. What fails here is a note: the backup is stored.
    pub(super) async fn compare(
        self,
        job: &Job,
        tenant: &TenantName,
        measured: Measured,
        stored: (Option<&Manifest>, Option<&Manifest>),
    ) -> Option<Alarm> {
        match self.compared(job, tenant, measured, stored).await {
            Ok(alarm) => {
                if let Some(alarm) = &alarm {
                    job.progress.note(format!("{tenant}: SUSPICIOUS: {}", alarm.lines().join("; ")));
                }
                alarm
            }
            Err(e) => {
                job.progress.note(format!(
                    "{tenant}: it is not recorded how this backup compares with the one before: {}",
                    e.line()
                ));
                None
            }
        }
    }

    async fn compared(
        mut self,
        job: &Job,
        tenant: &TenantName,
        measured: Measured,
        (dump, filestore): (Option<&Manifest>, Option<&Manifest>),
    ) -> Result<Option<Alarm>> {
        let (mut findings, mut baseline) = (Vec::new(), None);
        if let Some(database) = measured.database {
            let (found, now) = self.database(job, tenant, database)?;
            findings.extend(found);
            baseline = Some(now);
        }
        if let Some(changes) = &measured.files {
            findings.extend(rules::files(changes));
        }
        findings.extend(self.compression(dump, filestore, measured.files.as_ref()));
        let stored = Good { dump: dump.map(|m| m.id.clone()), filestore: filestore.map(|m| m.id.clone()) };
        let good = self.numbers.good.clone();
        let ids = |good: Good| [good.dump, good.filestore].into_iter().flatten().collect::<Vec<_>>();
        let mut is_held = Ok(());
        let alarm = match findings.is_empty() {
            true => None,
            false => {
                let (alarm, held) = hold(job, tenant, findings, ids(stored.clone()), ids(good)).await;
                is_held = held;
                Some(alarm)
            }
        };
        if alarm.is_none() {
            let good = &mut self.numbers.good;
            good.dump = stored.dump.or(good.dump.take());
            good.filestore = stored.filestore.or(good.filestore.take());
        }
        let (dir, repository) = (job.state.suspicion_dir(), job.repository.id().to_owned());
        let (tenant, kept) = (tenant.clone(), alarm.clone());
        on_blocking_thread(move || {
            disk::create_private_dir(&dir)?;
            // The alarm first: after a crash between the two, the next backup finds the same again.
            if let Some(alarm) = kept {
                Alarms::add(&dir, &repository, &tenant, alarm)?;
            }
            // Otherwise the next backup finds the same, and tries again to keep the good snapshots.
            if is_held.is_err() {
                return Ok(());
            }
            if let Some(baseline) = baseline {
                content::keep(&content::file(&dir, &tenant), &baseline)?;
            }
            self.numbers.keep(&self.file)
        })
        .await?;
        Ok(alarm)
    }

    /// Compares how well the data could be compressed, and takes the numbers over.
    fn compression(
        &mut self,
        dump: Option<&Manifest>,
        filestore: Option<&Manifest>,
        changes: Option<&Changes>,
    ) -> Vec<Finding> {
        let of = |manifest: &Manifest| {
            let (plain, stored) = (manifest.plain_bytes, manifest.stored_bytes());
            Some(Compressed { plain, stored }).filter(Compressed::says_something)
        };
        let (dump, files) = (dump.and_then(of), filestore.and_then(of));
        let mut findings = Vec::new();
        if let (Some(before), Some(now)) = (self.numbers.dump, dump) {
            findings.extend(rules::dump_compressed(before, now));
        }
        if let (Some(before), Some(now), Some(changes)) = (self.numbers.new_files, files, changes) {
            findings.extend(rules::files_compressed(before, now, changes));
        }
        self.numbers.dump = dump.or(self.numbers.dump);
        self.numbers.new_files = files.or(self.numbers.new_files);
        findings
    }

    /// Compares the database, and takes its numbers over.
    fn database(
        &mut self,
        job: &Job,
        tenant: &TenantName,
        measured: DatabaseMeasured,
    ) -> Result<(Vec<Finding>, Box<Baseline>)> {
        let DatabaseMeasured { at, lsn, oid, uuid, modules, tables, baseline } = measured;
        let numbers = DatabaseNumbers {
            at,
            lsn,
            oid,
            uuid,
            release: job.release.clone(),
            modules,
            tables: tables.iter().map(|(name, one)| (name.clone(), one.now.clone())).collect(),
        };
        let findings = match &self.numbers.database {
            None => Vec::new(),
            Some(before) => match rules::incomparable(before, &numbers) {
                Some(why) => {
                    job.progress
                        .note(format!("{tenant}: this backup is not compared with the one before: {why}"));
                    Vec::new()
                }
                None => {
                    let passed = LastCheckpoint::read(&job.state.last_checkpoint_file())?.passed;
                    let is_new = job.release.is_some() && job.release != before.release;
                    let now = DatabaseNow {
                        numbers: &numbers,
                        tables: &tables,
                        was_released: is_new || passed.is_some_and(|passed| passed > before.at),
                        has_releases: passed.is_some() || job.release.is_some() || before.release.is_some(),
                    };
                    let mut findings = rules::database(before, &now);
                    let known = content::read(&content::file(&job.state.suspicion_dir(), tenant))?;
                    findings.extend(known.iter().flat_map(|before| content::lost(before, &baseline)));
                    findings
                }
            },
        };
        self.numbers.database = Some(numbers);
        Ok((findings, baseline))
    }
}

/// Records in the repository that the last good snapshots are kept, for as long as the tenant's class says.
/// What fails is in the alarm, too.
async fn hold(
    job: &Job,
    tenant: &TenantName,
    findings: Vec<Finding>,
    snapshots: Vec<SnapshotId>,
    good: Vec<SnapshotId>,
) -> (Alarm, Result<()>) {
    let keep = class_of(&job.classes, tenant)
        .map_or(Class::default().suspicion_hold, |(_, class)| class.suspicion_hold);
    let found_at = clock::now();
    let keep_until = |from: Timestamp| from.checked_add(keep).unwrap_or(Timestamp::MAX);
    let mut alarm =
        Alarm { snapshots, found_at, findings, good, keep_until: keep_until(found_at), not_kept: None };
    match alarm.snapshots.first() {
        _ if alarm.good.is_empty() => {}
        _ if keep.is_zero() => {
            alarm.not_kept = Some(format!("the class of {tenant} sets suspicion_hold = \"0s\""))
        }
        None => {}
        Some(first) => match record(job, tenant, &alarm, first.clone(), keep).await {
            Ok(stored_at) => alarm.keep_until = keep_until(stored_at),
            Err(e) => {
                alarm.not_kept = Some(e.line());
                return (alarm, Err(e));
            }
        },
    }
    (alarm, Ok(()))
}

/// Stores the record; when the store stored it.
async fn record(
    job: &Job,
    tenant: &TenantName,
    alarm: &Alarm,
    first: SnapshotId,
    keep: Duration,
) -> Result<Timestamp> {
    let found = alarm.findings.iter().map(Finding::label).collect();
    let record = job.repository.suspicion_record(&first);
    let text =
        SuspicionRecord::new(job.origin.clone(), (first, tenant.clone()), found, alarm.good.clone(), keep);
    let store = job.repository.store();
    job.lease.while_held(record.write(store, text.to_json()?, &job.signing)).await?;
    // It is stored, whatever the answer is.
    Ok(store.head(&record.key).await.ok().flatten().map_or_else(clock::now, |info| info.modified))
}
