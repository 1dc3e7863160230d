//! What happens in stock without an order.

use serde_json::{Value, json};

use super::Operation;
use super::delivering::{deliver, validate};
use super::opening::{count, goods, stock, storable};
use super::selling::{delivered, invoiced, line, order};
use super::shop::{Shop, rows, set};

pub const ALL: &[Operation] = &[
    ("an inventory count, up and down", counted),
    ("scrap", scrap),
    ("scrapped from a transfer that is cancelled then", scrapped_and_cancelled),
    ("a transfer within the warehouse", internal),
    ("lots, one of them moved", lots),
    ("a serial number sold", serial),
    ("packages", packages),
    ("reserved and not delivered", reserved),
    ("delivered before it was received", negative),
    ("goods of another owner", consigned),
    ("a done line corrected", corrected),
    ("a cost price changed", revalued),
    ("delivered in two steps, in parts", two_steps),
];

/// Returns a part of a done transfer, and validates the return.
pub fn send_back(shop: &Shop<'_>, picking: i64, quantity: f64, to_refund: bool) {
    let context = json!({ "active_model": "stock.picking", "active_id": picking, "active_ids": [picking] });
    let wizard =
        shop.call_with("stock.return.picking", "create", json!([{ "picking_id": picking }]), context.clone());
    let wizard = wizard.as_i64().unwrap();
    for row in shop.links("stock.return.picking", wizard, "product_return_moves") {
        shop.write("stock.return.picking.line", row, json!({ "quantity": quantity, "to_refund": to_refund }));
    }
    let button = if shop.major >= 18 { "action_create_returns" } else { "create_returns" };
    let answer = shop.call_with("stock.return.picking", button, json!([[wizard]]), context);
    validate(shop, answer["res_id"].as_i64().unwrap(), 1.0, true);
}

fn warehouse(shop: &Shop<'_>) -> i64 {
    shop.one("stock.warehouse", json!([["company_id", "=", shop.company]]))
}

/// A transfer of the company by hand, validated.
fn transfer(shop: &Shop<'_>, kind: &str, product: i64, quantity: f64, from: i64, to: i64) -> i64 {
    let kind = shop.link("stock.warehouse", warehouse(shop), kind);
    let unit = shop.link("product.product", product, "uom_id");
    let row = json!({ "name": "by hand", "product_id": product, "product_uom_qty": quantity, "product_uom": unit,
        "location_id": from, "location_dest_id": to });
    let picking = shop.create(
        "stock.picking",
        json!({ "picking_type_id": kind, "location_id": from,
        "location_dest_id": to, "move_ids": rows(&[row]) }),
    );
    shop.press("stock.picking", "action_confirm", picking);
    picking
}

fn shelf(shop: &Shop<'_>) -> i64 {
    shop.create(
        "stock.location",
        json!({ "name": "Shelf", "location_id": stock(shop), "company_id": shop.company }),
    )
}

fn counted(shop: &Shop<'_>) {
    let product = goods(shop, "Ordinary, counted", 1.0);
    count(shop, product, 480.0, json!({}));
    count(shop, product, 490.5, json!({}));
}

/// Scraps goods.
fn scrapped(shop: &Shop<'_>, more: Value) {
    let mut values = json!({ "product_id": shop.goods, "location_id": stock(shop),
        "product_uom_id": shop.link("product.product", shop.goods, "uom_id") });
    for (key, value) in more.as_object().unwrap() {
        values[key] = value.clone();
    }
    let scrap = shop.create("stock.scrap", values);
    shop.press("stock.scrap", "action_validate", scrap);
    shop.expect("stock.scrap", scrap, "state", &["done"]);
}

fn scrap(shop: &Shop<'_>) {
    scrapped(shop, json!({ "scrap_qty": 2 }));
    let order = order(shop, &[line(shop.goods, 4.0, 9.99)], json!({}));
    let picking = shop.links("sale.order", order, "picking_ids")[0];
    deliver(shop, order, 1.0, true);
    scrapped(shop, json!({ "scrap_qty": 1, "picking_id": picking }));
}

fn scrapped_and_cancelled(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.goods, 4.0, 9.99)], json!({}));
    let picking = shop.links("sale.order", order, "picking_ids")[0];
    scrapped(shop, json!({ "scrap_qty": 1, "picking_id": picking }));
    shop.press("stock.picking", "action_cancel", picking);
    shop.expect("stock.picking", picking, "state", &["cancel"]);
}

fn internal(shop: &Shop<'_>) {
    let shelf = shelf(shop);
    let picking = transfer(shop, "int_type_id", shop.goods, 10.0, stock(shop), shelf);
    validate(shop, picking, 1.0, true);
}

