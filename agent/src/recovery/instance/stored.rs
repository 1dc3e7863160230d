//! The WAL that is stored, with the histories that only an identity opens.

use futures::{StreamExt, TryStreamExt, stream};

use crate::archive::manifest::Origin;
use crate::archive::wal::WalOpener;
use crate::archive::wal_history::parse_history;
use crate::error::Result;
use crate::inventory::reach::StoredWal;
use crate::recovery::instance::Request;
use crate::repository::Repository;
use crate::repository::snapshots::Trust;
use crate::repository::wal::WalReader;

/// Histories fetched at a time.
const HISTORIES_AT_ONCE: usize = 16;

/// Who reads the WAL.
pub fn wal_reader(repository: &Repository, origin: &Origin, request: &Request) -> WalReader {
    let trusted = match &request.trust {
        Trust::Keys(keys) => Some(keys.clone()),
        Trust::Anyone => None,
    };
    let opener = WalOpener { origin: origin.clone(), identities: request.identities.clone(), trusted };
    WalReader::new(repository.clone(), opener)
}

/// Opens the histories that an inventory could not read.
///
/// # Errors
/// Those of the store, `Identity`, `Signature`, and `Integrity` of a history that is none.
pub async fn open_histories(reader: &WalReader, wal: &mut StoredWal) -> Result<()> {
    let unknown = std::mem::take(&mut wal.unknown);
    let names =
        unknown.into_iter().flat_map(|one| one.histories.into_iter().map(move |name| (one.timeline, name)));
    let mut texts = stream::iter(names)
        .map(|(timeline, name)| async move { reader.get(name).await.map(|text| (timeline, text)) })
        .buffered(HISTORIES_AT_ONCE);
    while let Some((timeline, text)) = texts.try_next().await? {
        let history = parse_history(timeline, &String::from_utf8_lossy(&text))?;
        match wal.histories.iter().find(|(known, _)| *known == timeline) {
            None => wal.histories.push((timeline, history)),
            Some((_, known)) if *known == history => {}
            Some(_) => wal.contradicting.push(timeline),
        }
    }
    Ok(())
}
