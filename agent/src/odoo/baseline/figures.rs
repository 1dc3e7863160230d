//! Business figures: how many documents of each kind there are, the newest one, and their totals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::Result;
use crate::odoo::business::{Currencies, Document, SOURCES};
use crate::postgres::decimal::Decimal;
use crate::postgres::session::Session;

/// Most totals of one kind of document; more companies and currencies than that are not told apart.
const TOTALS_MAX: usize = 1_000;

/// The figures of one kind of document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Which.
    pub document: Document,
    /// How many there are.
    pub rows: u64,
    /// The highest `id`.
    pub newest_id: Option<i64>,
    /// When the newest one was made.
    pub newest: Option<Timestamp>,
    /// Their totals, sorted.
    pub totals: Vec<Total>,
}

/// The documents of one company, in one currency, drafts and others apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Whether they are beyond a draft: confirmed, paid, posted; `None` if the table does not say it.
    pub is_done: Option<bool>,
    /// The `id` of the company.
    pub company: Option<i64>,
    /// The name of the currency.
    pub currency: Option<String>,
    /// How many.
    pub rows: u64,
    /// Their sum; money that goes out is negative. `None` if one has no exact amount.
    pub total: Option<Decimal>,
}

/// Drafts and others, company, currency.
type Group = (Option<bool>, Option<i64>, Option<String>);
/// How many, and their sum.
type Groups = BTreeMap<Group, (u64, Option<Decimal>)>;

/// Takes them of the documents that have amounts, and of transfers. A table that is not as Odoo makes it is
/// left out.
pub(super) async fn take(session: &mut Session) -> Result<Vec<Figures>> {
    let Ok(currencies) = Currencies::read(session).await else { return Ok(Vec::new()) };
    let mut all: BTreeMap<Document, (Figures, Groups)> = BTreeMap::new();
    let counted = |table: &str| !["ir_attachment", "stock_move"].contains(&table);
    for source in SOURCES.iter().filter(|source| counted(source.table)) {
        let read = source.each(session, |seen| {
            let (figures, totals) = all.entry(seen.document).or_insert_with(|| {
                let document = seen.document;
                let figures =
                    Figures { document, rows: 0, newest_id: None, newest: None, totals: Vec::new() };
                (figures, BTreeMap::new())
            });
            figures.rows += 1;
            figures.newest_id = figures.newest_id.max(Some(seen.id));
            figures.newest = figures.newest.max(seen.created);
            let currency = currencies.of(seen.currency, seen.company).map(str::to_owned);
            let mut group = (seen.is_done, seen.company, currency);
            if totals.len() >= TOTALS_MAX && !totals.contains_key(&group) {
                group = (seen.is_done, None, None);
            }
            let (rows, total) = totals.entry(group).or_insert((0, Some(Decimal::ZERO)));
            *rows += 1;
            if let Some(amount) = &seen.amount {
                *total = total.zip(amount.as_ref().ok().copied()).and_then(|(sum, one)| sum.plus(one));
            }
            Ok(())
        });
        // If the server failed, so does the next statement.
        let _ = read.await;
    }
    let finish = |(mut figures, totals): (Figures, Groups)| {
        let total =
            |((is_done, company, currency), (rows, total))| Total { is_done, company, currency, rows, total };
        figures.totals = totals.into_iter().map(total).collect();
        figures
    };
    Ok(all.into_values().map(finish).collect())
}
