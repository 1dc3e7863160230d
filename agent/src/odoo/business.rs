//! Business documents: what a company loses with a table. Which tables they are in, and which columns are
//! read of them, in Odoo 15 to 19.
//!
//! Rows are streamed with [`Table::each`], a few columns each, and never kept. A module that is not installed
//! has no table: that is no error. A table that is not what Odoo makes (a view, a generated column, a type of
//! the owner's own) is refused by name, and the other tables are read all the same.

mod currency;
mod failure;
mod numbering;
mod source;
mod stamp;

use serde::{Deserialize, Serialize};

pub use currency::Currencies;
pub use failure::{Failed, Failure, LockWaits};
pub use numbering::{Numbering, gives_numbers};
pub use source::{SOURCES, Source};
pub use stamp::{Stamp, stamps};

use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::names::counted;
use crate::postgres::copy_out::Row;
use crate::postgres::decimal::{Decimal, Inexact};
use crate::postgres::session::Session;
use crate::postgres::table::{Table, Type};

/// A kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Document {
    /// A sale order or quotation.
    SaleOrder,
    /// An order at a point of sale.
    PosOrder,
    /// A payment of a customer or to a vendor.
    Payment,
    /// A transfer of stock.
    Picking,
    /// One product of a transfer.
    StockMove,
    /// A customer's invoice, receipt or credit note.
    Invoice,
    /// A vendor's.
    Bill,
    /// An attachment.
    Attachment,
}

impl Document {
    /// All of them, in order.
    pub const ALL: [Document; 8] = [
        Document::SaleOrder,
        Document::PosOrder,
        Document::Payment,
        Document::Picking,
        Document::StockMove,
        Document::Invoice,
        Document::Bill,
        Document::Attachment,
    ];

    /// Its stable word: in JSON, in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Document::SaleOrder => "sale-order",
            Document::PosOrder => "pos-order",
            Document::Payment => "payment",
            Document::Picking => "picking",
            Document::StockMove => "stock-move",
            Document::Invoice => "invoice",
            Document::Bill => "bill",
            Document::Attachment => "attachment",
        }
    }

    /// For people, in the plural.
    pub fn plural(self) -> &'static str {
        match self {
            Document::SaleOrder => "sale orders",
            Document::PosOrder => "POS orders",
            Document::Payment => "payments",
            Document::Picking => "pickings",
            Document::StockMove => "stock moves",
            Document::Invoice => "invoices",
            Document::Bill => "vendor bills",
            Document::Attachment => "attachments",
        }
    }

    /// So many, for people: `1 sale order`, `2 sale orders`.
    pub fn counted(self, count: u64) -> String {
        counted(count, self.plural().trim_end_matches('s'))
    }

    /// What a document is called that is beyond a draft; `None` where all are.
    pub fn done_word(self) -> Option<&'static str> {
        match self {
            Document::SaleOrder => Some("confirmed"),
            Document::PosOrder => Some("paid"),
            Document::Payment | Document::Attachment => None,
            Document::Picking | Document::StockMove => Some("done"),
            Document::Invoice | Document::Bill => Some("posted"),
        }
    }

    /// The table that its rows are in.
    pub fn table(self) -> &'static str {
        let has = |source: &&Source| source.documents.contains(&self);
        SOURCES.iter().find(has).map_or("", |source| source.table)
    }
}

/// One document, as long as its row is looked at.
#[derive(Debug)]
pub struct Seen<'r> {
    /// What it is.
    pub document: Document,
    /// Its `id`.
    pub id: i64,
    /// When the transaction began that created it, by the server's clock, unless something set it.
    pub created: Option<Timestamp>,
    /// The same of the last change through Odoo.
    pub written: Option<Timestamp>,
    /// Whether it is beyond a draft; `None` where the table does not say it.
    pub is_done: Option<bool>,
    /// Its total, negative where money goes out.
    pub amount: Option<Result<Decimal, Inexact>>,
    /// The `id` of its currency.
    pub currency: Option<i64>,
    /// The `id` of its company.
    pub company: Option<i64>,
    /// Its number or name, in the database's bytes; never that of an attachment.
    pub name: Option<&'r [u8]>,
    /// The size of its file.
    pub bytes: Option<i64>,
}

/// Whether a source could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The module is not installed: there is no such table.
    NoTable,
    /// Every row was passed on.
    All,
}