pub fn tracked(shop: &Shop<'_>, how: &str) -> i64 {
    let mut values = json!({ "name": format!("Ordinary by {how}"), "tracking": how, "list_price": 20,
        "taxes_id": set(&[shop.tax]), "invoice_policy": "delivery" });
    storable(shop, &mut values);
    shop.create("product.product", values)
}

fn lot(shop: &Shop<'_>, product: i64, name: &str) -> i64 {
    shop.create("stock.lot", json!({ "name": name, "product_id": product, "company_id": shop.company }))
}

fn lots(shop: &Shop<'_>) {
    let product = tracked(shop, "lot");
    for name in ["L1", "L2"] {
        let lot = lot(shop, product, name);
        count(shop, product, 7.0, json!({ "lot_id": lot }));
    }
    let shelf = shelf(shop);
    let picking = transfer(shop, "int_type_id", product, 9.0, stock(shop), shelf);
    shop.press("stock.picking", "action_assign", picking);
    shop.call_with("stock.picking", "button_validate", json!([[picking]]), json!({ "skip_backorder": true }));
    shop.expect("stock.picking", picking, "state", &["done"]);
}

fn serial(shop: &Shop<'_>) {
    let product = tracked(shop, "serial");
    let lot = lot(shop, product, "S1");
    count(shop, product, 1.0, json!({ "lot_id": lot }));
    let order = order(shop, &[line(product, 1.0, 20.0)], json!({}));
    let picking = shop.links("sale.order", order, "picking_ids")[0];
    shop.press("stock.picking", "action_assign", picking);
    shop.call_with("stock.picking", "button_validate", json!([[picking]]), json!({ "skip_backorder": true }));
    shop.expect("stock.picking", picking, "state", &["done"]);
    invoiced(shop, &[order], delivered());
}

fn packages(shop: &Shop<'_>) {
    let product = goods(shop, "Ordinary, packed", 3.0);
    let shelf = shelf(shop);
    let picking = transfer(shop, "int_type_id", product, 10.0, stock(shop), shelf);
    shop.press("stock.picking", "action_assign", picking);
    shop.press("stock.picking", "action_put_in_pack", picking);
    shop.call_with("stock.picking", "button_validate", json!([[picking]]), json!({ "skip_backorder": true }));
    shop.expect("stock.picking", picking, "state", &["done"]);
    let package = shop.one("stock.quant.package", json!([["quant_ids.product_id", "=", product]]));
    shop.press("stock.quant.package", "unpack", package);
}

fn reserved(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.goods, 5.0, 9.99)], json!({}));
    let picking = shop.links("sale.order", order, "picking_ids")[0];
    shop.press("stock.picking", "action_assign", picking);
}

fn negative(shop: &Shop<'_>) {
    let product = tracked(shop, "none");
    let order = order(shop, &[line(product, 5.0, 9.99)], json!({}));
    deliver(shop, order, 1.0, true);
    invoiced(shop, &[order], delivered());
}

fn consigned(shop: &Shop<'_>) {
    let product = goods(shop, "Ordinary, consigned", 4.0);
    count(shop, product, 12.0, json!({ "owner_id": shop.vendor }));
}

fn corrected(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.goods, 5.0, 9.99)], json!({}));
    deliver(shop, order, 1.0, true);
    let picking = shop.links("sale.order", order, "picking_ids")[0];
    shop.write("stock.picking", picking, json!({ "is_locked": false }));
    let row = shop.one("stock.move.line", json!([["picking_id", "=", picking]]));
    shop.write("stock.move.line", row, json!({ "quantity": 4 }));
    invoiced(shop, &[order], delivered());
}

fn revalued(shop: &Shop<'_>) {
    let values: Value = json!({ "standard_price": 6.66 });
    shop.write("product.product", shop.goods, values);
}

fn two_steps(shop: &Shop<'_>) {
    let warehouse = shop.create(
        "stock.warehouse",
        json!({ "name": "Two steps", "code": "TWO",
        "company_id": shop.company, "delivery_steps": "pick_ship" }),
    );
    let stock = shop.link("stock.warehouse", warehouse, "lot_stock_id");
    count(shop, shop.goods, 100.0, json!({ "location_id": stock }));
    let order = order(shop, &[line(shop.goods, 8.0, 9.99)], json!({ "warehouse_id": warehouse }));
    for share in [0.5, 1.0] {
        for _step in 0..2 {
            let ready = json!([["sale_id", "=", order], ["state", "=", "assigned"]]);
            validate(shop, shop.one("stock.picking", ready), share, true);
        }
    }
    invoiced(shop, &[order], delivered());
}
