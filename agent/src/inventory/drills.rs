//! The newest restore drills whose reports are believed.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::archive::drill::{self, Envelope, Stored};
use crate::clock::{self, Timestamp, earlier};
use crate::config::Class;
use crate::error::Result;
use crate::names::{SnapshotId, TenantName};
use crate::repository::snapshots::Trust;
use crate::repository::{Repository, layout};

/// Reports that are read in any case, if so many are stored: the newest by name.
const READ_MIN: usize = 50;
/// Reports that are read at most, while a tenant is looked for.
const READ_MAX: usize = 1_000;
/// Reports that are read at a time.
const AT_ONCE: usize = 16;
/// How far back a drill of a tenant is looked for, if nothing promises one less often.
const REACH_MIN: Duration = Duration::from_secs(35 * 86_400);

/// What a report says, as far as others need it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredDrill {
    /// Its name.
    pub id: String,
    /// The tenant that was restored.
    pub tenant: TenantName,
    /// Whether it was restored with the whole instance: then the times are those of the instance.
    pub whole_instance: bool,
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
    /// What was restored; `None` if the drill found nothing to restore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Restored>,
}

/// The state that a drill restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The snapshot: a dump, or the base backup that was replayed.
    #[serde(rename(deserialize = "id"))]
    pub snapshot: SnapshotId,
    /// The moment whose state it is.
    pub point: Timestamp,
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
    /// Absent in the drill of a whole instance, which has `tenants`.
    tenant: Option<TenantName>,
    #[serde(default)]
    tenants: Vec<ToldTenant>,
    ended: Timestamp,
    verdict: String,
    #[serde(default)]
    reasons: Vec<String>,
    rpo: Measured,
    rto: Measured,
    /// Not read further where another version wrote it otherwise.
    snapshot: Option<serde_json::Value>,
}

/// A tenant of an instance that was drilled as a whole.
#[derive(Deserialize)]
struct ToldTenant {
    tenant: TenantName,
    verdict: String,
    #[serde(default)]
    reasons: Vec<String>,
}

#[derive(Clone, Copy, Deserialize)]
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
    let wanted = |drill: &StoredDrill| tenants.is_empty() || tenants.contains(&drill.tenant);
    let read = walk(repository, trust, (READ_MIN, Timestamp::MAX), |_| false).await?;
    Ok(read.drills.into_iter().find(wanted))
}

/// The newest drills.
#[derive(Clone, Debug, PartialEq)]
pub struct Recent {
    /// The newest first, by the store's clock.
    pub drills: Vec<StoredDrill>,
    /// Whether every report was looked at: there may be older ones otherwise.
    pub is_all: bool,
}

/// How far back the drills of these classes are looked for: as far as one of them promises.
pub fn reach<'a>(classes: impl IntoIterator<Item = &'a Class>) -> Duration {
    classes.into_iter().filter_map(|class| class.drill_every).fold(REACH_MIN, Duration::max)
}

/// The newest drills: as far back as one of each of these tenants, but not further than `reach`, nor than
/// 1,000 reports. Reports that are not believed are skipped.
///
/// # Errors
/// Those of the store.
pub async fn recent(
    repository: &Repository,
    trust: &Trust,
    tenants: &BTreeSet<TenantName>,
    reach: Duration,
) -> Result<Recent> {
    let mut missing = tenants.clone();
    let wanted = move |drills: &[StoredDrill]| {
        missing.retain(|tenant| drills.iter().all(|drill| drill.tenant != *tenant));
        !missing.is_empty()
    };
    walk(repository, trust, (READ_MIN, earlier(clock::now(), reach)), wanted).await
}

/// The newest drill of a tenant that is like this, as far as 1,000 reports go back. Reports that are not
/// believed are skipped.
///
/// # Errors
/// Those of the store.
pub async fn newest_like(
    repository: &Repository,
    trust: &Trust,
    is_like: impl Fn(&StoredDrill) -> bool,
) -> Result<Option<StoredDrill>> {
    let mut found = false;
    let wanted = |drills: &[StoredDrill]| {
        found |= drills.iter().any(&is_like);
        !found
    };
    let read = walk(repository, trust, (0, Timestamp::UNIX_EPOCH), wanted).await?;
    Ok(read.drills.into_iter().find(|drill| is_like(drill)))
}

