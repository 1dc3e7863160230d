//! The stored WAL, with the histories that only an identity can decrypt.

use std::collections::BTreeSet;

use crate::archive::manifest::Origin;
use crate::archive::wal::WalOpener;
use crate::archive::wal_history::parse_history;
use crate::error::Result;
use crate::inventory::reach::StoredWal;
use crate::inventory::take;
use crate::names::wal::{SegmentBytes, TimelineId};
use crate::recovery::instance::InstanceRequest;
use crate::repository::Repository;
use crate::repository::snapshots::Trust;
use crate::repository::wal::WalReader;

/// The reader of the WAL.
pub fn wal_reader(repository: &Repository, origin: &Origin, request: &InstanceRequest) -> WalReader {
    let trusted = request.trust.trusted();
    let opener = WalOpener { origin: origin.clone(), identities: request.identities.clone(), trusted };
    WalReader::new(repository.clone(), opener)
}

/// What is stored of every timeline, and which timeline each one branched from. The reader has an
/// identity: if names are not enough, content decides, and encrypted histories are decrypted. Histories
/// that do not count go to `skipped`.
///
/// # Errors
/// Those of the store, `Identity`, `Signature`, and `Integrity` for an invalid history.
pub async fn stored_wal(
    reader: &WalReader,
    (origin, trust): (&Origin, &Trust),
    segment_bytes: SegmentBytes,
    skipped: &mut Vec<String>,
) -> Result<StoredWal> {
    let list = reader.list().await?;
    let lineages = reader.repository().lineages(&list.lineages, origin, trust).await?;
    let mut wal = take::stored_wal(list, lineages, Some(segment_bytes));
    let unknown = std::mem::take(&mut wal.unknown);
    let is_unknown = |timeline| unknown.iter().any(|one| one.timeline == timeline);
    let told = wal.histories.iter().map(|(timeline, _)| *timeline);
    let told: BTreeSet<TimelineId> = told.filter(|timeline| !is_unknown(*timeline)).collect();
    let histories = reader.histories(&told).await?;
    skipped.extend(histories.skipped);
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
