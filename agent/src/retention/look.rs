//! Reads what the plan looks at: every part by itself, so that one that cannot be read does not hide the
//! others.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use super::hold::Hold;
use super::keep::later;
use super::rule::{Period, Rule, Rules};
use super::stock::{self, Batch, GoodBefore, Known, ReleasePoint, Stock, WalItem, WalStock};
use crate::archive::evidence::key::TrustedEvidenceKeys;
use crate::archive::evidence::predicate::Checkpoint;
use crate::archive::manifest::{self, SnapshotKind};
use crate::archive::wal::WalName;
use crate::archive::wal_name::NameTrust;
use crate::clock::Timestamp;
use crate::config::{Class, Config, class_of};
use crate::error::{Error, Kind, Result};
use crate::inventory::take::{Wanted, stored_wal};
use crate::inventory::{Inventory, Look};
use crate::names::wal::{SegmentBytes, TimelineId, WalFile};
use crate::names::{Lsn, SnapshotId, TenantName};
use crate::repository::holds::{HoldLook, Removal};
use crate::repository::releases::ReleaseLook;
use crate::repository::snapshots::Trust;
use crate::repository::suspicions::StoredSuspicion;
use crate::repository::wal::coverage::segment_bytes;
use crate::repository::{Repository, layout};

/// Folders listed at a time.
const LISTED_AT_ONCE: usize = 8;
/// Holds that are named of those that are not known.
const HOLDS_NAMED_MAX: usize = 5;

/// What is stored. `broken` are snapshots that a check found damaged; `tenants` those that are backed up.
///
/// # Errors
/// Those of the store, where not even the snapshots can be listed.
pub async fn take(
    repository: &Repository,
    trust: &Trust,
    evidence: &TrustedEvidenceKeys,
    tenants: Known<BTreeSet<TenantName>>,
    broken: impl FnOnce(&Inventory) -> BTreeSet<SnapshotId>,
) -> Result<Stock> {
    let inventory = Inventory::take(repository, trust, &Wanted::default()).await?;
    let items = stock::items(&inventory, &broken(&inventory));
    let stored: BTreeSet<TenantName> = items.iter().filter_map(|item| item.tenant.clone()).collect();
    let tenants = match tenants {
        Known::All(tenants) => Known::All(&tenants | &stored),
        unknown => unknown,
    };
    let (holds, not_removed) = holds(repository, trust).await;
    Ok(Stock {
        unread: stock::unread(&inventory),
        not_believed: stock::not_believed(&inventory),
        unfinished: unfinished(repository, &inventory).await,
        batches: batches(repository).await.into(),
        wal: wal(repository, trust, &inventory).await.into(),
        releases: releases(repository, evidence).await.into(),
        holds,
        not_removed,
        suspicions: suspicions(repository, trust).await.into(),
        items,
        tenants,
    })
}

impl<T> From<Result<T>> for Known<T> {
    fn from(looked: Result<T>) -> Known<T> {
        match looked {
            Ok(all) => Known::All(all),
            Err(e) => Known::Unknown(e.line()),
        }
    }
}

/// Snapshots without a manifest, each with the time of its newest object; none where that is not known.
async fn unfinished(repository: &Repository, inventory: &Inventory) -> Vec<(SnapshotId, Option<Timestamp>)> {
    let without = inventory.snapshots.iter().filter(|(_, look)| matches!(look, Look::Unfinished));
    stream::iter(without.map(|(id, _)| id.clone()).collect::<Vec<_>>())
        .map(|id| async move {
            let folder = layout::snapshot(repository.instance(), &id);
            let times = repository.store().list(&folder).map_ok(|info| info.modified);
            let times: Result<Vec<Timestamp>> = times.try_collect().await;
            (id, times.ok().and_then(|times| times.into_iter().max()))
        })
        .buffered(LISTED_AT_ONCE)
        .collect()
        .await
}

