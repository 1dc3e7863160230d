//! Makes a checkpoint, step by step. Each step is cheap where the agent has done its work: rows are read for
//! the names of files only, and stored objects are read once.

use std::time::Instant;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::all_files::AllFiles;
use super::dumps::{Dumps, INSTEAD, are_all_there_is};
use super::evidence::{self, Before};
use super::gates::{self, Finding};
use super::needs::{Place, Way};
use super::proof::Needed;
use super::rehearsal_asked::check_scope;
use super::scope::scope;
use super::tenant::TenantLook;
use super::work::Work;
use super::{CheckpointReport, CheckpointRequest, agent};
use crate::archive::evidence::gate::Gate;
use crate::archive::evidence::key::EvidenceKey;
use crate::archive::evidence::predicate::{ChangeWhen, Checkpoint, Drill, FORMAT, Scorecard, TenantState};
use crate::archive::evidence::scorecard::scorecard;
use crate::archive::manifest::SnapshotKind;
use crate::archive::seal::Recipients;
use crate::archive::signature::TrustedKeys;
use crate::backup;
use crate::catalog::checkpoints;
use crate::catalog::held::Held;
use crate::catalog::proven::Proven;
use crate::catalog::state::StateDir;
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::inventory::drills;
use crate::inventory::take::Wanted;
use crate::inventory::{Inventory, Look, drills::StoredDrill};
use crate::names::SnapshotId;
use crate::names::TenantName;
use crate::names::wal::TimelineId;
use crate::postgres::server::server_info;
use crate::postgres::session::Session;
use crate::progress::Progress;
use crate::repository::layout;
use crate::repository::releases::CHECKPOINT;

/// How often the lock of another checkpoint is tried.
const LOCK_EVERY: std::time::Duration = std::time::Duration::from_millis(200);

/// Makes the checkpoint of a release, or gives the one that exists.
///
/// # Errors
/// What prevented that the gates could be decided; a gate that blocks is in the report. `Refused` where the
/// release has a checkpoint of another commit or image.
pub async fn run(
    config: &Config,
    request: CheckpointRequest,
    progress: Progress,
    cancel: CancellationToken,
) -> Result<CheckpointReport> {
    let begun = clock::instant();
    let until = begun + request.timeout.unwrap_or(config.checkpoint.timeout);
    let key = EvidenceKey::load(config.checkpoint.key_file.as_deref().ok_or_else(|| {
        Error::new(Kind::Config, "checkpoint.key_file is not set")
            .effect("no evidence can be signed")
            .next("lifeboat init makes the key; docs/evidence.md, \"Whom to trust\"")
    })?)?;
    let state = lock(config, until, &cancel).await?;
    let mut work = Work::open(config, &request, key, state, until, progress, cancel).await?;
    let mut report = match work.existing().await? {
        Some(stored) => work.again(stored).await?,
        None => {
            work.decide_at_once().await?;
            work.make().await?
        }
    };
    report.seconds = begun.elapsed().as_secs_f64();
    if !request.dry_run && report.stored.is_none() && report.blocking().next().is_none() {
        let what = "no gate blocks the release, and yet no evidence is stored";
        return Err(Error::new(Kind::Internal, what).effect("the release must not go on"));
    }
    if !request.dry_run && !report.existed {
        work.note(&report);
    }
    Ok(report)
}

/// The lock of checkpoints: of two calls at the same time, the second finds what the first one made.
async fn lock(config: &Config, until: Instant, cancel: &CancellationToken) -> Result<StateDir> {
    loop {
        match StateDir::open_for_checkpoint(&config.state_dir, &config.instance) {
            Err(e) if e.kind() == Kind::Busy && clock::instant() < until && !cancel.is_cancelled() => {
                clock::sleep(LOCK_EVERY).await;
            }
            opened => return opened,
        }
    }
}

