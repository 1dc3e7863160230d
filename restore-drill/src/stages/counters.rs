//! Compares the restored database with the counters that a checkpoint took just before its point: a second
//! witness, which comes from the server itself and from no backup.
//!
//! Only what must be equal, or cannot go backwards, is compared: tables with their columns, and sequences,
//! which are at least as far as they were. What extensions own is made by them, and unlogged data is lost in
//! every recovery: neither is compared.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat::error::Result;
use lifeboat::odoo::counters::{Counters, Last};
use lifeboat::postgres::session::column;

use crate::drill::stage::Stage;
use crate::place::Room;
use crate::report::Report;
use crate::report::finding::{Finding, State};
use crate::stages::restore;

/// The only schema that is compared: Odoo uses no other.
const SCHEMA: &str = "public";
/// Names of it that the restore itself must bring back.
const OWN: &str = "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace \
    AND c.relkind IN ('r', 'p', 'S') AND (c.relpersistence <> 'p' OR EXISTS (SELECT FROM pg_depend d \
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))";

/// The comparison with the counters of the point.
pub struct Compared<'a> {
    /// Where the tenant is.
    pub room: &'a Room,
    /// The counters.
    pub point: &'a Counters,
}

impl Stage for Compared<'_> {
    const NAME: &'static str = "counters";
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let Compared { room, point } = self;
        let mut session = room.connect(&room.database).await?;
        let own = session.rows("list the tables of the restored database", OWN).await?;
        let skipped = own.iter().map(|row| column(row, 0)).collect::<Result<_>>()?;
        let restored = Counters::take(&mut session).await?;
        session.close().await;
        let differences = compare(point, &restored, &skipped);
        let note = format!(
            "{} differences from the {} tables and {} sequences of the source at the point",
            differences.len(),
            point.tables.len(),
            point.sequences.len()
        );
        for difference in differences {
            report.findings.push(Finding::new(restore::BASELINE, State::Failed, difference));
        }
        Ok(((), note))
    }
}

/// What of `restored` cannot be the state of `point`, or of a moment soon after it.
fn compare(point: &Counters, restored: &Counters, skipped: &BTreeSet<String>) -> Vec<String> {
    let mut out = Vec::new();
    let is_own = |schema: &str, name: &str| schema == SCHEMA && !skipped.contains(name);
    let tables = |counters: &Counters| -> BTreeMap<String, BTreeMap<String, String>> {
        let own = counters.tables.iter().filter(|table| is_own(&table.schema, &table.name));
        own.map(|table| (table.name.clone(), table.columns.clone())).collect()
    };
    let (was, is) = (tables(point), tables(restored));
    for (name, columns) in &was {
        match is.get(name) {
            None => out.push(format!("table {name} is missing")),
            Some(found) if found != columns => out.push(format!("table {name} has other columns")),
            Some(_) => {}
        }
    }
    out.extend(is.keys().filter(|name| !was.contains_key(*name)).map(|name| format!("table {name} is new")));
    for sequence in point.sequences.iter().filter(|sequence| is_own(&sequence.schema, &sequence.name)) {
        let found = restored.sequences.iter().find(|one| one.schema == SCHEMA && one.name == sequence.name);
        let name = &sequence.name;
        match (sequence.last, found.map(|one| one.last)) {
            (_, None) => out.push(format!("sequence {name} is missing")),
            (Last::At(was), Some(Last::None)) => {
                out.push(format!("sequence {name} was at {was}, and is unused"))
            }
            (Last::At(was), Some(Last::At(is))) if (is < was) == (sequence.increment > 0) && is != was => {
                out.push(format!("sequence {name} was at {was}, and is at {is}"));
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use lifeboat::clock::Timestamp;
    use lifeboat::odoo::counters::{FORMAT, SequenceCounters, TableCounters};

    use super::*;

    fn counters() -> Counters {
        let table = |name: &str| TableCounters {
            schema: SCHEMA.into(),
            name: name.into(),
            oid: 1,
            filenode: 1,
            pages: 1,
            rows: None,
            inserted: 0,
            updated: 0,
            deleted: 0,
            columns: BTreeMap::from([("id".into(), "integer not null".into())]),
        };
        let sequence = |name: &str, increment| SequenceCounters {
            schema: SCHEMA.into(),
            name: name.into(),
            oid: 2,
            owner: None,
            increment,
            cache: 1,
            last: Last::At(10),
        };
        Counters {
            format: FORMAT,
            database_oid: 5,
            taken: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
            server_started: Timestamp::UNIX_EPOCH,
            settled_before: None,
            counts: true,
            counts_since: None,
            tables: vec![table("a"), table("b")],
            sequences: vec![sequence("up", 1), sequence("down", -1)],
        }
    }

    #[test]
    fn what_is_missing_or_went_backwards_is_named_and_nothing_else() {
        let of = |change: fn(&mut Counters)| {
            let mut restored = counters();
            (restored.database_oid, restored.tables[0].oid, restored.tables[0].rows) = (6, 9, Some(3));
            change(&mut restored);
            compare(&counters(), &restored, &BTreeSet::new())
        };
        let none: [String; 0] = [];
        assert_eq!(of(|_| {}), none);
        assert_eq!(of(|c| drop(c.tables.remove(1))), ["table b is missing"]);
        assert_eq!(of(|c| c.tables[1].name = "c".into()), ["table b is missing", "table c is new"]);
        assert_eq!(of(|c| c.tables[0].columns.clear()), ["table a has other columns"]);
        assert_eq!(of(|c| drop(c.sequences.remove(0))), ["sequence up is missing"]);
        assert_eq!(of(|c| c.sequences[0].last = Last::At(9)), ["sequence up was at 10, and is at 9"]);
        assert_eq!(of(|c| c.sequences[0].last = Last::None), ["sequence up was at 10, and is unused"]);
        assert_eq!(of(|c| c.sequences[0].last = Last::At(42)), none, "replay sets it further");
        assert_eq!(of(|c| c.sequences[1].last = Last::At(11)), ["sequence down was at 10, and is at 11"]);
        assert_eq!(of(|c| c.sequences[1].last = Last::At(-22)), none);
        let mut restored = counters();
        restored.tables.remove(0);
        restored.sequences[0].last = Last::None;
        let of_others: BTreeSet<String> = ["a".to_owned(), "up".to_owned()].into();
        assert_eq!(compare(&counters(), &restored, &of_others), none);
    }
}
