//! The rows of the copy, by `id`: a digest of each row, and the document it belongs to. This is all that is
//! kept of the copy while the production database is read.

use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};
use crate::postgres::copy_out::Row;
use crate::postgres::table::Table;
use crate::release::salvage::shape::Shape;
use crate::release::salvage::side::Side;

/// Most rows of a table: they take some 350 MiB.
const ROWS_MAX: usize = 10_000_000;
/// How much of a row's digest is kept: two rows that differ have the same by chance once in 2^128.
const DIGEST_BYTES: usize = 16;

/// The digest of a row.
pub type RowDigest = [u8; DIGEST_BYTES];

struct Entry {
    id: i64,
    digest: RowDigest,
    belongs: i64,
}

/// All rows of a table of the copy.
#[derive(Default)]
pub struct Index {
    entries: Vec<Entry>,
    seen: Vec<bool>,
}

/// The digest of these fields of a row.
pub fn digest(row: &Row<'_>, fields: impl IntoIterator<Item = usize>) -> RowDigest {
    let mut hasher = Sha256::new();
    for field in fields {
        match row.bytes(field) {
            // so that no two rows give the same bytes
            Some(bytes) => {
                hasher.update((bytes.len() as u64).to_be_bytes());
                hasher.update(bytes);
            }
            None => hasher.update(u64::MAX.to_be_bytes()),
        }
    }
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&hasher.finalize()[..DIGEST_BYTES]);
    digest
}

impl Index {
    /// Reads the common columns of every row. `belongs` is called with each row, whose fields are these
    /// columns; 0 means that it belongs to no document.
    ///
    /// # Errors
    /// `Refused` if there are more rows than can be compared; as [`Table::each`].
    pub async fn read(
        side: &Side<'_>,
        table: &Table,
        shape: &Shape,
        mut belongs: impl FnMut(&Row<'_>) -> i64,
    ) -> Result<Index> {
        let places = shape.common();
        let columns = shape.all().into_iter().enumerate();
        let columns: Vec<_> =
            columns.filter(|(at, _)| places.contains(at)).map(|(_, column)| column).collect();
        let id = columns.iter().position(|(name, _)| *name == "id").unwrap_or_default();
        let mut index = Index::default();
        let each = |row: &Row<'_>| {
            let Some(number) = row.int(id) else { return Ok(()) };
            if index.entries.len() >= ROWS_MAX {
                let what = format!("table {} has more than {ROWS_MAX} rows", shape.table);
                return Err(Error::new(Kind::Refused, what).next("export this table by hand, with COPY"));
            }
            let digest = digest(row, 0..columns.len());
            index.entries.push(Entry { id: number, digest, belongs: belongs(row) });
            Ok(())
        };
        side.part(async |session| table.each(session, &columns, each).await).await?;
        index.entries.sort_unstable_by_key(|entry| entry.id);
        index.seen = vec![false; index.entries.len()];
        Ok(index)
    }

    /// The digest of the row with this number, and the document it belongs to; from now on it is seen.
    pub fn see(&mut self, id: i64) -> Option<(RowDigest, i64)> {
        let at = self.entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        self.seen[at] = true;
        Some((self.entries[at].digest, self.entries[at].belongs))
    }

    /// Rows that were never seen: their numbers, and the documents they belong to.
    pub fn unseen(&self) -> impl Iterator<Item = (i64, i64)> {
        let unseen = self.entries.iter().zip(&self.seen).filter(|(_, seen)| !**seen);
        unseen.map(|(entry, _)| (entry.id, entry.belongs))
    }
}
