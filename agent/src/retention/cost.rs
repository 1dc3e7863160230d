//! What keeping costs: the bytes of each recovery class before and after, by the prices of `[rates]`. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::plan::{ExpiryPlan, Goes};
use super::stock::{Known, Stock};
use crate::clock::Timestamp;
use crate::config::{Class, Rates, class_of};
use crate::names::TenantName;

/// A month of the price list.
const MONTH_DAYS: f64 = 30.0;
/// A GB of the price list.
const GB: f64 = 1e9;
/// What serves all tenants: base backups, WAL, batches, roles.
pub const WHOLE: &str = "whole instance";
/// Tenants in no class, or in two.
pub const NO_CLASS: &str = "no class";

/// The cost of a recovery class.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClassCost {
    /// What is stored now.
    pub before_bytes: u64,
    /// What of it stays.
    pub after_bytes: u64,
    /// What it costs now, each month; absent where there is no price.
    pub before_month: Option<f64>,
    /// What it costs then.
    pub after_month: Option<f64>,
    /// What it costs to read all that stays once.
    pub read_once: Option<f64>,
    /// What it costs to delete things that are younger than the store's minimum.
    pub early: Option<f64>,
}

/// The cost of all of them, by name.
#[derive(Clone, Debug, Serialize)]
pub struct Costs {
    /// The currency; absent where there is no price.
    pub currency: Option<String>,
    /// By recovery class.
    pub classes: BTreeMap<String, ClassCost>,
}

impl Costs {
    /// All of it added up.
    pub fn total(&self) -> ClassCost {
        let mut total = ClassCost::default();
        let add = |sum: &mut Option<f64>, one: Option<f64>| {
            if let Some(one) = one {
                *sum = Some(sum.unwrap_or_default() + one);
            }
        };
        for one in self.classes.values() {
            total.before_bytes += one.before_bytes;
            total.after_bytes += one.after_bytes;
            add(&mut total.before_month, one.before_month);
            add(&mut total.after_month, one.after_month);
            add(&mut total.read_once, one.read_once);
            add(&mut total.early, one.early);
        }
        total
    }
}

/// What a plan costs and saves.
pub fn costs(stock: &Stock, plan: &ExpiryPlan, classes: &BTreeMap<String, Class>, rates: &Rates) -> Costs {
    let mut found: BTreeMap<String, ClassCost> = BTreeMap::new();
    let whose = |tenant: Option<&TenantName>| match tenant {
        None => WHOLE.to_owned(),
        Some(tenant) => class_of(classes, tenant).map_or(NO_CLASS.to_owned(), |(name, _)| name.to_owned()),
    };
    for one in &plan.stays {
        let class = found.entry(whose(one.tenant.as_ref())).or_default();
        class.before_bytes += one.bytes;
        class.after_bytes += one.bytes;
    }
    let early = |class: &mut ClassCost, stored_at: Timestamp, bytes: u64| {
        let days = plan.now.duration_since(stored_at).as_secs_f64() / 86_400.0;
        let left = f64::from(rates.minimum_days) - days;
        if let Some(month) = rates.gb_month.filter(|_| left > 0.0) {
            *class.early.get_or_insert_default() += bytes as f64 / GB * month * left / MONTH_DAYS;
        }
    };
    for Goes { tenant, stored_at, bytes, .. } in plan.snapshots.iter().chain(&plan.batches) {
        let class = found.entry(whose(tenant.as_ref())).or_default();
        class.before_bytes += bytes;
        early(class, *stored_at, *bytes);
    }
    let whole = found.entry(WHOLE.to_owned()).or_default();
    for item in &plan.wal {
        early(whole, item.stored_at, item.bytes);
    }
    let wal: u64 = match &stock.wal {
        Known::All(wal) => wal.items.iter().map(|item| item.bytes).sum(),
        Known::Unknown(_) => 0,
    };
    let wal_goes: u64 = plan.wal.iter().map(|item| item.bytes).sum();
    let batches: u64 = stock.batches().iter().map(|batch| batch.bytes).sum();
    let batches_go: u64 = plan.batches.iter().map(|one| one.bytes).sum();
    whole.before_bytes += wal + batches - batches_go; // those that go were counted above
    whole.after_bytes += wal - wal_goes + batches - batches_go;
    for one in found.values_mut() {
        let price = |bytes: u64, rate: Option<f64>| rate.map(|rate| bytes as f64 / GB * rate);
        one.before_month = price(one.before_bytes, rates.gb_month);
        one.after_month = price(one.after_bytes, rates.gb_month);
        one.read_once = price(one.after_bytes, rates.retrieval_gb);
    }
    Costs { currency: rates.gb_month.map(|_| rates.currency.clone()), classes: found }
}

/// A price for a person: at least two digits after the point, more where it is small.
pub fn money(amount: f64, currency: &str) -> String {
    match amount {
        amount if amount >= 100.0 => format!("{amount:.0} {currency}"),
        amount if amount >= 0.01 || amount == 0.0 => format!("{amount:.2} {currency}"),
        amount => format!("{amount:.6} {currency}"),
    }
}
