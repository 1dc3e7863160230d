//! What the steps of a checkpoint share: everything opened once, and the record of what came of it.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::attempt::Attempt;
use super::scope::scope;
use super::{CheckpointReport, CheckpointRequest};
use crate::archive::evidence::gate::GateResult;
use crate::archive::evidence::key::{EvidenceKey, TrustedEvidenceKeys};
use crate::catalog::last_checkpoint::LastCheckpoint;
use crate::catalog::state::StateDir;
use crate::clock::{self, Timestamp};
use crate::config::Config;
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
        })
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
            .effect("the release is blocked: its evidence would be that of something else")
            .next("give the new build a release ID of its own"));
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
            .effect("the release is blocked: what it would change there cannot be undone by this checkpoint")
            .next("give each wave of a release an ID of its own, such as 2026.11.20/wave2"));
        }
        self.repository.complete_checkpoint(&checkpoint, &self.key).await?;
        Attempt::forget(&self.state, &self.folder)?;
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
