//! Pickings of sale orders: Odoo makes them itself when an order is confirmed. Which of the new order's is
//! which of the old one's: by type of operation, and then by their order.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::exported::Exported;

/// What the pickings of an export are to each other.
#[derive(Debug, Default)]
pub struct Relations {
    /// Which of its order's pickings of the same type it is, from 0.
    nth: HashMap<i64, usize>,
    /// Pickings that have a backorder in the export.
    backordered: HashSet<i64>,
}

impl Relations {
    /// Those of these pickings, which are sorted by `id`.
    pub fn of(pickings: &[Exported]) -> Relations {
        let mut out = Relations::default();
        let mut counts: HashMap<(i64, i64), usize> = HashMap::new();
        for one in pickings.iter().filter(|one| one.row.text("state").as_deref() != Some("cancel")) {
            out.backordered.extend(one.row.int("backorder_id"));
            if let (Some(order), Some(sort)) = (one.row.int("sale_id"), one.row.int("picking_type_id")) {
                let count = counts.entry((order, sort)).or_default();
                out.nth.insert(one.row.id, *count);
                *count += 1;
            }
        }
        out
    }

    /// Which of its order's it is.
    pub fn nth(&self, picking: i64) -> usize {
        self.nth.get(&picking).copied().unwrap_or_default()
    }

    /// Whether its rest was left to another one.
    pub fn has_backorder(&self, picking: i64) -> bool {
        self.backordered.contains(&picking)
    }
}

/// The condition for the pickings of a new order.
pub fn domain(order: i64, sort: i64) -> Value {
    json!([["sale_id", "=", order], ["picking_type_id", "=", sort], ["state", "!=", "cancel"]])
}
