//! Confirmed business documents that are gone, by the day on which they were made.

use std::collections::BTreeMap;

use super::rows::{SMALLER_MIN, SMALLER_PER_100};
use super::{About, Change, Weight};
use crate::names::counted;
use crate::odoo::lasting::{Confirmed, DaysLost, LASTING, Lasting, LastingCounts, SumChanged, is_share};

/// All rows of a table count if so many are gone, and 1 of 4; of a small table, half of them.
const ROWS_GONE_MIN: u64 = 50;
const ROWS_GONE_PER_100: u64 = 25;

pub(super) fn changes(
    before: &BTreeMap<String, LastingCounts>,
    after: &BTreeMap<String, LastingCounts>,
) -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    for lasting in &LASTING {
        let (Some(was), Some(is)) = (before.get(lasting.table), after.get(lasting.table)) else { continue };
        all.extend(match DaysLost::of(&was.days, &is.days) {
            Some(lost) => {
                // An entry that is posted again may get new lines, and an order at a till is a draft at
                // first: then the entry or the order itself is still there.
                let is_lost = |table| all.iter().any(|one| one.what == table && one.weight == Weight::Lost);
                let may_be_new = match lasting.table {
                    "account_move_line" => !is_lost("account_move"),
                    "pos_order_line" => !is_lost("pos_order"),
                    _ => false,
                };
                let is_loss = lost.is_loss && !may_be_new;
                Some(days(lasting, &lost, (was, is), if is_loss { Weight::Lost } else { Weight::Changed }))
            }
            None => rows(lasting, was, is).or_else(|| sum(lasting, was, is)),
        });
        all.extend(grown(lasting, was, is));
    }
    all
}

fn days(
    lasting: &Lasting,
    lost: &DaysLost,
    (was, is): (&LastingCounts, &LastingCounts),
    weight: Weight,
) -> Change {
    let dates = lost.dates();
    let word = if lasting.confirmed == Confirmed::Always { "" } else { "confirmed " };
    let made = match dates.as_slice() {
        [one] => format!("made on {one}"),
        [first, .., last] => format!("made on {} from {first} to {last}", counted(dates.len() as u64, "day")),
        [] => "made at an unknown time".to_owned(),
    };
    let says = format!("{} of {} {word}rows {made} are gone", lost.gone(), lost.of_rows());
    let day = |(day, _, _): &(i32, u64, u64)| {
        let confirmed = |counts: &LastingCounts| counts.days.get(day).map_or(0, |day| day.confirmed);
        format!("{} had {}, has {}", crate::odoo::lasting::date(*day), confirmed(was), confirmed(is))
    };
    Change::new(weight, About::Documents, lasting.table, says).with(lost.days.iter().map(day))
}

/// Rows of whatever state that are gone.
fn rows(lasting: &Lasting, was: &LastingCounts, is: &LastingCounts) -> Option<Change> {
    let of_day = |day: &i32| is.days.get(day).map_or(0, |day| day.rows);
    let gone: u64 = was.days.iter().map(|(day, was)| was.rows.saturating_sub(of_day(day))).sum();
    let is_loss = gone >= ROWS_GONE_MIN && is_share(gone, was.rows, ROWS_GONE_PER_100)
        || gone >= SMALLER_MIN && is_share(gone, was.rows, SMALLER_PER_100);
    let says = format!("{gone} of {} rows are gone", was.rows);
    is_loss.then(|| Change::new(Weight::Lost, About::Documents, lasting.table, says))
}

fn sum(lasting: &Lasting, was: &LastingCounts, is: &LastingCounts) -> Option<Change> {
    let SumChanged { from, to } = SumChanged::of(&was.days, &is.days)?;
    let what = format!("{}.{}", lasting.table, lasting.amount.unwrap_or_default());
    let says = format!("the sum of the same confirmed rows is {to}, before {from}");
    // People may edit a confirmed order. What is posted or paid stays as it is.
    let is_final = ["account_move", "account_move_line", "pos_order", "pos_payment"].contains(&lasting.table);
    let weight = if is_final { Weight::Lost } else { Weight::Changed };
    Some(Change::new(weight, About::Documents, what, says))
}

fn grown(lasting: &Lasting, was: &LastingCounts, is: &LastingCounts) -> Option<Change> {
    let more = is.confirmed().checked_sub(was.confirmed()).filter(|more| *more > 0)?;
    let says = format!("{more} confirmed rows more, {} now", is.confirmed());
    Some(Change::new(Weight::Grown, About::Documents, lasting.table, says))
}
