//! `lifeboat verify`: every object fetched once and compared with what was signed. Needs no key;
//! with one, everything is decoded too ([`super::deep`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::archive::manifest::{Object, Origin};
use crate::archive::seal::Identities;
use crate::archive::signature::TrustedKeys;
use crate::archive::wal::WalOpener;
use crate::error::{Error, Kind, Result};
use crate::inventory::Snapshot;
use crate::inventory::pick::oldest_first;
use crate::names::{InstanceName, SnapshotId, TenantName, random_hex};
use crate::progress::Progress;
use crate::repository::snapshots::Trust;
use crate::repository::{Repository, layout};
use crate::upkeep::findings::{Finding, Findings, Found, NewestWhole, Report, Unasked, Unfinished};
use crate::upkeep::meter::Meter;
use crate::upkeep::remembered::Covered;
use crate::upkeep::scope::Scope;
use crate::upkeep::{deep, drills, wal};

/// After so many objects that could not be fetched in time, the rest is not tried: each would
/// take the store's whole deadline.
pub const UNREACHABLE_MAX: u64 = 3;

/// What is asked for.
pub struct Request {
    /// Only these and what they need; all where empty.
    pub snapshots: Vec<SnapshotId>,
    /// Only this tenant's, and what they need.
    pub tenant: Option<TenantName>,
    /// How many percent of the objects are read; all where `None`.
    pub sample_percent: Option<f64>,
    /// Reading rate.
    pub bytes_per_second_max: Option<u64>,
    /// What opens archives: everything is decoded then.
    pub identities: Option<Identities>,
    /// Objects read at once.
    pub workers: usize,
    /// Whose manifests are believed.
    pub trust: Trust,
}

/// One object to be read.
#[derive(Clone, Debug)]
pub struct Task {
    /// Whose.
    pub snapshot: SnapshotId,
    /// Which.
    pub object: Object,
}

/// What workers share.
pub struct Work {
    /// The repository.
    pub repository: Repository,
    /// The runtime that fetches.
    pub runtime: Handle,
    /// What there is.
    pub scope: Scope,
    /// What is found.
    pub findings: Findings,
    /// Rate, progress, stop.
    pub meter: Meter,
    /// Where everything belongs.
    pub origin: Origin,
    /// Whose signatures count; `None` where a person gave that check up.
    pub trusted: Option<TrustedKeys>,
    /// Opens WAL, where everything is decoded.
    pub wal_opener: Option<WalOpener>,
    /// Objects that were read to their end.
    pub checked: AtomicU64,
    /// Their bytes.
    pub checked_bytes: AtomicU64,
    /// Files whose content was compared.
    pub files: AtomicU64,
    unreachable: AtomicU64,
}

