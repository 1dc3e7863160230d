//! Invoices without an order.

use serde_json::{Value, json};

use super::Operation;
use super::shop::{Shop, day, set};

pub const ALL: &[Operation] = &[
    ("an invoice of many small prices", cents),
    ("the same from a vendor", bill_of_cents),
    ("an invoice of zero", zero),
    ("a discount of 100 %", free),
    ("a discount of a third", third),
    ("a negative line", negative),
    ("sections and notes", sections),
    ("in another currency", foreign),
    ("a vendor bill in another currency", foreign_bill),
    ("reversed", reversed),
    ("corrected: reversed and written again", corrected),
    ("a credit note on its own", credit_note),
    ("a vendor's refund", vendor_refund),
    ("set back to draft and posted again", again),
    ("cancelled", cancelled),
    ("a draft, and a draft without a number", drafts),
    ("receipts", receipts),
    ("analytic distribution", analytic),
    ("with a debit note's negative quantity", negative_quantity),
];

pub fn line(quantity: f64, price: f64) -> Value {
    json!({ "name": "a thing", "quantity": quantity, "price_unit": price })
}

pub fn small_prices() -> Vec<Value> {
    [0.07, 1.11, 3.33, 7.77, 9.99, 12.34, 0.55, 21.49, 0.35].map(|price| line(3.0, price)).to_vec()
}

/// A credit note for a posted invoice; or its replacement, which stays a draft.
pub fn reverse(shop: &Shop<'_>, invoice: i64, replace: bool) -> i64 {
    let context = json!({ "active_model": "account.move", "active_ids": [invoice] });
    let journal = shop.link("account.move", invoice, "journal_id");
    let values = json!({ "move_ids": set(&[invoice]), "reason": "wrong", "journal_id": journal });
    let wizard = shop.call_with("account.move.reversal", "create", json!([values]), context.clone());
    let button = if replace { "modify_moves" } else { "refund_moves" };
    let answer = shop.call_with("account.move.reversal", button, json!([[wizard]]), context);
    let made = answer["res_id"].as_i64().unwrap();
    // that of an entry is posted already
    if shop.get("account.move", made, "state") == "draft" {
        shop.press("account.move", "action_post", made);
    }
    made
}

fn cents(shop: &Shop<'_>) {
    let invoice = shop.invoice("out_invoice", &small_prices(), json!({}));
    shop.pay(&[invoice], json!({}));
}

fn bill_of_cents(shop: &Shop<'_>) {
    let bill = shop.invoice("in_invoice", &small_prices(), json!({}));
    shop.pay(&[bill], json!({}));
}

fn zero(shop: &Shop<'_>) {
    shop.invoice("out_invoice", &[line(1.0, 0.0)], json!({}));
}

fn free(shop: &Shop<'_>) {
    let mut gift = line(3.0, 3.33);
    gift["discount"] = 100.into();
    shop.invoice("out_invoice", &[gift.clone()], json!({}));
    shop.invoice("out_invoice", &[gift, line(1.0, 3.33)], json!({}));
}

fn third(shop: &Shop<'_>) {
    let mut lines = small_prices();
    for line in &mut lines {
        line["discount"] = 33.33.into();
    }
    shop.invoice("out_invoice", &lines, json!({}));
}

fn negative(shop: &Shop<'_>) {
    shop.invoice("out_invoice", &[line(1.0, 10.01), line(1.0, -3.33)], json!({}));
    shop.invoice("in_invoice", &[line(1.0, 10.01), line(1.0, -3.33)], json!({}));
}

fn sections(shop: &Shop<'_>) {
    let section = json!({ "display_type": "line_section", "name": "One" });
    let note = json!({ "display_type": "line_note", "name": "as agreed" });
    shop.invoice("out_invoice", &[section, line(1.0, 3.33), note], json!({}));
}

fn foreign(shop: &Shop<'_>) {
    let invoice = shop.invoice("out_invoice", &small_prices(), json!({ "currency_id": shop.euro() }));
    shop.pay(&[invoice], json!({}));
}

fn foreign_bill(shop: &Shop<'_>) {
    let old = json!({ "currency_id": shop.euro(), "invoice_date": day(-30), "date": day(-30) });
    let bill = shop.invoice("in_invoice", &small_prices(), old);
    shop.pay(&[bill], json!({}));
}

fn reversed(shop: &Shop<'_>) {
    let invoice = shop.invoice("out_invoice", &small_prices(), json!({}));
    reverse(shop, invoice, false);
    let bill = shop.invoice("in_invoice", &small_prices(), json!({}));
    reverse(shop, bill, false);
}

fn corrected(shop: &Shop<'_>) {
    let invoice = shop.invoice("out_invoice", &small_prices(), json!({}));
    reverse(shop, invoice, true);
    shop.expect("account.move", invoice, "payment_state", &["reversed"]);
}

fn credit_note(shop: &Shop<'_>) {
    let credit = shop.invoice("out_refund", &small_prices(), json!({}));
    shop.pay(&[credit], json!({}));
}

fn vendor_refund(shop: &Shop<'_>) {
    let refund = shop.invoice("in_refund", &small_prices(), json!({}));
    shop.pay(&[refund], json!({}));
}

fn again(shop: &Shop<'_>) {
    let invoice = shop.invoice("out_invoice", &small_prices(), json!({}));
    shop.press("account.move", "button_draft", invoice);
    shop.write("account.move", invoice, json!({ "invoice_line_ids": [[0, 0, line(1.0, 0.99)]] }));
    shop.press("account.move", "action_post", invoice);
}

fn cancelled(shop: &Shop<'_>) {
    let invoice = shop.invoice("out_invoice", &small_prices(), json!({}));
    shop.press("account.move", "button_draft", invoice);
    shop.press("account.move", "button_cancel", invoice);
}

fn drafts(shop: &Shop<'_>) {
    shop.draft("out_invoice", &small_prices(), json!({}));
    shop.create("account.move", json!({ "move_type": "in_invoice", "partner_id": shop.vendor }));
}

fn receipts(shop: &Shop<'_>) {
    let receipt = shop.invoice("out_receipt", &small_prices(), json!({}));
    shop.pay(&[receipt], json!({}));
    let receipt = shop.invoice("in_receipt", &small_prices(), json!({}));
    shop.pay(&[receipt], json!({}));
}

fn analytic(shop: &Shop<'_>) {
    let plan = shop.create("account.analytic.plan", json!({ "name": "Projects" }));
    let account = shop.create("account.analytic.account", json!({ "name": "House", "plan_id": plan }));
    let mut lines = small_prices();
    for line in &mut lines {
        line["analytic_distribution"] = json!({ account.to_string(): 33.33 });
    }
    shop.invoice("out_invoice", &lines, json!({}));
}

fn negative_quantity(shop: &Shop<'_>) {
    shop.invoice("out_invoice", &[line(5.0, 3.33), line(-1.0, 3.33)], json!({}));
}
