//! How a document is entered.

use super::pos_orders::PosDraft;
use super::sheet::Sheet;

/// How a document is entered.
#[derive(Clone, Debug)]
pub enum Draft {
    /// As a record.
    Sheet(Sheet),
    /// Odoo makes it with its sale order.
    OfOrder,
    /// As a point of sale sends it.
    Pos(Box<PosDraft>),
}
