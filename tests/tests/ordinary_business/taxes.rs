//! Invoices with other taxes than the usual one, and with cash rounding.

use serde_json::{Value, json};

use super::Operation;
use super::invoicing::{line, small_prices};
use super::opening::tax;
use super::shop::{Shop, rows, set};

pub const ALL: &[Operation] = &[
    ("two taxes, one of them on the other", compound),
    ("cash rounding as a line", rounded_line),
    ("cash rounding in the biggest tax", rounded_tax),
    ("reverse charge", reverse_charge),
    ("withheld tax", withheld),
    ("a fixed tax and a division tax", other_taxes),
    ("a tax due on payment", on_payment),
];

fn compound(shop: &Shop<'_>) {
    let first = tax(shop, "sale", 5.0, false);
    shop.write(
        "account.tax",
        first,
        json!({ "include_base_amount": true, "sequence": 1, "name": "five first" }),
    );
    let second = tax(shop, "sale", 9.975, false);
    let mut lines = small_prices();
    for line in &mut lines {
        line["tax_ids"] = set(&[first, second]);
    }
    shop.invoice("out_invoice", &lines, json!({}));
}

/// Cash is rounded to this many cents.
pub fn cash_rounding(shop: &Shop<'_>, strategy: &str, to: f64) -> i64 {
    let values = json!({ "name": format!("{strategy} {to}"), "rounding": to, "strategy": strategy,
        "rounding_method": "HALF-UP", "profit_account_id": shop.account("income_other"),
        "loss_account_id": shop.account("expense") });
    shop.create("account.cash.rounding", values)
}

fn rounded_line(shop: &Shop<'_>) {
    let rounding = cash_rounding(shop, "add_invoice_line", 0.05);
    for price in [3.33, 3.37] {
        let lines = [line(1.0, price), line(2.0, 1.11)];
        let invoice = shop.invoice("out_invoice", &lines, json!({ "invoice_cash_rounding_id": rounding }));
        shop.pay(&[invoice], json!({}));
    }
    shop.invoice("out_refund", &[line(1.0, 3.33)], json!({ "invoice_cash_rounding_id": rounding }));
    let foreign = json!({ "invoice_cash_rounding_id": rounding, "currency_id": shop.euro() });
    shop.invoice("out_invoice", &[line(1.0, 3.33)], foreign);
    shop.invoice("in_invoice", &[line(1.0, 3.33)], json!({ "invoice_cash_rounding_id": rounding }));
}

fn rounded_tax(shop: &Shop<'_>) {
    let rounding = cash_rounding(shop, "biggest_tax", 0.1);
    let mut other = line(2.0, 1.11);
    other["tax_ids"] = set(&[tax(shop, "sale", 5.5, false)]);
    for price in [3.33, 3.37] {
        let lines = [line(1.0, price), other.clone()];
        let invoice = shop.invoice("out_invoice", &lines, json!({ "invoice_cash_rounding_id": rounding }));
        shop.pay(&[invoice], json!({}));
    }
}

/// A tax of which these shares in percent are booked.
fn shared_tax(shop: &Shop<'_>, of: &str, percent: f64, shares: &[f64]) -> i64 {
    let tax = tax(shop, of, percent, false);
    let account = shop.account("liability_current");
    let lines: Vec<Value> = std::iter::once(json!({ "repartition_type": "base" }))
        .chain(shares.iter().map(
            |share| json!({ "repartition_type": "tax", "factor_percent": share, "account_id": account }),
        ))
        .collect();
    let mut values = json!({ "name": format!("{percent} in {} shares", shares.len()) });
    for field in ["invoice_repartition_line_ids", "refund_repartition_line_ids"] {
        let mut commands = vec![json!([5])];
        commands.extend(rows(&lines).as_array().unwrap().clone());
        values[field] = commands.into();
    }
    shop.write("account.tax", tax, values);
    tax
}

fn with_tax(tax: i64) -> Vec<Value> {
    let mut lines = small_prices();
    for line in &mut lines {
        line["tax_ids"] = set(&[tax]);
    }
    lines
}

fn reverse_charge(shop: &Shop<'_>) {
    let tax = shared_tax(shop, "purchase", 19.0, &[100.0, -100.0]);
    shop.invoice("in_invoice", &with_tax(tax), json!({}));
    let tax = shared_tax(shop, "purchase", 8.25, &[30.0, 70.0]);
    shop.invoice("in_invoice", &with_tax(tax), json!({}));
}

fn withheld(shop: &Shop<'_>) {
    let tax = tax(shop, "sale", -15.0, false);
    shop.invoice("out_invoice", &with_tax(tax), json!({}));
}

fn other_taxes(shop: &Shop<'_>) {
    for (kind, amount) in [("fixed", 0.17), ("division", 12.5)] {
        let tax = tax(shop, "sale", amount, false);
        shop.write("account.tax", tax, json!({ "amount_type": kind, "name": kind }));
        shop.invoice("out_invoice", &with_tax(tax), json!({}));
    }
}

fn on_payment(shop: &Shop<'_>) {
    shop.write("res.company", shop.company, json!({ "tax_exigibility": true }));
    let tax = tax(shop, "sale", 16.0, false);
    let account = shop.create(
        "account.account",
        json!({ "name": "Tax to come", "code": "299999", "reconcile": true,
        "account_type": "liability_current" }),
    );
    let journal = shop.create(
        "account.journal",
        json!({ "name": "Tax on payment", "type": "general", "code": "TOP",
        "company_id": shop.company }),
    );
    shop.write("res.company", shop.company, json!({ "tax_cash_basis_journal_id": journal }));
    shop.write(
        "account.tax",
        tax,
        json!({ "tax_exigibility": "on_payment", "name": "on payment",
        "cash_basis_transition_account_id": account }),
    );
    let invoice = shop.invoice("out_invoice", &with_tax(tax), json!({}));
    shop.pay(&[invoice], json!({ "amount": 20 }));
    shop.pay(&[invoice], json!({}));
}
