//! Payments that take an early-payment discount.

use serde_json::{Value, json};

use super::Operation;
use super::paying::{lines, total};
use super::shop::{Shop, day, rows};

pub const ALL: &[Operation] = &[
    ("an early-payment discount taken, included", early_included),
    ("an early-payment discount taken, excluded", early_excluded),
    ("an early-payment discount taken, mixed", early_mixed),
    ("an early-payment discount not taken", early_missed),
    ("the discount of a vendor taken", early_bill),
];

/// 2 % off within ten days.
pub fn early_term(shop: &Shop<'_>, how: &str) -> i64 {
    let line = json!({ "value": "percent", "value_amount": 100, "nb_days": 30 });
    shop.create(
        "account.payment.term",
        json!({ "name": format!("2/10 {how}"), "early_discount": true,
        "discount_percentage": 2, "discount_days": 10, "early_pay_discount_computation": how,
        "line_ids": rows(&[line]) }),
    )
}

fn early(shop: &Shop<'_>, kind: &str, how: &str, currency: Value) {
    let term = early_term(shop, how);
    let mut more = json!({ "invoice_payment_term_id": term });
    if !currency.is_null() {
        more["currency_id"] = currency;
    }
    let invoice = shop.invoice(kind, &lines(), more);
    shop.pay(&[invoice], json!({}));
    shop.expect("account.move", invoice, "payment_state", &["paid", "in_payment"]);
    let paid = shop.search("account.payment", json!([["partner_id", "in", [shop.customer, shop.vendor]]]));
    let paid = shop.number("account.payment", *paid.last().unwrap(), "amount");
    assert!(paid < total(shop, invoice), "the discount was not taken: {paid}");
}

fn early_included(shop: &Shop<'_>) {
    early(shop, "out_invoice", "included", Value::Null);
    early(shop, "out_invoice", "included", shop.euro().into());
}

fn early_excluded(shop: &Shop<'_>) {
    early(shop, "out_invoice", "excluded", Value::Null);
}

fn early_mixed(shop: &Shop<'_>) {
    early(shop, "out_invoice", "mixed", Value::Null);
    early(shop, "out_invoice", "mixed", shop.euro().into());
}

fn early_missed(shop: &Shop<'_>) {
    let old = json!({ "invoice_payment_term_id": early_term(shop, "included"), "invoice_date": day(-20) });
    let invoice = shop.invoice("out_invoice", &lines(), old);
    shop.pay(&[invoice], json!({}));
}

fn early_bill(shop: &Shop<'_>) {
    early(shop, "in_invoice", "included", Value::Null);
    early(shop, "in_invoice", "mixed", Value::Null);
}
