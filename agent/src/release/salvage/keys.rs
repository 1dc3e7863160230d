//! The keys of rows that documents name.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::release::salvage::kinds::LINKS;

/// The key of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Whether the copy has a row with this `id`; `None` where that is not known.
    pub at_point: Option<bool>,
    /// Names and codes, as far as there are any.
    pub key: BTreeMap<String, String>,
}

/// The keys of all rows that are named.
#[derive(Debug, Default)]
pub struct Keys(pub(super) HashMap<&'static str, HashMap<i64, Key>>);

/// The table that a column names a row of.
pub fn target(column: &str) -> Option<&'static str> {
    LINKS.iter().find(|(name, _)| *name == column).map(|(_, table)| *table)
}

impl Keys {
    /// The key of a row.
    pub fn get(&self, table: &str, id: i64) -> Option<&Key> {
        self.0.get(table)?.get(&id)
    }

    /// How many named rows of each table the copy does not have.
    pub fn missing(&self) -> BTreeMap<&'static str, usize> {
        let missing = self
            .0
            .iter()
            .map(|(table, keys)| (*table, keys.values().filter(|key| key.at_point == Some(false)).count()));
        missing.filter(|(_, count)| *count > 0).collect()
    }
}
