//! The tables of business documents.

use super::Document;

/// A table with business documents.
#[derive(Debug)]
pub struct Source {
    /// Its name in schema `public`.
    pub table: &'static str,
    /// The documents that are in it.
    pub documents: &'static [Document],
    /// The column that tells which of them a row is, and where its money goes.
    pub(super) split: Option<&'static str>,
    /// The states of a document that is beyond a draft; none if it has no states.
    pub(super) done: &'static [&'static str],
    /// The column with its total. Its currency is `currency_id`, else that of its company.
    pub(super) amount: Option<&'static str>,
    /// Whether its `name` is a number that a person knows it by.
    pub(super) named: bool,
    /// The column with the size of its file.
    pub(super) bytes: Option<&'static str>,
}

const PLAIN: Source =
    Source { table: "", documents: &[], split: None, done: &[], amount: None, named: true, bytes: None };

/// All of them. A payment's state is its journal entry's in 15 to 17, its own in 18; an order at a point of
/// sale has the currency of its company. A move's name is its product's.
pub static SOURCES: [Source; 7] = [
    Source {
        table: "sale_order",
        documents: &[Document::SaleOrder],
        done: &["sale", "done"],
        amount: Some("amount_total"),
        ..PLAIN
    },
    Source {
        table: "pos_order",
        documents: &[Document::PosOrder],
        done: &["paid", "done", "invoiced"],
        amount: Some("amount_total"),
        ..PLAIN
    },
    Source {
        table: "account_payment",
        documents: &[Document::Payment],
        split: Some("payment_type"),
        amount: Some("amount"),
        ..PLAIN
    },
    Source { table: "stock_picking", documents: &[Document::Picking], done: &["done"], ..PLAIN },
    Source { table: "stock_move", documents: &[Document::StockMove], done: &["done"], named: false, ..PLAIN },
    Source {
        table: "account_move",
        documents: &[Document::Invoice, Document::Bill],
        split: Some("move_type"),
        done: &["posted"],
        amount: Some("amount_total"),
        ..PLAIN
    },
    Source {
        table: "ir_attachment",
        documents: &[Document::Attachment],
        named: false,
        bytes: Some("file_size"),
        ..PLAIN
    },
];

impl Source {
    /// The table with this name, if business documents are in it.
    pub fn of(table: &str) -> Option<&'static Source> {
        SOURCES.iter().find(|source| source.table == table)
    }

    /// The column that tells which document a row is, where it may be several.
    pub fn split(&self) -> Option<&'static str> {
        self.split
    }

    /// The column with the total, where documents have one.
    pub fn amount(&self) -> Option<&'static str> {
        self.amount
    }

    /// Which document a row is, and whether its money goes out; `None` if it is not one. `word` is the value
    /// of [`Source::split`].
    pub fn document(&self, word: &[u8]) -> Option<(Document, bool)> {
        match (self.split, word) {
            (Some("move_type"), b"out_invoice" | b"out_receipt") => Some((Document::Invoice, false)),
            (Some("move_type"), b"out_refund") => Some((Document::Invoice, true)),
            (Some("move_type"), b"in_invoice" | b"in_receipt") => Some((Document::Bill, true)),
            (Some("move_type"), b"in_refund") => Some((Document::Bill, false)),
            (Some("move_type"), _) => None, // a journal entry
            (_, b"outbound") => self.documents.first().map(|document| (*document, true)),
            _ => self.documents.first().map(|document| (*document, false)),
        }
    }

    pub(super) fn is_done(&self, state: &[u8]) -> bool {
        self.done.iter().any(|done| done.as_bytes() == state)
    }
}