impl Work<'_> {
    async fn make(&self) -> Result<CheckpointReport> {
        let (config, request) = (self.config, self.request);
        self.progress.stage("looking at the tenants");
        let recipients = Recipients::load(&config.seal.recipients, config.seal.recipients_file.as_deref())?;
        let signing = backup::job::signing_key(config)?;
        let mut session = Session::maintenance(&self.postgres).await?;
        let server = server_info(&mut session).await?;
        let trusted = TrustedKeys::parse(&config.signing.trusted_keys)?.with(&signing);
        let origin = self.repository.bind_unaltered(server.system_identifier.as_deref(), trusted).await?;
        let scope = scope(config, &self.postgres, &request.tenants, request.cohort.as_deref()).await?;
        check_scope(request.rehearse.as_ref(), &scope)?;
        let before = Before::read(&self.repository, &origin, &self.trusted, &request.release.id).await?;
        let proven = Mutex::new(Proven::open(&self.state.proven_file(), self.repository.id()).await?);
        let place = Place::new(&self.repository, &origin, &self.trust, &proven);

        let mut needed = Needed::default();
        let mut all = AllFiles::new(self.no_point.is_some());
        let (mut made, mut wal, mut dumps) = (None, clock::instant(), None);
        let looks;
        let dumps_do = request.dump || are_all_there_is(self, &mut session).await?;
        if dumps_do && self.no_point.is_none() {
            looks = self.looks(&scope.tenants).await?;
            dumps = Some(Dumps::take(self, &scope.tenants).await?);
        } else {
            all.look(self, &scope.tenants, &place, &mut needed).await?;
            looks = self.looks(&scope.tenants).await?;
            (made, wal) = self.point(&mut session).await?;
            all.look(self, &scope.tenants, &place, &mut needed).await?;
        }
        // What follows takes a while, and the server may restart: sessions of their own ask what else is
        // asked.
        session.close().await;
        let captured = self.capture(&place, &before, &mut needed).await?;
        let wal = self.wait(wal, &made, &origin).await?;

        self.progress.stage("checking what is stored");
        let now = self.now().await?;
        let wanted = Wanted { wal: true, ..Wanted::default() };
        let inventory = Inventory::take(&self.repository, &self.trust, &wanted).await?;
        let at = made.as_ref().map(|made| (TimelineId(made.timeline), made.lsn));
        let way = match dumps_do {
            true => Err(Error::new(Kind::Refused, INSTEAD)),
            false => Way::add(&place, &inventory, at, now, &mut needed).await,
        };
        let dumped = match &dumps {
            Some(dumps) => dumps.add(&place, &mut needed).await,
            None => Ok(()),
        };
        let sample = config.checkpoint.sample_files;
        let proof = needed.prove(&self.repository, &mut *proven.lock().await, sample, self.until).await?;
        if !proof.damaged_in.is_empty() {
            // The next call stores again what a damaged batch holds, if it is still on disk.
            let mut held = Held::open(&self.state.held_file(), self.repository.id()).await?;
            held.forget(&proof.damaged_in).await?;
        }
        let drill = drills::newest(&self.repository, &self.trust, &[]).await;

        let mut states = Vec::new();
        for look in &looks {
            let mut state = match &dumps {
                Some(dumps) => {
                    look.state(dumps.files(&look.tenant, &needed), dumps.of(&look.tenant, &needed))?
                }
                None => all.state(look, &needed)?,
            };
            before.add_changes(&mut state, request.modules.as_ref());
            states.push(state);
        }
        let mut release = request.release.clone();
        release.migrates = request.modules.as_ref().map(|_| migrates(&states));
        let tier = self.tier()?;
        let chain = match (&captured.broken, &way, &dumps, &dumped) {
            (Some(e), ..) | (_, _, Some(_), Err(e)) => Finding::of_error(e),
            (_, _, None, _) if dumps_do => Finding::not_required(INSTEAD),
            (_, Err(e), None, _) => no_way(e, &inventory),
            _ => gates::chain(&proof),
        };
        let base = match &way {
            _ if dumps_do => Finding::not_required(INSTEAD),
            Ok(way) => gates::base(way.point, now, config.checkpoint.base_age_max),
            Err(_) => newest_base(&inventory, now, config),
        };
        let agent = match dumps_do {
            true => Finding::not_required(INSTEAD),
            false => agent::look(config, &self.postgres).await.unwrap_or_else(|e| Finding::of_error(&e)),
        };
        let newest = drill.as_ref().map(Option::as_ref);
        let mut findings = vec![
            (Gate::Chain, chain),
            (Gate::Wal, wal.finding),
            (
                Gate::Filestore,
                dumps.as_ref().map_or_else(|| all.finding(), |dumps| dumps.finding(&scope.tenants)),
            ),
            (Gate::Drill, gates::drill(newest, now, config.checkpoint.drill_age_max)),
            (Gate::Base, base),
            (Gate::Freeze, gates::freeze(&config.checkpoint, self.decided_at.unwrap_or(now))),
            (Gate::Region, gates::region(&config.checkpoint, config.repository.region.as_deref())),
            (Gate::Approval, gates::approval(&release, tier)),
            (Gate::Migration, gates::migration(&release, tier)),
            (Gate::Agent, agent),
        ];
        let of_tier = (release.tier.as_str(), tier);
        let (rehearsed, rehearsal) =
            self.rehearsal((&states, &looks), made.as_ref(), &findings, of_tier).await?;
        findings.push((Gate::Rehearsal, rehearsed));
        let gates = gates::results(findings, of_tier, &request.overrides)?;

        let point = made.as_ref().map(|made| self.predicate_point(made, &server, &wal.stored, wal.seconds));
        let mut checkpoint = Checkpoint {
            format: FORMAT,
            origin,
            release,
            scope,
            begun: self.begun,
            ended: clock::now(),
            point,
            base: way.as_ref().ok().map(|way| way.chain(&needed)),
            tenants: states,
            configuration: captured.configuration.clone(),
            artifacts: captured.artifacts.clone(),
            repositories: evidence::places(config, &self.repository),
            recipients: evidence::fingerprints(&recipients),
            drill: drill_of(drill, now),
            rehearsal,
            gates,
            rollback: Vec::new(),
            previous: before.previous(),
            scorecard: Scorecard::default(),
            written_by: format!("lifeboat {}", env!("CARGO_PKG_VERSION")),
        };
        checkpoint.rollback = evidence::rollback(&checkpoint);
        checkpoint.scorecard = scorecard(&checkpoint);
        let mut report = CheckpointReport {
            checkpoint,
            stored: None,
            sha256: None,
            existed: false,
            seconds: 0.0,
            notes: captured.notes.into_iter().chain(dumps.as_ref().map(Dumps::note)).collect(),
        };
        if self.no_point.is_some() || report.blocking().next().is_some() {
            return Ok(report);
        }
        self.progress.stage("storing the evidence");
        self.store(&looks, &recipients, &mut report).await?;
        Ok(report)
    }

    /// The counters of each tenant. They must be taken before the point: what a plan of a rollback says is
    /// exact only then ([`crate::odoo::counters`]).
    async fn looks(&self, tenants: &[TenantName]) -> Result<Vec<TenantLook>> {
        let mut looks = Vec::new();
        for tenant in tenants {
            looks.push(TenantLook::take(&self.postgres, tenant).await?);
        }
        Ok(looks)
    }

    /// Stores the baselines, then the evidence.
    async fn store(
        &self,
        looks: &[TenantLook],
        recipients: &Recipients,
        report: &mut CheckpointReport,
    ) -> Result<()> {
        for look in looks {
            let file = checkpoints::counters_file(
                &self.config.state_dir,
                &self.config.instance,
                &self.folder,
                &look.tenant,
            )?;
            checkpoints::keep_counters(&file, &look.counters.1)?;
            self.repository.store_baseline(&self.request.release.id, &look.counters.1, recipients).await?;
        }
        match self.repository.store_checkpoint(&report.checkpoint, &self.key).await {
            Ok(stored) => report.sha256 = Some(stored.evidence.sha256),
            // Another host was faster: its checkpoint is the one.
            Err(e) if e.kind() == Kind::AlreadyExists => {
                let Some(stored) = self.existing().await? else { return Err(e) };
                *report = self.again(stored).await?;
                return Ok(());
            }
            Err(e) => return Err(e),
        }
        let id = &report.checkpoint.release.id;
        report.stored = Some(layout::release_object(self.repository.instance(), id, CHECKPOINT));
        Ok(())
    }
}