/// Checks. An error only where nothing could be checked at all; see [`Report::verdict`].
pub async fn run(
    repository: Repository,
    request: Request,
    progress: Progress,
    cancel: CancellationToken,
) -> Result<Report> {
    progress.stage("manifests");
    let findings = Findings::default();
    let origin = repository.origin().await?;
    let Request { snapshots, tenant, trust, .. } = &request;
    let scope = survey(&repository, &origin, trust, snapshots, tenant.as_ref(), &findings).await?;
    let (mut drills, mut wal, mut wal_gaps) = (drills::Drills::default(), Vec::new(), Vec::new());
    let everything = snapshots.is_empty() && tenant.is_none();
    if everything {
        drills = drills::check(&repository, trust, &scope.listed, &findings, &cancel).await;
        wal = wal::tasks(repository.instance(), &scope.listed, &findings);
        wal_gaps = wal::missing(&repository, &origin, trust, &scope, &findings).await;
    }
    let mut tasks = tasks(&scope);
    let all = (tasks.len() + wal.len()) as u64;
    if let Some(percent) = request.sample_percent {
        tasks = sample(&repository, &scope, tasks, percent);
        wal = wal::sample(wal, percent);
    }
    progress.stage(format!("{} objects", tasks.len() + wal.len()));
    let bytes: u64 = tasks.iter().map(|task| task.object.bytes).sum();
    let bytes = bytes + wal.iter().map(|task| task.bytes).sum::<u64>();
    if request.identities.is_none() {
        progress.expect_bytes(bytes); // else there is more, which the indexes tell
    }
    let trusted = match trust {
        Trust::Keys(keys) => Some(keys.clone()),
        Trust::Anyone => None,
    };
    let wal_opener = request.identities.as_ref().map(|identities| WalOpener {
        origin: origin.clone(),
        identities: identities.clone(),
        trusted: trusted.clone(),
    });
    let work = Arc::new(Work {
        runtime: Handle::current(),
        meter: Meter::new(request.bytes_per_second_max, progress, cancel.clone()),
        scope,
        findings,
        origin,
        trusted,
        wal_opener,
        checked: AtomicU64::new(0),
        checked_bytes: AtomicU64::new(0),
        files: AtomicU64::new(0),
        unreachable: AtomicU64::new(0),
        repository,
    });
    let (shared, workers, identities) = (work.clone(), request.workers, request.identities);
    let deep = identities.is_some();
    tokio::task::spawn_blocking(move || {
        match identities {
            Some(identities) => deep::check(&shared, tasks, &identities, workers, bytes),
            None => each(&shared, tasks, workers, |task| shared.check(task)),
        }
        each(&shared, wal, workers, |task| shared.check_wal(task));
    })
    .await
    .map_err(|e| Error::new(Kind::Internal, "a thread of the check panicked").because(e))?;
    let work = Arc::into_inner(work)
        .ok_or_else(|| Error::new(Kind::Internal, "a thread of the check did not end"))?;
    let Found { findings, unasked, skipped } = work.findings.take();
    let checked = work.checked.into_inner();
    let unfinished = work.scope.unfinished_snapshots(work.repository.instance());
    let reports = drills.unfinished.into_iter().map(|id| Unfinished {
        id,
        what: "no report.json: the drill is running, was cut short, or its report is lost".to_owned(),
    });
    Ok(Report {
        instance: work.repository.instance().clone(),
        repository: work.repository.store().url().to_owned(),
        deep,
        snapshots: work.scope.chosen.len() as u64,
        unfinished: unfinished.into_iter().chain(reports).collect(),
        wal_gaps,
        newest_whole: newest_whole(work.repository.instance(), &work.scope, &findings, &unasked),
        skipped,
        objects_checked: checked + drills.objects,
        bytes_checked: work.checked_bytes.into_inner() + drills.bytes,
        objects_not_checked: all - checked.min(all),
        files_checked: work.files.into_inner(),
        findings,
        unasked,
        interrupted: cancel.is_cancelled(),
        covered: Covered { chosen: work.scope.chosen, everything },
    })
}

/// The newest dump of each tenant that was checked and that nothing was found against.
fn newest_whole(
    instance: &InstanceName,
    scope: &Scope,
    findings: &[Finding],
    unasked: &[Unasked],
) -> Vec<NewestWhole> {
    let doubtful = unasked.iter().flat_map(|unasked| &unasked.doubtful);
    let bad: BTreeSet<&SnapshotId> = findings.iter().flat_map(|f| &f.lost).chain(doubtful).collect();
    let mut of: BTreeMap<TenantName, Vec<Snapshot>> = BTreeMap::new();
    for dump in scope.chosen.iter().filter_map(|id| scope.snapshot(instance, id)) {
        if let (Some(tenant), true) = (dump.manifest.tenant.clone(), dump.manifest.dump.is_some()) {
            of.entry(tenant).or_default().push(dump);
        }
    }
    let whole = |(tenant, mut dumps): (TenantName, Vec<Snapshot>)| {
        dumps.retain(|dump| !bad.contains(&dump.manifest.id));
        let snapshot = oldest_first(&dumps).pop().map(|dump| dump.manifest.id.clone());
        NewestWhole { tenant, snapshot }
    };
    of.into_iter().map(whole).collect()
}

