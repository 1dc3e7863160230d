//! A document of an export, as it is in its file. Anybody may have edited it: nothing in it is believed
//! without a look.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::postgres::decimal::Decimal;
use crate::release::salvage::found::Paid;

/// A document with the rows that belong to it.
#[derive(Debug, Deserialize)]
pub struct Exported {
    /// Its number or name.
    pub name: String,
    /// Its row.
    #[serde(flatten)]
    pub row: Row,
    /// The rows that belong to it, by table.
    #[serde(default)]
    pub lines: BTreeMap<String, Vec<Row>>,
    /// Its total.
    pub total: Option<Total>,
    /// The invoices that a payment paid; `None` if the export does not know it.
    pub paid: Option<Vec<Paid>>,
}

/// A row.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    /// Its `id` in the source.
    pub id: i64,
    /// Its columns.
    pub values: Map<String, Value>,
    /// The rows that its columns name.
    #[serde(default)]
    pub links: BTreeMap<String, Link>,
    /// Its taxes, where it is a line that may have some.
    #[serde(default)]
    pub taxes: Vec<Link>,
}

/// A total.
#[derive(Clone, Debug, Deserialize)]
pub struct Total {
    /// Negative where money goes out.
    pub amount: Decimal,
    /// The name of its currency.
    pub currency: String,
}

/// A row that is named.
#[derive(Clone, Debug, Deserialize)]
pub struct Link {
    /// Its table.
    pub table: String,
    /// Its `id` in the source.
    pub id: i64,
    /// Whether the copy at the point has it.
    pub at_point: Option<bool>,
    /// What it is called.
    #[serde(default)]
    pub key: BTreeMap<String, String>,
}

impl Row {
    /// A column as text; `None` for NULL, for an empty one, and where there is no such column.
    pub fn text(&self, column: &str) -> Option<String> {
        let text = match self.values.get(column)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => return None,
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// Whether a column is true.
    pub fn flag(&self, column: &str) -> bool {
        self.values.get(column) == Some(&Value::Bool(true))
    }

    /// Whether a column names something.
    pub fn has(&self, column: &str) -> bool {
        self.values.get(column).is_some_and(|value| !value.is_null())
    }

    /// A whole number.
    pub fn int(&self, column: &str) -> Option<i64> {
        self.values.get(column)?.as_i64()
    }

    /// A number, exactly.
    pub fn decimal(&self, column: &str) -> Option<Decimal> {
        self.text(column)?.parse().ok()
    }

    /// A time as Odoo takes it: `2026-11-28 01:02:03`, in UTC.
    pub fn time(&self, column: &str) -> Option<String> {
        let text = self.text(column)?;
        let seconds = text.get(..19).filter(|text| text.is_ascii())?;
        let (day, time) = seconds.split_once('T')?;
        (day.len() == 10 && time.len() == 8).then(|| format!("{day} {time}"))
    }
}

impl Exported {
    /// The rows of a table that belong to it.
    pub fn lines(&self, table: &str) -> &[Row] {
        self.lines.get(table).map_or(&[], Vec::as_slice)
    }

    /// The first of its row and of the one row of a table that has this column: a payment has some of its
    /// columns in its entry.
    pub fn with<'e>(&'e self, table: &str, column: &str) -> Option<&'e Row> {
        [&self.row].into_iter().chain(self.lines(table).first()).find(|row| row.has(column))
    }
}
