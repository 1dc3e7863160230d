//! Payments of invoices.

use serde_json::{Value, json};

use super::Operation;
use super::invoicing::line;
use super::shop::{Shop, day, rows};

pub const ALL: &[Operation] = &[
    ("underpaid, the rest written off", written_off),
    ("overpaid, the surplus kept as income", surplus),
    ("underpaid and left open", underpaid),
    ("overpaid, with a credit left", overpaid),
    ("in instalments", instalments),
    ("several invoices in one payment", grouped),
    ("several invoices, one written off", grouped_written_off),
    ("an invoice in euro paid in dollars", other_currency),
    ("an invoice in euro paid later at another rate", other_rate),
    ("in euro, with the rest written off", foreign_written_off),
    ("a payment of no invoice, matched later", matched_later),
    ("a payment to a vendor, cancelled", cancelled),
    ("a payment set back to draft and posted again", again),
    ("a payment in cash", cash),
    ("a payment moved between own accounts", transfer),
    ("a customer paid back", paid_back),
    ("a payment without an entry of its own", without_entry),
];

pub fn lines() -> Vec<Value> {
    vec![line(3.0, 33.33), line(7.0, 1.11)]
}

fn invoice(shop: &Shop<'_>) -> i64 {
    shop.invoice("out_invoice", &lines(), json!({}))
}

pub fn total(shop: &Shop<'_>, invoice: i64) -> f64 {
    shop.number("account.move", invoice, "amount_total")
}

fn cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

fn write_off(shop: &Shop<'_>, amount: f64, kind: &str) -> Value {
    json!({ "amount": cents(amount), "payment_difference_handling": "reconcile",
        "writeoff_account_id": shop.account(kind), "writeoff_label": "small difference" })
}

fn written_off(shop: &Shop<'_>) {
    let invoice = invoice(shop);
    shop.pay(&[invoice], write_off(shop, total(shop, invoice) - 1.23, "expense"));
    shop.expect("account.move", invoice, "payment_state", &["paid", "in_payment"]);
    let bill = shop.invoice("in_invoice", &lines(), json!({}));
    shop.pay(&[bill], write_off(shop, total(shop, bill) - 0.5, "income_other"));
}

fn surplus(shop: &Shop<'_>) {
    let invoice = invoice(shop);
    shop.pay(&[invoice], write_off(shop, total(shop, invoice) + 2.0, "income_other"));
}

fn underpaid(shop: &Shop<'_>) {
    let invoice = invoice(shop);
    shop.pay(&[invoice], json!({ "amount": 10 }));
    shop.expect("account.move", invoice, "payment_state", &["partial"]);
}

fn overpaid(shop: &Shop<'_>) {
    let invoice = invoice(shop);
    shop.pay(&[invoice], json!({ "amount": cents(total(shop, invoice) + 50.0) }));
}

fn instalments(shop: &Shop<'_>) {
    let part =
        |percent: f64, days: u32| json!({ "value": "percent", "value_amount": percent, "nb_days": days });
    let term = shop.create(
        "account.payment.term",
        json!({ "name": "in thirds",
        "line_ids": rows(&[part(33.33, 0), part(33.33, 30), part(33.34, 60)]) }),
    );
    let invoice = shop.invoice("out_invoice", &lines(), json!({ "invoice_payment_term_id": term }));
    shop.pay(&[invoice], json!({ "amount": 30 }));
    shop.pay(&[invoice], json!({ "amount": 50 }));
    let foreign = json!({ "invoice_payment_term_id": term, "currency_id": shop.euro() });
    let invoice = shop.invoice("out_invoice", &lines(), foreign);
    shop.pay(&[invoice], json!({ "amount": 30 }));
}

fn grouped(shop: &Shop<'_>) {
    let invoices = [invoice(shop), invoice(shop), invoice(shop)];
    shop.pay(&invoices, json!({ "group_payment": true }));
    let refund = shop.invoice("out_refund", &[line(1.0, 3.33)], json!({}));
    shop.pay(&[invoice(shop), refund], json!({ "group_payment": true }));
}

fn grouped_written_off(shop: &Shop<'_>) {
    let invoices = [invoice(shop), invoice(shop)];
    let mut how = write_off(shop, 2.0 * total(shop, invoices[0]) - 3.21, "expense");
    how["group_payment"] = true.into();
    shop.pay(&invoices, how);
}

fn dollar(shop: &Shop<'_>) -> i64 {
    shop.link("res.company", shop.company, "currency_id")
}

