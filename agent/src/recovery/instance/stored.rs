//! What there is to recover from: base backups, and the WAL behind them.

use futures::{StreamExt, TryStreamExt, stream};

use crate::archive::manifest::{Manifest, Origin, SnapshotKind};
use crate::archive::wal::WalOpener;
use crate::archive::wal_history::parse_history;
use crate::error::{Error, Kind, Result};
use crate::inventory::reach::StoredWal;
use crate::names::Lsn;
use crate::names::wal::{SegmentBytes, WalFile};
use crate::recovery::instance::Request;
use crate::repository::Repository;
use crate::repository::snapshots::Trust;
use crate::repository::wal::WalReader;
use crate::repository::wal::coverage::windows;

/// Manifests fetched at a time.
const MANIFESTS_AT_ONCE: usize = 16;

/// Every base backup, or those that were asked for, oldest first.
pub async fn bases(
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
    let fits = |manifest: &Manifest| request.release.is_none() || manifest.release == request.release;
    let mut found = Vec::new();
    while let Some((manifest, id)) = manifests.next().await {
        match manifest {
            Ok(manifest) if manifest.base.is_some() && fits(&manifest) => found.push(manifest),
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

/// Who reads the WAL.
pub fn wal_reader(repository: &Repository, origin: &Origin, request: &Request) -> WalReader {
    let trusted = match &request.trust {
        Trust::Keys(keys) => Some(keys.clone()),
        Trust::Anyone => None,
    };
    let opener = WalOpener { origin: origin.clone(), identities: request.identities.clone(), trusted };
    WalReader::new(repository.clone(), opener)
}

/// What is stored of every timeline.
pub async fn stored_wal(reader: &WalReader, segment_bytes: SegmentBytes) -> Result<StoredWal> {
    let repository = reader.repository();
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
    let names = histories.objects.iter().map(|object| object.name);
    let names = names.filter_map(|name| match name.file {
        WalFile::History(timeline) => Some((timeline, name)),
        _ => None,
    });
    let mut texts = stream::iter(names)
        .map(|(timeline, name)| async move { reader.get(name).await.map(|text| (timeline, text)) })
        .buffered(MANIFESTS_AT_ONCE);
    while let Some((timeline, text)) = texts.try_next().await? {
        let history = parse_history(timeline, &String::from_utf8_lossy(&text))?;
        match wal.histories.iter().find(|(known, _)| *known == timeline) {
            None => wal.histories.push((timeline, history)),
            Some((_, known)) if *known == history => {}
            Some(_) => wal.contradicting.push(timeline),
        }
    }
    Ok(wal)
}
