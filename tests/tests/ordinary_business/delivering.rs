//! Sales orders whose goods go out, in parts, too many, or come back.

use serde_json::json;

use super::Operation;
use super::opening::goods;
use super::selling::{delivered, invoiced, line, order};
use super::shop::Shop;

pub const ALL: &[Operation] = &[
    ("a part delivered, the rest later", backorder),
    ("a part delivered, the rest never", no_backorder),
    ("more delivered than ordered", too_much),
    ("goods that come back", returned),
    ("goods that come back and are not refunded", kept),
    ("a dozen", dozen),
    ("quantity lowered after delivery", lowered),
    ("an order locked, its product archived", archived),
];

/// Validates the open transfers of an order: this share of what each move asks for.
pub fn deliver(shop: &Shop<'_>, order: i64, share: f64, backorder: bool) {
    for picking in shop.links("sale.order", order, "picking_ids") {
        if !["done", "cancel"].contains(&shop.get("stock.picking", picking, "state").as_str().unwrap()) {
            validate(shop, picking, share, backorder);
        }
    }
}

/// Validates a transfer.
pub fn validate(shop: &Shop<'_>, picking: i64, share: f64, backorder: bool) {
    let moves = json!([["picking_id", "=", picking], ["state", "not in", ["done", "cancel"]]]);
    for one in shop.search("stock.move", moves) {
        let quantity = (shop.number("stock.move", one, "product_uom_qty") * share).round();
        shop.write("stock.move", one, json!({ "quantity": quantity, "picked": true }));
    }
    let mut context = json!({ "skip_backorder": true });
    if !backorder {
        context["picking_ids_not_to_backorder"] = json!([picking]);
    }
    let answer = shop.call_with("stock.picking", "button_validate", json!([[picking]]), context);
    assert_eq!(shop.get("stock.picking", picking, "state"), "done", "{answer}");
}

fn backorder(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.goods, 6.0, 9.99)], json!({}));
    deliver(shop, order, 0.5, true);
    invoiced(shop, &[order], delivered());
    deliver(shop, order, 1.0, true);
    invoiced(shop, &[order], delivered());
}

fn no_backorder(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.goods, 6.0, 9.99)], json!({}));
    deliver(shop, order, 0.5, false);
    invoiced(shop, &[order], delivered());
}

fn too_much(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.goods, 2.0, 9.99)], json!({}));
    deliver(shop, order, 1.5, true);
    invoiced(shop, &[order], delivered());
}

/// Sends a part of a delivery back.
fn send_back(shop: &Shop<'_>, order: i64, to_refund: bool) {
    let picking = shop.links("sale.order", order, "picking_ids")[0];
    super::warehouse::send_back(shop, picking, 1.0, to_refund);
}

fn returned(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.goods, 4.0, 9.99)], json!({}));
    deliver(shop, order, 1.0, true);
    invoiced(shop, &[order], delivered());
    send_back(shop, order, true);
    invoiced(shop, &[order], delivered());
}

fn kept(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.goods, 4.0, 9.99)], json!({}));
    deliver(shop, order, 1.0, true);
    send_back(shop, order, false);
    invoiced(shop, &[order], delivered());
}

fn dozen(shop: &Shop<'_>) {
    let dozen = shop.known("uom", "product_uom_dozen");
    let mut dozens = line(shop.goods, 2.0, 99.99);
    dozens["product_uom"] = dozen.into();
    let order = order(shop, &[dozens, line(shop.goods, 5.0, 9.99)], json!({}));
    deliver(shop, order, 1.0, true);
    invoiced(shop, &[order], delivered());
}

fn lowered(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.goods, 6.0, 9.99)], json!({}));
    deliver(shop, order, 0.5, true);
    let row = shop.links("sale.order", order, "order_line")[0];
    shop.write("sale.order.line", row, json!({ "product_uom_qty": 4 }));
    invoiced(shop, &[order], delivered());
}

fn archived(shop: &Shop<'_>) {
    let product = goods(shop, "Ordinary, archived", 2.22);
    let order = order(shop, &[line(product, 2.0, 2.22)], json!({}));
    deliver(shop, order, 1.0, true);
    invoiced(shop, &[order], delivered());
    shop.press("sale.order", if shop.major >= 17 { "action_lock" } else { "action_done" }, order);
    shop.write("product.product", product, json!({ "active": false }));
}
