//! The state of everything in one value: what is stored, and what this host knows of its own backups. For the
//! command, a web page or a script; it needs no identity and no PostgreSQL.

pub mod drilled;
pub mod remembered;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::catalog::copies::{Copies, CopyRecord};
use crate::catalog::doubt::Doubt;
use crate::catalog::last_expire::LastExpire;
use crate::catalog::last_verify::LastVerify;
use crate::catalog::runs::{Run, Runs};
use crate::catalog::state::StateDir;
use crate::catalog::stream::StreamRecord;
use crate::catalog::suspicion::Alarms;
use crate::catalog::verified::{BrokenWal, Verified};
use crate::clock::{self, Timestamp, earlier};
use crate::config::Config;
use crate::disk;
use crate::error::Result;
use crate::inventory::drills::{self, Recent, StoredDrill};
use crate::inventory::standing::{self, InstanceStatus, Standing, TenantStatus};
use crate::inventory::take::Wanted;
use crate::inventory::{Inventory, Part, pick};
use crate::names::{InstanceName, SnapshotId, TenantName, counted};
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// The state of the instance, its tenants and this host's jobs.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Whose.
    pub instance: InstanceName,
    /// Where it is stored.
    pub repository: String,
    /// When it was looked at.
    pub now: Timestamp,
    /// The whole cluster.
    pub cluster: InstanceStatus,
    /// Each tenant, the worst first.
    pub tenants: Vec<TenantStatus>,
    /// Old names of copies that became tenants: nothing is stored under them any more.
    pub promoted: Vec<CopyRecord>,
    /// What the checks of this host found.
    pub verified: Checked,
    /// The latest run of each scheduled job of this host.
    pub runs: Vec<Run>,
    /// What the last runs of expire on this host came to.
    pub expire: LastExpire,
    /// What the last check of everything by this host found.
    pub verify: LastVerify,
    /// The newest restore drill of each tenant.
    pub drills: Vec<StoredDrill>,
    /// The last record of this host's agent about its stream of WAL.
    pub stream: Option<StreamRecord>,
    /// Backups of this host that differ from the one before as no normal work explains, and that nobody
    /// accepted.
    pub suspicious: Vec<Alarms>,
    /// What a person must look at, in sentences.
    pub problems: Vec<String>,
    /// Snapshots whose manifests are not believed or could not be read.
    pub not_believed: Vec<NotBelieved>,
}

/// What the checks of this host found.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// When the last one ended.
    pub last: Option<Timestamp>,
    /// Snapshots that cannot be restored whole.
    pub broken: BTreeSet<SnapshotId>,
    /// WAL that is damaged.
    pub wal: Option<BrokenWal>,
}

/// A snapshot that counts for nothing here.
#[derive(Debug, Serialize)]
pub struct NotBelieved {
    /// Which.
    pub snapshot: SnapshotId,
    /// Why.
    pub error: String,
}

impl Status {
    /// Looks. A tenant whose newest restorable state is older than `age_max` is late.
    ///
    /// # Errors
    /// If the repository or the state directory cannot be read. If only a part of it cannot, the status names
    /// that as a problem.
    pub async fn take(config: &Config, trust: &Trust, age_max: Duration) -> Result<Status> {
        let repository = Repository::configured(config).await?;
        let wanted = Wanted { wal: true, ..Wanted::default() };
        let inventory = Inventory::take_to_show(config, &repository, trust, &wanted).await?;
        let drills = match config.repository.as_of {
            Some(_) => None,
            None => {
                let tenants = inventory.believed().filter_map(|one| one.manifest.tenant.clone()).collect();
                let reach = drills::reach(config.classes.values());
                Some(drills::recent(&repository, trust, &tenants, reach).await)
            }
        };
        Status::of(config, repository.id(), &inventory, drills.as_ref(), age_max).await
    }

