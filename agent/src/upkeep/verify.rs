//! `lifeboat verify`: every object fetched once and compared with what was signed. Needs no key;
//! with one, everything is decoded too ([`super::deep`]). A quick check reads no content: names, sizes,
//! manifests, signatures and versions show what a thief did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::archive::evidence::key::TrustedEvidenceKeys;
use crate::archive::pack;
use crate::archive::seal::Identities;
use crate::archive::signature::TrustedKeys;
use crate::archive::tombstone::WalRange;
use crate::archive::wal::WalOpener;
use crate::archive::wal_name::NameTrust;
use crate::clock::{self, later};
use crate::error::{Error, Kind, Result};
use crate::inventory::Snapshot;
use crate::inventory::gaps::Missing;
use crate::inventory::pick::oldest_first;
use crate::names::wal::SegmentBytes;
use crate::names::{InstanceName, SnapshotId, TenantName, random_hex};
use crate::progress::Progress;
use crate::repository::announced::{Announced, wal_in};
use crate::repository::sealed_for::SealedFor;
use crate::repository::snapshots::Trust;
use crate::repository::wal::WalReader;
use crate::repository::wal::coverage::segment_bytes;
use crate::repository::{Repository, layout};
use crate::upkeep::doubtful::doubtful;
use crate::upkeep::findings::{Covered, Finding, Findings, Found, NewestWhole, Report, Unasked, Unfinished};
use crate::upkeep::lacking::lacking;
use crate::upkeep::meter::Meter;
use crate::upkeep::scope::Scope;
use crate::upkeep::tombstones::KeptFor;
use crate::upkeep::wal::WalTask;
use crate::upkeep::work::{Task, Work, each};
use crate::upkeep::{checkpoints, deep, drills, holds, records, tombstones, versions, wal};

/// What is asked for.
pub struct VerifyRequest {
    /// Only these and what they need; all where empty.
    pub snapshots: Vec<SnapshotId>,
    /// Only this tenant's, and what they need.
    pub tenant: Option<TenantName>,
    /// How many percent of the objects are read; all where `None`.
    pub sample_percent: Option<f64>,
    /// Read no content, only what is small and signed.
    pub quick: bool,
    /// Reading rate.
    pub bytes_per_second_max: Option<u64>,
    /// What opens archives: everything is decoded then.
    pub identities: Option<Identities>,
    /// Objects read at once.
    pub workers: usize,
    /// Whose manifests are believed.
    pub trust: Trust,
    /// For whom this host encrypts; `None` where it does not.
    pub sealed_for: Option<SealedFor>,
    /// Whose evidence of checkpoints is believed; `None` where no key is known.
    pub evidence_keys: Option<TrustedEvidenceKeys>,
    /// Batches that this host knows to have been stored: it is a finding if one is gone that no tombstone
    /// names.
    pub known: BTreeSet<SnapshotId>,
    /// Whose tombstones are believed.
    pub announcers: TrustedKeys,
    /// What tombstones cannot name yet.
    pub kept: KeptFor,
    /// Tombstones that an earlier check of this host found doubtful: they excuse nothing.
    pub doubted: BTreeSet<SnapshotId>,
}

