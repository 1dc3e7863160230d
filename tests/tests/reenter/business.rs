//! Twenty minutes of business at a real Odoo, through its own RPC.

use lifeboat_tests::odoo::OdooUser;
use serde_json::{Value, json};

/// What was made, for what a test expects.
pub struct Business {
    /// The sale order that is confirmed and delivered.
    pub delivered: String,
    /// The one with a part delivered.
    pub partly: String,
    /// A quotation.
    pub quotation: String,
    /// One with a product that the point does not have.
    pub of_new_product: String,
    /// A cancelled one.
    pub cancelled: String,
    /// An order of the point, whose reference was changed after it.
    pub changed: String,
    /// A partner of the point, whose street was changed after it.
    pub moved: String,
    /// An invoice of the point, which was paid after it.
    pub paid: String,
}

/// The new street, and the new reference.
pub const STREET: &str = "Neue Gasse 5";
pub const REFERENCE: &str = "changed later";
/// The new price of a product of the point.
pub const PRICE: f64 = 77.77;

struct Shop<'a> {
    odoo: &'a OdooUser<'a>,
    major: u32,
}

/// Does the business.
pub fn business(odoo: &OdooUser<'_>, major: u32) -> Business {
    let shop = Shop { odoo, major };
    let (one, other) = shop.products();
    let template = odoo.field("product.product", one, "product_tmpl_id")[0].clone();
    odoo.call("product.template", "write", json!([[template], { "list_price": PRICE }]), json!({}));
    let company = odoo.create(
        "res.partner",
        json!({ "name": "Neue Kundin GmbH", "is_company": true, "email": "neu@example.com", "ref": "N-1", "city": "Wien" }),
    );
    let contact = odoo
        .create("res.partner", json!({ "name": "Kontakt", "parent_id": company, "email": "k@example.com" }));
    let before =
        *odoo.search("sale.order", json!([["state", "=", "sale"], ["company_id", "=", 1]])).last().unwrap();
    let old = odoo.field("sale.order", before, "partner_id")[0].as_i64().unwrap();
    odoo.call("res.partner", "write", json!([[old], { "street": STREET }]), json!({}));
    odoo.call("sale.order", "write", json!([[before], { "client_order_ref": REFERENCE }]), json!({}));
    let delivered = shop.order(
        contact,
        json!([
            { "product_id": one, "product_uom_qty": 2 },
            { "product_id": other, "product_uom_qty": 3, "price_unit": 7.77, "discount": 10 },
            { "display_type": "line_note", "name": "a note\nof two lines, \"quoted\"" },
        ]),
    );
    odoo.call("sale.order", "write", json!([[delivered], { "client_order_ref": "PO-77" }]), json!({}));
    shop.confirm(delivered);
    shop.deliver(delivered, None);
    let partly = shop.order(old, json!([{ "product_id": one, "product_uom_qty": 5 }]));
    shop.confirm(partly);
    shop.deliver(partly, Some(2));
    let quotation = shop.order(contact, json!([{ "product_id": other, "product_uom_qty": 1 }]));
    let cancelled = shop.order(old, json!([{ "product_id": other, "product_uom_qty": 1 }]));
    odoo.call("sale.order", "action_cancel", json!([[cancelled]]), json!({}));
    let product =
        odoo.create("product.product", json!({ "name": "Neu", "default_code": "NEW-PROD", "list_price": 9 }));
    let of_new_product = shop.order(old, json!([{ "product_id": product, "product_uom_qty": 1 }]));
    shop.payment(contact);
    let paid = shop.pay();
    shop.transfer(one);
    let session = odoo.search("pos.session", json!([["state", "=", "opened"]]))[0];
    shop.sell(session, 1, None);
    shop.sell(session, 2, Some(contact));
    let name = |id: i64| odoo.field("sale.order", id, "name").as_str().unwrap().to_owned();
    Business {
        delivered: name(delivered),
        partly: name(partly),
        quotation: name(quotation),
        of_new_product: name(of_new_product),
        cancelled: name(cancelled),
        changed: name(before),
        moved: odoo.field("res.partner", old, "name").as_str().unwrap().to_owned(),
        paid,
    }
}

