//! Reads what the plan looks at: every part by itself, so that one that cannot be read does not hide the
//! others.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future;

use super::garbage::{Garbage, Piece, Sort};
use super::hold::Hold;
use super::rule::{Period, Rule, Rules};
use super::stock::{self, Dropped, GoodBefore, Known, ReleasePoint, Stock, Told, WalItem, WalStock};
use super::{folders, reports};
use crate::archive::evidence::key::TrustedEvidenceKeys;
use crate::archive::evidence::predicate::Checkpoint;
use crate::archive::signature::TrustedKeys;
use crate::archive::wal::WalName;
use crate::archive::wal_name::NameTrust;
use crate::clock::{Timestamp, earlier, later};
use crate::config::{Class, Config, Expire, class_of};
use crate::error::{Error, Kind, Result};
use crate::inventory::reach::StoredWal;
use crate::inventory::read_before::ReadBefore;
use crate::inventory::take::{Wanted, stored_wal};
use crate::inventory::{Inventory, Part};
use crate::names::wal::{SegmentBytes, TimelineId, WalFile};
use crate::names::{Lsn, SnapshotId, TenantName};
use crate::repository::absences::StoredAbsence;
use crate::repository::holds::{HoldLook, Removal};
use crate::repository::releases::ReleaseLook;
use crate::repository::snapshots::Trust;
use crate::repository::suspicions::StoredSuspicion;
use crate::repository::tampered::Deed;
use crate::repository::wal::coverage::segment_bytes;
use crate::repository::wal::{Lineages, WalList};
use crate::repository::{Repository, layout};

/// Holds that are named of those that are not known.
const HOLDS_NAMED_MAX: usize = 5;

/// What is looked for, and who is believed.
pub struct LookRequest<'a> {
    /// Whose manifests.
    pub trust: &'a Trust,
    /// Whose checkpoints.
    pub evidence: &'a TrustedEvidenceKeys,
    /// The tenants that are backed up.
    pub tenants: Known<BTreeSet<TenantName>>,
    /// Tenants that the configuration names.
    pub named: BTreeSet<TenantName>,
    /// Whose tombstones.
    pub announcers: &'a TrustedKeys,
    /// How old garbage is when it goes.
    pub expire: &'a Expire,
    /// The time for which the plan is made, by the clock of this host.
    pub at: Timestamp,
    /// What need not be read again; nothing of it where something is deleted.
    pub known: Option<Arc<ReadBefore>>,
}