    /// The same, of what was read of a repository with this ID; without `drills`, it says nothing of them.
    ///
    /// # Errors
    /// If the state directory cannot be read.
    pub async fn of(
        config: &Config,
        repository: &str,
        inventory: &Inventory,
        drills: Option<&Result<Recent>>,
        age_max: Duration,
    ) -> Result<Status> {
        let now = clock::now();
        let (verified, unknown) = remembered::recall(config, repository);
        let broken = remembered::broken(inventory, &verified);
        let cluster = standing::instance(inventory, &broken, now)?;
        let mut tenants =
            standing::tenants(inventory, &config.odoo.tenants, &cluster, &broken, (now, age_max));
        let promoted = take_promoted(config, &mut tenants)?;
        let stream = if config.wal.stream { StreamRecord::read(config)? } else { None };
        let mut problems = stream.as_ref().map_or(Vec::new(), |record| record.problems(config, now));
        problems.extend(unknown);
        let expire = LastExpire::read(&LastExpire::file(&config.state_dir, &config.instance))?;
        problems.extend(expire.problems());
        let verify = last_verify(config, repository)?;
        problems.extend(verify.problems());
        problems.extend(older_broken(&verify, &broken));
        problems.extend(unchecked(config, &verify, now));
        problems.extend(stored_problems(inventory, &verified));
        problems.extend(doubt_problem(config));
        let names: Vec<&TenantName> = tenants.iter().map(|one| &one.tenant).collect();
        let since = inventory.believed().map(|snapshot| snapshot.stored_at).min();
        problems.extend(drills.iter().flat_map(|told| drilled::problems(config, told, &names, since, now)));
        let drills = drills.and_then(|told| told.as_ref().ok());
        let drills = drills.map_or(Vec::new(), |recent| drilled::newest(recent, &names));
        let dir = StateDir::suspicion_dir_of(&config.state_dir, &config.instance);
        let (suspicious, damaged) = Alarms::all(&dir, Some(repository), now)?;
        problems.extend(damaged);
        let not_believed = inventory.not_believed().into_iter();
        Ok(Status {
            instance: inventory.instance.clone(),
            repository: inventory.repository.clone(),
            now,
            cluster,
            tenants,
            promoted,
            verified: Checked {
                last: verified.last,
                broken: broken.into_iter().cloned().collect(),
                wal: verified.wal,
            },
            runs: last_runs(config).await?,
            expire,
            verify,
            drills,
            stream,
            suspicious,
            problems,
            not_believed: not_believed
                .map(|(snapshot, e)| NotBelieved { snapshot, error: e.what().to_owned() })
                .collect(),
        })
    }

    /// Whether all is well: nobody has to look at anything.
    pub fn is_well(&self) -> bool {
        self.tenants.iter().all(|tenant| tenant.standing == Standing::Ok)
            && self.cluster.bad_pages == 0
            && self.cluster.left_out.is_empty()
            && !self.cluster.base_broken
            && self.cluster.wal.as_ref().is_none_or(|wal| wal.broken.is_none())
            && self.not_believed.is_empty()
            && self.runs.iter().all(|run| run.ended.is_none() || run.exit_code == Some(0))
            && self.suspicious.is_empty()
            && self.problems.is_empty()
    }

    /// Whether nothing is stored of the instance and no tenant of it is expected.
    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty() && self.cluster.base.is_none()
    }
}

/// Takes the old names of promoted copies out of the tenants; those that are expected by name stay.
fn take_promoted(config: &Config, tenants: &mut Vec<TenantStatus>) -> Result<Vec<CopyRecord>> {
    let copies = Copies::read(&config.state_dir, &config.instance)?;
    let mut promoted = Vec::new();
    tenants.retain(|TenantStatus { tenant, dump, filestore, .. }| {
        let stored_last = [dump, filestore].into_iter().flatten().map(|latest| latest.point).max();
        let record = stored_last.and_then(|last| copies.promoted(tenant, last));
        promoted.extend(record.cloned());
        record.is_none() || config.odoo.tenants.contains(tenant)
    });
    Ok(promoted)
}

/// What the last check of everything found. What is wrong now says nothing of a repository as it was.
fn last_verify(config: &Config, repository: &str) -> Result<LastVerify> {
    match config.repository.as_of {
        Some(_) => Ok(LastVerify::default()),
        None => LastVerify::of(&LastVerify::file(&config.state_dir, &config.instance), repository),
    }
}

