//! What the steps of a checkpoint share: everything opened once, and the record of what came of it.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::gates;
use super::rehearsal_asked::{at_once, check_record};
use super::scope::scope;
use super::{CheckpointReport, CheckpointRequest};
use crate::archive::evidence::gate::{Gate, GateResult};
use crate::archive::evidence::key::{EvidenceKey, TrustedEvidenceKeys};
use crate::catalog::last_checkpoint::LastCheckpoint;
use crate::catalog::state::StateDir;
use crate::clock::{self, Timestamp};
use crate::config::{Config, Tier};
use crate::error::{Error, Kind, Result};
use crate::names::TenantName;
use crate::postgres::connect::PostgresOptions;
use crate::progress::Progress;
use crate::repository::releases::{CHECKPOINT, StoredCheckpoint};
use crate::repository::snapshots::Trust;
use crate::repository::{Repository, layout};

/// See the module.
pub(super) struct Work<'a> {
    pub(super) config: &'a Config,
    pub(super) request: &'a CheckpointRequest,
    pub(super) key: EvidenceKey,
    pub(super) trusted: TrustedEvidenceKeys,
    pub(super) state: StateDir,
    pub(super) folder: String,
    pub(super) repository: Repository,
    pub(super) trust: Trust,
    pub(super) postgres: PostgresOptions,
    pub(super) until: Instant,
    pub(super) begun: Timestamp,
    /// Why no restore point is to be made.
    pub(super) no_point: Option<&'static str>,
    /// When that was decided, by the store's clock.
    pub(super) decided_at: Option<Timestamp>,
    pub(super) progress: Progress,
    pub(super) cancel: CancellationToken,
}

impl<'a> Work<'a> {
    pub(super) async fn open(
        config: &'a Config,
        request: &'a CheckpointRequest,
        key: EvidenceKey,
        state: StateDir,
        until: Instant,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<Work<'a>> {
        Ok(Work {
            trusted: TrustedEvidenceKeys::configured(&config.checkpoint)?,
            folder: layout::release_folder(&request.release.id),
            repository: Repository::configured(config).await?,
            trust: Trust::keys(&config.signing.trusted_keys)?,
            postgres: PostgresOptions::from(&config.postgres).stopped_by(&cancel),
            begun: clock::now(),
            config,
            request,
            key,
            state,
            until,
            progress,
            cancel,
            no_point: None,
            decided_at: None,
        })
    }

    /// What the tier of the release wants.
    ///
    /// # Errors
    /// `Usage` where it is not configured.
    pub(super) fn tier(&self) -> Result<&Tier> {
        let (tiers, tier) = (&self.config.checkpoint.tiers, &self.request.release.tier);
        tiers.get(tier).ok_or_else(|| {
            let known: Vec<&str> = tiers.keys().map(String::as_str).collect();
            Error::new(Kind::Usage, format!("there is no tier {tier}"))
                .next(format!("known tiers: {}", known.join(", ")))
        })
    }

    /// Now, by the clock of the store where it has one.
    pub(super) async fn now(&self) -> Result<Timestamp> {
        Ok(self.repository.store().now(layout::META).await?.unwrap_or_else(clock::now))
    }

    /// Decides whether no restore point is to be made: a dry run, or a gate blocks that needs nothing but the
    /// call and the configuration. A release that is refused anyway must not leave points, dumps and
    /// snapshots each time.
    ///
    /// # Errors
    /// `Usage` for a tier or an override that cannot be; those of the store, whose clock counts.
    pub(super) async fn decide_at_once(&mut self) -> Result<()> {
        let (settings, tier, release) = (&self.config.checkpoint, self.tier()?, &self.request.release);
        let now = self.now().await?;
        let findings = vec![
            (Gate::Freeze, gates::freeze(settings, now)),
            (Gate::Region, gates::region(settings, self.config.repository.region.as_deref())),
            (Gate::Approval, gates::approval(release, tier)),
            (Gate::Rehearsal, at_once(self.config, self.request.rehearse.as_ref())),
        ];
        let results = gates::results(findings, (&release.tier, tier), &self.request.overrides)?;
        self.no_point = match (self.request.dry_run, results.iter().any(GateResult::blocks)) {
            (true, _) => Some("a dry run makes no restore point"),
            (_, true) => Some("no restore point is made for a release that another gate blocks"),
            _ => None,
        };
        // A window that ends meanwhile must not leave a release that nothing blocks, and that has no point.
        self.decided_at = self.no_point.map(|_| now);
        Ok(())
    }

