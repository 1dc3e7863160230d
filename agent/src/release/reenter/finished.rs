//! What a document is in the tenant, compared with what it was.

use serde::Serialize;
use serde_json::{Map, Value};

use super::amount::{comparable, decimal};
use crate::postgres::decimal::Decimal;

/// A number before and now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// What is compared: `total`, `lines`, `quantity`, `state`.
    pub what: &'static str,
    /// As it was exported.
    pub old: String,
    /// As it is in the tenant.
    pub new: String,
}

impl Compared {
    /// Whether both are the same.
    pub fn agrees(&self) -> bool {
        self.old == self.new
    }
}

/// A document that is in the tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Its new number or name.
    pub name: String,
    /// What was compared.
    pub compared: Vec<Compared>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Finished {
    /// With the name of this row.
    pub fn of(row: &Map<String, Value>) -> Finished {
        let name = row.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        Finished { name, ..Finished::default() }
    }

    /// Compares two texts.
    pub fn text(&mut self, what: &'static str, old: impl ToString, new: impl ToString) {
        self.compared.push(Compared { what, old: old.to_string(), new: new.to_string() });
    }

    /// Compares numbers; an old one that is not known is not compared.
    pub fn number(&mut self, what: &'static str, old: Option<Decimal>, new: Option<Decimal>) {
        if let Some(old) = old.and_then(comparable) {
            self.text(what, old, new.map_or_else(|| "not known".to_owned(), |new| new.to_string()));
        }
    }

    /// What a person should know.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

/// The sum of a column of Odoo's rows.
pub fn sum_of(rows: &[Map<String, Value>], column: &str) -> Option<Decimal> {
    let mut all = rows.iter().map(|row| decimal(row.get(column)?));
    all.try_fold(Decimal::ZERO, |sum, one| sum.plus(one?))
}

/// The state of a row.
pub fn state(row: &Map<String, Value>) -> &str {
    row.get("state").and_then(Value::as_str).unwrap_or_default()
}
