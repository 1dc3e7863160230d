//! Sales orders, and what becomes of them.

use serde_json::{Value, json};

use super::Operation;
use super::delivering::deliver;
use super::opening::tax;
use super::shop::{Shop, rows, set};

pub const ALL: &[Operation] = &[
    ("an order of many small prices", cents),
    ("two taxes of one line", two_taxes),
    ("sections, notes and a free line", sections),
    ("a line with a discount of 100 %", free),
    ("an order of nothing but zero", zero),
    ("a negative line", negative),
    ("a global discount", global_discount),
    ("a coupon", coupon),
    ("an order in another currency", foreign),
    ("an early-payment discount in the order", early),
    ("cancelled and ordered again", cancelled),
    ("a quotation only", quotation),
];

pub fn line(product: i64, quantity: f64, price: f64) -> Value {
    json!({ "product_id": product, "product_uom_qty": quantity, "price_unit": price })
}

/// A confirmed order.
pub fn order(shop: &Shop<'_>, lines: &[Value], more: Value) -> i64 {
    let order = draft(shop, lines, more);
    shop.press("sale.order", "action_confirm", order);
    order
}

fn draft(shop: &Shop<'_>, lines: &[Value], more: Value) -> i64 {
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| {
            let mut line = line.clone();
            if line.get("tax_id").is_none() && line.get("display_type").is_none() {
                line["tax_id"] = set(&[shop.tax]);
            }
            line
        })
        .collect();
    let mut values = json!({ "partner_id": shop.customer, "order_line": rows(&lines) });
    for (key, value) in more.as_object().unwrap() {
        values[key] = value.clone();
    }
    shop.create("sale.order", values)
}

/// Makes an invoice of an order and posts it.
pub fn invoiced(shop: &Shop<'_>, orders: &[i64], how: Value) -> i64 {
    let before = invoices(shop, orders);
    let context = json!({ "active_model": "sale.order", "active_ids": orders, "active_id": orders[0] });
    let mut values = how.clone();
    values["sale_order_ids"] = set(orders);
    let wizard = shop.call_with("sale.advance.payment.inv", "create", json!([values]), context.clone());
    shop.call_with("sale.advance.payment.inv", "create_invoices", json!([[wizard]]), context);
    let made: Vec<i64> = invoices(shop, orders).into_iter().filter(|one| !before.contains(one)).collect();
    let [made] = made.as_slice() else { panic!("{made:?} of {orders:?}") };
    shop.press("account.move", "action_post", *made);
    *made
}

pub fn invoices(shop: &Shop<'_>, orders: &[i64]) -> Vec<i64> {
    orders.iter().flat_map(|order| shop.links("sale.order", *order, "invoice_ids")).collect()
}

pub fn delivered() -> Value {
    json!({ "advance_payment_method": "delivered" })
}

fn cents(shop: &Shop<'_>) {
    let prices = [0.07, 1.11, 3.33, 7.77, 9.99, 12.34, 0.55, 21.49];
    let lines: Vec<Value> = prices.iter().map(|price| line(shop.goods, 3.0, *price)).collect();
    let order = order(shop, &lines, json!({}));
    deliver(shop, order, 1.0, true);
    invoiced(shop, &[order], delivered());
}

fn two_taxes(shop: &Shop<'_>) {
    let taxes = [tax(shop, "sale", 7.3, false), tax(shop, "sale", 1.25, false)];
    let mut lines: Vec<Value> =
        [3.35, 4.45, 0.35].iter().map(|price| line(shop.service, 7.0, *price)).collect();
    for line in &mut lines {
        line["tax_id"] = set(&taxes);
    }
    let order = order(shop, &lines, json!({}));
    invoiced(shop, &[order], delivered());
}

fn sections(shop: &Shop<'_>) {
    let lines = [
        json!({ "display_type": "line_section", "name": "Part one" }),
        line(shop.service, 1.0, 10.1),
        json!({ "display_type": "line_note", "name": "as agreed" }),
        line(shop.service, 0.0, 10.1),
    ];
    let order = order(shop, &lines, json!({}));
    invoiced(shop, &[order], delivered());
}

fn free(shop: &Shop<'_>) {
    let mut gift = line(shop.goods, 2.0, 5.55);
    gift["discount"] = 100.into();
    let mut half = line(shop.goods, 3.0, 5.55);
    half["discount"] = 33.33.into();
    let order = order(shop, &[gift, half], json!({}));
    deliver(shop, order, 1.0, true);
    invoiced(shop, &[order], delivered());
}