impl Source {
    /// Passes on every document of this table, in no particular order. The session must be in a transaction
    /// that [`crate::postgres::look`] began.
    ///
    /// # Errors
    /// `Postgres` if the table or one of its columns is not as Odoo makes it; `Denied` if it may not be read;
    /// whatever `each` returns. After an error the session cannot be used any more, if rows were read.
    pub async fn each(
        &self,
        session: &mut Session,
        mut each: impl FnMut(&Seen<'_>) -> Result<()>,
    ) -> Result<Read> {
        let Some(table) = Table::find(session, self.table).await? else { return Ok(Read::NoTable) };
        let mut columns = vec![("id", Type::Int), ("create_date", Type::Time)];
        let optional = [
            Some(("write_date", Type::Time)),
            (!self.done.is_empty()).then_some(("state", Type::Text)),
            self.split.map(|split| (split, Type::Text)),
            self.amount.map(|amount| (amount, Type::Numeric)),
            self.amount.map(|_| ("currency_id", Type::Int)),
            self.amount.map(|_| ("company_id", Type::Int)),
            self.named.then_some(("name", Type::Text)),
            self.bytes.map(|bytes| (bytes, Type::Int)),
        ];
        // Where each optional column is in a row; versions of Odoo differ in which there are.
        let mut at = [None; 8];
        for (slot, column) in at.iter_mut().zip(optional) {
            let Some(column) = column.filter(|(name, _)| table.lacks(&[*name]).is_empty()) else { continue };
            *slot = Some(columns.len());
            columns.push(column);
        }
        let [written, state, split, amount, currency, company, name, bytes] = at;
        if let (Some(column), None) = (self.split, split) {
            let what = format!("table {} has no column {column} in {}", self.table, session.place());
            return Err(Error::new(Kind::Postgres, what)
                .effect("it is not known which of its rows are which documents")
                .next("check whether this is Odoo 15 or newer"));
        }
        let seen = |row: &Row<'_>| {
            let Some(id) = row.int(0) else { return Ok(()) };
            let word = split.and_then(|at| row.bytes(at)).unwrap_or_default();
            let Some((document, goes_out)) = self.document(word) else { return Ok(()) };
            let amount = amount.and_then(|at| row.numeric(at));
            each(&Seen {
                document,
                id,
                created: row.time(1),
                written: written.and_then(|at| row.time(at)),
                is_done: state.map(|at| self.is_done(row.bytes(at).unwrap_or_default())),
                amount: amount.map(|amount| amount.map(|amount| if goes_out { -amount } else { amount })),
                currency: currency.and_then(|at| row.int(at)),
                company: company.and_then(|at| row.int(at)),
                name: name.and_then(|at| row.bytes(at)),
                bytes: bytes.and_then(|at| row.int(at)),
            })
        };
        table.each(session, &columns, seen).await?;
        Ok(Read::All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_has_a_table_and_every_table_its_documents() {
        for document in Document::ALL {
            assert!(!document.table().is_empty(), "{document:?}");
            assert_eq!(document.counted(2), format!("2 {}", document.plural()));
            let json = serde_json::to_string(&document).unwrap();
            assert_eq!(json, format!("\"{}\"", document.as_str()));
        }
        let all: usize = SOURCES.iter().map(|source| source.documents.len()).sum();
        assert_eq!(all, Document::ALL.len());
    }

    #[test]
    fn a_move_is_told_by_its_type_and_money_that_goes_out_is_negative() {
        let source = |table| SOURCES.iter().find(|source| source.table == table).unwrap();
        let moves = source("account_move");
        assert_eq!(moves.document(b"out_invoice"), Some((Document::Invoice, false)));
        assert_eq!(moves.document(b"out_refund"), Some((Document::Invoice, true)));
        assert_eq!(moves.document(b"in_refund"), Some((Document::Bill, false)));
        assert_eq!(moves.document(b"in_invoice"), Some((Document::Bill, true)));
        assert_eq!(moves.document(b"entry"), None);
        assert_eq!(source("account_payment").document(b"outbound"), Some((Document::Payment, true)));
        assert_eq!(source("sale_order").document(b""), Some((Document::SaleOrder, false)));
        assert!(moves.is_done(b"posted") && !moves.is_done(b"draft"));
    }
}
