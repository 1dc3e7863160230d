//! A day at the point of sale.

use serde_json::{Value, json};

use super::Operation;
use super::opening::count;
use super::shop::{Shop, set, today};
use super::taxes::cash_rounding;

pub const ALL: &[Operation] = &[("a day at the till", day), ("a day with rounded cash", rounded_day)];

/// One till with its session.
struct Till<'a> {
    shop: &'a Shop<'a>,
    session: i64,
    cash: i64,
    card: i64,
    /// The customer pays later.
    account: i64,
    config: i64,
}

/// What a customer puts on the counter: quantity, price, discount, taxes.
type Row = (f64, f64, f64);

fn open<'a>(shop: &'a Shop<'a>, more: Value) -> Till<'a> {
    let journal = |kind: &str, code: String| {
        shop.create(
            "account.journal",
            json!({ "name": format!("{kind} of a till"), "type": kind, "code": code,
            "company_id": shop.company }),
        )
    };
    let number = shop.search("pos.config", json!([])).len();
    let (drawer, bank) = (journal("cash", format!("TC{number}")), journal("bank", format!("TB{number}")));
    let method = |name: &str, journal: i64| {
        shop.create(
            "pos.payment.method",
            json!({ "name": name, "journal_id": journal, "company_id": shop.company }),
        )
    };
    let (cash, card) = (method("Cash", drawer), method("Card", bank));
    let account = shop.create(
        "pos.payment.method",
        json!({ "name": "Account", "split_transactions": true, "company_id": shop.company }),
    );
    let mut values = json!({ "name": format!("Till {number}"), "company_id": shop.company,
        "payment_method_ids": set(&[cash, card, account]), "journal_id": shop.journal("general"),
        "invoice_journal_id": shop.journal("sale"), "ship_later": true });
    for (key, value) in more.as_object().unwrap() {
        values[key] = value.clone();
    }
    let config = shop.create("pos.config", values);
    let session = shop.create("pos.session", json!({ "config_id": config, "user_id": shop.odoo.uid }));
    let method = if shop.major >= 18 { "set_opening_control" } else { "set_cashbox_pos" };
    shop.call("pos.session", method, json!([[session], 50, "open"]));
    count(shop, shop.goods, 900.0, json!({}));
    Till { shop, session, cash, card, account, config }
}

fn to_cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

impl Till<'_> {
    /// Sells, as the till does: it computes the amounts itself. Paid in cash, but for this much by card.
    fn sell(&self, rows: &[Row], card: f64, more: Value) -> i64 {
        let shop = self.shop;
        let number = shop.tickets.get() + 1;
        shop.tickets.set(number);
        let uuid = |of: usize| format!("{:08}-0000-4000-8000-{of:04}{number:08}", self.session);
        let (mut net, mut gross) = (0.0, 0.0);
        let mut lines = Vec::new();
        for (at, (quantity, price, discount)) in rows.iter().enumerate() {
            let reduced = price * (1.0 - discount / 100.0);
            let sums = shop.odoo.call(
                "account.tax",
                "compute_all",
                json!([[shop.tax], reduced]),
                json!({ "quantity": quantity, "context": { "allowed_company_ids": [shop.company] } }),
            );
            let (one, all) =
                (sums["total_excluded"].as_f64().unwrap(), sums["total_included"].as_f64().unwrap());
            net += one;
            gross += all;
            lines.push(json!([0, 0, { "id": at + 1, "uuid": uuid(at + 1), "product_id": shop.goods, "qty": quantity,
                "price_unit": price, "discount": discount, "price_subtotal": one, "price_subtotal_incl": all,
                "tax_ids": [[6, false, [shop.tax]]], "pack_lot_ids": [], "full_product_name": "Ordinary goods" }]));
            for (key, value) in more["settles"].as_object().into_iter().flatten() {
                lines[at][2][key] = value.clone();
            }
        }
        let (net, gross) = (to_cents(net), to_cents(gross));
        let due = more.get("rounded_to").and_then(Value::as_f64).unwrap_or(gross);
        let now = format!("{} 10:11:12", today());
        let date = if shop.major >= 18 { "payment_date" } else { "name" };
        let later = more["later"] == true;
        let change = if due > 0.0 && !later { 5.0 } else { 0.0 };
        let given = to_cents(due - card + change);
        let method = if later { self.account } else { self.cash };
        let paid = |method: i64, amount: f64| json!([0, 0, { date: now, "payment_method_id": method, "amount": amount }]);
        let mut payments = if given == 0.0 { Vec::new() } else { vec![paid(method, given)] };
        if card != 0.0 {
            payments.push(paid(self.card, card));
        }
        let ticket = format!("{:05}-001-{number:04}", self.session);
        let invoiced = more["to_invoice"] == true;
        let mut data = json!({ "name": format!("Order {ticket}"), "sequence_number": number,
            "user_id": shop.odoo.uid, "partner_id": false, "date_order": now, "fiscal_position_id": false,
            "pricelist_id": false, "amount_paid": due, "amount_total": gross, "amount_tax": to_cents(gross - net),
            "amount_return": change, "lines": lines, "to_invoice": invoiced,
            "last_order_preparation_change": "{}", "access_token": uuid(999) });
        for (key, value) in more
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| !["rounded_to", "settles", "later"].contains(&key.as_str()))
        {
            data[key] = value.clone();
        }
        let answer = if shop.major >= 18 {
            data["session_id"] = self.session.into();
            data["company_id"] = shop.company.into();
            data["payment_ids"] = payments.into();
            data["uuid"] = uuid(0).into();
            data["state"] = "paid".into();
            shop.call("pos.order", "sync_from_ui", json!([[data]]))["pos.order"][0]["id"].clone()
        } else {
            data["pos_session_id"] = self.session.into();
            data["statement_ids"] = payments.into();
            data["uid"] = ticket.clone().into();
            data["creation_date"] = now.into();
            data["server_id"] = false.into();
            let whole = json!({ "id": ticket, "data": data, "to_invoice": invoiced });
            shop.call("pos.order", "create_from_ui", json!([[whole]]))[0]["id"].clone()
        };
        let order = answer.as_i64().unwrap();
        shop.expect("pos.order", order, "state", &["paid", "invoiced"]);
        order
    }

    /// Gives the money of an order back, at the counter of the back office.
    fn refund(&self, order: i64, invoice: bool) {
        let shop = self.shop;
        let answer = shop.press("pos.order", "refund", order);
        let refund = answer["res_id"].as_i64().unwrap();
        if invoice {
            shop.write("pos.order", refund, json!({ "to_invoice": true, "partner_id": shop.customer }));
        }
        let context = json!({ "active_id": refund, "active_ids": [refund], "active_model": "pos.order" });
        let amount = shop.number("pos.order", refund, "amount_total");
        let payment = json!([{ "config_id": self.config, "amount": amount, "payment_method_id": self.cash }]);
        let payment = shop.call_with("pos.make.payment", "create", payment, context.clone());
        shop.call_with("pos.make.payment", "check", json!([[payment]]), context);
    }

    fn cash(&self, direction: &str, amount: f64) {
        let extras = json!({ "formattedAmount": "", "translatedType": direction });
        self.shop.call(
            "pos.session",
            "try_cash_in_out",
            json!([[self.session], direction, amount, "change", extras]),
        );
    }

    /// Closes with this much missing in the drawer, and this much more on the card terminal.
    fn close(&self, missing: f64, by_card: f64) {
        let (shop, session) = (self.shop, self.session);
        let counted = shop.number("pos.session", session, "cash_register_balance_end") - missing;
        shop.call("pos.session", "post_closing_cash_details", json!([[session], counted]));
        shop.call("pos.session", "update_closing_control_state_session", json!([[session], "closed"]));
        let differences = if by_card == 0.0 { json!([]) } else { json!([[self.card, by_card]]) };
        let answer = shop.call("pos.session", "close_session_from_ui", json!([[session], differences]));
        assert_eq!(answer["successful"], true, "{answer}");
        shop.expect("pos.session", session, "state", &["closed"]);
    }
}

