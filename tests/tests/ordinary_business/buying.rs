//! Purchase orders, receipts and vendor bills.

use serde_json::{Value, json};

use super::Operation;
use super::delivering::validate;
use super::opening::{goods, storable};
use super::shop::{Shop, rows, set, today};

pub const ALL: &[Operation] = &[
    ("an order of many small prices, billed", cents),
    ("received in part, billed in part", part),
    ("received, billed, sent back and refunded", sent_back),
    ("in another currency", foreign),
    ("by the dozen", dozen),
    ("more billed than ordered", over_billed),
    ("cancelled, and ordered again", cancelled),
    ("a request for quotation with a note", request),
    ("landed costs on a receipt", landed),
    ("valued at once, billed at another price, sold", valued),
    ("from the vendor to the customer", dropship),
    ("a bill whose tax was corrected by hand", corrected_tax),
];

fn line(product: i64, quantity: f64, price: f64) -> Value {
    json!({ "product_id": product, "product_qty": quantity, "price_unit": price })
}

fn order(shop: &Shop<'_>, lines: &[Value], more: Value) -> i64 {
    let order = draft(shop, lines, more);
    shop.press("purchase.order", "button_confirm", order);
    order
}

fn draft(shop: &Shop<'_>, lines: &[Value], more: Value) -> i64 {
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| {
            let mut line = line.clone();
            if line.get("display_type").is_none() {
                line["taxes_id"] = set(&[shop.purchase_tax]);
            }
            line
        })
        .collect();
    let mut values = json!({ "partner_id": shop.vendor, "order_line": rows(&lines) });
    for (key, value) in more.as_object().unwrap() {
        values[key] = value.clone();
    }
    shop.create("purchase.order", values)
}

fn receive(shop: &Shop<'_>, order: i64, share: f64) -> i64 {
    let open = json!([["purchase_id", "=", order], ["state", "not in", ["done", "cancel"]]]);
    let picking = shop.one("stock.picking", open);
    validate(shop, picking, share, true);
    picking
}

/// Bills what was received, and posts it.
fn bill(shop: &Shop<'_>, order: i64) -> i64 {
    let before = shop.links("purchase.order", order, "invoice_ids");
    shop.press("purchase.order", "action_create_invoice", order);
    let made = shop.links("purchase.order", order, "invoice_ids");
    let made = *made.iter().find(|one| !before.contains(one)).unwrap();
    shop.write("account.move", made, json!({ "invoice_date": today() }));
    shop.press("account.move", "action_post", made);
    made
}

fn cents(shop: &Shop<'_>) {
    let prices = [0.07, 1.11, 3.33, 7.77, 9.99, 12.34, 0.55];
    let lines: Vec<Value> = prices.iter().map(|price| line(shop.goods, 3.0, *price)).collect();
    let order = order(shop, &lines, json!({}));
    receive(shop, order, 1.0);
    let bill = bill(shop, order);
    shop.pay(&[bill], json!({}));
}

fn part(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.goods, 10.0, 3.33), line(shop.service, 2.0, 7.77)], json!({}));
    receive(shop, order, 0.4);
    let service = shop.links("purchase.order", order, "order_line")[1];
    shop.write("purchase.order.line", service, json!({ "qty_received": 1 }));
    bill(shop, order);
    receive(shop, order, 1.0);
}

fn sent_back(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.goods, 10.0, 3.33)], json!({}));
    let picking = receive(shop, order, 1.0);
    bill(shop, order);
    super::warehouse::send_back(shop, picking, 2.0, true);
    bill(shop, order);
}

fn foreign(shop: &Shop<'_>) {
    let lines = [line(shop.goods, 3.0, 1.23), line(shop.goods, 7.0, 0.05)];
    let order = order(shop, &lines, json!({ "currency_id": shop.euro() }));
    receive(shop, order, 1.0);
    let bill = bill(shop, order);
    shop.pay(&[bill], json!({}));
}

fn dozen(shop: &Shop<'_>) {
    let mut dozens = line(shop.goods, 2.0, 40.04);
    dozens["product_uom"] = shop.known("uom", "product_uom_dozen").into();
    let order = order(shop, &[dozens], json!({}));
    receive(shop, order, 1.0);
    bill(shop, order);
}

fn over_billed(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.goods, 2.0, 4.44)], json!({}));
    receive(shop, order, 1.0);
    shop.press("purchase.order", "action_create_invoice", order);
    let made = shop.links("purchase.order", order, "invoice_ids")[0];
    let row = shop.links("account.move", made, "invoice_line_ids")[0];
    let change = json!([[1, row, { "quantity": 3 }]]);
    shop.write("account.move", made, json!({ "invoice_date": today(), "invoice_line_ids": change }));
    shop.press("account.move", "action_post", made);
}

