//! Reads the counters of a tenant. No statement names anything of the database's owner: sequences and tables
//! are asked for by their numbers.

use std::collections::BTreeMap;

use super::{COLUMNS_MAX, Counters, FORMAT, Last, Owner, SequenceCounters, TABLES_MAX, TableCounters};
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::postgres::look;
use crate::postgres::session::{Row, Session, column};

/// How often a look is taken again when a sequence was dropped while it was read.
const TRIES: u32 = 3;
/// What the server says of a sequence that is gone.
const GONE: &str = "could not open relation";

/// Before anything else: the server's clock, and what the statistics are worth.
const BEGUN: &str = "\
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8, \
      (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8, d.oid::int8, \
      (extract(epoch FROM pg_stat_get_db_stat_reset_time(d.oid)) * 1000000)::int8, \
      current_setting('track_counts')::bool \
    FROM pg_database d WHERE d.datname = current_database()";

/// The oldest transaction that has written something, and whether all can be seen. A role without
/// pg_read_all_stats gets the sessions of others without their kind.
const OPEN: &str = "\
    SELECT (extract(epoch FROM least(statement_timestamp(), min(a.xact_start) \
        FILTER (WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()))) * 1000000)::int8, \
      count(*) FILTER (WHERE a.backend_type IS NULL) = 0 \
        AND NOT EXISTS (SELECT FROM pg_prepared_xacts p WHERE p.database = current_database()), \
      (extract(epoch FROM clock_timestamp()) * 1000000)::int8 \
    FROM pg_stat_activity a WHERE a.datname = current_database()";

/// Sequences of other sessions' temporary schemas cannot be read, and on a standby neither can unlogged ones.
const SEQUENCES: &str = "\
    SELECT n.nspname::text, s.relname::text, s.oid::int8, q.seqincrement, q.seqcache, \
      coalesce(has_sequence_privilege(s.oid, 'SELECT, USAGE'), false), \
      CASE WHEN has_sequence_privilege(s.oid, 'SELECT, USAGE') THEN pg_sequence_last_value(s.oid) END, \
      tn.nspname::text, t.relname::text, a.attname::text \
    FROM pg_sequence q JOIN pg_class s ON s.oid = q.seqrelid JOIN pg_namespace n ON n.oid = s.relnamespace \
    LEFT JOIN (pg_depend d JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace \
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid) \
      ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.refclassid = 'pg_class'::regclass \
        AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i') \
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
      AND (s.relpersistence = 'p' OR s.relpersistence = 'u' AND NOT pg_is_in_recovery()) \
    ORDER BY n.nspname COLLATE \"C\", s.relname COLLATE \"C\"";

const TABLES: &str = "\
    SELECT n.nspname::text, c.relname::text, c.oid::int8, c.relfilenode::int8, c.relpages::int8, \
      nullif(c.reltuples, -1)::int8, coalesce(pg_stat_get_tuples_inserted(c.oid), 0), \
      coalesce(pg_stat_get_tuples_updated(c.oid), 0), coalesce(pg_stat_get_tuples_deleted(c.oid), 0) \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' \
      AND n.nspname <> 'information_schema' \
    ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

/// The length of a type is its number as stored: a function that shows it may be of the type's owner.
const COLUMNS: &str = "\
    SELECT a.attrelid::int8, a.attname::text, format_type(a.atttypid, NULL) \
      || CASE WHEN a.atttypmod >= 0 THEN ' [' || a.atttypmod || ']' ELSE '' END \
      || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END || CASE WHEN a.atthasdef THEN ' default' ELSE '' END \
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' \
      AND n.nspname <> 'information_schema' AND a.attnum > 0 AND NOT a.attisdropped";

pub(super) async fn take(session: &mut Session) -> Result<Counters> {
    let mut tries = 1;
    loop {
        look::begin(session).await?;
        match read(session).await {
            Ok(counters) => {
                look::end(session).await?;
                return Ok(counters);
            }
            // A sequence went away between the list and the look at it: the session is usable after that.
            Err(e) if tries < TRIES && e.line().contains(GONE) => {
                look::end(session).await?;
                tries += 1;
            }
            Err(e) => {
                let _ = look::end(session).await; // it may be unusable: what failed first is what counts
                return Err(e);
            }
        }
    }
}

