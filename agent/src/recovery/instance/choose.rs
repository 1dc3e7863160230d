//! Choosing a base backup for a target: the newest from which it can be reached. What cannot be
//! reached is refused here, with the nearest that can.

use futures::{StreamExt, TryStreamExt, stream};

use crate::archive::manifest::{Manifest, Origin, SnapshotKind};
use crate::archive::wal::WalOpener;
use crate::archive::wal_history::parse_history;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::{SegmentBytes, WalFile};
use crate::recovery::instance::Request;
use crate::recovery::instance::reach::{Reach, StoredWal, obstacle, reach};
use crate::recovery::instance::target::Target;
use crate::repository::Repository;
use crate::repository::snapshots::Trust;
use crate::repository::wal::WalReader;
use crate::repository::wal::coverage::windows;

/// Manifests fetched at a time.
const MANIFESTS_AT_ONCE: usize = 16;

/// What was chosen.
pub struct Chosen {
    /// The base backup.
    pub base: Manifest,
    /// How far it goes; `None` where WAL comes by a command of the user's.
    pub reach: Option<Reach>,
    /// What a person should know of the choice.
    pub warnings: Vec<String>,
}

/// Finds the base backup.
///
/// # Errors
/// `NotFound` where there is none, `Refused` where none leads to the target.
pub async fn choose(repository: &Repository, origin: &Origin, request: &Request) -> Result<Chosen> {
    let mut warnings = Vec::new();
    let bases = bases(repository, origin, request, &mut warnings).await?;
    let Some(newest) = bases.last() else {
        let mut error = Error::new(
            Kind::NotFound,
            format!("no base backup in {} for instance {}", repository.store().url(), repository.instance()),
        )
        .next("lifeboat backup --kind base makes one; lifeboat restore --tenant NAME restores from a dump");
        if !warnings.is_empty() {
            error = error.because(warnings.join("; "));
        }
        return Err(error);
    };
    if request.restore_command.is_some() {
        warnings.push("WAL comes by --restore-command: whether it reaches the target is not known".into());
        let before = |base: &&Manifest| match &request.target {
            Target::Lsn(lsn) => base.base.as_ref().is_some_and(|facts| facts.stop_lsn <= *lsn),
            Target::Time(time) => base.point <= *time,
            _ => true,
        };
        let fits = bases.iter().rev().find(before).ok_or_else(|| {
            unreachable(request, bases.iter().map(|base| said(base, "it is consistent only later")).collect())
        })?;
        return Ok(Chosen { base: fits.clone(), reach: None, warnings });
    }
    let wal = stored_wal(repository, origin, request, newest.base_facts()?.wal_segment_bytes).await?;
    let mut reached = Vec::new();
    let mut obstacles = Vec::new();
    for base in bases.iter().rev() {
        let facts = base.base_facts()?;
        let Some(reach) = reach(facts, base.point, &wal, request.timeline) else {
            obstacles.push(said(base, "its timeline does not lead to the one that was asked for"));
            continue;
        };
        match obstacle(facts, base.point, &reach, &request.target) {
            Some(why) => obstacles.push(said(base, &why)),
            None => reached.push((base, reach)),
        }
    }
    let by_name = matches!(request.target, Target::RestorePoint(_)) && request.snapshot.is_none();
    // Where a restore point lies is not known here: nothing earlier than the oldest backup from which
    // the end can be reached misses it.
    let furthest = reached.iter().map(|(_, reach)| reach.end).max();
    let chosen = match by_name {
        true => reached.into_iter().rev().find(|(_, reach)| Some(reach.end) == furthest),
        false => reached.into_iter().next(),
    };
    let Some((base, reach)) = chosen else { return Err(unreachable(request, obstacles)) };
    if by_name && base.id != newest.id {
        warnings.push("where the restore point lies is not known: replay begins at the oldest base backup; --snapshot names a newer one".into());
    }
    if let Some(gap) = reach.gap_until {
        warnings.push(format!(
            "WAL from {} to {gap} is not stored: what came after it is out of reach",
            reach.end
        ));
    }
    Ok(Chosen { base: base.clone(), reach: Some(reach), warnings })
}

