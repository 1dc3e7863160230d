//! The kinds of documents that are entered.

use serde::Serialize;

/// A kind, in the order in which they are entered: each may need those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A customer or vendor.
    Partner,
    /// A sale order or quotation.
    SaleOrder,
    /// A transfer of stock.
    Picking,
    /// A payment.
    Payment,
    /// An order at a point of sale.
    PosOrder,
}

impl Kind {
    /// All of them, in order.
    pub const ALL: [Kind; 5] = [Kind::Partner, Kind::SaleOrder, Kind::Picking, Kind::Payment, Kind::PosOrder];

    /// The name of its file in an export.
    pub fn file(self) -> &'static str {
        match self {
            Kind::Partner => "partners",
            Kind::SaleOrder => "sale-orders",
            Kind::Picking => "pickings",
            Kind::Payment => "payments",
            Kind::PosOrder => "pos-orders",
        }
    }

    /// Its table.
    pub fn table(self) -> &'static str {
        match self {
            Kind::Partner => "res_partner",
            Kind::SaleOrder => "sale_order",
            Kind::Picking => "stock_picking",
            Kind::Payment => "account_payment",
            Kind::PosOrder => "pos_order",
        }
    }

    /// Its model.
    pub fn model(self) -> &'static str {
        match self {
            Kind::Partner => "res.partner",
            Kind::SaleOrder => "sale.order",
            Kind::Picking => "stock.picking",
            Kind::Payment => "account.payment",
            Kind::PosOrder => "pos.order",
        }
    }

    /// The kind of the rows of a table.
    pub fn of_table(table: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.table() == table)
    }

    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Partner => "partner",
            Kind::SaleOrder => "sale order",
            Kind::Picking => "picking",
            Kind::Payment => "payment",
            Kind::PosOrder => "POS order",
        }
    }
}
