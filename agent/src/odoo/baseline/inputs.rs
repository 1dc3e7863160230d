//! What the base checks of a drill read: a digest of it, so that a drill knows what these checks find on the
//! source.
//!
//! A base check means something only beside the source. Its statement cannot be run there: planning it could
//! run the owner's code with our rights ([`look`](crate::postgres::look)). But what it finds follows from
//! what it reads. So the backup digests that, and a copy with the same digests gives the same answer.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::archive::blake3::Blake3;
use crate::archive::hex::hex;
use crate::error::Result;
use crate::postgres::session::Session;
use crate::postgres::table::{Table, Type};

/// The largest table that is read: some seconds. What is larger is not compared.
const BYTES_MAX: u64 = 4 << 30;

/// The tables and columns that base checks read; those that a database does not have are left out. A test of
/// `restore-drill` holds this list against its checks.
const READ: &[(&str, &[&str])] = &[
    ("account_account", &["id", "company_id"]),
    ("account_move", &["id", "company_id", "currency_id", "move_type", "name", "state"]),
    (
        "account_move_line",
        &[
            "id",
            "account_id",
            "amount_currency",
            "balance",
            "company_id",
            "display_type",
            "move_id",
            "price_subtotal",
            "price_total",
        ],
    ),
    ("account_move_line_account_tax_rel", &["account_move_line_id", "account_tax_id"]),
    ("account_tax", &["id", "company_id", "price_include", "price_include_override"]),
    ("account_tax_sale_order_line_rel", &["account_tax_id", "sale_order_line_id"]),
    ("ir_model", &["id", "model", "transient"]),
    ("ir_model_access", &["id", "active", "model_id", "name"]),
    ("ir_model_data", &["id", "model", "module", "name", "res_id"]),
    ("ir_rule", &["id", "active", "name"]),
    ("ir_ui_view", &["id", "arch_db", "inherit_id"]),
    ("pos_config", &["id", "cash_rounding"]),
    ("pos_order", &["id", "amount_paid", "amount_total", "company_id", "name", "session_id", "state"]),
    ("pos_order_line", &["id", "order_id", "price_subtotal_incl", "qty", "sale_order_line_id"]),
    ("pos_session", &["id", "config_id", "move_id", "name", "state"]),
    ("product_pricelist_item", &["id", "compute_price", "fixed_price", "pricelist_id"]),
    ("product_product", &["id", "product_tmpl_id"]),
    ("product_template", &["id", "is_storable", "type"]),
    ("purchase_order", &["id", "name", "state"]),
    (
        "purchase_order_line",
        &[
            "id",
            "display_type",
            "order_id",
            "product_id",
            "product_qty",
            "product_uom",
            "qty_received",
            "qty_received_method",
        ],
    ),
    (
        "res_company",
        &["id", "account_price_include", "currency_id", "partner_id", "tax_calculation_rounding_method"],
    ),
    ("res_currency", &["id", "name", "rounding"]),
    ("res_currency_rate", &["id", "currency_id"]),
    ("res_users", &["id", "active", "login", "password", "share"]),
    ("sale_order", &["id", "company_id", "name", "state"]),
    (
        "sale_order_line",
        &[
            "id",
            "discount",
            "display_type",
            "order_id",
            "price_subtotal",
            "price_unit",
            "product_id",
            "product_uom",
            "product_uom_qty",
            "qty_delivered",
            "qty_delivered_method",
        ],
    ),
    ("stock_location", &["id", "company_id", "usage"]),
    (
        "stock_move",
        &[
            "id",
            "location_dest_id",
            "location_id",
            "product_id",
            "product_uom",
            "purchase_line_id",
            "quantity",
            "sale_line_id",
            "scrapped",
            "state",
            "to_refund",
        ],
    ),
    (
        "stock_move_line",
        &[
            "id",
            "location_id",
            "lot_id",
            "owner_id",
            "package_id",
            "product_id",
            "quantity_product_uom",
            "state",
        ],
    ),
    (
        "stock_quant",
        &[
            "id",
            "location_id",
            "lot_id",
            "owner_id",
            "package_id",
            "product_id",
            "quantity",
            "reserved_quantity",
        ],
    ),
    ("stock_valuation_layer", &["id", "company_id", "product_id", "quantity"]),
];

/// Everything that is read where it exists, as `table.column`.
pub fn names() -> impl Iterator<Item = String> {
    READ.iter().flat_map(|(table, columns)| columns.iter().map(move |column| format!("{table}.{column}")))
}

/// What was read of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The columns, in the order in which they were read.
    pub columns: Vec<String>,
    /// The number of rows.
    pub rows: u64,
    /// It is another one if a value of a row is another one; in whatever order the rows come.
    pub digest: String,
}

/// Reads them. A table that is too large, or not as Odoo makes it, is left out.
pub(super) async fn take(session: &mut Session) -> Result<BTreeMap<String, Input>> {
    let mut all = BTreeMap::new();
    for (name, columns) in READ {
        let Some(table) = Table::if_plain(session, name).await? else { continue };
        if table.bytes(session).await? > BYTES_MAX {
            continue;
        }
        let known: HashMap<&str, Option<Type>> = table.columns().into_iter().collect();
        let columns: Vec<(&str, Type)> = columns
            .iter()
            .filter_map(|column| Some((*column, known.get(column).copied().flatten()?)))
            .collect();
        if columns.is_empty() {
            continue;
        }
        let (mut rows, mut sum, mut bytes) = (0, [0_u128; 2], Vec::new());
        let each = |row: &crate::postgres::copy_out::Row<'_>| {
            bytes.clear();
            for at in 0..columns.len() {
                // NULL is no empty text, and the length keeps values apart.
                let value = row.bytes(at);
                bytes.extend(value.map_or(-1, |value| value.len() as i64).to_be_bytes());
                bytes.extend(value.unwrap_or_default());
            }
            let Blake3(digest) = Blake3::of(&bytes);
            for (sum, half) in sum.iter_mut().zip(digest.chunks_exact(16)) {
                let half = half.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
                *sum = sum.wrapping_add(half);
            }
            rows += 1;
            Ok(())
        };
        table.each(session, &columns, each).await?;
        let digest = hex(&sum.map(u128::to_be_bytes).concat());
        let columns = columns.iter().map(|(column, _)| (*column).to_owned()).collect();
        all.insert((*name).to_owned(), Input { columns, rows, digest });
    }
    Ok(all)
}