fn said(base: &Manifest, why: &str) -> String {
    format!("{}: {why}", base.id)
}

fn unreachable(request: &Request, obstacles: Vec<String>) -> Error {
    Error::new(Kind::Refused, format!("{} cannot be reached", request.target))
        .because(obstacles.join("; "))
        .effect("nothing was changed")
        .next("choose a target within what is said above, or --to latest; lifeboat wal status shows the windows")
}

/// Every base backup, or the one that was asked for, oldest first.
async fn bases(
    repository: &Repository,
    origin: &Origin,
    request: &Request,
    passed_over: &mut Vec<String>,
) -> Result<Vec<Manifest>> {
    if let Some(id) = &request.snapshot {
        let manifest = repository.manifest(id, origin, &request.trust).await.map_err(|e| match e.kind() {
            Kind::NotFound => Error::new(Kind::NotFound, format!("there is no snapshot {id}"))
                .because(e)
                .next("lifeboat list --kind base shows what there is"),
            _ => e,
        })?;
        manifest.base_facts()?;
        return Ok(vec![manifest]);
    }
    let (ids, _) = repository.snapshot_ids().await?;
    let ids = ids.into_iter().filter(|id| id.as_str().contains(&format!("-{}-", SnapshotKind::Base)));
    let mut manifests = stream::iter(ids)
        .map(|id| async move { (repository.manifest(&id, origin, &request.trust).await, id) })
        .buffered(MANIFESTS_AT_ONCE);
    let mut found = Vec::new();
    while let Some((manifest, id)) = manifests.next().await {
        match manifest {
            Ok(manifest) if manifest.base.is_some() => found.push(manifest),
            Ok(_) => {}
            Err(e) if e.kind() == Kind::NotFound => {} // unfinished
            Err(e) if matches!(e.kind(), Kind::Signature | Kind::Integrity | Kind::Repository) => {
                passed_over.push(format!("a base backup was passed over: {id}: {}", e.what()));
            }
            Err(e) => return Err(e),
        }
    }
    found.sort_by_key(|manifest| manifest.lsn);
    Ok(found)
}

async fn stored_wal(
    repository: &Repository,
    origin: &Origin,
    request: &Request,
    segment_bytes: u64,
) -> Result<StoredWal> {
    let segment_bytes = SegmentBytes::try_from(segment_bytes)?;
    let mut wal = StoredWal::default();
    for timeline in repository.wal_timelines().await? {
        let list = repository.wal_of_timeline(timeline).await?;
        wal.windows.extend(windows(list.objects.iter().map(|object| &object.name), segment_bytes));
        for object in &list.objects {
            if let WalFile::Segment(segment) = object.name.file
                && let Some(begin) = segment.begin(segment_bytes)
            {
                wal.stored.push((timeline, Lsn(begin.0 + u64::from(object.name.end)), object.stored_at));
            }
        }
    }
    let histories = repository.wal_histories().await?;
    let opener = WalOpener {
        origin: origin.clone(),
        identities: request.identities.clone(),
        trusted: match &request.trust {
            Trust::Keys(keys) => Some(keys.clone()),
            Trust::Anyone => None,
        },
    };
    let reader = WalReader::new(repository.clone(), opener);
    let names = histories.objects.iter().map(|object| object.name);
    let names = names.filter_map(|name| match name.file {
        WalFile::History(timeline) => Some((timeline, name)),
        _ => None,
    });
    wal.histories = stream::iter(names)
        .map(|(timeline, name)| {
            let reader = reader.clone();
            async move {
                let text = reader.get(name).await?;
                Ok::<_, Error>((timeline, parse_history(timeline, &String::from_utf8_lossy(&text))?))
            }
        })
        .buffered(MANIFESTS_AT_ONCE)
        .try_collect()
        .await?;
    Ok(wal)
}
