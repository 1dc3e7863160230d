//! What was updated and deleted since the point, by the server's own statistics. They count every row that
//! any transaction touched, also one that was rolled back; and a reset or a restart of the server makes them
//! worth nothing: then it is not known, never 0.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::clock;
use crate::odoo::counters::{Counters, TableCounters};

/// What the statistics say of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "known", rename_all = "kebab-case")]
pub enum Touched {
    /// Nothing.
    No {
        /// Why not.
        why: String,
    },
    /// This much.
    Yes {
        /// Tables that were written to, the most updated and deleted rows first.
        tables: Vec<TouchedTable>,
    },
}

/// A table that was written to since the point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TouchedTable {
    /// The schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// The rows; `None` if its own numbers went back, or it is another table now.
    pub rows: Option<Rows>,
    /// Whether it has another file: it was emptied (TRUNCATE, which counts no row) or rewritten.
    pub rewritten: bool,
}

impl TouchedTable {
    /// Whether rows that were there before may have been changed or deleted.
    pub fn lost_rows(&self) -> bool {
        self.rewritten || self.rows.is_none_or(|rows| rows.updated > 0 || rows.deleted > 0)
    }
}

/// Rows that were touched, also by transactions that were rolled back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rows {
    /// Inserted.
    pub inserted: u64,
    /// Updated, each time it was.
    pub updated: u64,
    /// Deleted.
    pub deleted: u64,
}

/// Compares the statistics of two moments.
pub fn touched(point: Option<&Counters>, now: &Counters) -> Touched {
    let Some(point) = point else {
        return Touched::No { why: "the counters of the point are not on this host".to_owned() };
    };
    if let Some(why) = worthless(point, now) {
        return Touched::No { why };
    }
    let before: BTreeMap<(&str, &str), &TableCounters> =
        point.tables.iter().map(|table| ((table.schema.as_str(), table.name.as_str()), table)).collect();
    let mut tables = Vec::new();
    for table in &now.tables {
        let Some(old) = before.get(&(table.schema.as_str(), table.name.as_str())) else { continue };
        let rewritten = old.filenode != table.filenode || old.oid != table.oid;
        let rows = (old.oid == table.oid).then(|| rows(old, table)).flatten();
        if rewritten || rows.is_none_or(|rows| rows != Rows::default()) {
            let (schema, table) = (table.schema.clone(), table.name.clone());
            tables.push(TouchedTable { schema, table, rows, rewritten });
        }
    }
    let weight =
        |one: &TouchedTable| one.rows.map_or(u64::MAX, |rows| rows.updated.saturating_add(rows.deleted));
    tables.sort_by(|a, b| {
        weight(b).cmp(&weight(a)).then_with(|| (&a.schema, &a.table).cmp(&(&b.schema, &b.table)))
    });
    Touched::Yes { tables }
}

/// Why the numbers of the two moments cannot be compared.
fn worthless(point: &Counters, now: &Counters) -> Option<String> {
    if point.database_oid != now.database_oid {
        return Some("the database is another one than at the point: it was created again".to_owned());
    }
    if !point.counts || !now.counts {
        return Some("the server does not count what is written (track_counts is off)".to_owned());
    }
    if point.server_started != now.server_started {
        let when = clock::text(now.server_started);
        return Some(format!("the server was restarted after the point, at {when}"));
    }
    if point.counts_since != now.counts_since {
        let when =
            now.counts_since.map_or("after the point".to_owned(), |at| format!("at {}", clock::text(at)));
        return Some(format!("the statistics were reset {when}"));
    }
    None
}

fn rows(old: &TableCounters, new: &TableCounters) -> Option<Rows> {
    let grown = |old: i64, new: i64| u64::try_from(new.checked_sub(old)?).ok();
    Some(Rows {
        inserted: grown(old.inserted, new.inserted)?,
        updated: grown(old.updated, new.updated)?,
        deleted: grown(old.deleted, new.deleted)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::made_up::{at, counters, table};

    fn no(touched: &Touched) -> &str {
        match touched {
            Touched::No { why } => why,
            Touched::Yes { .. } => panic!("it is known: {touched:?}"),
        }
    }

    #[test]
    fn rows_are_the_difference_and_the_most_changed_table_comes_first() {
        let (mut point, mut now) = (counters(0), counters(100));
        point.tables = ["a", "b", "c", "d", "e"].map(|name| table(name, &[])).into();
        now.tables = point.tables.clone();
        now.tables[0].updated = 3;
        (now.tables[1].updated, now.tables[1].deleted) = (5, 1);
        now.tables[2].filenode = 9;
        (point.tables[3].inserted, now.tables[3].inserted) = (7, 2);
        let Touched::Yes { tables } = touched(Some(&point), &now) else { panic!() };
        let names: Vec<&str> = tables.iter().map(|table| table.table.as_str()).collect();
        assert_eq!(names, ["d", "b", "a", "c"]);
        assert_eq!(tables[0].rows, None, "its numbers went back: its own statistics were reset");
        assert_eq!(tables[1].rows, Some(Rows { inserted: 0, updated: 5, deleted: 1 }));
        assert!(tables[3].rewritten && tables[3].rows == Some(Rows::default()));
    }

    #[test]
    fn what_a_reset_or_a_restart_lost_is_not_known() {
        let (point, now) = (counters(0), counters(100));
        assert!(no(&touched(None, &now)).contains("are not on this host"));
        let restarted = Counters { server_started: at(50), ..now.clone() };
        assert!(
            no(&touched(Some(&point), &restarted)).starts_with("the server was restarted after the point")
        );
        let reset = Counters { counts_since: Some(at(60)), ..now.clone() };
        assert!(no(&touched(Some(&point), &reset)).contains("were reset at"));
        assert!(
            no(&touched(Some(&point), &Counters { counts: false, ..now.clone() })).contains("track_counts")
        );
        assert!(
            no(&touched(Some(&point), &Counters { database_oid: 6, ..now.clone() }))
                .contains("created again")
        );
        assert_eq!(touched(Some(&point), &now), Touched::Yes { tables: Vec::new() });
    }
}