/// The batches, oldest first. One without a manifest is being written, or was cut short: it stays.
async fn batches(repository: &Repository) -> Result<Vec<Batch>> {
    let folder = layout::arrivals(repository.instance());
    let mut found: BTreeMap<String, (u64, Option<Timestamp>)> = BTreeMap::new();
    let mut listed = repository.store().list(&folder);
    while let Some(info) = listed.try_next().await? {
        let Some((of, name)) = info.key.rsplit_once('/') else { continue };
        let batch = found.entry(of.to_owned()).or_default();
        batch.0 += info.bytes;
        if name == manifest::NAME {
            batch.1 = Some(info.modified);
        }
    }
    let batch = |(folder, (bytes, stored_at)): (String, (u64, Option<Timestamp>))| {
        let id: SnapshotId = folder.rsplit('/').next()?.parse().ok()?;
        let is_own = id.kind() == SnapshotKind::Arrivals.as_str()
            && layout::snapshot(repository.instance(), &id) == folder;
        is_own.then_some(Batch { id, stored_at: stored_at?, bytes })
    };
    let mut batches: Vec<Batch> = found.into_iter().filter_map(batch).collect();
    batches.sort_by(|a, b| (a.stored_at, &a.id).cmp(&(b.stored_at, &b.id)));
    Ok(batches)
}

/// Every object of WAL: an inventory leaves out those that others cover.
async fn wal(repository: &Repository, trust: &Trust, inventory: &Inventory) -> Result<WalStock> {
    let origin = repository.origin().await?;
    let list = repository.wal(&NameTrust::new(&origin, trust.trusted()), true).await?;
    let lineages = repository.lineages(&list.lineages, &origin, trust).await?;
    let mut wal = WalStock::default();
    let size = segment_size(inventory, list.objects.iter().map(|object| &object.name));
    for object in &list.objects {
        let (WalFile::Segment(segment) | WalFile::Partial(segment)) = object.name.file else { continue };
        let Some(at) = segment.begin(size) else { continue };
        wal.items.push(WalItem {
            timeline: object.name.file.timeline(),
            begin: Lsn(at.0 + u64::from(object.name.begin)),
            end: Lsn(at.0 + u64::from(object.name.end)),
            stored_at: object.stored_at,
            bytes: object.bytes,
        });
        wal.names.push(object.name);
    }
    let stored = stored_wal(list, lineages, Some(size));
    wal.histories = stored.histories.into_iter().collect();
    wal.unknown = stored.unknown.iter().map(|one| one.timeline).chain(stored.contradicting).collect();
    // Without a history nobody knows where a timeline comes from; the first one has none.
    let is_unknown = |id: &TimelineId| *id > TimelineId(1) && !wal.histories.contains_key(id);
    let unknown: Vec<TimelineId> = wal.items.iter().map(|item| item.timeline).filter(is_unknown).collect();
    wal.unknown.extend(unknown);
    Ok(wal)
}

/// The size of a segment, as a base backup states it; without one, as the names show it.
fn segment_size<'a>(inventory: &Inventory, names: impl Iterator<Item = &'a WalName>) -> SegmentBytes {
    let stated = inventory.believed().find_map(|one| Some(one.manifest.base()?.wal_segment_bytes));
    let stated = stated.and_then(|bytes| SegmentBytes::try_from(bytes).ok());
    stated.unwrap_or_else(|| segment_bytes(names))
}

async fn suspicions(repository: &Repository, trust: &Trust) -> Result<Vec<GoodBefore>> {
    let origin = repository.origin().await?;
    let Some(trusted) = trust.trusted() else { return Ok(Vec::new()) }; // nothing unsigned counts
    let stored = repository.suspicions(&origin, &trusted).await?.into_iter();
    let of = |(record, stored_at): StoredSuspicion| {
        let until = later(stored_at, record.keep());
        GoodBefore { suspicious: record.snapshot, good: record.good, until }
    };
    Ok(stored.map(of).collect())
}

async fn releases(repository: &Repository, trusted: &TrustedEvidenceKeys) -> Result<Vec<ReleasePoint>> {
    let origin = repository.origin().await?;
    let mut found = Vec::new();
    for (folder, look) in repository.list_releases(&origin, trusted).await? {
        match look {
            ReleaseLook::Believed(stored) => {
                found.push(release_point(&stored.evidence.checkpoint, stored.stored_at));
            }
            // One that is damaged may need anything, as one that could not be read.
            ReleaseLook::NotRead(e) | ReleaseLook::NotBelieved(e) => {
                return Err(e.context(format!("read the checkpoint in releases/{folder}")));
            }
            ReleaseLook::Unfinished => {}
        }
    }
    Ok(found)
}

