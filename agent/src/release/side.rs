//! Whether a document was written before the point of a checkpoint or after it, or it is not known which.
//!
//! A transaction that was open at the point is in neither: what it wrote has numbers from before the point,
//! and was committed after it. So a document counts as written after the point only if its transaction began
//! after it, or if it took its `id` after it; and as written before only if all transactions of its time were
//! over. The few in between are counted on their own.

use crate::clock::Timestamp;
use crate::odoo::counters::{Counters, Last};

/// The point, as a table of documents shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointOf {
    /// When it was made, by the server's clock.
    pub time: Timestamp,
    /// When the look at the sequences began.
    pub taken: Timestamp,
    /// [`Counters::settled_before`].
    pub settled_before: Option<Timestamp>,
    /// The last `id` that was given out before the point; `None` if that is not known.
    pub last_id: Option<i64>,
}

/// Where a document stands to the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It is in the state that a rollback brings back.
    Before,
    /// It is not: a rollback loses it.
    After,
    /// Its transaction was open at the point.
    Either,
}

impl PointOf {
    /// The point, for the rows of `table`. `None` as the counters: they are lost, so only times tell.
    pub fn new(time: Timestamp, counters: Option<&Counters>, table: &str) -> PointOf {
        let Some(counters) = counters else {
            return PointOf { time, taken: time, settled_before: None, last_id: None };
        };
        let sequence = counters.ids_of(table).filter(|one| one.increment > 0 && one.cache == 1);
        let last_id = sequence.and_then(|one| match one.last {
            Last::At(last) => Some(last),
            Last::None => Some(0),
            Last::NotReadable => None,
        });
        PointOf { time, taken: counters.taken, settled_before: counters.settled_before, last_id }
    }

    /// The side of a document with this `id`, whose transaction began then.
    pub fn side(&self, id: i64, created: Option<Timestamp>) -> Side {
        let is_later = created.is_some_and(|created| created > self.time);
        let open_then = match (created, self.settled_before) {
            (Some(created), Some(settled)) => created >= settled,
            // nothing tells
            (None, _) => self.last_id.is_none(),
            (Some(_), None) => false,
        };
        match self.last_id {
            _ if is_later => Side::After,
            Some(last) if id > last && self.taken >= self.time => Side::After,
            Some(last) if id > last => Side::Either,
            _ if open_then => Side::Either,
            _ => Side::Before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::made_up::at;

    /// The look began at 90, the last open transaction at 80, the point is at 100.
    const POINT: fn(Option<i64>) -> PointOf =
        |last_id| PointOf { time: at(100), taken: at(90), settled_before: Some(at(80)), last_id };

    #[test]
    fn what_was_open_at_the_point_is_neither_before_nor_after_it() {
        let point = POINT(Some(50));
        assert_eq!(point.side(50, Some(at(79))), Side::Before);
        assert_eq!(point.side(50, Some(at(80))), Side::Either, "its transaction may have been open");
        assert_eq!(point.side(51, Some(at(95))), Side::Either, "between the look and the point");
        assert_eq!(point.side(51, Some(at(101))), Side::After);
        assert_eq!(point.side(40, Some(at(101))), Side::After, "a number that was taken and used later");
        assert_eq!(point.side(51, None), Side::Either);
        assert_eq!(point.side(50, None), Side::Before);
        let late = PointOf { taken: at(100), ..point };
        assert_eq!(late.side(51, Some(at(95))), Side::After, "the number was given out after the point");
    }

    #[test]
    fn without_counters_the_time_alone_tells() {
        let point = PointOf::new(at(100), None, "sale_order");
        assert_eq!(point.side(1, Some(at(100))), Side::Before);
        assert_eq!(point.side(1, Some(at(101))), Side::After);
        assert_eq!(point.side(1, None), Side::Either);
        assert_eq!(POINT(None).side(7, Some(at(90))), Side::Either);
    }
}