/// A sentence about damage that an earlier check found, and that the last one did not look for: it read less.
fn older_broken(verify: &LastVerify, broken: &BTreeSet<&SnapshotId>) -> Option<String> {
    let run = verify.done.as_ref().filter(|run| run.objects_not_checked > 0)?;
    let first = broken.first()?;
    Some(format!(
        "{} cannot be restored whole, such as {first}: an earlier check found damage that the one at {} did not \
         look for; run lifeboat verify",
        counted(broken.len() as u64, "snapshot"),
        clock::text(run.at)
    ))
}

/// A sentence if the last check of everything was due two times ago or earlier. One that never ran has no run
/// yet that could be late.
fn unchecked(config: &Config, verify: &LastVerify, now: Timestamp) -> Option<String> {
    let schedule = config.schedule.verify.as_ref().filter(|_| config.repository.as_of.is_none())?;
    let last = verify.done.as_ref()?.at;
    let started = earlier(now, config.schedule.jitter_max);
    let due = schedule.last_until(started)?;
    let before = schedule.last_until(earlier(due, Duration::from_secs(1)))?;
    let is_late = last < before;
    is_late.then(|| {
        let since = clock::text(last);
        format!("the last check of the repository ended at {since}, although schedule.verify was due twice since: check that lifeboat-agent runs, and how long a check takes")
    })
}

/// What is wrong with the stored data as a whole, in sentences.
fn stored_problems(inventory: &Inventory, verified: &Verified) -> Vec<String> {
    let mut problems = Vec::new();
    match &inventory.wal {
        Part::CouldNotLook(e) => problems.push(format!("it is not known which WAL is stored: {}", e.what())),
        Part::Found(wal) => {
            problems.extend(wal.foreign.text().map(|text| format!("{text}; lifeboat verify names all")));
        }
        Part::NotAsked => {}
    }
    problems.extend(clock_problem(inventory));
    problems.extend(verified.wal.as_ref().map(|wal| {
        let (objects, since) = (wal.objects, clock::text(wal.since));
        let objects = match objects {
            1 => "1 WAL object is".to_owned(),
            n => format!("{n} WAL objects are"),
        };
        format!("{objects} damaged (found {since}); the first is {}; run lifeboat verify", wal.first)
    }));
    problems
}

/// A sentence about a file whose content changed although its times did not.
fn doubt_problem(config: &Config) -> Option<String> {
    match Doubt::read(&StateDir::doubt_file_of(&config.state_dir, &config.instance)) {
        Ok(doubt) => doubt.map(|doubt| {
            format!(
                "{}: incremental base backups before that may hold old content of this file; look for errors of that \
                 disk, then run lifeboat backup --kind base --full",
                doubt.text()
            )
        }),
        Err(e) => Some(format!("it is not known whether base backups may trust the times of files: {}", e.what())),
    }
}

/// Snapshots that were written under a clock that was ahead, in a sentence.
fn clock_problem(inventory: &Inventory) -> Option<String> {
    let (ahead, _) = pick::clocks(inventory.believed());
    let last = ahead.first()?;
    let (were, the_last) = match ahead.len() {
        1 => ("was", "it is"),
        _ => ("were", "the last of them is"),
    };
    Some(format!(
        "{} {were} written while their host's clock was ahead of the store's; {the_last} {}, {}; correct that host's clock",
        counted(ahead.len() as u64, "snapshot"),
        last.manifest.id,
        last.clock_note()?
    ))
}

/// The latest run of each scheduled job of this host; none where the agent never ran here.
async fn last_runs(config: &Config) -> Result<Vec<Run>> {
    let file = StateDir::runs_file_of(&config.state_dir, &config.instance);
    if disk::metadata(&file)?.is_none() {
        return Ok(Vec::new());
    }
    let mut runs = Runs::open(&file).await?;
    let mut all = Vec::new();
    for job in runs.jobs().await? {
        all.extend(runs.latest(&job, 1).await?);
    }
    runs.close().await?;
    Ok(all)
}