    /// Records the outcome for the agent's metrics: a release must not fail because of that.
    pub(super) fn note(&self, report: &CheckpointReport) {
        let file = LastCheckpoint::file(&self.config.state_dir, &self.config.instance);
        let mut last = LastCheckpoint::read(&file).unwrap_or_default();
        match report.stored {
            Some(_) => last.passed = Some(clock::now()),
            None => last.blocked = Some(clock::now()),
        }
        last.seconds = report.seconds;
        let word = |gate: &GateResult| (gate.gate.to_string(), gate.word().to_owned());
        last.gates = report.checkpoint.gates.iter().map(word).collect();
        if let Err(e) = last.keep(&file) {
            tracing::warn!("{e:?}");
        }
    }

    /// The checkpoint that the release has.
    pub(super) async fn existing(&self) -> Result<Option<StoredCheckpoint>> {
        let origin = match self.repository.origin().await {
            Err(e) if e.kind() == Kind::NotFound => return Ok(None), // before the first backup
            origin => origin?,
        };
        self.repository.read_checkpoint(&self.request.release.id, &origin, &self.trusted).await
    }

    /// The report of a checkpoint that exists: completed where a call was killed after it was stored.
    pub(super) async fn again(&self, stored: StoredCheckpoint) -> Result<CheckpointReport> {
        let checkpoint = stored.evidence.checkpoint;
        let (was, is) = (&checkpoint.release, &self.request.release);
        let differs = [("commit", &was.commit, &is.commit), ("image", &was.image, &is.image)];
        if let Some((what, was, is)) = differs.into_iter().find(|(_, was, is)| is.is_some() && was != is) {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
            return Err(Error::new(
                Kind::Refused,
                format!("release {} has a checkpoint of another {what}", checkpoint.release.id),
            )
            .because(format!("it was made for {}, and this call names {}", text(was), text(is)))
            .effect("the release is blocked: the evidence would be that of another build")
            .next("give the new build a new release ID"));
        }
        let wanted =
            scope(self.config, &self.postgres, &self.request.tenants, self.request.cohort.as_deref()).await?;
        let outside: Vec<&str> = wanted
            .tenants
            .iter()
            .filter(|tenant| !checkpoint.scope.tenants.contains(tenant))
            .map(TenantName::as_str)
            .collect();
        if !outside.is_empty() {
            return Err(Error::new(
                Kind::Refused,
                format!(
                    "the checkpoint of release {} does not cover {}",
                    checkpoint.release.id,
                    outside.join(", ")
                ),
            )
            .effect("the release is blocked: this checkpoint cannot undo it for these tenants")
            .next("give each wave of a release an ID of its own, such as 2026.11.20/wave2"));
        }
        if let Some(asked) = &self.request.rehearse {
            check_record(asked, &checkpoint)?;
        }
        if !self.request.dry_run {
            self.repository.complete_checkpoint(&checkpoint, &self.key).await?;
        }
        Ok(CheckpointReport {
            stored: Some(layout::release_object(
                self.repository.instance(),
                &checkpoint.release.id,
                CHECKPOINT,
            )),
            sha256: Some(stored.evidence.sha256),
            checkpoint,
            existed: true,
            seconds: 0.0,
            notes: Vec::new(),
        })
    }
}
