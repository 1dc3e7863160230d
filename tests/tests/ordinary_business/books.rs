//! Bank statements, entries by hand, and the lock date at the end.

use serde_json::json;

use super::Operation;
use super::shop::{Shop, day, rows};

pub const ALL: &[Operation] = &[
    ("lines of a bank statement", statement),
    ("an entry by hand, in two currencies", entry),
    ("an entry by hand, reversed", reversed),
    ("a draft entry that does not balance yet", draft),
    ("the year is closed", locked),
];

fn statement(shop: &Shop<'_>) {
    let journal = shop.journal("bank");
    for (amount, more) in [
        (100.0, json!({})),
        (-33.33, json!({})),
        (50.0, json!({ "foreign_currency_id": shop.euro(), "amount_currency": 43.21 })),
    ] {
        let mut line = json!({ "journal_id": journal, "date": day(0), "payment_ref": "from the bank",
            "amount": amount, "partner_id": shop.customer });
        for (key, value) in more.as_object().unwrap() {
            line[key] = value.clone();
        }
        shop.create("account.bank.statement.line", line);
    }
    let line = json!({ "journal_id": journal, "date": day(0), "payment_ref": "of a statement", "amount": 7 });
    shop.create(
        "account.bank.statement",
        json!({ "name": "Statement", "balance_start": 0,
        "balance_end_real": 7, "line_ids": rows(&[line]) }),
    );
}

fn lines(shop: &Shop<'_>, debit: f64, credit: f64) -> serde_json::Value {
    rows(&[
        json!({ "name": "one", "account_id": shop.account("expense"), "debit": debit, "credit": 0 }),
        json!({ "name": "two", "account_id": shop.account("income"), "debit": 0, "credit": credit }),
    ])
}

fn entry(shop: &Shop<'_>) {
    let euro = shop.euro();
    let two = rows(&[
        json!({ "name": "in euro", "account_id": shop.account("asset_receivable"), "partner_id": shop.customer,
            "currency_id": euro, "amount_currency": 87, "debit": 100, "credit": 0 }),
        json!({ "name": "in dollars", "account_id": shop.account("income"), "debit": 0, "credit": 100 }),
    ]);
    let entry = shop.create("account.move", json!({ "move_type": "entry", "line_ids": two }));
    shop.press("account.move", "action_post", entry);
}

fn reversed(shop: &Shop<'_>) {
    let entry =
        shop.create("account.move", json!({ "move_type": "entry", "line_ids": lines(shop, 12.0, 12.0) }));
    shop.press("account.move", "action_post", entry);
    super::invoicing::reverse(shop, entry, false);
}

/// Odoo adds what is missing on an account of its own, or refuses: nothing else is stored.
fn draft(shop: &Shop<'_>) {
    shop.create("account.move", json!({ "move_type": "entry", "line_ids": lines(shop, 12.0, 12.0) }));
}

fn locked(shop: &Shop<'_>) {
    shop.write("res.company", shop.company, json!({ "fiscalyear_lock_date": day(-395) }));
}