/// What is stored, as the plan looks at it, and as an inventory with its WAL. `broken` are snapshots that a
/// check found damaged.
///
/// # Errors
/// Those of the store, where not even the snapshots can be listed.
pub async fn take(
    repository: &Repository,
    request: LookRequest<'_>,
    broken: impl FnOnce(&Inventory) -> BTreeSet<SnapshotId>,
) -> Result<(Stock, Inventory)> {
    let LookRequest { trust, evidence, tenants, named, announcers, expire, at, known } = request;
    let wanted = Wanted::default();
    let inventory = Inventory::taken(repository, trust, &wanted, known.as_ref());
    let (inventory, wal) = future::join(inventory, wal(repository, trust, known.as_ref())).await;
    let mut inventory = inventory?;
    if let Some(known) = &known {
        known.keep_names().await;
    }
    inventory.read_unlisted(repository, trust).await?;
    let mut garbage = Garbage::default();
    let tampered = tampered(repository, announcers, &mut garbage).await?;
    let items = stock::items(&inventory, &broken(&inventory), &tampered);
    let stored: BTreeSet<TenantName> = items.iter().filter_map(|item| item.tenant.clone()).collect();
    let tenants = match tenants {
        Known::All(tenants) => Known::All(&tenants | &stored),
        unknown => unknown,
    };
    let (holds, not_removed) = holds(repository, trust).await;
    let mut unread = stock::unread(&inventory);
    let snapshots = layout::snapshots(repository.instance());
    let mut unfinished = match folders::list(repository, &snapshots, &mut garbage).await {
        Ok(folders) => {
            let parts = folders::parts(repository, trust, &inventory, &folders, (expire, &mut garbage)).await;
            note(&mut garbage, "objects that no manifest names", parts);
            folders::unfinished(&folders, &inventory)
        }
        Err(e) => {
            note(&mut garbage, "the folders of snapshots", Err(e));
            Vec::new()
        }
    };
    let arrivals = layout::arrivals(repository.instance());
    let batches = match folders::list(repository, &arrivals, &mut garbage).await {
        Ok(folders) => {
            let (batches, without_manifest) = folders::batches(&folders);
            unfinished.extend(without_manifest);
            Known::All(batches)
        }
        Err(e) => Known::Unknown(e.line()),
    };
    // What is left of them stays, and what they may need.
    unfinished.retain(|(id, _)| !tampered.iter().any(|(other, _)| other == id));
    unread.extend(tampered);
    let releases: Known<Vec<ReleasePoint>> = releases(repository, evidence).await.into();
    let suspicions = suspicions(repository, trust, &mut garbage).await.into();
    let probes = folders::probes(repository, expire, &mut garbage).await;
    note(&mut garbage, "remains of tests of the store", probes);
    let old = reports::old(repository, trust, &releases, (expire, at), &mut garbage).await;
    note(&mut garbage, "reports of drills", old);
    let prefix = layout::instance_prefix(repository.instance());
    match repository.store().abandoned_uploads(&prefix, earlier(at, expire.grace)).await {
        Ok(uploads) => garbage.uploads = uploads,
        Err(e) if matches!(e.kind(), Kind::Denied | Kind::Config) => garbage.notes.push(format!(
            "uploads that were never finished could not be listed, and may cost money: {}",
            e.line()
        )),
        Err(e) => note(&mut garbage, "uploads that were never finished", Err(e)),
    }
    let wal = wal.map(|(list, lineages)| wal_stock(list, lineages, &inventory));
    let (wal, stored) = match wal {
        Ok((wal, stored)) => (Known::All(wal), Part::Found(stored)),
        Err(e) => (Known::Unknown(e.line()), Part::CouldNotLook(e)),
    };
    let stock = Stock {
        unread,
        not_believed: stock::not_believed(&inventory),
        unfinished,
        batches,
        wal,
        releases,
        holds,
        not_removed,
        suspicions,
        dropped: Dropped { looks: looks(repository, trust).await.into(), named },
        items,
        tenants,
        garbage,
    };
    inventory.wal = stored;
    Ok((stock, inventory))
}

/// Notes what could not be read: nothing of it goes.
fn note(garbage: &mut Garbage, what: &str, looked: Result<()>) {
    if let Err(e) = looked {
        garbage.unknown.push(format!("{what} (none is deleted): {}", e.line()));
    }
}

/// The snapshots and batches that somebody deleted without a tombstone, or whose manifest he wrote again, as
/// a bucket with versions shows it.
async fn tampered(
    repository: &Repository,
    announcers: &TrustedKeys,
    garbage: &mut Garbage,
) -> Result<Vec<Told>> {
    if !repository.keeps_versions().await {
        return Ok(Vec::new());
    }
    let origin = repository.origin().await?;
    let (tombstones, _) = repository.tombstones(repository.expiry_runs().await?, &origin, announcers).await?;
    let mut all = Vec::new();
    for below in [layout::snapshots(repository.instance()), layout::arrivals(repository.instance())] {
        match repository.tampered(&below, &tombstones, SegmentBytes::USUAL).await {
            Ok(found) => all.extend(found.manifests),
            Err(e) if e.kind() == Kind::Denied => {
                garbage.notes.push(format!("whether somebody deleted a snapshot is not known: {}", e.line()));
                break;
            }
            Err(e) => return Err(e),
        }
    }
    let told = |(id, (deed, at))| match deed {
        Deed::Deleted => (id, format!("it was deleted at {at}, and no tombstone announced it")),
        Deed::WrittenAgain => (id, format!("its manifest was written again at {at}")),
    };
    Ok(all.into_iter().map(told).collect())
}