/// Reads reports, the newest by name first: `min` in any case; then as long as `wanted` says so of the last
/// one that was read (none if it does not count), and the drill began after `since`.
async fn walk(
    repository: &Repository,
    trust: &Trust,
    (min, since): (usize, Timestamp),
    mut wanted: impl FnMut(&[StoredDrill]) -> bool,
) -> Result<Recent> {
    let mut names = repository.store().list_dirs(&layout::drills(repository.instance())).await?;
    names.sort_by(|a, b| b.cmp(a));
    let oldest = since.strftime("%Y%m%dT%H%M%SZ").to_string();
    let more = names.iter().take(READ_MAX).skip(min).take_while(|name| **name > oldest).count();
    let looked = names.len().min(min) + more;
    let read = |name: &String| {
        let name = name.clone();
        async move { (read(repository, trust, &name).await, name) }
    };
    let mut reports = stream::iter(names.iter().take(looked)).map(read).buffered(AT_ONCE).enumerate();
    let (mut drills, mut is_all) = (Vec::new(), looked == names.len());
    while let Some((at, (report, name))) = reports.next().await {
        let own = match report {
            Ok(own) => own,
            Err(e) if e.is_damage() => {
                tracing::debug!("the report of drill {name} does not count: {}", e.line());
                Vec::new()
            }
            Err(e) => return Err(e),
        };
        let goes_on = wanted(&own);
        drills.extend(own);
        if at + 1 >= min && !goes_on {
            is_all &= at + 1 == looked;
            break;
        }
    }
    drop(reports);
    drills.sort_by_key(|drill| std::cmp::Reverse(drill.stored_at));
    Ok(Recent { drills, is_all })
}

/// One report: of its tenant; or of each tenant of a whole instance, the worst first. Empty where it is not
/// believed.
///
/// # Errors
/// Those of the store; `Integrity` or `Signature` where it is damaged, or a stranger signed it.
pub async fn read(repository: &Repository, trust: &Trust, name: &str) -> Result<Vec<StoredDrill>> {
    let Some(trusted) = trust.trusted() else { return Ok(Vec::new()) };
    let record = repository.drill_record(name);
    let Some(info) = repository.store().head(&record.key).await? else { return Ok(Vec::new()) };
    let Some(signed) = record.read(repository, &trusted).await? else { return Ok(Vec::new()) };
    let envelope: Envelope = drill::read(&signed.record)?;
    let told: Told = drill::read(&signed.record)?;
    let ours = |stored: Stored| {
        stored.repository.as_deref() == Some(repository.id())
            && stored.instance.as_ref() == Some(repository.instance())
    };
    if envelope.drill != name || !envelope.stored.is_some_and(ours) {
        return Ok(Vec::new());
    }
    let seconds = |measure: Measured| measure.measured_ms.map(|ms| ms as f64 / 1e3);
    let (verdict, reasons) = (told.verdict, told.reasons);
    let whole_instance = told.tenant.is_none();
    let only = told.tenant.map(|tenant| ToldTenant { tenant, verdict, reasons });
    let one = |told_tenant: ToldTenant| StoredDrill {
        id: envelope.drill.clone(),
        tenant: told_tenant.tenant,
        whole_instance,
        stored_at: info.modified,
        ended: told.ended,
        verdict: told_tenant.verdict,
        reason: told_tenant.reasons.into_iter().next(),
        rpo_seconds: seconds(told.rpo),
        rto_seconds: seconds(told.rto),
        state: told.snapshot.clone().and_then(|state| serde_json::from_value(state).ok()),
    };
    Ok(only.into_iter().chain(told.tenants).map(one).collect())
}