/// Opens a session at a point of sale, if none is open.
pub fn open_session(odoo: &OdooUser<'_>, major: u32) {
    if !odoo.search("pos.session", json!([["state", "=", "opened"]])).is_empty() {
        return;
    }
    let config = odoo.search("pos.config", json!([["current_session_id", "=", false]]))[0];
    let session = odoo.create("pos.session", json!({ "config_id": config, "user_id": odoo.uid }));
    let method = if major >= 18 { "set_opening_control" } else { "set_cashbox_pos" };
    odoo.call("pos.session", method, json!([[session], 50, "test"]), json!({}));
}

impl Shop<'_> {
    /// Two products in stock.
    fn products(&self) -> (i64, i64) {
        let mut domain = vec![
            json!(["qty_available", ">", 20]),
            json!(["sale_ok", "=", true]),
            json!(["tracking", "=", "none"]),
        ];
        domain.push(match self.major {
            18.. => json!(["is_storable", "=", true]),
            _ => json!(["type", "=", "product"]),
        });
        let found = self.odoo.search("product.product", Value::Array(domain));
        (found[found.len() - 1], found[found.len() - 2])
    }

    fn order(&self, partner: i64, lines: Value) -> i64 {
        let lines: Vec<Value> = lines.as_array().unwrap().iter().map(|line| json!([0, 0, line])).collect();
        self.odoo.create("sale.order", json!({ "partner_id": partner, "order_line": lines }))
    }

    fn confirm(&self, order: i64) {
        self.odoo.call("sale.order", "action_confirm", json!([[order]]), json!({}));
    }

    /// Validates the first picking with all, or with so many of each product.
    fn deliver(&self, order: i64, quantity: Option<u32>) {
        let pickings = self.odoo.field("sale.order", order, "picking_ids");
        self.validate(pickings[0].as_i64().unwrap(), quantity);
    }

    fn validate(&self, picking: i64, quantity: Option<u32>) {
        for one in self.odoo.search("stock.move", json!([["picking_id", "=", picking]])) {
            let demand = self.odoo.field("stock.move", one, "product_uom_qty");
            let quantity = quantity.map_or(demand, Value::from);
            let values = json!({ "quantity": quantity, "picked": true });
            self.odoo.call("stock.move", "write", json!([[one], values]), json!({}));
        }
        let context = json!({ "context": { "skip_backorder": true, "skip_sms": true } });
        self.odoo.call("stock.picking", "button_validate", json!([[picking]]), context);
        assert_eq!(self.odoo.field("stock.picking", picking, "state"), "done");
    }

    fn payment(&self, partner: i64) {
        let journal =
            self.odoo.search("account.journal", json!([["type", "=", "bank"], ["company_id", "=", 1]]))[0];
        let method =
            self.odoo.field("account.journal", journal, "inbound_payment_method_line_ids")[0].clone();
        let memo = if self.major >= 18 { "memo" } else { "ref" };
        let payment = self.odoo.create(
            "account.payment",
            json!({ "payment_type": "inbound", "partner_type": "customer", "partner_id": partner,
                "amount": 123.45, "journal_id": journal, "payment_method_line_id": method, memo: "thanks" }),
        );
        self.odoo.call("account.payment", "action_post", json!([[payment]]), json!({}));
    }

    /// Pays an invoice of the point; its number.
    fn pay(&self) -> String {
        let odoo = self.odoo;
        let open = json!([
            ["move_type", "=", "out_invoice"],
            ["state", "=", "posted"],
            ["payment_state", "=", "not_paid"],
            ["company_id", "=", 1]
        ]);
        let invoice = *odoo.search("account.move", open).last().unwrap();
        let context = json!({ "active_model": "account.move", "active_ids": [invoice] });
        let wizard =
            odoo.call("account.payment.register", "create", json!([{}]), json!({ "context": context }));
        let context = json!({ "context": { "dont_redirect_to_payments": true } });
        odoo.call("account.payment.register", "action_create_payments", json!([[wizard]]), context);
        odoo.field("account.move", invoice, "name").as_str().unwrap().to_owned()
    }

    /// A delivery that no order asked for.
    fn transfer(&self, product: i64) {
        let sort = json!([["code", "=", "outgoing"], ["company_id", "=", 1]]);
        let sort = self.odoo.search("stock.picking.type", sort)[0];
        let from = self.odoo.field("stock.picking.type", sort, "default_location_src_id")[0].clone();
        let to = self.odoo.search("stock.location", json!([["usage", "=", "customer"]]))[0];
        let unit = self.odoo.field("product.product", product, "uom_id")[0].clone();
        let line = json!({ "name": "by hand", "product_id": product, "product_uom_qty": 4, "product_uom": unit,
            "location_id": from, "location_dest_id": to });
        let picking = json!({ "picking_type_id": sort, "location_id": from, "location_dest_id": to,
            "move_ids": [[0, 0, line]] });
        let picking = self.odoo.create("stock.picking", picking);
        self.odoo.call("stock.picking", "action_confirm", json!([[picking]]), json!({}));
        self.validate(picking, None);
    }

    /// Two pieces for cash, with change.
    fn sell(&self, session: i64, number: u32, partner: Option<i64>) {
        let odoo = self.odoo;
        let config = odoo.field("pos.session", session, "config_id")[0].as_i64().unwrap();
        let methods = odoo.field("pos.config", config, "payment_method_ids");
        let cash = odoo
            .search("pos.payment.method", json!([["id", "in", methods], ["is_cash_count", "=", true]]))[0];
        let product =
            *odoo.search("product.product", json!([["available_in_pos", "=", true]])).last().unwrap();
        let price = odoo.field("product.product", product, "lst_price");
        let company = odoo.field("pos.config", config, "company_id")[0].clone();
        let taxes = odoo.field("product.product", product, "taxes_id");
        let taxes = odoo.search("account.tax", json!([["id", "in", taxes], ["company_id", "=", company]]));
        let double = price.as_f64().unwrap() * 2.0;
        let (net, gross) = if taxes.is_empty() {
            (double, double)
        } else {
            let sums =
                odoo.call("account.tax", "compute_all", json!([taxes, price]), json!({ "quantity": 2 }));
            (sums["total_excluded"].as_f64().unwrap(), sums["total_included"].as_f64().unwrap())
        };
        let now = "2026-11-28 10:11:12";
        let pricelist = match odoo.field("pos.config", config, "pricelist_id") {
            Value::Array(pair) => pair[0].clone(),
            other => other,
        };
        let uid = format!("{session:05}-001-{number:04}");
        let uuid = |of: u32| format!("00000000-0000-4000-8000-0000{of:04}{number:04}");
        let line = json!([0, 0, { "id": number, "uuid": uuid(1), "product_id": product, "qty": 2,
            "price_unit": price, "discount": 0, "price_subtotal": net, "price_subtotal_incl": gross,
            "tax_ids": [[6, false, taxes]], "pack_lot_ids": [], "full_product_name": "a product" }]);
        let date = if self.major >= 18 { "payment_date" } else { "name" };
        let paid = json!([0, 0, { date: now, "payment_method_id": cash, "amount": gross + 5.0 }]);
        let tax = ((gross - net) * 100.0).round() / 100.0;
        let mut data = json!({ "name": format!("Order {uid}"), "sequence_number": number, "user_id": odoo.uid,
            "partner_id": partner.map_or(Value::Bool(false), Value::from), "date_order": now,
            "fiscal_position_id": false, "pricelist_id": pricelist, "amount_paid": gross,
            "amount_total": gross, "amount_tax": tax, "amount_return": 5, "lines": [line],
            "to_invoice": false, "last_order_preparation_change": "{}" });
        if self.major >= 18 {
            data["session_id"] = session.into();
            data["company_id"] = company;
            data["payment_ids"] = json!([paid]);
            data["uuid"] = uuid(2).into();
            data["state"] = "paid".into();
            odoo.call("pos.order", "sync_from_ui", json!([[data]]), json!({}));
        } else {
            data["pos_session_id"] = session.into();
            data["statement_ids"] = json!([paid]);
            data["uid"] = uid.clone().into();
            data["creation_date"] = now.into();
            data["server_id"] = false.into();
            let whole = json!({ "id": uid, "data": data, "to_invoice": false });
            odoo.call("pos.order", "create_from_ui", json!([[whole]]), json!({}));
        }
    }
}
