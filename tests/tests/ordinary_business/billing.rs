//! Sales orders that are invoiced in more than one way.

use serde_json::json;

use super::Operation;
use super::selling::{delivered, invoiced, invoices, line, order};
use super::shop::{Shop, rows, set};

pub const ALL: &[Operation] = &[
    ("a down payment in percent, then the rest", down_payment),
    ("a fixed down payment, refunded", fixed_down_payment),
    ("invoiced twice, once for the added line", added_line),
    ("a refund of the order", refund),
    ("two orders on one invoice", one_invoice),
];

fn down_payment(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.service, 3.0, 33.33), line(shop.service, 7.0, 1.99)], json!({}));
    let first = invoiced(shop, &[order], json!({ "advance_payment_method": "percentage", "amount": 30 }));
    shop.pay(&[first], json!({}));
    invoiced(shop, &[order], delivered());
}

fn fixed_down_payment(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.service, 3.0, 33.33)], json!({}));
    let fixed = json!({ "advance_payment_method": "fixed", "fixed_amount": 20 });
    let first = invoiced(shop, &[order], fixed);
    super::invoicing::reverse(shop, first, false);
    invoiced(shop, &[order], delivered());
}

fn added_line(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.service, 3.0, 33.33)], json!({}));
    invoiced(shop, &[order], delivered());
    let mut more = line(shop.service, 1.0, 4.44);
    more["tax_id"] = set(&[shop.tax]);
    shop.write("sale.order", order, json!({ "order_line": rows(&[more]) }));
    invoiced(shop, &[order], delivered());
}

fn refund(shop: &Shop<'_>) {
    let order = order(shop, &[line(shop.service, 3.0, 33.33)], json!({}));
    let invoice = invoiced(shop, &[order], delivered());
    super::invoicing::reverse(shop, invoice, false);
}

fn one_invoice(shop: &Shop<'_>) {
    let orders = [1.11, 2.22].map(|price| order(shop, &[line(shop.service, 3.0, price)], json!({})));
    let invoice = invoiced_once(shop, &orders);
    shop.pay(&[invoice], json!({}));
}

/// One invoice of several orders.
fn invoiced_once(shop: &Shop<'_>, orders: &[i64]) -> i64 {
    let context = json!({ "active_model": "sale.order", "active_ids": orders });
    let values = json!({ "advance_payment_method": "delivered", "consolidated_billing": true,
        "sale_order_ids": set(orders) });
    let wizard = shop.call_with("sale.advance.payment.inv", "create", json!([values]), context.clone());
    shop.call_with("sale.advance.payment.inv", "create_invoices", json!([[wizard]]), context);
    let made = invoices(shop, orders);
    assert!(made.iter().all(|one| one == &made[0]), "{made:?}");
    shop.press("account.move", "action_post", made[0]);
    made[0]
}