/// The holds, and why some removals do not count. One hold of which nothing is known may hold anything.
async fn holds(repository: &Repository, trust: &Trust) -> (Known<Vec<Hold>>, Vec<String>) {
    let (mut holds, mut not_removed, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    let looks = match repository.origin().await {
        Ok(origin) => repository.holds(&origin, &trust.trusted().unwrap_or_default()).await,
        Err(e) => Err(e),
    };
    let looks = match looks {
        Ok(looks) => looks,
        Err(e) => return (Known::Unknown(e.line()), not_removed),
    };
    for (name, look) in looks {
        match look {
            HoldLook::Stored(stored) => {
                let removed = match &stored.removal {
                    Removal::Done(_, at) => Some(*at),
                    Removal::Never => None,
                    Removal::InDoubt(e) => {
                        not_removed.push(e.line());
                        None
                    }
                };
                let record = stored.record;
                holds.push(Hold {
                    name: record.name.to_string(),
                    held: record.held,
                    reason: record.reason,
                    by: record.by,
                    since: stored.since,
                    removed,
                });
            }
            look => unknown.extend(look.why_unknown(&name).map(|e| e.line())),
        }
    }
    if unknown.is_empty() {
        return (Known::All(holds), not_removed);
    }
    let more = unknown.len().saturating_sub(HOLDS_NAMED_MAX);
    unknown.truncate(HOLDS_NAMED_MAX);
    let more =
        if more > 0 { format!("; and {more} more: lifeboat hold list names them") } else { String::new() };
    (Known::Unknown(unknown.join("; ") + &more), not_removed)
}

fn release_point(checkpoint: &Checkpoint, stored_at: Timestamp) -> ReleasePoint {
    let chain = checkpoint.base.iter().flat_map(|base| &base.chain);
    let dumps = checkpoint.tenants.iter().filter_map(|tenant| tenant.dump.as_ref());
    let files = checkpoint.tenants.iter().flat_map(|tenant| &tenant.files.held_in);
    let configuration = checkpoint.configuration.iter().map(|one| &one.snapshot);
    let names = chain.chain(dumps).chain(files).chain(configuration).map(|one| one.id.clone());
    ReleasePoint {
        release: checkpoint.release.id.clone(),
        stored_at,
        tenants: checkpoint.scope.tenants.clone(),
        names: names.collect(),
        point: checkpoint.point.as_ref().map(|point| (TimelineId(point.timeline), point.lsn)),
    }
}

/// The rules of the configuration's classes for the tenants that are known.
///
/// # Errors
/// `Config` where there is no class: then nothing ever goes.
pub fn rules(config: &Config, stock: &Stock) -> Result<Rules> {
    if config.classes.is_empty() {
        return Err(Error::new(Kind::Config, "there is no recovery class")
            .effect("nothing is ever deleted")
            .next("add a [class.NAME]; docs/retention.md shows some"));
    }
    let known = match &stock.tenants {
        Known::All(tenants) => tenants.clone(),
        Known::Unknown(_) => stock.items.iter().filter_map(|item| item.tenant.clone()).collect(),
    };
    let of = |tenant: TenantName| {
        let rule = class_of(&config.classes, &tenant).ok().map(|(_, class)| rule(class))?;
        Some((tenant, rule))
    };
    Ok(Rules {
        tenants: known.into_iter().filter_map(of).collect(),
        instance: config.classes.values().map(rule).reduce(|one, other| one.or(&other)),
        zone: config.schedule.zone.clone(),
        grace: config.expire.grace,
    })
}

fn rule(class: &Class) -> Rule {
    let counts = [class.hourly, class.daily, class.weekly, class.monthly, class.yearly];
    Rule {
        window: class.window,
        periods: Period::ALL.into_iter().zip(counts).collect(),
        releases: class.releases,
    }
}
