//! Whether a table was written to since an earlier look, from the statistics: then it need not be read again.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::postgres::quote::literal;
use crate::postgres::session::{Session, column};

/// The state of a table in the statistics. Equal ones mean that nothing was written in between, but for what
/// the server has not counted yet: up to some seconds. So whoever decides something reads all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp([i64; 5]);

/// Tables that have rows elsewhere (partitions, tables that inherit) have no stamp.
const STAMPS: &str = "\
    SELECT c.relname::text, c.oid::int8, c.relfilenode::int8, coalesce(pg_stat_get_tuples_inserted(c.oid), 0), \
      coalesce(pg_stat_get_tuples_updated(c.oid), 0), coalesce(pg_stat_get_tuples_deleted(c.oid), 0) \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname = 'public' AND c.relkind = 'r' AND NOT c.relhassubclass \
      AND current_setting('track_counts')::bool AND c.relname IN (";

/// The stamps of these tables, as far as there are any; in a transaction that [`crate::postgres::look`]
/// began.
///
/// # Errors
/// `Postgres` if the server fails.
pub async fn stamps(session: &mut Session, tables: &[&str]) -> Result<BTreeMap<String, Stamp>> {
    let names: Vec<String> = tables.iter().map(|table| literal(table)).collect();
    let sql = format!("{STAMPS}{})", names.join(", "));
    let stamp = |row: &crate::postgres::session::Row| {
        let of = |index| column(row, index);
        Ok((column(row, 0)?, Stamp([of(1)?, of(2)?, of(3)?, of(4)?, of(5)?])))
    };
    session.rows("check which tables were written to", sql).await?.iter().map(stamp).collect()
}
