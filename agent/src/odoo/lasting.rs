//! Rows that last: business documents and their lines, which Odoo itself does not delete once they are
//! confirmed. How many there are is counted with the baseline of each backup, by the day on which they were
//! made, so that the next backup notices a day of them that is gone.

mod lost;

use std::collections::BTreeMap;

pub use lost::{DaysLost, SumChanged, date, is_share};
use serde::{Deserialize, Serialize};

use crate::postgres::decimal::Decimal;

/// Rows made before 2000, after 2054, or at no time count as of this day.
pub const DAY_UNKNOWN: i32 = -1;
/// The last day that is counted apart, in days since 2000. It bounds how many days there are.
const DAY_MAX: i64 = 20_000;
const DAY_MICROSECONDS: i64 = 86_400_000_000;

/// A table with rows that last.
#[derive(Debug)]
pub struct Lasting {
    /// Its name in schema `public`.
    pub table: &'static str,
    /// When a row is confirmed.
    pub confirmed: Confirmed,
    /// The column whose sum is compared. Currencies are mixed: the sum only shows whether something changed.
    pub amount: Option<&'static str>,
}

/// When a row is confirmed: Odoo refuses to delete it from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// If this column has one of these words.
    State(&'static str, &'static [&'static str]),
    /// Always.
    Always,
    /// Never: only the number of all rows is compared.
    Never,
}

const fn state(
    table: &'static str,
    (column, words): (&'static str, &'static [&'static str]),
    amount: Option<&'static str>,
) -> Lasting {
    Lasting { table, confirmed: Confirmed::State(column, words), amount }
}

const fn rows(table: &'static str, confirmed: Confirmed) -> Lasting {
    Lasting { table, confirmed, amount: None }
}

/// All of them, in Odoo 15 to 19. A payment has a state of its own since 18: before, its journal entry
/// counts.
pub static LASTING: [Lasting; 16] = [
    state("sale_order", ("state", &["sale", "done"]), Some("amount_total")),
    state("sale_order_line", ("state", &["sale", "done"]), None),
    state("account_move", ("state", &["posted"]), Some("amount_total")),
    state("account_move_line", ("parent_state", &["posted"]), Some("debit")),
    state("account_payment", ("state", &["in_process", "paid"]), Some("amount")),
    state("stock_picking", ("state", &["done"]), None),
    state("stock_move", ("state", &["done"]), None),
    state("stock_move_line", ("state", &["done"]), None),
    state("pos_order", ("state", &["paid", "done", "invoiced"]), Some("amount_total")),
    rows("pos_order_line", Confirmed::Always),
    state("purchase_order", ("state", &["purchase", "done"]), Some("amount_total")),
    state("purchase_order_line", ("state", &["purchase", "done"]), None),
    rows("res_partner", Confirmed::Never),
    rows("product_template", Confirmed::Never),
    rows("product_product", Confirmed::Never),
    rows("hr_employee", Confirmed::Never),
];

impl Lasting {
    /// The table of this schema and name, if its rows last.
    pub fn of(schema: &str, table: &str) -> Option<&'static Lasting> {
        LASTING.iter().find(|lasting| schema == "public" && lasting.table == table)
    }

    /// Whether a row with this state is confirmed; `None` if the table has no such column.
    pub fn is_confirmed(&self, state: Option<&[u8]>) -> bool {
        match self.confirmed {
            Confirmed::State(_, words) => {
                state.is_some_and(|state| words.iter().any(|word| word.as_bytes() == state))
            }
            Confirmed::Always => true,
            Confirmed::Never => false,
        }
    }
}

/// The rows that were made on one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "DayRecord", into = "DayRecord")]
pub struct Day {
    /// All of them.
    pub rows: u64,
    /// Those that are confirmed.
    pub confirmed: u64,
    /// The sum of the confirmed ones; `None` if the table has no amounts, or one of them has no exact value.
    pub sum: Option<Decimal>,
}

/// A day as it is recorded: there are many of them.
type DayRecord = (u64, u64, Option<Decimal>);

impl From<DayRecord> for Day {
    fn from((rows, confirmed, sum): DayRecord) -> Day {
        Day { rows, confirmed, sum }
    }
}

impl From<Day> for DayRecord {
    fn from(day: Day) -> DayRecord {
        (day.rows, day.confirmed, day.sum)
    }
}

/// The numbers of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastingCounts {
    /// All rows.
    pub rows: u64,
    /// The highest `id`.
    pub max_id: Option<i64>,
    /// Rows by the day on which they were made (UTC), in days since 2000; [`DAY_UNKNOWN`] for the others.
    pub days: BTreeMap<i32, Day>,
}

/// The numbers of one table, and of the part of it that the earlier backup had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Of all rows.
    pub now: LastingCounts,
    /// Of rows with an `id` up to the highest one of the earlier backup; none if there was no such backup.
    pub old: LastingCounts,
}

