//! Counts the tables of a database. Every row comes over the connection (its `id` and `write_date`, or
//! one short column), because no query may name a table of another owner ([`crate::postgres::look`]).

use std::collections::BTreeMap;

use super::TableFacts;
use crate::error::Result;
use crate::odoo::lasting::{Confirmed, Counted, Lasting, LastingRow};
use crate::postgres::copy_out::{Row, each_row};
use crate::postgres::decimal::Decimal;
use crate::postgres::quote::{ident, qualified};
use crate::postgres::session::{Session, column};

/// PostgreSQL's `infinity` and `-infinity`.
const NO_TIMES: [i64; 2] = [i64::MAX, i64::MIN];
const DAY_MICROSECONDS: i64 = 86_400_000_000;

/// Ordinary tables and leaf partitions whose rows pg_dump writes: not temporary tables, not tables of an
/// extension, and on a standby not unlogged ones, which cannot be read there. For each table also `id` and
/// `write_date`, if they have built-in types, and its shortest column of a built-in type, else its first
/// column. Generated columns are left out, because COPY cannot read them. Last, those columns of business
/// documents that have the types which Odoo gives them.
const TABLES: &str = "\
    SELECT n.nspname::text, c.relname::text, \
      (SELECT true FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'id' AND NOT a.attisdropped \
        AND a.attgenerated = '' AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)), \
      (SELECT true FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'write_date' AND NOT a.attisdropped \
        AND a.attgenerated = '' AND a.atttypid IN ('timestamp'::regtype, 'timestamptz'::regtype)), \
      coalesce((SELECT a.attname::text FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND t.oid < 16384 \
        AND t.typtype = 'b' AND t.typelem = 0 ORDER BY a.attlen < 0, a.attlen, a.attnum LIMIT 1), \
      (SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
        AND a.attgenerated = '' ORDER BY a.attnum LIMIT 1)), \
      (SELECT string_agg(a.attname::text, ' ') FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped \
        AND a.attgenerated = '' AND (a.attname = 'create_date' AND a.atttypid IN ('timestamp'::regtype, 'timestamptz'::regtype) \
          OR a.attname IN ('state', 'parent_state') AND a.atttypid IN ('varchar'::regtype, 'text'::regtype) \
          OR a.attname IN ('amount', 'amount_total', 'debit') AND a.atttypid = 'numeric'::regtype)) \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
      AND (c.relpersistence = 'p' OR c.relpersistence = 'u' AND NOT pg_is_in_recovery()) \
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid \
        AND d.deptype = 'e') \
    ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

/// The tables, and the numbers of those whose rows last. `before` has the highest `id` of each of these in an
/// earlier backup, if there was one.
pub(super) async fn tables(
    session: &mut Session,
    before: &BTreeMap<String, i64>,
) -> Result<(Vec<TableFacts>, BTreeMap<String, Counted>)> {
    let listed = session.rows("list the tables", TABLES).await?;
    let (mut out, mut latest) = (Vec::with_capacity(listed.len()), Vec::new());
    let mut lasting = BTreeMap::new();
    for row in &listed {
        let (schema, name): (String, String) = (column(row, 0)?, column(row, 1)?);
        let has = |index| column::<Option<bool>>(row, index).map(|has| has == Some(true));
        let (has_id, has_date) = (has(2)?, has(3)?);
        let what = format!("count table {schema}.{name}");
        let table = qualified(&schema, &name);
        let mut facts = TableFacts { schema, name, rows: 0, max_id: None, max_write_date: None };
        let mut columns = Vec::new();
        columns.extend(has_id.then_some("\"id\"".to_owned()));
        columns.extend(has_date.then_some("\"write_date\"".to_owned()));
        if columns.is_empty() {
            // As text: the owner's own types may have no binary format. The server counts the rows.
            let one = column::<Option<String>>(row, 4)?.map(|one| format!(" ({})", ident(&one)));
            let sql = format!("COPY {table}{} TO STDOUT", one.unwrap_or_default());
            facts.rows = session.copy_out(&what, sql, |_| Ok(())).await?;
        } else {
            let mut written = None;
            let more =
                if has_id { column::<Option<String>>(row, 5)?.unwrap_or_default() } else { String::new() };
            let mut documents = Documents::find(&facts, &more, &mut columns);
            let before = before.get(&facts.name).copied();
            let each = |row: &Row<'_>| {
                facts.rows += 1;
                if has_id {
                    facts.max_id = facts.max_id.max(row.int(0));
                }
                if let Some(documents) = &mut documents {
                    documents.add(row, before);
                }
                if has_date {
                    written = written.max(row.int(usize::from(has_id)));
                }
                Ok(())
            };
            let sql = format!("COPY {table} ({}) TO STDOUT (FORMAT binary)", columns.join(", "));
            each_row(session, &what, &sql, each).await?;
            lasting.extend(documents.map(|documents| (facts.name.clone(), documents.counted)));
            latest.extend(written.filter(|at| !NO_TIMES.contains(at)).map(|at| (out.len(), at)));
        }
        out.push(facts);
    }
    write_dates(session, &mut out, &latest).await?;
    Ok((out, lasting))
}

