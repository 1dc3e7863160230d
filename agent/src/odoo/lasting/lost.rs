//! Which loss of rows that last no normal work explains.

use std::collections::BTreeMap;

use super::{DAY_UNKNOWN, Day};
use crate::postgres::decimal::Decimal;

/// Confirmed rows that are gone, as no normal work explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaysLost {
    /// Each day with losses, how many confirmed rows it had, and how many of them are gone.
    pub days: Vec<(i32, u64, u64)>,
    /// Whether they are so many that no normal work explains them: half of a day, or one of a hundred.
    pub is_loss: bool,
}

/// A day counts if at least so many of its confirmed rows are gone, and at least half of them.
const DAY_GONE_MIN: u64 = 5;
/// A table counts if so many of its confirmed rows are gone, on whatever days, and 1 of 100.
const CONFIRMED_GONE_MIN: u64 = 20;
const CONFIRMED_GONE_PER_100: u64 = 1;

impl DaysLost {
    /// What is gone of the days that `was` has; `None` if nothing is. If some days lost half of their rows,
    /// only these are named.
    pub fn of(was: &BTreeMap<i32, Day>, is: &BTreeMap<i32, Day>) -> Option<DaysLost> {
        let now = |day: &i32| is.get(day).copied().unwrap_or_default();
        let each = was.iter().map(|(day, was)| (*day, was.confirmed, gone_of(*was, now(day))));
        let days: Vec<(i32, u64, u64)> = each.filter(|(_, _, gone)| *gone > 0).collect();
        let is_lost = |(_, of, gone): &&(i32, u64, u64)| *gone >= DAY_GONE_MIN && is_share(*gone, *of, 50);
        let lost: Vec<_> = days.iter().filter(is_lost).copied().collect();
        if !lost.is_empty() {
            return Some(DaysLost { days: lost, is_loss: true });
        }
        let gone: u64 = days.iter().map(|(_, _, gone)| gone).sum();
        let all: u64 = was.values().map(|day| day.confirmed).sum();
        let is_loss = gone >= CONFIRMED_GONE_MIN && is_share(gone, all, CONFIRMED_GONE_PER_100);
        (gone > 0).then_some(DaysLost { days, is_loss })
    }

    /// How many rows are gone.
    pub fn gone(&self) -> u64 {
        self.days.iter().map(|(_, _, gone)| gone).sum()
    }

    /// How many confirmed rows these days had.
    pub fn of_rows(&self) -> u64 {
        self.days.iter().map(|(_, of, _)| of).sum()
    }

    /// The days that are known, as `2026-11-19`, in order.
    pub fn dates(&self) -> Vec<String> {
        self.days.iter().filter(|(day, _, _)| *day != DAY_UNKNOWN).map(|(day, _, _)| date(*day)).collect()
    }
}

/// How many confirmed rows of a day are surely gone, not just cancelled or reset to draft: those keep their
/// rows. Drafts that went explain rows, but not confirmed ones.
fn gone_of(was: Day, is: Day) -> u64 {
    was.rows.saturating_sub(is.rows).min(was.confirmed.saturating_sub(is.confirmed))
}

/// Whether a number is at least this share of another.
pub fn is_share(part: u64, whole: u64, per_100: u64) -> bool {
    u128::from(part) * 100 >= u128::from(whole) * u128::from(per_100)
}

/// A number of days since 2000 as `2026-11-19`.
pub fn date(day: i32) -> String {
    let date = jiff::civil::date(2000, 1, 1).checked_add(jiff::Span::new().days(day));
    date.map_or_else(|_| day.to_string(), |date| date.to_string())
}

/// The sum of a table whose days have as many confirmed rows as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SumChanged {
    /// Before.
    pub from: Decimal,
    /// After.
    pub to: Decimal,
}

/// A sum counts if so many confirmed rows are in it, and it changed by 1 part in 10.
const SUM_ROWS_MIN: u64 = 20;
const SUM_CHANGED: f64 = 0.1;

impl SumChanged {
    /// `None` if it changed by less than normal work explains.
    pub fn of(was: &BTreeMap<i32, Day>, is: &BTreeMap<i32, Day>) -> Option<SumChanged> {
        let same = was.iter().filter_map(|(day, was)| {
            let is = is.get(day).filter(|is| is.confirmed == was.confirmed)?;
            Some((was.confirmed, was.sum?, is.sum?))
        });
        let none = Some((0, Decimal::ZERO, Decimal::ZERO));
        let (rows, from, to) = same.fold(none, |sums, (rows, from, to)| {
            let (all, all_from, all_to) = sums?;
            Some((all + rows, all_from.plus(from)?, all_to.plus(to)?))
        })?;
        let apart = (to.about() - from.about()).abs();
        let counts = rows >= SUM_ROWS_MIN && from != to && apart >= from.about().abs() * SUM_CHANGED;
        counts.then_some(SumChanged { from, to })
    }
}
