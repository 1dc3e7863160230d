//! What was written after the point of a checkpoint: each document is before the point, after it, or it is
//! not known which.
//!
//! A transaction that was open at the point is in neither: what it wrote has numbers from before the point,
//! and was committed after it. So a document counts as written after the point only if its transaction began
//! after it, or if it took its `id` after it; and as written before only if all transactions of its time were
//! over. The few in between are counted on their own.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::odoo::business::{Currencies, Document, Seen};
use crate::odoo::counters::{Counters, Last};
use crate::postgres::decimal::Decimal;

/// Most currencies, companies' ones included, that are summed.
const CURRENCIES_MAX: usize = 1_000;
/// The longest number of a document that is shown.
const NAME_CHARS_MAX: usize = 64;

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

/// What was written of one kind of document after the point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Which.
    pub document: Document,
    /// How many.
    pub after: u64,
    /// Of these beyond a draft; `None` where the table does not say it.
    pub done: Option<u64>,
    /// How many more may be among them: their transaction was open at the point.
    pub maybe: u64,
    /// Older ones that Odoo changed after the point.
    pub changed: u64,
    /// The totals of `after`, what goes out negative, by currency; `None` if it has no totals or they cannot
    /// be summed. `?` is a currency that is not known.
    pub sums: Option<BTreeMap<String, Decimal>>,
    /// The sizes of their files.
    pub bytes: Option<u64>,
    /// When the first of them was made.
    pub oldest: Option<Timestamp>,
    /// When the last of them was made.
    pub newest: Option<Timestamp>,
    /// The number of the one with the lowest `id`.
    pub first: Option<String>,
    /// The number of the one with the highest `id`.
    pub last: Option<String>,
}

/// Counts the documents of one kind, row by row.
#[derive(Debug)]
pub struct Counting {
    point: PointOf,
    written: Written,
    sums: Option<Sums>,
    first: (i64, Option<Vec<u8>>),
    last: (i64, Option<Vec<u8>>),
}

impl Counting {
    /// Begins.
    pub fn new(document: Document, point: PointOf) -> Counting {
        let written = Written {
            document,
            after: 0,
            done: None,
            maybe: 0,
            changed: 0,
            sums: None,
            bytes: None,
            oldest: None,
            newest: None,
            first: None,
            last: None,
        };
        Counting {
            point,
            written,
            sums: Some(BTreeMap::new()),
            first: (i64::MAX, None),
            last: (i64::MIN, None),
        }
    }

    /// Counts one.
    pub fn add(&mut self, seen: &Seen<'_>) {
        let written = &mut self.written;
        match self.point.side(seen.id, seen.created) {
            Side::Before => {
                let is_changed = seen.written.is_some_and(|at| at > self.point.time);
                written.changed += u64::from(is_changed);
                return;
            }
            Side::Either => {
                written.maybe += 1;
                return;
            }
            Side::After => {}
        }
        written.after += 1;
        if let Some(done) = seen.is_done {
            *written.done.get_or_insert(0) += u64::from(done);
        }
        if let Some(bytes) = seen.bytes {
            *written.bytes.get_or_insert(0) += bytes.max(0).unsigned_abs();
        }
        if let Some(created) = seen.created {
            written.oldest = Some(written.oldest.map_or(created, |oldest| oldest.min(created)));
            written.newest = Some(written.newest.map_or(created, |newest| newest.max(created)));
        }
        if seen.id < self.first.0 {
            self.first = (seen.id, seen.name.map(<[u8]>::to_vec));
        }
        if seen.id > self.last.0 {
            self.last = (seen.id, seen.name.map(<[u8]>::to_vec));
        }
        self.sums = self.sums.take().and_then(|sums| added(sums, seen));
    }

