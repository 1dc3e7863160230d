//! Goods to trade with: the tenant's own where it has suitable ones in stock, else a new one.

use lifeboat::odoo::rpc::OdooCall;
use lifeboat::postgres::decimal::Decimal;
use serde_json::{Value, json};

use super::tenant::Tenant;
use crate::odoo::desk::{Desk, Wrong};
use crate::odoo::record::Record;

/// How many units are ordered of each.
pub(super) const UNITS: i64 = 2;
/// How many are put into stock of a new one.
const NEW_UNITS: i64 = 50;
const FIELDS: [&str; 4] = ["display_name", "lst_price", "qty_available", "taxes_id"];

/// A product.
pub(super) struct Goods {
    pub id: i64,
    pub name: String,
    pub price: Decimal,
    pub on_hand: Decimal,
    pub taxes: Vec<i64>,
}

impl Goods {
    fn of(record: &Record) -> Result<Goods, Wrong> {
        Ok(Goods {
            id: record.own_id()?,
            name: record.text("display_name"),
            price: record.amount("lst_price")?,
            on_hand: record.amount("qty_available").unwrap_or_default(),
            taxes: record.ids("taxes_id").unwrap_or_default(),
        })
    }
}

/// At most `count` of the tenant's own that are in stock and not reserved, or one that is made for the drill.
pub(super) async fn find(
    desk: &mut Desk<'_>,
    tenant: &Tenant,
    more: &[Value],
    count: u32,
) -> Result<Vec<Goods>, Wrong> {
    let mut domain = vec![
        json!(["sale_ok", "=", true]),
        json!(["lst_price", ">", 0]),
        json!(["company_id", "in", [false, tenant.company]]),
    ];
    domain.extend_from_slice(more);
    if tenant.has("stock") {
        domain.push(storable(desk.major()));
        domain.push(json!(["tracking", "=", "none"]));
        domain.push(json!(["qty_available", ">", 20]));
        domain.push(json!(["free_qty", ">", UNITS]));
    }
    if tenant.has("mrp") {
        // A kit is delivered as its components.
        domain.push(json!(["product_tmpl_id.bom_ids", "=", false]));
    }
    let found = desk.find("product.product", json!(domain), &FIELDS, count).await?;
    match found.is_empty() {
        false => found.iter().map(Goods::of).collect(),
        true => Ok(vec![make(desk, tenant).await?]),
    }
}

fn storable(major: u32) -> Value {
    if major >= 18 { json!(["is_storable", "=", true]) } else { json!(["type", "=", "product"]) }
}

/// A new one without taxes, for 10.00, in stock.
pub(super) async fn make(desk: &mut Desk<'_>, tenant: &Tenant) -> Result<Goods, Wrong> {
    let mut values = json!({
        "name": "Restore drill", "list_price": 10, "standard_price": 5, "sale_ok": true, "purchase_ok": true,
        "taxes_id": [[6, 0, []]], "supplier_taxes_id": [[6, 0, []]],
    });
    if tenant.has("sale") {
        values["invoice_policy"] = json!("order");
    }
    if tenant.has("stock") {
        values["tracking"] = json!("none");
        match desk.major() {
            18.. => (values["type"], values["is_storable"]) = (json!("consu"), json!(true)),
            _ => values[if desk.major() >= 15 { "detailed_type" } else { "type" }] = json!("product"),
        }
    }
    if tenant.has("point_of_sale") {
        values["available_in_pos"] = json!(true);
    }
    let id = desk.create("product.product", values).await?;
    if let (true, Some(warehouse)) = (tenant.has("stock"), tenant.warehouse) {
        let place = desk.read("stock.warehouse", warehouse, &["lot_stock_id"]).await?.id("lot_stock_id");
        let values = json!({"product_id": id, "location_id": place, "inventory_quantity": NEW_UNITS});
        let context = [("inventory_mode", json!(true))];
        let quant = desk.create_in("stock.quant", values, &context).await?;
        let call = OdooCall::of("stock.quant", "action_apply_inventory").ids([quant]);
        desk.call(call.context("inventory_mode", true)).await?;
    }
    Goods::of(&desk.read("product.product", id, &FIELDS).await?)
}

/// How many are on hand now.
pub(super) async fn on_hand(desk: &mut Desk<'_>, goods: &Goods) -> Result<Decimal, Wrong> {
    Ok(desk.read("product.product", goods.id, &["qty_available"]).await?.amount("qty_available")?)
}