/// Checks. An error only if nothing could be checked at all; see [`Report::verdict`].
pub async fn run(
    repository: Repository,
    request: VerifyRequest,
    progress: Progress,
    cancel: CancellationToken,
) -> Result<Report> {
    progress.stage("manifests");
    let findings = Findings::default();
    let origin = repository.origin().await?;
    let VerifyRequest { snapshots, tenant, trust, .. } = &request;
    let tombstones = tombstones::read(&repository, &origin, &request.announcers, &findings, &cancel).await;
    // Where none could be read, all that were doubtful still are.
    let unread = if tombstones.is_empty() { request.doubted.clone() } else { BTreeSet::new() };
    let (mistrusted, tombstones) = tombstones::told_apart(tombstones, &request.doubted);
    // What may have gone by now.
    let announced =
        Announced::of(repository.instance(), &tombstones, SegmentBytes::USUAL).snapshots(clock::now());
    let scope =
        Scope::survey(&repository, &origin, trust, (snapshots, tenant.as_ref()), &announced, &findings)
            .await
            .map_err(|e| e.effect("nothing is known of what is stored: it is not checked"))?;
    let (mut drills, mut wal) = (drills::Drills::default(), Vec::new());
    let (mut releases, mut held) = (checkpoints::Checkpoints::default(), holds::Holds::default());
    let mut recorded = records::Records::default();
    let snapshots_of = |ids: &mut dyn Iterator<Item = &SnapshotId>| -> Vec<Snapshot> {
        ids.filter_map(|id| scope.snapshot(repository.instance(), id)).collect()
    };
    let chosen = snapshots_of(&mut scope.chosen.iter());
    let Missing { mut problems, mut warnings } = lacking(&chosen);
    warnings.extend(doubtful(&chosen, request.sealed_for.as_ref()));
    let everything = snapshots.is_empty() && tenant.is_none();
    let mut doubted = None;
    let (mut size, mut saw_versions) = (SegmentBytes::USUAL, false);
    if everything {
        scope.find_missed(repository.instance(), &(&request.known - &announced), &findings);
        drills = drills::check(&repository, trust, &scope.listed, &findings, &cancel).await;
        let keys = request.evidence_keys.as_ref();
        releases = checkpoints::check(&repository, &origin, keys, &scope.listed, &findings, &cancel).await;
        warnings.append(&mut releases.warnings);
        held = holds::check(&repository, (&origin, trust), &scope.listed, &findings, &cancel).await;
        recorded = records::check(&repository, &origin, trust, &scope.listed, &findings, &cancel).await;
        let list = repository.wal(&NameTrust::new(&origin, trust.trusted()), true).await?;
        wal = wal::tasks(repository.instance(), &list, &findings);
        size = segment_bytes(list.objects.iter().map(|object| &object.name));
        let versions;
        (versions, saw_versions) = versions::check(&repository, &tombstones, size, &findings, &cancel).await;
        problems.extend(versions.problems);
        warnings.extend(versions.warnings);
        let find = |id: &SnapshotId| scope.snapshot(repository.instance(), id);
        let has_wal = |range: &WalRange, since| {
            list.objects.iter().filter(|object| object.stored_at > since).any(|object| {
                wal_in(&object.name, size).is_some_and(|(timeline, begin, end)| {
                    timeline == range.timeline && range.holds(begin, end, object.stored_at)
                })
            })
        };
        let kept = &request.kept;
        let reports =
            scope.drills.iter().map(|(folder, newest)| (folder.clone(), later(*newest, kept.drills)));
        let over = recorded.until.drain().chain(reports).collect();
        let there = tombstones::StillThere { find, has_wal, over: &over };
        let told = tombstones::doubtful(repository.instance(), &tombstones, &there, kept);
        let (now_doubted, sentences): (Vec<SnapshotId>, Vec<String>) = told.into_iter().unzip();
        problems.extend(sentences);
        problems.extend(mistrusted.iter().map(tombstones::still_there));
        let before = mistrusted.iter().map(|one| one.tombstone.run.clone());
        doubted = Some(now_doubted.into_iter().chain(before).chain(unread).collect());
        let all = snapshots_of(&mut scope.manifests.keys().filter(|id| !announced.contains(id)));
        let gaps = wal::look_for_gaps(&repository, (&origin, trust), list, &all, &findings).await;
        problems.extend(gaps.problems);
        warnings.extend(gaps.warnings);
    }
    // What would have to be requested first is looked for, and not read.
    let is_cold =
        |task: &Task| task.object.name.starts_with(pack::FOLDER) && scope.cold(&task.snapshot).is_some();
    let (mut sized, mut tasks): (Vec<Task>, Vec<Task>) =
        tasks(&scope).into_iter().partition(|task| request.quick || is_cold(task));
    if !request.quick {
        let classes = sized.iter().filter_map(|task| Some((&task.snapshot, scope.cold(&task.snapshot)?)));
        for (id, cold) in classes.collect::<BTreeMap<_, _>>() {
            let class = &cold.storage_class;
            let why = format!("its packs are in storage class {class}: their content was not read");
            findings.skip(id.as_str(), why);
        }
    }
    // Cold packs are named; nobody waits until they are read.
    let not_read: &[Task] = if request.quick { &sized } else { &[] };
    let all = (tasks.len() + not_read.len() + wal.len()) as u64;
    let bytes_of = |tasks: &[Task], wal: &[WalTask]| {
        tasks.iter().map(|task| task.object.bytes).sum::<u64>()
            + wal.iter().map(|task| task.bytes).sum::<u64>()
    };
    let all_bytes = bytes_of(&tasks, &wal) + bytes_of(not_read, &[]);
    sized.retain(|task| is_odd(&repository, &scope, task));
    if request.quick {
        wal.clear();
    } else if let Some(percent) = request.sample_percent {
        tasks = sample(&repository, &scope, tasks, percent);
        wal = wal::sample(wal, percent);
    }
    progress.stage(format!("{} objects", tasks.len() + wal.len()));
    let bytes = bytes_of(&tasks, &wal);
    if request.identities.is_none() {
        progress.expect_bytes(bytes); // else there is more, which the indexes tell
    }
    let trusted = trust.trusted();
    let wal_reader = request.identities.as_ref().map(|identities| {
        let (origin, identities, trusted) = (origin.clone(), identities.clone(), trusted.clone());
        WalReader::new(repository.clone(), WalOpener { origin, identities, trusted })
    });
    let work = Arc::new(Work {
        runtime: Handle::current(),
        meter: Meter::new(request.bytes_per_second_max, progress, cancel.clone()),
        scope,
        findings,
        origin,
        trusted,
        wal_reader,
        partial: Mutex::default(),
        checked: AtomicU64::new(0),
        checked_bytes: AtomicU64::new(0),
        files: AtomicU64::new(0),
        unreachable: AtomicU64::new(0),
        repository,
    });
    let (shared, workers, identities) = (work.clone(), request.workers, request.identities);
    let deep = identities.is_some();
    let partial = tokio::task::spawn_blocking(move || {
        match identities {
            Some(identities) => deep::check(&shared, tasks, &identities, workers, bytes),
            None => each(&shared, tasks, workers, |task| shared.check(task)),
        }
        each(&shared, sized, workers, |task| shared.check_size(task));
        each(&shared, wal, workers, |task| shared.check_wal(task));
        shared.judge_partial()
    })
    .await
    .map_err(|e| Error::new(Kind::Internal, "a thread of the check panicked").because(e))?;
    problems.extend(partial.problems);
    warnings.extend(partial.warnings);
    let work = Arc::into_inner(work)
        .ok_or_else(|| Error::new(Kind::Internal, "a thread of the check did not end"))?;
    let Found { mut findings, missing, unasked, skipped, foreign } = work.findings.take();
    let newest_whole = newest_whole(work.repository.instance(), &work.scope, &findings, &unasked);
    if !missing.is_empty() {
        // What expire deleted while this ran is no damage. What cannot be known is.
        let read = async {
            let runs = work.repository.expiry_runs().await?;
            work.repository.tombstones(runs, &work.origin, &request.announcers).await
        };
        let (tombstones, _) = read.await.unwrap_or_default();
        let (_, tombstones) = tombstones::told_apart(tombstones, &request.doubted);
        let (announced, now) = (Announced::of(work.repository.instance(), &tombstones, size), clock::now());
        findings.retain(|finding| {
            let Some(stored) = missing.get(&finding.object) else { return true };
            let nobody_needs_it = finding.lost.iter().all(|id| announced.names_snapshot(now, id));
            !(nobody_needs_it && announced.names(now, &finding.object, *stored))
        });
    }
    problems.extend(foreign.problem());
    let (foreign, foreign_more) = foreign.into_named();
    let (checked, checked_bytes) = (work.checked.into_inner(), work.checked_bytes.into_inner());
    let unfinished = work.scope.unfinished_snapshots();
    let reports = drills.unfinished.into_iter().map(|id| Unfinished {
        id,
        what: "no report.json: the drill is running, was cut short, or its report is lost".to_owned(),
    });
    Ok(Report {
        instance: work.repository.instance().clone(),
        repository: work.repository.store().url().to_owned(),
        deep,
        quick: request.quick,
        versions_checked: saw_versions,
        snapshots: work.scope.chosen.len() as u64,
        unfinished: unfinished.into_iter().chain(reports).chain(releases.unfinished).collect(),
        problems,
        warnings,
        foreign,
        foreign_more,
        newest_whole,
        skipped,
        objects_checked: checked + drills.objects + releases.objects + held.objects + recorded.objects,
        bytes_checked: checked_bytes + drills.bytes + releases.bytes + held.bytes + recorded.bytes,
        objects_not_checked: all - checked.min(all),
        bytes_not_checked: all_bytes.saturating_sub(checked_bytes),
        files_checked: work.files.into_inner(),
        findings,
        unasked,
        interrupted: cancel.is_cancelled(),
        covered: Covered { chosen: work.scope.chosen, everything },
        doubted,
    })
}

