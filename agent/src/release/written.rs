//! What was written after the point of a checkpoint: counted row by row, summed by currency.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::odoo::business::{Currencies, Document, Seen};
use crate::postgres::decimal::Decimal;
use crate::release::side::{PointOf, Side};

/// Most currencies, companies' ones included, that are summed.
const CURRENCIES_MAX: usize = 1_000;
/// The longest number of a document that is shown.
const NAME_CHARS_MAX: usize = 64;

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
    use crate::release::made_up::at;

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

    /// The look began at 90, the last open transaction at 80, the point is at 100, with 50 rows.
    fn point() -> PointOf {
        PointOf { time: at(100), taken: at(90), settled_before: Some(at(80)), last_id: Some(50) }
    }

    #[test]
    fn counts_sums_and_the_ends_are_exact() {
        let mut counting = Counting::new(Document::SaleOrder, point());
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
        let mut counting = Counting::new(Document::SaleOrder, point());
        counting.add(&seen(60, 200));
        counting.add(&Seen { amount: Some(Err(crate::postgres::decimal::Inexact)), ..seen(61, 200) });
        counting.add(&seen(62, 200));
        let written = counting.finish(Some(&currencies));
        assert_eq!((written.after, written.sums), (3, None));
        let mut counting = Counting::new(Document::SaleOrder, point());
        counting.add(&Seen { currency: Some(9), ..seen(60, 200) });
        let sums = counting.finish(Some(&currencies)).sums.unwrap();
        assert_eq!(sums.keys().collect::<Vec<_>>(), ["?"], "an unknown currency is said to be one");
    }
}