const MANY: [Row; 7] = [
    (3.0, 0.07, 0.0),
    (3.0, 1.11, 0.0),
    (3.0, 3.33, 0.0),
    (1.0, 7.77, 33.33),
    (7.0, 9.99, 0.0),
    (1.0, 0.55, 100.0),
    (3.0, 0.35, 0.0),
];

fn day(shop: &Shop<'_>) {
    let till = open(shop, json!({}));
    till.sell(&MANY, 0.0, json!({}));
    till.sell(&MANY, 10.0, json!({}));
    // a discount is a line of its own with a negative price
    till.sell(&[(3.0, 9.99, 0.0), (1.0, -3.0, 0.0)], 0.0, json!({}));
    let customer = json!({ "partner_id": shop.customer, "to_invoice": true });
    let invoiced = till.sell(&MANY, 0.0, customer.clone());
    till.sell(&MANY, 3.0, customer);
    let later = json!({ "partner_id": shop.customer, "shipping_date": today() });
    till.sell(&[(2.0, 9.99, 0.0)], 0.0, later);
    till.sell(&[(1.0, 0.0, 0.0)], 0.0, json!({}));
    till.sell(&MANY, 0.0, json!({ "partner_id": shop.customer, "later": true }));
    let sold = till.sell(&[(2.0, 9.99, 0.0)], 0.0, json!({}));
    till.refund(sold, false);
    till.refund(invoiced, true);
    // goods changed: one back, another out
    till.sell(&[(-1.0, 9.99, 0.0), (1.0, 12.49, 0.0)], 0.0, json!({}));
    settle(&till);
    till.cash("in", 20.0);
    till.cash("out", 5.0);
    till.close(0.45, 1.0);
}

/// Takes the money for a sales order; the goods go over the counter.
fn settle(till: &Till<'_>) {
    let shop = till.shop;
    let order = super::selling::order(shop, &[super::selling::line(shop.goods, 3.0, 9.99)], json!({}));
    let row = shop.links("sale.order", order, "order_line")[0];
    let settles = if shop.major >= 18 {
        json!({ "sale_order_origin_id": order, "sale_order_line_id": row })
    } else {
        json!({ "sale_order_origin_id": { "id": order }, "sale_order_line_id": { "id": row } })
    };
    till.sell(&[(3.0, 9.99, 0.0)], 0.0, json!({ "settles": settles, "partner_id": shop.customer }));
}

fn rounded_day(shop: &Shop<'_>) {
    let rounding = cash_rounding(shop, "add_invoice_line", 0.05);
    let till = open(
        shop,
        json!({ "cash_rounding": true, "only_round_cash_method": true, "rounding_method": rounding }),
    );
    for price in [3.33, 3.37, 9.99] {
        let sums = shop.odoo.call(
            "account.tax",
            "compute_all",
            json!([[shop.tax], price]),
            json!({ "quantity": 3, "context": { "allowed_company_ids": [shop.company] } }),
        );
        let due = to_cents((sums["total_included"].as_f64().unwrap() / 0.05).round() * 0.05);
        till.sell(&[(3.0, price, 0.0)], 0.0, json!({ "rounded_to": due }));
    }
    till.close(0.0, 0.0);
}