async fn survey(
    repository: &Repository,
    origin: &Origin,
    trust: &Trust,
    snapshots: &[SnapshotId],
    tenant: Option<&TenantName>,
    findings: &Findings,
) -> Result<Scope> {
    Scope::survey(repository, origin, trust, snapshots, tenant, findings)
        .await
        .map_err(|e| e.effect("nothing is known of what is stored: it is not checked"))
}

fn tasks(scope: &Scope) -> Vec<Task> {
    let chosen = scope.chosen.iter().filter_map(|id| scope.manifests.get(id));
    chosen
        .flat_map(|m| m.objects.iter().map(|o| Task { snapshot: m.id.clone(), object: o.clone() }))
        .collect()
}

/// So many percent, at random, and every object that is not listed with its size.
fn sample(repository: &Repository, scope: &Scope, mut tasks: Vec<Task>, percent: f64) -> Vec<Task> {
    let wanted = (tasks.len() as f64 * percent / 100.0).ceil() as usize;
    tasks.sort_by_cached_key(|_| random_hex(8));
    let rest = tasks.split_off(wanted.min(tasks.len()));
    let suspicious = rest.into_iter().filter(|task| {
        let key = layout::object(repository.instance(), &task.snapshot, &task.object.name);
        scope.listed.get(&key) != Some(&task.object.bytes)
    });
    tasks.extend(suspicious);
    tasks
}

/// Runs `check` over all tasks, on so many threads. Stops early when cancelled or when the store
/// does not answer.
pub fn each<T: Send>(work: &Work, tasks: Vec<T>, workers: usize, check: impl Fn(&T) + Sync) {
    let queue = Mutex::new(tasks.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..workers.max(1) {
            scope.spawn(|| {
                loop {
                    if work.meter.stop_if_cancelled().is_err()
                        || work.unreachable.load(Relaxed) >= UNREACHABLE_MAX
                    {
                        return;
                    }
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(task) = next else { return };
                    check(&task);
                }
            });
        }
    });
}

impl Work {
    /// Fetches one object and compares it, without a key.
    fn check(&self, task: &Task) {
        let Task { snapshot, object } = task;
        let outcome =
            self.repository.check_object(&self.runtime, snapshot, object, |bytes| self.meter.passed(bytes));
        self.settle(task, outcome);
    }

    /// Counts a good object, and notes what is wrong with another.
    pub fn settle(&self, task: &Task, outcome: Result<()>) {
        let lost = match &outcome {
            Ok(()) => Vec::new(),
            Err(_) => self.scope.graph.lost_with(&task.snapshot, &task.object.name),
        };
        self.settle_object(&self.key(task), task.object.bytes, outcome.err(), lost);
    }

    /// The same, for an object of any kind.
    pub fn settle_object(&self, key: &str, bytes: u64, error: Option<Error>, lost: Vec<SnapshotId>) {
        // A bad answer is an answer: it was looked at.
        let answered = |e: &Error| matches!(e.kind(), Kind::Integrity | Kind::NotFound | Kind::Signature);
        if error.as_ref().is_none_or(answered) {
            self.checked.fetch_add(1, Relaxed);
            self.checked_bytes.fetch_add(bytes, Relaxed);
            self.meter.progress().add_files(1);
        }
        let Some(e) = error.filter(|e| e.kind() != Kind::Interrupted) else { return };
        if e.kind() == Kind::Unreachable {
            self.unreachable.fetch_add(1, Relaxed);
        }
        self.findings.sort(key, e, lost);
    }

    /// Notes something that is wrong inside an object whose bytes are right.
    pub fn wrong(&self, task: &Task, what: String) {
        let lost = self.scope.graph.lost_with(&task.snapshot, &task.object.name);
        self.findings.add(Finding { object: self.key(task), what, lost });
    }

    fn key(&self, task: &Task) -> String {
        layout::object(self.repository.instance(), &task.snapshot, &task.object.name)
    }
}