    /// What was counted. `currencies` names the currencies; without them there are no sums.
    pub fn finish(self, currencies: Option<&Currencies>) -> Written {
        let name = |(_, name): (i64, Option<Vec<u8>>)| {
            let name = name.map(|name| String::from_utf8_lossy(&name).into_owned())?;
            (!name.is_empty() && name != "/").then(|| name.chars().take(NAME_CHARS_MAX).collect())
        };
        let sums = self.sums.zip(currencies).and_then(|(sums, currencies)| by_name(&sums, currencies));
        Written {
            sums: sums.filter(|sums| !sums.is_empty()),
            first: name(self.first),
            last: name(self.last),
            ..self.written
        }
    }
}

/// By the number of the currency, else of the company.
type Sums = BTreeMap<(Option<i64>, Option<i64>), Decimal>;

/// `None` if they cannot be summed any more.
fn added(mut sums: Sums, seen: &Seen<'_>) -> Option<Sums> {
    let Some(amount) = seen.amount else { return Some(sums) };
    // A company counts only where the document has no currency of its own.
    let key = (seen.currency, seen.company.filter(|_| seen.currency.is_none()));
    let sum = sums.entry(key).or_default();
    *sum = sum.plus(amount.ok()?)?;
    (sums.len() <= CURRENCIES_MAX).then_some(sums)
}

fn by_name(sums: &Sums, currencies: &Currencies) -> Option<BTreeMap<String, Decimal>> {
    let mut named = BTreeMap::<String, Decimal>::new();
    for ((currency, company), amount) in sums {
        let name = currencies.of(*currency, *company).unwrap_or("?");
        let sum = named.entry(name.to_owned()).or_default();
        *sum = sum.plus(*amount)?;
    }
    Some(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + second).unwrap()
    }

    fn seen(id: i64, created: i64) -> Seen<'static> {
        Seen {
            document: Document::SaleOrder,
            id,
            created: Some(at(created)),
            written: Some(at(created)),
            is_done: Some(true),
            amount: Some(Ok(Decimal::whole(10))),
            currency: Some(1),
            company: Some(1),
            name: None,
            bytes: None,
        }
    }

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

    #[test]
    fn counts_sums_and_the_ends_are_exact() {
        let mut counting = Counting::new(Document::SaleOrder, POINT(Some(50)));
        counting.add(&seen(10, 10));
        counting.add(&Seen { written: Some(at(300)), ..seen(11, 10) });
        counting.add(&seen(50, 85));
        counting.add(&Seen { name: Some(b"S00052"), ..seen(52, 200) });
        counting.add(&Seen {
            name: Some(b"S00051"),
            is_done: Some(false),
            currency: None,
            amount: Some("0.10".parse()),
            ..seen(51, 150)
        });
        let currencies = Currencies::made_up(&[(1, "EUR"), (2, "USD")], &[(1, 2)]);
        let written = counting.finish(Some(&currencies));
        let sums = [("EUR".to_owned(), Decimal::whole(10)), ("USD".to_owned(), "0.10".parse().unwrap())];
        let expected = Written {
            document: Document::SaleOrder,
            after: 2,
            done: Some(1),
            maybe: 1,
            changed: 1,
            sums: Some(BTreeMap::from(sums)),
            bytes: None,
            oldest: Some(at(150)),
            newest: Some(at(200)),
            first: Some("S00051".into()),
            last: Some("S00052".into()),
        };
        assert_eq!(written, expected);
    }

    #[test]
    fn a_total_that_cannot_be_summed_makes_no_wrong_sum() {
        let currencies = Currencies::made_up(&[(1, "EUR")], &[]);
        let mut counting = Counting::new(Document::SaleOrder, POINT(Some(50)));
        counting.add(&seen(60, 200));
        counting.add(&Seen { amount: Some(Err(crate::postgres::decimal::Inexact)), ..seen(61, 200) });
        counting.add(&seen(62, 200));
        let written = counting.finish(Some(&currencies));
        assert_eq!((written.after, written.sums), (3, None));
        let mut counting = Counting::new(Document::SaleOrder, POINT(Some(50)));
        counting.add(&Seen { currency: Some(9), ..seen(60, 200) });
        let sums = counting.finish(Some(&currencies)).sums.unwrap();
        assert_eq!(sums.keys().collect::<Vec<_>>(), ["?"], "an unknown currency is said to be one");
    }
}
