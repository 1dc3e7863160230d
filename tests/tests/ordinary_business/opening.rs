//! Two companies: the tenant's own, which rounds taxes per line and adds them to its prices, and a new one
//! that rounds them globally and whose prices contain them.

use std::cell::Cell;

use lifeboat_tests::odoo::OdooUser;
use serde_json::{Value, json};

use super::shop::{Shop, day, set};

/// Both, open for business.
pub fn open<'a>(odoo: &'a OdooUser<'a>, major: u32) -> [Shop<'a>; 2] {
    features(odoo);
    let euro = odoo.search("ir.model.data", json!([["module", "=", "base"], ["name", "=", "EUR"]]))[0];
    let euro = odoo.field("ir.model.data", euro, "res_id");
    odoo.call("res.currency", "write", json!([[euro], { "active": true }]), json!({}));
    let dollar = odoo.field("res.company", 1, "currency_id")[0].clone();
    let other = odoo.create("res.company", json!({ "name": "Rounds Globally Ltd", "currency_id": dollar }));
    odoo.call("res.users", "write", json!([[odoo.uid], { "company_ids": [[4, other]] }]), json!({}));
    let within = json!({ "context": { "allowed_company_ids": [other] } });
    odoo.call("account.chart.template", "try_loading", json!([[], "generic_coa", other]), within);
    let globally = json!([[other], { "tax_calculation_rounding_method": "round_globally" }]);
    odoo.call("res.company", "write", globally, json!({}));
    let shops = [shop(odoo, major, 1, false), shop(odoo, major, other, true)];
    for shop in &shops {
        for (back, rate) in [(-400, 0.93), (-1, 0.87)] {
            let old = json!([
                ["currency_id", "=", euro],
                ["company_id", "=", shop.company],
                ["name", "=", day(back)]
            ]);
            if shop.search("res.currency.rate", old).is_empty() {
                shop.create(
                    "res.currency.rate",
                    json!({ "currency_id": euro, "name": day(back),
                    "company_id": shop.company, "rate": rate }),
                );
            }
        }
    }
    shops
}

/// What the settings of sales, stock and accounting switch on.
fn features(odoo: &OdooUser<'_>) {
    let groups = json!({ "group_uom": true, "group_stock_tracking_lot": true, "group_cash_rounding": true,
        "group_stock_production_lot": true, "group_analytic_accounting": true,
        "group_stock_multi_locations": true });
    // bank statements belong to full accounting, a group that the community edition has without its form
    let full = json!([["module", "=", "account"], ["name", "=", "group_account_user"]]);
    let full = odoo.field("ir.model.data", odoo.search("ir.model.data", full)[0], "res_id");
    odoo.call("res.users", "write", json!([[odoo.uid], { "groups_id": [[4, full]] }]), json!({}));
    let settings = odoo.create("res.config.settings", groups);
    odoo.call("res.config.settings", "execute", json!([[settings]]), json!({}));
}

fn shop<'a>(odoo: &'a OdooUser<'a>, major: u32, company: i64, included: bool) -> Shop<'a> {
    let mut shop = Shop {
        odoo,
        major,
        company,
        customer: 0,
        vendor: 0,
        goods: 0,
        service: 0,
        tax: 0,
        purchase_tax: 0,
        tickets: Cell::new(0),
    };
    if shop.search("stock.warehouse", json!([["company_id", "=", company]])).is_empty() {
        shop.create("stock.warehouse", json!({ "name": "Ordinary", "code": "ORD", "company_id": company }));
    }
    shop.customer =
        shop.create("res.partner", json!({ "name": "Ordinary Customer", "email": "c@example.com" }));
    shop.vendor = shop.create("res.partner", json!({ "name": "Ordinary Vendor" }));
    shop.tax = tax(&shop, "sale", 21.0, included);
    shop.purchase_tax = tax(&shop, "purchase", 21.0, included);
    shop.goods = goods(&shop, "Ordinary goods", 9.99);
    shop.service = shop.create(
        "product.product",
        json!({ "name": "Ordinary service", "type": "service",
        "list_price": 33.33, "taxes_id": set(&[shop.tax]), "invoice_policy": "order" }),
    );
    shop
}

/// A tax in percent.
pub fn tax(shop: &Shop<'_>, of: &str, percent: f64, included: bool) -> i64 {
    let mut values = json!({ "name": format!("{of} {percent} {included}"), "amount_type": "percent",
        "amount": percent, "type_tax_use": of, "company_id": shop.company });
    let country = shop.get("res.company", shop.company, "account_fiscal_country_id");
    if country.is_array() {
        values["country_id"] = country[0].clone();
    }
    if shop.major >= 18 {
        values["price_include_override"] = if included { "tax_included" } else { "tax_excluded" }.into();
    } else {
        values["price_include"] = included.into();
    }
    shop.create("account.tax", values)
}

/// A storable product with 500 pieces in stock.
pub fn goods(shop: &Shop<'_>, name: &str, price: f64) -> i64 {
    let mut values = json!({ "name": name, "list_price": price, "standard_price": price / 2.0,
        "taxes_id": set(&[shop.tax]), "supplier_taxes_id": set(&[shop.purchase_tax]),
        "invoice_policy": "delivery", "available_in_pos": true });
    storable(shop, &mut values);
    let product = shop.create("product.product", values);
    count(shop, product, 500.0, json!({}));
    product
}

/// The values of a product that is counted in stock.
pub fn storable(shop: &Shop<'_>, values: &mut Value) {
    if shop.major >= 18 {
        values["is_storable"] = true.into();
        values["type"] = "consu".into();
    } else {
        values["type"] = "product".into();
    }
}

/// Counts a product at the company's stock.
pub fn count(shop: &Shop<'_>, product: i64, quantity: f64, more: Value) {
    let mut values =
        json!({ "product_id": product, "location_id": stock(shop), "inventory_quantity": quantity });
    for (key, value) in more.as_object().unwrap() {
        values[key] = value.clone();
    }
    let context = json!({ "inventory_mode": true });
    let quant = shop.call_with("stock.quant", "create", json!([values]), context.clone());
    shop.call_with("stock.quant", "action_apply_inventory", json!([[quant]]), context);
}

/// The place of its stock.
pub fn stock(shop: &Shop<'_>) -> i64 {
    let warehouse = shop.one("stock.warehouse", json!([["company_id", "=", shop.company]]));
    shop.link("stock.warehouse", warehouse, "lot_stock_id")
}
