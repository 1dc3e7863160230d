//! The tenant in which is traded: its company, modules and days that are not locked.

use std::collections::BTreeSet;
use std::time::Duration;

use lifeboat::clock::{self, Timestamp};
use lifeboat::odoo::rpc::OdooCall;
use serde_json::json;

use crate::odoo::desk::{Desk, Wrong};

const MODULES: [&str; 9] = [
    "sale",
    "account",
    "stock",
    "purchase",
    "point_of_sale",
    "sale_stock",
    "purchase_stock",
    "stock_account",
    "mrp",
];
/// The groups that may do what the flows do.
const GROUPS: [(&str, &str); 6] = [
    ("sales_team", "group_sale_manager"),
    ("stock", "group_stock_manager"),
    ("account", "group_account_manager"),
    ("account", "group_account_invoice"),
    ("purchase", "group_purchase_manager"),
    ("point_of_sale", "group_pos_manager"),
];
/// Dates up to which the books are locked; each version has some of them.
const LOCKS: [&str; 7] = [
    "period_lock_date",
    "fiscalyear_lock_date",
    "tax_lock_date",
    "sale_lock_date",
    "purchase_lock_date",
    "hard_lock_date",
    "max_tax_lock_date",
];
/// The first version with group_ids instead of groups_id.
const GROUP_IDS: u32 = 19;

/// What is known of it, and what was made in it.
pub(super) struct Tenant {
    /// The company.
    pub company: i64,
    /// Its name.
    pub company_name: String,
    /// Its warehouse, if it has one.
    pub warehouse: Option<i64>,
    /// The first day from today on that is not locked.
    pub day: String,
    /// Whether today is locked.
    pub is_locked: bool,
    /// The invoice that was made.
    pub invoice: Option<(i64, String)>,
    modules: BTreeSet<String>,
}

impl Tenant {
    /// Whether a module is installed.
    pub fn has(&self, module: &str) -> bool {
        self.modules.contains(module)
    }

    /// # Errors
    /// [`Wrong::NothingFor`] if one of them is not installed.
    pub fn needs(&self, modules: &[&str]) -> Result<(), Wrong> {
        match modules.iter().find(|module| !self.has(module)) {
            None => Ok(()),
            Some(module) => Err(Wrong::NothingFor(format!("module {module} is not installed"))),
        }
    }
}

/// Gives the technical user its rights, and looks around.
pub(super) async fn enter(desk: &mut Desk<'_>) -> Result<Tenant, Wrong> {
    desk.begin("user");
    let (uid, company) = (desk.odoo.entrance.uid, desk.odoo.entrance.company);
    let domain = json!([["state", "=", "installed"], ["name", "in", MODULES]]);
    let modules = desk.find("ir.module.module", domain, &["name"], 100).await?;
    let modules: BTreeSet<String> = modules.iter().map(|module| module.text("name")).collect();
    let names: BTreeSet<&str> = GROUPS.iter().map(|(_, name)| *name).collect();
    let domain = json!([["model", "=", "res.groups"], ["name", "in", names]]);
    let mut groups = Vec::new();
    for group in desk.find("ir.model.data", domain, &["module", "name", "res_id"], 100).await? {
        let (module, name) = (group.text("module"), group.text("name"));
        if GROUPS.contains(&(module.as_str(), name.as_str())) {
            groups.push(json!([4, group.id("res_id")]));
        }
    }
    let field = if desk.major() >= GROUP_IDS { "group_ids" } else { "groups_id" };
    let values = json!({ field: groups, "company_ids": [[4, company]], "company_id": company });
    desk.write("res.users", uid, values).await?;
    desk.odoo.api.set_context("allowed_company_ids", json!([company]));
    let call = OdooCall::of("res.company", "fields_get")
        .named("allfields", json!(LOCKS))
        .named("attributes", json!(["type"]));
    let locks = desk.call(call).await?;
    let locks: Vec<&str> = LOCKS.into_iter().filter(|lock| locks.get(lock).is_some()).collect();
    let fields: Vec<&str> = ["name"].into_iter().chain(locks.iter().copied()).collect();
    let record = desk.read("res.company", company, &fields).await?;
    let today = clock::now().strftime("%Y-%m-%d").to_string();
    let locked = locks.iter().map(|lock| record.text(lock)).max().unwrap_or_default();
    let is_locked = locked >= today;
    let day = if is_locked { after(&locked).unwrap_or(today) } else { today };
    let mut warehouse = None;
    if modules.contains("stock") {
        let domain = json!([["company_id", "=", company]]);
        let call = OdooCall::of("stock.warehouse", "search").arg("domain", domain).named("limit", 1);
        warehouse = desk.call(call).await?.get(0).and_then(serde_json::Value::as_i64);
    }
    if let Some(warehouse) = warehouse {
        // Quantities on hand are those of this warehouse.
        desk.odoo.api.set_context("warehouse", warehouse);
        desk.odoo.api.set_context("warehouse_id", warehouse);
    }
    let company_name = record.text("name");
    desk.done(format!("company {company_name}, day {day}"));
    Ok(Tenant { company, company_name, warehouse, day, is_locked, invoice: None, modules })
}

/// The day after.
fn after(day: &str) -> Option<String> {
    let noon: Timestamp = format!("{day}T12:00:00Z").parse().ok()?;
    Some(clock::later(noon, Duration::from_secs(86_400)).strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_first_day_that_is_not_locked_is_the_next_one() {
        assert_eq!(super::after("2027-12-31").as_deref(), Some("2028-01-01"));
        assert_eq!(super::after("2028-02-28").as_deref(), Some("2028-02-29"));
        assert_eq!(super::after("never"), None);
    }
}