fn zero(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.goods, 1.0, 0.0)], json!({}));
    deliver(shop, order, 1.0, true);
    invoiced(shop, &[order], delivered());
}

fn negative(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.service, 3.0, 19.99), line(shop.service, 1.0, -4.99)], json!({}));
    invoiced(shop, &[order], delivered());
}

fn global_discount(shop: &Shop<'_>) {
    let order = draft(shop, &[line(shop.service, 3.0, 19.99), line(shop.service, 7.0, 1.01)], json!({}));
    let wizard = shop.create(
        "sale.order.discount",
        json!({ "sale_order_id": order, "discount_type": "so_discount", "discount_percentage": 0.1 }),
    );
    shop.press("sale.order.discount", "action_apply_discount", wizard);
    shop.press("sale.order", "action_confirm", order);
    invoiced(shop, &[order], delivered());
}

fn coupon(shop: &Shop<'_>) {
    let code = format!("TEN-OFF-{}", shop.company);
    let rule = json!({ "mode": "with_code", "code": code });
    let reward = json!({ "reward_type": "discount", "discount": 10, "discount_mode": "percent",
        "discount_applicability": "order" });
    let program = shop.create(
        "loyalty.program",
        json!({ "name": "Ten off", "program_type": "promo_code", "trigger": "with_code", "applies_on": "current",
            "company_id": shop.company, "rule_ids": rows(&[rule]), "reward_ids": rows(&[reward]) }),
    );
    let order = draft(shop, &[line(shop.service, 3.0, 3.33), line(shop.service, 7.0, 1.11)], json!({}));
    let wizard = shop.create("sale.loyalty.coupon.wizard", json!({ "order_id": order, "coupon_code": code }));
    shop.press("sale.loyalty.coupon.wizard", "action_apply", wizard);
    let reward = shop.one("loyalty.reward", json!([["program_id", "=", program]]));
    let chosen = json!({ "order_id": order, "selected_reward_id": reward });
    let wizard = shop.create("sale.loyalty.reward.wizard", chosen);
    shop.press("sale.loyalty.reward.wizard", "action_apply", wizard);
    assert_eq!(shop.links("sale.order", order, "order_line").len(), 3);
    shop.press("sale.order", "action_confirm", order);
    invoiced(shop, &[order], delivered());
}

fn foreign(shop: &Shop<'_>) {
    let pricelist = shop.create(
        "product.pricelist",
        json!({ "name": "in euro", "currency_id": shop.euro(), "company_id": shop.company }),
    );
    let lines = [line(shop.service, 3.0, 3.33), line(shop.goods, 5.0, 7.77), line(shop.goods, 1.0, 0.01)];
    let order = order(shop, &lines, json!({ "pricelist_id": pricelist }));
    deliver(shop, order, 1.0, true);
    invoiced(shop, &[order], delivered());
}

fn early(shop: &Shop<'_>) {
    let term = super::early::early_term(shop, "mixed");
    let lines = [line(shop.service, 3.0, 3.33), line(shop.service, 7.0, 19.99)];
    let order = order(shop, &lines, json!({ "payment_term_id": term }));
    invoiced(shop, &[order], delivered());
}

fn cancelled(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.goods, 2.0, 9.99)], json!({}));
    shop.call_with(
        "sale.order",
        "action_cancel",
        json!([[order]]),
        json!({ "disable_cancel_warning": true }),
    );
    shop.press("sale.order", "action_draft", order);
    shop.press("sale.order", "action_confirm", order);
    deliver(shop, order, 1.0, true);
    let other = self::order(shop, &[line(shop.goods, 2.0, 9.99)], json!({}));
    shop.call_with(
        "sale.order",
        "action_cancel",
        json!([[other]]),
        json!({ "disable_cancel_warning": true }),
    );
    shop.expect("sale.order", other, "state", &["cancel"]);
}

fn quotation(shop: &Shop<'_>) {
    draft(shop, &[line(shop.goods, 2.0, 9.99), line(shop.service, 1.5, 0.99)], json!({}));
    let sent = draft(shop, &[line(shop.goods, 2.0, 9.99)], json!({}));
    shop.write("sale.order", sent, json!({ "state": "sent" }));
}