/// The newest dump of each tenant that was checked, without a finding.
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
        if let (Some(tenant), true) = (dump.manifest.tenant.clone(), dump.manifest.dump().is_some()) {
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

fn tasks(scope: &Scope) -> Vec<Task> {
    let chosen = scope.chosen.iter().filter_map(|id| scope.manifests.get(id));
    chosen
        .flat_map(|m| m.objects.iter().map(|o| Task { snapshot: m.id.clone(), object: o.clone() }))
        .collect()
}

/// Whether an object is not listed with its size.
fn is_odd(repository: &Repository, scope: &Scope, task: &Task) -> bool {
    let key = layout::object(repository.instance(), &task.snapshot, &task.object.name);
    scope.listed.get(&key) != Some(&task.object.bytes)
}

/// So many percent, at random, and every object that is not listed with its size.
fn sample(repository: &Repository, scope: &Scope, mut tasks: Vec<Task>, percent: f64) -> Vec<Task> {
    let wanted = (tasks.len() as f64 * percent / 100.0).ceil() as usize;
    tasks.sort_by_cached_key(|_| random_hex(8));
    let rest = tasks.split_off(wanted.min(tasks.len()));
    tasks.extend(rest.into_iter().filter(|task| is_odd(repository, scope, task)));
    tasks
}
