//! What keeping costs: the bytes of each recovery class before and after, by the prices of `[rates]`. Pure.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::plan::{ExpiryPlan, Goes};
use super::stock::{Known, Stock};
use crate::archive::manifest::ColdFacts;
use crate::clock::Timestamp;
use crate::config::{Config, Prices, class_of};
use crate::names::{SnapshotId, TenantName};

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

/// What it takes to read a snapshot that is not in the bucket's own storage class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColdRead {
    /// The store's name of the class.
    pub storage_class: String,
    /// How long it takes until it can be read.
    pub ready_after_seconds: u64,
    /// What reading it costs; absent where there is no price.
    pub read_once: Option<f64>,
}

/// The prices of a snapshot, and where it is if not in the bucket's own storage class.
struct PriceList<'a> {
    config: &'a Config,
    cold: HashMap<&'a SnapshotId, &'a ColdFacts>,
}

impl<'a> PriceList<'a> {
    fn of(config: &'a Config, stock: &'a Stock) -> PriceList<'a> {
        let cold = stock.items.iter().filter_map(|item| Some((&item.id, item.cold.as_ref()?)));
        PriceList { config, cold: cold.collect() }
    }

    /// A class that is not configured any more costs what the rest costs: nothing else is known.
    fn prices(&self, id: &SnapshotId) -> &'a Prices {
        let class = self.cold.get(id).map(|cold| &cold.storage_class);
        let configured = self.config.cold.values().find(|cold| Some(&cold.storage_class) == class);
        configured.map_or(&self.config.rates.prices, |cold| &cold.prices)
    }
}

/// What it takes to read those of the snapshots that stay and are cold.
pub fn cold(stock: &Stock, plan: &ExpiryPlan, config: &Config) -> BTreeMap<SnapshotId, ColdRead> {
    let list = PriceList::of(config, stock);
    let reads = plan.stays.iter().filter_map(|one| {
        let ColdFacts { storage_class, ready_after_seconds } = (*list.cold.get(&one.id)?).clone();
        let read_once = price(one.bytes, list.prices(&one.id).retrieval_gb);
        Some((one.id.clone(), ColdRead { storage_class, ready_after_seconds, read_once }))
    });
    reads.collect()
}

fn price(bytes: u64, rate: Option<f64>) -> Option<f64> {
    rate.map(|rate| bytes as f64 / GB * rate)
}

impl ClassCost {
    /// So many bytes are stored now.
    fn before(&mut self, bytes: u64, prices: &Prices) {
        self.before_bytes += bytes;
        add(&mut self.before_month, price(bytes, prices.gb_month));
    }

    /// So many of them stay.
    fn after(&mut self, bytes: u64, prices: &Prices) {
        self.after_bytes += bytes;
        add(&mut self.after_month, price(bytes, prices.gb_month));
        add(&mut self.read_once, price(bytes, prices.retrieval_gb));
    }

    /// So many are deleted, at this age.
    fn early(&mut self, bytes: u64, days: f64, prices: &Prices) {
        let left = f64::from(prices.minimum_days) - days;
        if left > 0.0 {
            add(&mut self.early, price(bytes, prices.gb_month).map(|month| month * left / MONTH_DAYS));
        }
    }
}

fn add(sum: &mut Option<f64>, one: Option<f64>) {
    if let Some(one) = one {
        *sum.get_or_insert_default() += one;
    }
}

/// What a plan costs and saves.
pub fn costs(stock: &Stock, plan: &ExpiryPlan, config: &Config) -> Costs {
    let list = PriceList::of(config, stock);
    let rates = &config.rates;
    let mut found: BTreeMap<String, ClassCost> = BTreeMap::new();
    let whose = |tenant: Option<&TenantName>| match tenant {
        None => WHOLE.to_owned(),
        Some(tenant) => {
            class_of(&config.classes, tenant).map_or(NO_CLASS.to_owned(), |(name, _)| name.to_owned())
        }
    };
    let days = |stored_at: Timestamp| plan.now.duration_since(stored_at).as_secs_f64() / 86_400.0;
    for one in &plan.stays {
        let (class, prices) = (found.entry(whose(one.tenant.as_ref())).or_default(), list.prices(&one.id));
        class.before(one.bytes, prices);
        class.after(one.bytes, prices);
    }
    for Goes { id, tenant, stored_at, bytes } in plan.snapshots.iter().chain(&plan.batches) {
        let (class, prices) = (found.entry(whose(tenant.as_ref())).or_default(), list.prices(id));
        class.before(*bytes, prices);
        class.after(0, prices);
        class.early(*bytes, days(*stored_at), prices);
    }
    let whole = found.entry(WHOLE.to_owned()).or_default();
    for item in &plan.wal {
        whole.early(item.bytes, days(item.stored_at), &rates.prices);
    }
    let wal: u64 = match &stock.wal {
        Known::All(wal) => wal.items.iter().map(|item| item.bytes).sum(),
        Known::Unknown(_) => 0,
    };
    let wal_goes: u64 = plan.wal.iter().map(|item| item.bytes).sum();
    let batches: u64 = stock.batches().iter().map(|batch| batch.bytes).sum();
    let batches_go: u64 = plan.batches.iter().map(|one| one.bytes).sum();
    whole.before(wal + batches - batches_go, &rates.prices); // those that go were counted above
    whole.after(wal - wal_goes + batches - batches_go, &rates.prices);
    // A sum of what has a price of its own ([cold.yearly]) would look like all of it.
    for class in found.values_mut() {
        if rates.prices.gb_month.is_none() {
            (class.before_month, class.after_month, class.early) = (None, None, None);
        }
        if rates.prices.retrieval_gb.is_none() {
            class.read_once = None;
        }
    }
    Costs { currency: rates.prices.gb_month.map(|_| rates.currency.clone()), classes: found }
}

/// A price for a person: at least two digits after the point, more where it is small.
pub fn money(amount: f64, currency: &str) -> String {
    match amount {
        amount if amount >= 100.0 => format!("{amount:.0} {currency}"),
        amount if amount >= 0.01 || amount == 0.0 => format!("{amount:.2} {currency}"),
        amount => format!("{amount:.6} {currency}"),
    }
}