/// A table whose rows last: where its columns are in a row, and its numbers so far.
struct Documents {
    lasting: &'static Lasting,
    created: Option<usize>,
    state: Option<usize>,
    amount: Option<usize>,
    counted: Counted,
}

impl Documents {
    /// Adds the columns that are needed of such a table, and that are among `has`, to `columns`; `None` for
    /// another table.
    fn find(facts: &TableFacts, has: &str, columns: &mut Vec<String>) -> Option<Documents> {
        let lasting = Lasting::of(&facts.schema, &facts.name)?;
        let mut add = |name: &str| {
            let found = has.split(' ').any(|has| has == name);
            found.then(|| {
                columns.push(ident(name));
                columns.len() - 1
            })
        };
        let state = match lasting.confirmed {
            Confirmed::State(column, _) => add(column),
            Confirmed::Always | Confirmed::Never => None,
        };
        let (created, amount) = (add("create_date"), lasting.amount.and_then(add));
        Some(Documents { lasting, created, state, amount, counted: Counted::default() })
    }

    fn add(&mut self, row: &Row<'_>, before: Option<i64>) {
        let state = self.state.and_then(|at| row.bytes(at));
        let amount = self.amount.map(|at| row.numeric(at).transpose());
        let row = LastingRow {
            id: row.int(0),
            created: self.created.and_then(|at| row.int(at)),
            is_confirmed: self.lasting.is_confirmed(state),
            // No amount is an amount of 0.
            amount: amount.and_then(|amount| Some(amount.ok()?.unwrap_or(Decimal::ZERO))),
        };
        self.counted.add(&row, before);
    }
}

/// Lets the server format the latest times, given in microseconds since 2000.
async fn write_dates(session: &mut Session, out: &mut [TableFacts], latest: &[(usize, i64)]) -> Result<()> {
    if latest.is_empty() {
        return Ok(());
    }
    // As whole days and a rest, because PostgreSQL multiplies intervals in floating point.
    let values = latest.iter().map(|(index, at)| {
        format!("({index}, {}, {})", at.div_euclid(DAY_MICROSECONDS), at.rem_euclid(DAY_MICROSECONDS))
    });
    let sql = format!(
        "SELECT index::int8, to_char('2000-01-01'::timestamp + '1 day'::interval * days + '1 microsecond'::interval * rest, \
         'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM (VALUES {}) AS latest(index, days, rest)",
        values.collect::<Vec<_>>().join(", ")
    );
    for row in session.rows("write the latest times", sql).await? {
        if let Some(facts) = out.get_mut(column::<i64>(&row, 0)?.max(0) as usize) {
            facts.max_write_date = column(&row, 1)?;
        }
    }
    Ok(())
}