impl Counted {
    /// Adds a row. `before` is the highest `id` of the earlier backup.
    pub fn add(&mut self, row: &LastingRow, before: Option<i64>) {
        self.now.add(row);
        if row.id.is_some_and(|id| before.is_some_and(|before| id <= before)) {
            self.old.add(row);
        }
    }
}

/// A row, as far as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct LastingRow {
    /// Its `id`.
    pub id: Option<i64>,
    /// When it was made, in microseconds since 2000.
    pub created: Option<i64>,
    /// Whether it is confirmed.
    pub is_confirmed: bool,
    /// Its amount; `None` if there is none, or it has no exact value.
    pub amount: Option<Decimal>,
}

impl LastingCounts {
    fn add(&mut self, row: &LastingRow) {
        self.rows += 1;
        self.max_id = self.max_id.max(row.id);
        let new = || Day { sum: Some(Decimal::ZERO), ..Day::default() };
        let day = self.days.entry(day(row.created)).or_insert_with(new);
        day.rows += 1;
        if row.is_confirmed {
            day.confirmed += 1;
            day.sum = day.sum.and_then(|sum| sum.plus(row.amount?));
        }
    }

    /// The confirmed rows.
    pub fn confirmed(&self) -> u64 {
        self.days.values().map(|day| day.confirmed).sum()
    }
}

fn day(created: Option<i64>) -> i32 {
    let day = created.map(|at| at.div_euclid(DAY_MICROSECONDS)).filter(|day| (0..=DAY_MAX).contains(day));
    day.and_then(|day| i32::try_from(day).ok()).unwrap_or(DAY_UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_by_day_and_apart_up_to_the_earlier_id() {
        let mut counted = Counted::default();
        let ten = |tens: i64| Some(Decimal::whole(10 * tens));
        let day = |rows, confirmed, tens| Day { rows, confirmed, sum: ten(tens) };
        let row = |id, day: i64, is_confirmed| LastingRow {
            id: Some(id),
            created: Some(day * DAY_MICROSECONDS + 5),
            is_confirmed,
            amount: Some(Decimal::whole(10)),
        };
        for row in
            [row(1, 7, true), row(2, 7, false), row(3, 8, true), row(9, i64::MAX / DAY_MICROSECONDS, true)]
        {
            counted.add(&row, Some(2));
        }
        let days = BTreeMap::from([(7, day(2, 1, 1)), (8, day(1, 1, 1)), (DAY_UNKNOWN, day(1, 1, 1))]);
        assert_eq!(counted.now, LastingCounts { rows: 4, max_id: Some(9), days });
        let days = BTreeMap::from([(7, day(2, 1, 1))]);
        assert_eq!(counted.old, LastingCounts { rows: 2, max_id: Some(2), days });
        assert_eq!(counted.now.confirmed(), 3);
        let text = serde_json::to_string(&counted.now).unwrap();
        assert_eq!(serde_json::from_str::<LastingCounts>(&text).unwrap(), counted.now);

        let not_exact = LastingRow { amount: None, ..row(10, 8, true) };
        counted.add(&not_exact, None);
        assert_eq!(counted.now.days[&8].sum, None, "a sum needs each of its amounts");
    }

    #[test]
    fn what_is_confirmed_is_told_by_its_state() {
        let of = |table| Lasting::of("public", table).unwrap();
        assert!(
            of("sale_order").is_confirmed(Some(b"sale")) && !of("sale_order").is_confirmed(Some(b"draft"))
        );
        assert!(!of("account_payment").is_confirmed(None), "before Odoo 18 it has no state");
        assert!(of("pos_order_line").is_confirmed(None) && !of("res_partner").is_confirmed(None));
        assert!(Lasting::of("other", "sale_order").is_none() && Lasting::of("public", "bus_bus").is_none());
    }
}
