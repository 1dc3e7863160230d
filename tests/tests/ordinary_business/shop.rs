//! One company at a real Odoo, and the words in which its business is told.

use std::cell::Cell;

use lifeboat_tests::odoo::OdooUser;
use serde_json::{Value, json};

/// A company with what it trades. Its calls are made in that company alone.
pub struct Shop<'a> {
    pub odoo: &'a OdooUser<'a>,
    pub major: u32,
    pub company: i64,
    pub customer: i64,
    pub vendor: i64,
    /// Something that is counted in stock.
    pub goods: i64,
    /// Something that is not.
    pub service: i64,
    /// The tax of sales, and that of purchases.
    pub tax: i64,
    pub purchase_tax: i64,
    /// How many orders its tills have sent.
    pub tickets: Cell<u32>,
}

/// A command that sets a many2many field.
pub fn set(ids: &[i64]) -> Value {
    json!([[6, 0, ids]])
}

/// Commands that make the rows of a one2many field.
pub fn rows(rows: &[Value]) -> Value {
    rows.iter().map(|row| json!([0, 0, row])).collect()
}

impl Shop<'_> {
    pub fn call_with(&self, model: &str, method: &str, args: Value, more: Value) -> Value {
        let mut context = json!({ "allowed_company_ids": [self.company], "tracking_disable": true,
            "skip_sms": true, "generate_pdf": false });
        for (key, value) in more.as_object().unwrap() {
            context[key] = value.clone();
        }
        self.odoo.call(model, method, args, json!({ "context": context }))
    }

    pub fn call(&self, model: &str, method: &str, args: Value) -> Value {
        self.call_with(model, method, args, json!({}))
    }

    /// Presses a button of a record.
    pub fn press(&self, model: &str, button: &str, id: i64) -> Value {
        self.call(model, button, json!([[id]]))
    }

    pub fn create(&self, model: &str, values: Value) -> i64 {
        self.call(model, "create", json!([values])).as_i64().unwrap()
    }

    pub fn write(&self, model: &str, id: i64, values: Value) {
        self.call(model, "write", json!([[id], values]));
    }

    pub fn search(&self, model: &str, domain: Value) -> Vec<i64> {
        let ids = self.call(model, "search", json!([domain]));
        let mut ids: Vec<i64> = ids.as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect();
        ids.sort_unstable();
        ids
    }

    pub fn one(&self, model: &str, domain: Value) -> i64 {
        *self.search(model, domain.clone()).first().unwrap_or_else(|| panic!("no {model} with {domain}"))
    }

    pub fn get(&self, model: &str, id: i64, field: &str) -> Value {
        self.call(model, "read", json!([[id], [field]]))[0][field].clone()
    }

    pub fn number(&self, model: &str, id: i64, field: &str) -> f64 {
        self.get(model, id, field).as_f64().unwrap()
    }

    /// Where a many2one field points.
    pub fn link(&self, model: &str, id: i64, field: &str) -> i64 {
        self.get(model, id, field)[0].as_i64().unwrap()
    }

    pub fn links(&self, model: &str, id: i64, field: &str) -> Vec<i64> {
        self.get(model, id, field).as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect()
    }

    /// A record by its external identifier.
    pub fn known(&self, module: &str, name: &str) -> i64 {
        let domain = json!([["module", "=", module], ["name", "=", name]]);
        self.number("ir.model.data", self.one("ir.model.data", domain), "res_id") as i64
    }

    pub fn journal(&self, kind: &str) -> i64 {
        self.one("account.journal", json!([["type", "=", kind], ["company_id", "=", self.company]]))
    }

    pub fn account(&self, kind: &str) -> i64 {
        let owner = if self.major >= 18 { "company_ids" } else { "company_id" };
        self.one("account.account", json!([["account_type", "=", kind], [owner, "in", [self.company]]]))
    }

    /// One of the euro, which is not its currency.
    pub fn euro(&self) -> i64 {
        self.known("base", "EUR")
    }

    /// An invoice, bill or credit note; not posted. A row without taxes gets the company's.
    pub fn draft(&self, kind: &str, lines: &[Value], more: Value) -> i64 {
        let buys = kind.starts_with("in_");
        let lines: Vec<Value> = lines
            .iter()
            .map(|line| {
                let mut line = line.clone();
                if line.get("tax_ids").is_none() && line.get("display_type").is_none() {
                    line["tax_ids"] = set(&[if buys { self.purchase_tax } else { self.tax }]);
                }
                line
            })
            .collect();
        let mut values = json!({ "move_type": kind, "invoice_date": today(),
            "partner_id": if buys { self.vendor } else { self.customer }, "invoice_line_ids": rows(&lines) });
        for (key, value) in more.as_object().unwrap() {
            values[key] = value.clone();
        }
        self.create("account.move", values)
    }

    pub fn invoice(&self, kind: &str, lines: &[Value], more: Value) -> i64 {
        let invoice = self.draft(kind, lines, more);
        self.press("account.move", "action_post", invoice);
        invoice
    }

    /// Registers a payment, as the form of invoices does.
    pub fn pay(&self, invoices: &[i64], how: Value) {
        let context = json!({ "active_model": "account.move", "active_ids": invoices,
            "dont_redirect_to_payments": true });
        let wizard = self.call_with("account.payment.register", "create", json!([how]), context.clone());
        self.call_with("account.payment.register", "action_create_payments", json!([[wizard]]), context);
    }

    #[track_caller]
    pub fn expect(&self, model: &str, id: i64, field: &str, values: &[&str]) {
        let found = self.get(model, id, field);
        assert!(values.iter().any(|value| found == *value), "{model} {id} {field}: {found}, not {values:?}");
    }
}

/// Today, as Odoo writes it.
pub fn today() -> String {
    day(0)
}

/// The day so many days from now.
pub fn day(from_now: i64) -> String {
    let span = jiff::Span::new().days(from_now);
    jiff::Zoned::now().in_tz("UTC").unwrap().checked_add(span).unwrap().strftime("%Y-%m-%d").to_string()
}
