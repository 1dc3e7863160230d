//! The cheap state of a tenant at one moment: from the catalogs and the statistics alone, in a time that does
//! not grow with its rows. A checkpoint keeps it as the baseline of each table; a later one, compared with
//! it, says what was written since (`lifeboat rollback plan`).
//!
//! **Take it just before the restore point.** Then a row with an `id` up to a sequence's value is in the
//! point unless its transaction was still open ([`Counters::settled_before`]), and what is newer than the
//! point is not in it. The order of the three looks in [`Counters::take`] is part of that promise: sequences
//! first, then the open transactions, then the statistics. In another order, a transaction that took a number
//! between two looks would be in neither.

mod look;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::archive::digest::Sha256;
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::postgres::session::Session;

/// The version of this document that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;
/// Most tables, and most sequences, that are listed.
const TABLES_MAX: usize = 100_000;
/// Most columns of all tables together.
const COLUMNS_MAX: usize = 2_000_000;

/// The state of one tenant at one moment. All lists are sorted by schema and name, in byte order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// [`FORMAT`].
    pub format: u32,
    /// The database's number in its cluster: another one is another database, whatever its name.
    pub database_oid: i64,
    /// When the look began, by the server's clock: before any sequence was read.
    pub taken: Timestamp,
    /// When the look at the statistics began, by the server's clock.
    pub ended: Timestamp,
    /// When the server was started.
    pub server_started: Timestamp,
    /// Every transaction that wrote something and began before this was over; `None` where that cannot be
    /// known (a prepared transaction, or the role does not see the sessions of others).
    pub settled_before: Option<Timestamp>,
    /// Whether the server counts what is written (`track_counts`).
    pub counts: bool,
    /// Since when it counts in this database; `None` if it was never reset.
    pub counts_since: Option<Timestamp>,
    /// Ordinary and partitioned tables, those of extensions too; no temporary ones.
    pub tables: Vec<TableCounters>,
    /// Sequences.
    pub sequences: Vec<SequenceCounters>,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCounters {
    /// The schema, usually `public`.
    pub schema: String,
    /// The table.
    pub name: String,
    /// Its number: another one is another table.
    pub oid: i64,
    /// The number of its file: another one means that it was rewritten or emptied. 0 where it has none.
    pub filenode: i64,
    /// Its size in pages, as of the last VACUUM or ANALYZE.
    pub pages: i64,
    /// Its rows as of the last VACUUM or ANALYZE; `None` before the first.
    pub rows: Option<i64>,
    /// Rows inserted since the statistics began, also by transactions that were rolled back.
    pub inserted: i64,
    /// The same for updated rows.
    pub updated: i64,
    /// The same for deleted rows.
    pub deleted: i64,
    /// Each column, with its type and what else decides which rows it takes: `varchar not null`.
    pub columns: BTreeMap<String, String>,
}

/// One sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceCounters {
    /// The schema, usually `public`.
    pub schema: String,
    /// The sequence.
    pub name: String,
    /// Its number: another one is another sequence.
    pub oid: i64,
    /// The column that it gives numbers to, where it belongs to one.
    pub owner: Option<Owner>,
    /// The distance of two numbers.
    pub increment: i64,
    /// How many numbers a session takes at once: with more than 1 they are not used in order.
    pub cache: i64,
    /// The last number that was given out.
    pub last: Last,
}

/// The column that a sequence belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The table's schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
}

/// The last number of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Last {
    /// None was given out yet.
    None,
    /// This one.
    At(i64),
    /// The role may not read it.
    NotReadable,
}

impl Counters {
    /// Takes them, in a session without a transaction. Reads catalogs and statistics only; no table and no
    /// row.
    ///
    /// # Errors
    /// `Postgres` if the server fails, or if the database has more tables than can be listed (100,000) or
    /// more columns (2,000,000).
    pub async fn take(session: &mut Session) -> Result<Counters> {
        look::take(session).await
    }

    /// Its digest: equal documents have equal ones.
    ///
    /// # Errors
    /// `Internal`, which is a bug.
    pub fn digest(&self) -> Result<Sha256> {
        Ok(Sha256::of(&self.to_json()?))
    }

    /// The document, as it is stored.
    ///
    /// # Errors
    /// `Internal`, which is a bug.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|e| Error::new(Kind::Internal, "cannot write the counters of a tenant").because(e))
    }

    /// The document that [`Counters::to_json`] wrote.
    ///
    /// # Errors
    /// `Integrity` if it is not one, or of a newer format.
    pub fn from_json(text: &[u8]) -> Result<Counters> {
        let wrong = || Error::new(Kind::Integrity, "the counters of a tenant cannot be read");
        let read: Counters = serde_json::from_slice(text).map_err(|e| wrong().because(e))?;
        match read.format {
            FORMAT => Ok(read),
            other => Err(wrong()
                .because(format!("they have format {other}, and this program reads {FORMAT}"))
                .next("use the program that wrote them, or a newer one")),
        }
    }

    /// The table `public.name`.
    pub fn table(&self, name: &str) -> Option<&TableCounters> {
        self.tables.iter().find(|table| table.schema == "public" && table.name == name)
    }

    /// The sequence that gives `public.table` its `id`: the one that belongs to the column, else the one with
    /// PostgreSQL's own name for it.
    pub fn ids_of(&self, table: &str) -> Option<&SequenceCounters> {
        let owns = |sequence: &&SequenceCounters| {
            let owner = sequence.owner.as_ref();
            owner
                .is_some_and(|owner| owner.schema == "public" && owner.table == table && owner.column == "id")
        };
        let usual = format!("{table}_id_seq");
        let named = |sequence: &&SequenceCounters| {
            sequence.owner.is_none() && sequence.schema == "public" && sequence.name == usual
        };
        self.sequences.iter().find(owns).or_else(|| self.sequences.iter().find(named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_round_trips_and_a_newer_one_is_refused() {
        let sequence = SequenceCounters {
            schema: "public".into(),
            name: "sale_order_id_seq".into(),
            oid: 7,
            owner: None,
            increment: 1,
            cache: 1,
            last: Last::At(12),
        };
        let mut counters = Counters {
            format: FORMAT,
            database_oid: 5,
            taken: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
            server_started: Timestamp::UNIX_EPOCH,
            settled_before: None,
            counts: true,
            counts_since: None,
            tables: Vec::new(),
            sequences: vec![sequence],
        };
        let text = counters.to_json().unwrap();
        assert_eq!(Counters::from_json(&text).unwrap(), counters);
        assert_eq!(counters.digest().unwrap(), Sha256::of(&text));
        assert_eq!(counters.ids_of("sale_order").map(|found| found.last), Some(Last::At(12)));
        counters.sequences[0].owner =
            Some(Owner { schema: "public".into(), table: "other".into(), column: "id".into() });
        assert_eq!(counters.ids_of("sale_order"), None, "it belongs to another table");
        counters.format = 2;
        let refused = Counters::from_json(&counters.to_json().unwrap()).unwrap_err();
        assert_eq!(refused.kind(), Kind::Integrity);
    }
}