/// Nothing leads to the point. A base backup without a manifest may be running, or its manifest was lost.
fn no_way(e: &Error, inventory: &Inventory) -> Finding {
    let is_base = |id: &SnapshotId| id.kind() == SnapshotKind::Base.as_str();
    let unfinished = |(id, look): &(SnapshotId, Look)| {
        (is_base(id) && matches!(look, Look::Unfinished)).then(|| id.to_string())
    };
    let unfinished: Vec<String> = inventory.snapshots.iter().filter_map(unfinished).collect();
    let found = Finding::of_error(e);
    match unfinished.is_empty() {
        true => found,
        false => Finding {
            found: format!("{}; without a manifest: {}", found.found, unfinished.join(", ")),
            ..found
        },
    }
}

fn migrates(states: &[TenantState]) -> bool {
    let changes = states.iter().flat_map(|state| &state.module_changes);
    changes.into_iter().any(|change| change.when == ChangeWhen::WithRelease)
}

fn drill_of(drill: Result<Option<StoredDrill>>, now: Timestamp) -> Option<Drill> {
    drill.ok().flatten().map(|one| evidence::drill(&one, now))
}

/// The age of the newest base backup, where no way leads to the point.
fn newest_base(inventory: &Inventory, now: Timestamp, config: &Config) -> Finding {
    let is_base = |id: &SnapshotId| id.kind() == SnapshotKind::Base.as_str();
    let mut looks = inventory.snapshots.iter().filter(|(id, _)| is_base(id)).map(|(_, look)| look);
    // One that could not be read may be the newest.
    if let Some(Look::NotRead(e)) = looks.find(|look| matches!(look, Look::NotRead(_))) {
        return Finding::of_error(e);
    }
    match crate::inventory::pick::newest(inventory, SnapshotKind::Base, None) {
        Some(base) => gates::base(base.time(), now, config.checkpoint.base_age_max),
        None => Finding::failed("there is no base backup; run lifeboat backup --kind base"),
    }
}