fn cancelled(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.goods, 2.0, 4.44)], json!({}));
    shop.press("purchase.order", "button_cancel", order);
    shop.press("purchase.order", "button_draft", order);
    shop.press("purchase.order", "button_confirm", order);
    receive(shop, order, 1.0);
    let other = self::order(shop, &[line(shop.goods, 2.0, 4.44)], json!({}));
    shop.press("purchase.order", "button_cancel", other);
}

fn request(shop: &Shop<'_>) {
    let note = json!({ "display_type": "line_note", "name": "please soon", "product_qty": 0 });
    draft(shop, &[line(shop.goods, 2.0, 4.44), note], json!({}));
}

fn landed(shop: &Shop<'_>) {
    let category =
        shop.create("product.category", json!({ "name": "by average", "property_cost_method": "average" }));
    let product = goods(shop, "Ordinary, by average cost", 8.0);
    shop.write("product.product", product, json!({ "categ_id": category }));
    let freight = shop.create("product.product", json!({ "name": "Freight", "type": "service" }));
    let order = order(shop, &[line(product, 7.0, 3.33)], json!({}));
    let picking = receive(shop, order, 1.0);
    let cost = json!({ "product_id": freight, "price_unit": 10, "split_method": "equal", "name": "Freight" });
    let landed = shop.create(
        "stock.landed.cost",
        json!({ "picking_ids": set(&[picking]), "cost_lines": rows(&[cost]),
            "account_journal_id": shop.journal("general") }),
    );
    shop.press("stock.landed.cost", "compute_landed_cost", landed);
    shop.press("stock.landed.cost", "button_validate", landed);
    bill(shop, order);
}

fn valued(shop: &Shop<'_>) {
    let category = shop.create(
        "product.category",
        json!({ "name": "first in, first out", "property_cost_method": "fifo", "property_valuation": "real_time" }),
    );
    let mut values =
        json!({ "name": "Ordinary, valued at once", "categ_id": category, "invoice_policy": "delivery" });
    storable(shop, &mut values);
    let product = shop.create("product.product", values);
    let order = order(shop, &[line(product, 7.0, 3.33)], json!({}));
    receive(shop, order, 1.0);
    shop.press("purchase.order", "action_create_invoice", order);
    let made = shop.links("purchase.order", order, "invoice_ids")[0];
    let row = shop.links("account.move", made, "invoice_line_ids")[0];
    let change = json!([[1, row, { "price_unit": 3.5 }]]);
    shop.write("account.move", made, json!({ "invoice_date": today(), "invoice_line_ids": change }));
    shop.press("account.move", "action_post", made);
    let sold = super::selling::order(shop, &[super::selling::line(product, 3.0, 8.88)], json!({}));
    super::delivering::deliver(shop, sold, 1.0, true);
    let invoice = super::selling::invoiced(shop, &[sold], super::selling::delivered());
    super::invoicing::reverse(shop, invoice, false);
}

fn dropship(shop: &Shop<'_>) {
    let route = shop.known("stock_dropshipping", "route_drop_shipping");
    let product = goods(shop, "Ordinary, sent by the vendor", 8.0);
    let seller = json!({ "partner_id": shop.vendor, "price": 4.44 });
    shop.write(
        "product.product",
        product,
        json!({ "route_ids": set(&[route]), "seller_ids": rows(&[seller]) }),
    );
    let order = super::selling::order(shop, &[super::selling::line(product, 3.0, 8.88)], json!({}));
    let bought = shop.one("purchase.order", json!([["order_line.product_id", "=", product]]));
    shop.press("purchase.order", "button_confirm", bought);
    receive(shop, bought, 1.0);
    bill(shop, bought);
    super::selling::invoiced(shop, &[order], super::selling::delivered());
}

/// As the form does when the printed bill rounds otherwise.
fn corrected_tax(shop: &Shop<'_>) {
    let bill =
        shop.draft("in_invoice", &[json!({ "name": "paper", "quantity": 3, "price_unit": 3.33 })], json!({}));
    let tax = shop.one("account.move.line", json!([["move_id", "=", bill], ["display_type", "=", "tax"]]));
    let amount = shop.number("account.move.line", tax, "amount_currency") + 0.01;
    shop.write("account.move", bill, json!({ "line_ids": [[1, tax, { "amount_currency": amount }]] }));
    shop.press("account.move", "action_post", bill);
}