fn other_currency(shop: &Shop<'_>) {
    let invoice = shop.invoice("out_invoice", &lines(), json!({ "currency_id": shop.euro() }));
    shop.pay(&[invoice], json!({ "currency_id": dollar(shop) }));
    let invoice = self::invoice(shop);
    shop.pay(&[invoice], json!({ "currency_id": shop.euro() }));
    let invoice = self::invoice(shop);
    shop.pay(&[invoice], json!({ "currency_id": shop.euro(), "amount": 20 }));
}

fn other_rate(shop: &Shop<'_>) {
    let old = json!({ "currency_id": shop.euro(), "invoice_date": day(-40), "date": day(-40) });
    let invoice = shop.invoice("out_invoice", &lines(), old);
    shop.pay(&[invoice], json!({ "amount": 40 }));
    shop.pay(&[invoice], json!({}));
}

fn foreign_written_off(shop: &Shop<'_>) {
    let invoice = shop.invoice("out_invoice", &lines(), json!({ "currency_id": shop.euro() }));
    shop.pay(&[invoice], write_off(shop, total(shop, invoice) - 1.0, "expense"));
}

/// A payment by hand, posted.
fn payment(shop: &Shop<'_>, direction: &str, party: &str, amount: f64, more: Value) -> i64 {
    let partner = if party == "customer" { shop.customer } else { shop.vendor };
    let mut values = json!({ "payment_type": direction, "partner_type": party, "partner_id": partner,
        "amount": amount, "journal_id": shop.journal("bank") });
    for (key, value) in more.as_object().unwrap() {
        values[key] = value.clone();
    }
    let payment = shop.create("account.payment", values);
    shop.press("account.payment", "action_post", payment);
    payment
}

fn matched_later(shop: &Shop<'_>) {
    let payment = payment(shop, "inbound", "customer", 60.0, json!({}));
    let invoice = invoice(shop);
    let open = |of: i64| {
        let domain = json!([["move_id", "=", of], ["account_type", "=", "asset_receivable"]]);
        shop.one("account.move.line", domain)
    };
    if shop.get("account.payment", payment, "move_id").is_array() {
        let lines = [open(shop.link("account.payment", payment, "move_id")), open(invoice)];
        shop.call("account.move.line", "reconcile", json!([lines]));
        shop.expect("account.move", invoice, "payment_state", &["partial"]);
        shop.call("account.move.line", "remove_move_reconcile", json!([[lines[1]]]));
        shop.call("account.move.line", "reconcile", json!([lines]));
    }
}

fn cancelled(shop: &Shop<'_>) {
    let payment = payment(shop, "outbound", "supplier", 12.34, json!({}));
    shop.press("account.payment", "action_draft", payment);
    shop.press("account.payment", "action_cancel", payment);
}

fn again(shop: &Shop<'_>) {
    let payment = payment(shop, "inbound", "customer", 12.34, json!({ "currency_id": shop.euro() }));
    shop.press("account.payment", "action_draft", payment);
    shop.write("account.payment", payment, json!({ "amount": 23.45 }));
    shop.press("account.payment", "action_post", payment);
}

fn cash(shop: &Shop<'_>) {
    let invoice = invoice(shop);
    shop.pay(&[invoice], json!({ "journal_id": shop.journal("cash") }));
}

fn transfer(shop: &Shop<'_>) {
    let values = if shop.major >= 18 {
        json!({})
    } else {
        json!({ "is_internal_transfer": true, "destination_journal_id": shop.journal("cash") })
    };
    payment(shop, "outbound", "supplier", 77.0, values);
}

fn paid_back(shop: &Shop<'_>) {
    payment(shop, "outbound", "customer", 5.55, json!({}));
    payment(shop, "inbound", "supplier", 5.55, json!({ "currency_id": shop.euro() }));
}

/// From Odoo 18 on, a method of payment without an account books nothing before the bank statement comes.
fn without_entry(shop: &Shop<'_>) {
    let journal = shop.create(
        "account.journal",
        json!({ "name": "Without entries", "type": "bank", "code": "NOENT", "company_id": shop.company }),
    );
    for method in shop.links("account.journal", journal, "inbound_payment_method_line_ids") {
        shop.write("account.payment.method.line", method, json!({ "payment_account_id": false }));
    }
    let invoice = invoice(shop);
    shop.pay(&[invoice], json!({ "journal_id": journal }));
    shop.expect("account.move", invoice, "payment_state", &["paid", "in_payment"]);
}
