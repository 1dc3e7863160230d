//! The newest restore drills whose reports are believed.

use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::archive::drill::{self, Envelope, Stored};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::names::TenantName;
use crate::repository::snapshots::Trust;
use crate::repository::{Repository, layout};

/// Reports that are looked at: the newest by name first.
const LOOKED_MAX: usize = 50;
/// Reports that are read at a time.
const AT_ONCE: usize = 8;

/// What a report says, as far as others need it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredDrill {
    /// Its name.
    pub id: String,
    /// The tenant that was restored.
    pub tenant: TenantName,
    /// When the store stored the report, by the store's clock.
    pub stored_at: Timestamp,
    /// When it ended, by its host's clock.
    pub ended: Timestamp,
    /// `passed`, `failed`, `missed-objective` or `could-not-run`.
    pub verdict: String,
    /// The first reason, if it did not pass.
    pub reason: Option<String>,
    /// Data loss, measured.
    pub rpo_seconds: Option<f64>,
    /// Time to recover, measured.
    pub rto_seconds: Option<f64>,
}

impl StoredDrill {
    /// When it was, for its age: when it ended, or when it was stored where that was earlier. So a report
    /// that is stored again, as in a copied repository, stays old.
    pub fn time(&self) -> Timestamp {
        self.ended.min(self.stored_at)
    }
}

#[derive(Deserialize)]
struct Told {
    tenant: TenantName,
    ended: Timestamp,
    verdict: String,
    #[serde(default)]
    reasons: Vec<String>,
    rpo: Measured,
    rto: Measured,
}

#[derive(Deserialize)]
struct Measured {
    measured_ms: Option<u64>,
}

/// The newest drill of this instance, by the store's clock; of `tenants` where some are named. `None` where
/// no believed report is stored. Reports that are not believed are skipped.
///
/// # Errors
/// Those of the store: then it is not known which is the newest.
pub async fn newest(
    repository: &Repository,
    trust: &Trust,
    tenants: &[TenantName],
) -> Result<Option<StoredDrill>> {
    let folder = layout::drills(repository.instance());
    let mut names = repository.store().list_dirs(&folder).await?;
    names.sort();
    let mut newest: Option<StoredDrill> = None;
    for name in names.iter().rev().take(LOOKED_MAX) {
        let drill = match read(repository, trust, name).await {
            Ok(Some(drill)) => drill,
            Ok(None) => continue,
            Err(e) if e.is_damage() => {
                tracing::debug!("the report of drill {name} does not count: {}", e.line());
                continue;
            }
            Err(e) => return Err(e),
        };
        let wanted = tenants.is_empty() || tenants.contains(&drill.tenant);
        if wanted && newest.as_ref().is_none_or(|newest| newest.stored_at < drill.stored_at) {
            newest = Some(drill);
        }
    }
    Ok(newest)
}

/// The newest drills.
#[derive(Clone, Debug, PartialEq)]
pub struct Recent {
    /// The newest first, by the store's clock.
    pub drills: Vec<StoredDrill>,
    /// Whether every report was looked at: there may be older ones otherwise.
    pub is_all: bool,
}

/// The newest drills. Reports that are not believed are skipped.
///
/// # Errors
/// Those of the store.
pub async fn recent(repository: &Repository, trust: &Trust) -> Result<Recent> {
    let mut names = repository.store().list_dirs(&layout::drills(repository.instance())).await?;
    names.sort();
    let mut drills = Vec::new();
    let is_all = names.len() <= LOOKED_MAX;
    let looked = names.into_iter().rev().take(LOOKED_MAX);
    let read = |name: String| async move { (read(repository, trust, &name).await, name) };
    let mut reports = stream::iter(looked).map(read).buffered(AT_ONCE);
    while let Some((report, name)) = reports.next().await {
        match report {
            Ok(drill) => drills.extend(drill),
            Err(e) if e.is_damage() => {
                tracing::debug!("the report of drill {name} does not count: {}", e.line());
            }
            Err(e) => return Err(e),
        }
    }
    drop(reports);
    drills.sort_by_key(|drill| std::cmp::Reverse(drill.stored_at));
    Ok(Recent { drills, is_all })
}

/// One report; `None` where it is not believed.
///
/// # Errors
/// Those of the store; `Integrity` or `Signature` where it is damaged, or a stranger signed it.
pub async fn read(repository: &Repository, trust: &Trust, name: &str) -> Result<Option<StoredDrill>> {
    let Some(trusted) = trust.trusted() else { return Ok(None) };
    let record = repository.drill_record(name);
    let Some(info) = repository.store().head(&record.key).await? else { return Ok(None) };
    let Some(signed) = record.read(repository, &trusted).await? else { return Ok(None) };
    let envelope: Envelope = drill::read(&signed.record)?;
    let told: Told = drill::read(&signed.record)?;
    let ours = |stored: Stored| {
        stored.repository.as_deref() == Some(repository.id())
            && stored.instance.as_ref() == Some(repository.instance())
    };
    if envelope.drill != name || !envelope.stored.is_some_and(ours) {
        return Ok(None);
    }
    let seconds = |measure: Measured| measure.measured_ms.map(|ms| ms as f64 / 1e3);
    Ok(Some(StoredDrill {
        id: envelope.drill,
        tenant: told.tenant,
        stored_at: info.modified,
        ended: told.ended,
        verdict: told.verdict,
        reason: told.reasons.into_iter().next(),
        rpo_seconds: seconds(told.rpo),
        rto_seconds: seconds(told.rto),
    }))
}