async fn read(session: &mut Session) -> Result<Counters> {
    let begun = session.row("ask for the server's clock", BEGUN).await?;
    let sequences = sequences(session).await?;
    let open = session.row("ask for open transactions", OPEN).await?;
    let tables = tables(session).await?;
    let settled = column::<bool>(&open, 1)?.then(|| time(&open, 0)).transpose()?.flatten();
    Ok(Counters {
        format: FORMAT,
        database_oid: column(&begun, 2)?,
        taken: required(&begun, 0)?,
        ended: required(&open, 2)?,
        server_started: required(&begun, 1)?,
        settled_before: settled,
        counts: column(&begun, 4)?,
        counts_since: time(&begun, 3)?,
        tables,
        sequences,
    })
}

async fn sequences(session: &mut Session) -> Result<Vec<SequenceCounters>> {
    let (mut out, place) = (Vec::<SequenceCounters>::new(), session.place().to_owned());
    let each = |row: Row| {
        let last = match (column::<bool>(&row, 5)?, column::<Option<i64>>(&row, 6)?) {
            (false, _) => Last::NotReadable,
            (true, None) => Last::None,
            (true, Some(last)) => Last::At(last),
        };
        let owner = match (column(&row, 7)?, column(&row, 8)?, column(&row, 9)?) {
            (Some(schema), Some(table), Some(column)) => Some(Owner { schema, table, column }),
            _ => None,
        };
        let (schema, name) = (column(&row, 0)?, column(&row, 1)?);
        let (increment, cache) = (column(&row, 3)?, column(&row, 4)?);
        out.push(SequenceCounters { schema, name, oid: column(&row, 2)?, owner, increment, cache, last });
        bounded(out.len(), TABLES_MAX, "sequences", &place)
    };
    session.each("read the sequences", SEQUENCES, each).await?;
    Ok(out)
}

async fn tables(session: &mut Session) -> Result<Vec<TableCounters>> {
    let (mut out, place) = (Vec::<TableCounters>::new(), session.place().to_owned());
    let each = |row: Row| {
        out.push(TableCounters {
            schema: column(&row, 0)?,
            name: column(&row, 1)?,
            oid: column(&row, 2)?,
            filenode: column(&row, 3)?,
            pages: column(&row, 4)?,
            rows: column(&row, 5)?,
            inserted: column(&row, 6)?,
            updated: column(&row, 7)?,
            deleted: column(&row, 8)?,
            columns: BTreeMap::new(),
        });
        bounded(out.len(), TABLES_MAX, "tables", &place)
    };
    session.each("read the tables' statistics", TABLES, each).await?;
    let places: BTreeMap<i64, usize> = out.iter().enumerate().map(|(at, table)| (table.oid, at)).collect();
    let mut count = 0;
    let each = |row: Row| {
        count += 1;
        // A table that was created between the two looks is in the next one.
        if let Some(table) = places.get(&column(&row, 0)?).and_then(|at| out.get_mut(*at)) {
            table.columns.insert(column(&row, 1)?, column(&row, 2)?);
        }
        bounded(count, COLUMNS_MAX, "columns", &place)
    };
    session.each("read the tables' columns", COLUMNS, each).await?;
    Ok(out)
}

fn bounded(count: usize, most: usize, what: &str, place: &str) -> Result<()> {
    match count <= most {
        true => Ok(()),
        false => Err(Error::new(Kind::Postgres, format!("more than {most} {what} in {place}"))
            .effect("its counters are not known")
            .next("ask the database's owner what they are for")),
    }
}

fn required(row: &Row, index: usize) -> Result<Timestamp> {
    let unexpected = || Error::new(Kind::Postgres, "the server's answer lacks a time");
    time(row, index)?.ok_or_else(unexpected)
}

/// A time in microseconds since 1970.
fn time(row: &Row, index: usize) -> Result<Option<Timestamp>> {
    let outside = |e| Error::new(Kind::Postgres, "the server's answer has an impossible time").because(e);
    let micros: Option<i64> = column(row, index)?;
    micros.map(|micros| Timestamp::from_microsecond(micros).map_err(outside)).transpose()
}
