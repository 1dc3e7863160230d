//! Which reports of drills are old: the newest of each tenant stays, and so does one that the evidence of a
//! release names.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use futures::{StreamExt, TryStreamExt, stream};

use super::garbage::{Garbage, Piece, Sort};
use super::stock::{Known, ReleasePoint};
use crate::archive::drill;
use crate::clock::{Timestamp, later};
use crate::config::Expire;
use crate::error::{Error, Result};
use crate::inventory::drills;
use crate::names::TenantName;
use crate::repository::snapshots::Trust;
use crate::repository::{Repository, layout};

/// Reports that are read at a time.
const AT_ONCE: usize = 16;
/// Reports that are read in one run; old ones that were not read go with a later run.
const READ_MAX: usize = 2_000;

/// A report as it was listed.
#[derive(Default)]
struct Listed {
    keys: Vec<String>,
    newest: Timestamp,
    bytes: u64,
}

/// Adds the reports that are older than `expire.drills` at `at`, and that nothing keeps.
///
/// # Errors
/// Those of the store: then it is not known which is the newest of a tenant.
pub async fn old(
    repository: &Repository,
    trust: &Trust,
    releases: &Known<Vec<ReleasePoint>>,
    (expire, at): (&Expire, Timestamp),
    garbage: &mut Garbage,
) -> Result<()> {
    let folder = layout::drills(repository.instance());
    let mut reports: BTreeMap<String, Listed> = BTreeMap::new();
    let mut listed = repository.store().list(&folder);
    while let Some(info) = listed.try_next().await? {
        let below = info.key.strip_prefix(&folder).and_then(|rest| rest.strip_prefix('/'));
        match below.and_then(|rest| rest.split_once('/')).filter(|_| info.odd.is_none()) {
            Some((name, _)) => {
                let report = reports.entry(name.to_owned()).or_default();
                report.newest = report.newest.max(info.modified);
                report.bytes += info.bytes;
                report.keys.push(info.key);
            }
            None => garbage.add_foreign(info.key),
        }
    }
    garbage.reports = reports.len();
    let Known::All(releases) = releases else { return Ok(()) }; // any of them may name any report
    let named: BTreeSet<&str> = releases.iter().filter_map(|one| one.drill.as_deref()).collect();
    let mut newest_first: Vec<(String, Listed)> = reports.into_iter().collect();
    newest_first.sort_by(|a, b| (b.1.newest, &b.0).cmp(&(a.1.newest, &a.0)));
    let first_old = newest_first.partition_point(|(_, one)| later(one.newest, expire.drills) > at);
    let old = newest_first.split_off(first_old);
    let young = newest_first
        .iter()
        .map(|(name, one)| (format!("{folder}/{name}"), (one.newest, later(one.newest, expire.drills))));
    garbage.young_reports = young.collect();
    // The oldest first, where there are too many.
    let read = |(name, one): (String, Listed)| async move {
        Ok::<_, Error>((tenants(repository, trust, &name).await?, name, one))
    };
    let oldest = old.into_iter().rev().take(READ_MAX);
    let candidates: Vec<_> = stream::iter(oldest).map(read).buffered(AT_ONCE).try_collect().await?;
    let mut lacks: BTreeSet<TenantName> = candidates.iter().flat_map(|(whose, ..)| whose.clone()).collect();
    let newer: Vec<String> = newest_first.into_iter().take(READ_MAX).map(|(name, _)| name).collect();
    let read = |name: String| async move { tenants(repository, trust, &name).await };
    let mut newer = pin!(stream::iter(newer).map(read).buffered(AT_ONCE));
    while !lacks.is_empty()
        && let Some(whose) = newer.try_next().await?
    {
        lacks.retain(|lacking| !whose.contains(lacking));
    }
    for (whose, name, mut one) in candidates.into_iter().rev() {
        // The newest one of a tenant without a newer report.
        let is_newest = whose.iter().filter(|whose| lacks.remove(whose)).count() > 0;
        if is_newest || named.contains(name.as_str()) {
            continue;
        }
        one.keys.sort_by_key(|key| !key.ends_with(drill::JSON));
        garbage.add(Piece {
            sort: Sort::Drill,
            name: format!("{folder}/{name}"),
            keys: one.keys,
            stored_at: one.newest,
            bytes: one.bytes,
            over: later(one.newest, expire.drills),
        });
    }
    Ok(())
}

/// The tenants of a report; none where it is not believed.
async fn tenants(repository: &Repository, trust: &Trust, name: &str) -> Result<Vec<TenantName>> {
    match drills::read(repository, trust, name).await {
        Ok(reports) => Ok(reports.into_iter().map(|report| report.tenant).collect()),
        Err(e) if e.is_damage() => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}