impl<T> From<Result<T>> for Known<T> {
    fn from(looked: Result<T>) -> Known<T> {
        match looked {
            Ok(all) => Known::All(all),
            Err(e) => Known::Unknown(e.line()),
        }
    }
}

/// Every object of WAL: an inventory leaves out those that others cover.
async fn wal(
    repository: &Repository,
    trust: &Trust,
    known: Option<&Arc<ReadBefore>>,
) -> Result<(WalList, Lineages)> {
    let origin = repository.origin().await?;
    let names = NameTrust::new(&origin, trust.trusted()).with_seen(known.map(|known| known.names()));
    let list = repository.wal(&names, true).await?;
    let lineages = repository.lineages(&list.lineages, &origin, trust).await?;
    Ok((list, lineages))
}

fn wal_stock(list: WalList, lineages: Lineages, inventory: &Inventory) -> (WalStock, StoredWal) {
    let mut wal = WalStock::default();
    let size = segment_size(inventory, list.objects.iter().map(|object| &object.name));
    wal.segment = size;
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
    wal.histories = stored.histories.iter().cloned().collect();
    wal.unknown =
        stored.unknown.iter().map(|one| one.timeline).chain(stored.contradicting.iter().copied()).collect();
    // Without a history nobody knows where a timeline comes from; the first one has none.
    let is_unknown = |id: &TimelineId| *id > TimelineId(1) && !wal.histories.contains_key(id);
    let unknown: Vec<TimelineId> = wal.items.iter().map(|item| item.timeline).filter(is_unknown).collect();
    wal.unknown.extend(unknown);
    (wal, stored)
}

/// The size of a segment, as a base backup states it; without one, as the names show it.
fn segment_size<'a>(inventory: &Inventory, names: impl Iterator<Item = &'a WalName>) -> SegmentBytes {
    let stated = inventory.believed().find_map(|one| Some(one.manifest.base()?.wal_segment_bytes));
    let stated = stated.and_then(|bytes| SegmentBytes::try_from(bytes).ok());
    stated.unwrap_or_else(|| segment_bytes(names))
}

async fn looks(repository: &Repository, trust: &Trust) -> Result<Vec<StoredAbsence>> {
    let origin = repository.origin().await?;
    let Some(trusted) = trust.trusted() else { return Ok(Vec::new()) }; // nothing unsigned counts
    repository.absences(&origin, &trusted).await
}

async fn suspicions(
    repository: &Repository,
    trust: &Trust,
    garbage: &mut Garbage,
) -> Result<Vec<GoodBefore>> {
    let origin = repository.origin().await?;
    let Some(trusted) = trust.trusted() else { return Ok(Vec::new()) }; // nothing unsigned counts
    let mut found = Vec::new();
    for StoredSuspicion { record, stored_at, bytes } in repository.suspicions(&origin, &trusted).await? {
        let until = later(stored_at, record.keep());
        let stored = repository.suspicion_record(&record.snapshot);
        garbage.add(Piece {
            sort: Sort::Suspicion,
            name: stored.key.clone(),
            keys: vec![stored.key, stored.signature_key],
            stored_at,
            bytes,
            over: until,
        });
        found.push(GoodBefore { suspicious: record.snapshot, good: record.good, until });
    }
    Ok(found)
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
        drill: checkpoint.drill.as_ref().map(|drill| drill.id.clone()),
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
    Rule {
        window: class.window,
        periods: Period::ALL.into_iter().map(|period| (period, class.count(period))).collect(),
        releases: class.releases,
        dropped: class.dropped,
    }
}
