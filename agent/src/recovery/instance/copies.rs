//! Databases that were created after the start of a base backup by copying another database's files (all
//! of them before PostgreSQL 15, later those with `STRATEGY file_copy`). Replay copies the files again, so
//! it must find them.

use std::collections::BTreeSet;

use crate::archive::base::BaseFacts;
use crate::archive::wal_records::Copied;
use crate::error::Result;
use crate::inventory::reach::Reach;
use crate::names::wal::SegmentBytes;
use crate::recovery::instance::marks::Way;
use crate::repository::wal::WalReader;

/// The databases that `database` was copied from, according to the stored WAL, except those that the WAL
/// creates itself. Reads all WAL after the base backup.
///
/// # Errors
/// Those of the store.
pub async fn sources(
    reader: &WalReader,
    (facts, reach): (&BaseFacts, &Reach),
    database: u32,
) -> Result<BTreeSet<u32>> {
    let way = Way {
        reader,
        path: &reach.path,
        begin: facts.start_lsn,
        end: reach.end,
        segment_bytes: SegmentBytes::try_from(facts.wal_segment_bytes)?,
    };
    Ok(trace(&way.copies().await?, database))
}

/// The original databases of the files of `database`.
fn trace(copies: &[Copied], database: u32) -> BTreeSet<u32> {
    let mut open = vec![database];
    let (mut seen, mut sources) = (BTreeSet::new(), BTreeSet::new());
    while let Some(of) = open.pop() {
        let from: Vec<u32> = copies.iter().filter(|copy| copy.database == of).map(|copy| copy.from).collect();
        if from.is_empty() && of != database {
            sources.insert(of);
        }
        open.extend(from.into_iter().filter(|from| seen.insert(*from)));
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Lsn;

    #[test]
    fn copies_of_copies_lead_to_what_the_base_backup_has() {
        let copy = |database, from| Copied { lsn: Lsn(1), database, from };
        let copies = [copy(20, 10), copy(21, 20), copy(22, 11), copy(30, 31), copy(31, 30)];
        assert_eq!(trace(&copies, 20), BTreeSet::from([10]));
        assert_eq!(trace(&copies, 21), BTreeSet::from([10]));
        assert_eq!(trace(&copies, 10), BTreeSet::new());
        assert_eq!(trace(&copies, 30), BTreeSet::new(), "no circle without an end");
    }
}
