//! What there is to recover from: base backups, and the WAL behind them.

use futures::{StreamExt, stream};

use crate::archive::manifest::{Manifest, Origin, SnapshotKind};
use crate::archive::wal::WalOpener;
use crate::archive::wal_history::parse_history;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::{SegmentBytes, WalFile};
use crate::recovery::instance::Request;
use crate::recovery::instance::reach::StoredWal;
use crate::repository::Repository;
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
    let trusted = request.trust.trusted();
    let opener = WalOpener { origin: origin.clone(), identities: request.identities.clone(), trusted };
    WalReader::new(repository.clone(), opener)
}

/// What is stored of every timeline. What does not count goes to `passed_over`.
pub async fn stored_wal(
    reader: &WalReader,
    segment_bytes: SegmentBytes,
    passed_over: &mut Vec<String>,
) -> Result<StoredWal> {
    let list = reader.list().await?;
    let windows = windows(list.objects.iter().map(|object| &object.name), segment_bytes);
    let mut wal = StoredWal { windows, ..StoredWal::default() };
    for object in &list.objects {
        if let WalFile::Segment(segment) = object.name.file
            && let Some(begin) = segment.begin(segment_bytes)
        {
            let end = Lsn(begin.0 + u64::from(object.name.end));
            wal.stored.push((segment.timeline, end, object.stored_at));
        }
    }
    let histories = reader.histories().await?;
    passed_over.extend(list.foreign.text());
    passed_over.extend(histories.passed_over);
    for (timeline, text) in histories.texts {
        let history = parse_history(timeline, &text)?;
        match wal.histories.iter().find(|(known, _)| *known == timeline) {
            None => wal.histories.push((timeline, history)),
            Some((_, known)) if *known == history => {}
            Some(_) => wal.contradicting.push(timeline),
        }
    }
    Ok(wal)
}
