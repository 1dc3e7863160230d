//! Many instances, each with a configuration of its own, at once.
//!
//! [`look`] reads their repositories, and keeps what it saw on this host ([`seen`]). States and plans of all
//! of them follow from that without a request, and say as of when.

pub mod seen;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures::{StreamExt, stream};
use serde::Serialize;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::archive::evidence::key::TrustedEvidenceKeys;
use crate::clock::{self, Timestamp};
use crate::config::{Config, Inputs};
use crate::error::{Error, Kind, Result};
use crate::inventory::Inventory;
use crate::inventory::pick::MARGIN;
use crate::inventory::read_before::ReadBefore;
use crate::names::{InstanceName, TenantName};
use crate::progress::Progress;
use crate::repository::snapshots::Trust;
use crate::repository::tombstones::announcers;
use crate::repository::{Repository, layout};
use crate::retention::apply;
use crate::retention::cost::{Costs, costs};
use crate::retention::look::{LookRequest, rules, take};
use crate::retention::phases::phases;
use crate::retention::plan::{Clock, plan};
use crate::retention::stock::Known;
use crate::status::{Status, remembered};
use seen::{ForPlan, Looked, Seen};

/// Repositories that are read at once.
const LOOKED_AT_ONCE: usize = 8;
/// Instances of which something is computed at once: that takes processors alone.
const COMPUTED_AT_ONCE: usize = 4;

/// One instance of several.
#[derive(Debug, Serialize)]
pub struct Site<T> {
    /// Its configuration file, as it was named.
    pub file: PathBuf,
    /// Its name; `None` where the configuration is wrong.
    pub instance: Option<InstanceName>,
    /// As of when the result is: when this host last looked at the repository.
    pub looked_at: Option<Timestamp>,
    /// What was asked for.
    pub result: Option<T>,
    /// Why there is none.
    pub error: Option<String>,
}

/// What a plan of expire comes to.
#[derive(Debug, Serialize)]
pub struct PlanSum {
    /// The moment for which it was made.
    pub now: Timestamp,
    /// Snapshots that are stored.
    pub snapshots: usize,
    /// Size of all that is stored and believed.
    pub stored_bytes: u64,
    /// Snapshots that nothing keeps.
    pub not_needed: usize,
    /// Size of all that nothing keeps.
    pub frees_bytes: u64,
    /// What of it was announced long enough ago to be deleted now; `None` of a time to come.
    pub deletes_now_bytes: Option<u64>,
    /// What is not known; because of it more stays than has to.
    pub not_known: Vec<String>,
    /// What it costs.
    pub costs: Costs,
}

/// Reads the repositories of all, and keeps what is seen.
pub async fn look(files: &[PathBuf], inputs: &Inputs, progress: &Progress) -> Vec<Site<()>> {
    let (all, done) = (files.len(), Arc::new(AtomicUsize::new(0)));
    let look = |config: Config| {
        let (progress, done) = (progress.clone(), done.clone());
        async move {
            let looked = see_and_keep(config).await;
            progress.stage(format!("{} of {all}", done.fetch_add(1, Relaxed) + 1));
            looked
        }
    };
    each(files, inputs, LOOKED_AT_ONCE, look).await
}

async fn see_and_keep(config: Config) -> Result<(Timestamp, ())> {
    let seen = see(&config).await?;
    let looked_at = seen.look.at;
    blocking(move || seen::write(&config, seen)).await?;
    Ok((looked_at, ()))
}

/// How all of them stood when this host last looked. A tenant whose newest restorable state is older than
/// `age_max` is late.
pub async fn status(files: &[PathBuf], inputs: &Inputs, age_max: Duration) -> Vec<Site<Status>> {
    let status = |config: Config| async move {
        let (config, look, inventory) = recall(config, seen::inventory).await?;
        Ok((look.at, Status::of(&config, &look.repository, &inventory, None, age_max).await?))
    };
    each(files, inputs, COMPUTED_AT_ONCE, status).await
}

/// What expire would do at all of them, now or at a time to come, with what was stored when this host last
/// looked.
pub async fn plans(files: &[PathBuf], inputs: &Inputs, as_of: Option<Timestamp>) -> Vec<Site<PlanSum>> {
    let sum = move |config: Config| async move {
        let (config, look, seen) = recall(config, seen::for_plan).await?;
        Ok((look.at, plan_sum(&config, seen, as_of)?))
    };
    each(files, inputs, COMPUTED_AT_ONCE, sum).await
}

/// Does something for each of them, several at a time; what fails of one is its own.
async fn each<T, F>(
    files: &[PathBuf],
    inputs: &Inputs,
    at_once: usize,
    work: impl Fn(Config) -> F,
) -> Vec<Site<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<(Timestamp, T)>> + Send + 'static,
{
    let one = |(number, file): (usize, PathBuf)| {
        let config = Config::load(&Inputs { config: Some(file.clone()), ..inputs.clone() });
        let instance = config.as_ref().ok().map(|config| config.instance.clone());
        let work = config.map(&work);
        async move {
            let done = match work {
                Ok(work) => ended(AbortOnDropHandle::new(tokio::spawn(work)).await),
                Err(e) => Err(e),
            };
            let site = match done {
                Ok((at, result)) => {
                    Site { file, instance, looked_at: Some(at), result: Some(result), error: None }
                }
                Err(e) => Site { file, instance, looked_at: None, result: None, error: Some(e.line()) },
            };
            (number, site)
        }
    };
    // One that does not answer holds up no other.
    let sites = stream::iter(files.iter().cloned().enumerate()).map(one).buffer_unordered(at_once);
    let mut sites: Vec<_> = sites.collect().await;
    sites.sort_by_key(|(number, _)| *number);
    sites.into_iter().map(|(_, site)| site).collect()
}

fn ended<T>(done: Result<Result<T>, JoinError>) -> Result<T> {
    done.unwrap_or_else(|e| match e.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(e) => Err(Error::new(Kind::Interrupted, "stopped").because(e)),
    })
}

/// The tenants that the configuration names.
fn named(config: &Config) -> BTreeSet<TenantName> {
    config.odoo.tenants.iter().cloned().collect()
}

/// The tenants that are backed up: no server is asked.
fn tenants(config: &Config) -> Known<BTreeSet<TenantName>> {
    match config.odoo.tenants.is_empty() {
        true => Known::Unknown("odoo.tenants does not name them, and no server was asked".to_owned()),
        false => Known::All(named(config)),
    }
}

/// Reads all that a status and a plan need.
async fn see(config: &Config) -> Result<Seen> {
    let trust = Trust::keys(&config.signing.trusted_keys)?;
    // Without keys, no release is believed, and a plan keeps everything: a status needs none.
    let evidence = TrustedEvidenceKeys::configured(&config.checkpoint)
        .or_else(|_| TrustedEvidenceKeys::load(&config.checkpoint.trusted_key_files))
        .unwrap_or_default();
    let announcers = announcers(config)?;
    let repository = Repository::configured(config).await?;
    let looked_at = clock::now();
    let mut not_known = Vec::new();
    let store = repository.store().now(layout::META).await?;
    if let Some(store) = store.filter(|store| looked_at.duration_since(*store).abs() > MARGIN) {
        not_known.push(format!("which clock is right: the store's said {store}, this host's {looked_at}"));
    }
    let request = LookRequest {
        trust: &trust,
        evidence: &evidence,
        tenants: tenants(config),
        named: named(config),
        announcers: &announcers,
        expire: &config.expire,
        at: looked_at,
        known: ReadBefore::open(config, &repository, &trust).await?.map(Into::into),
    };
    let broken = |inventory: &Inventory| {
        let (verified, _) = remembered::recall(config, repository.id());
        remembered::broken(inventory, &verified).into_iter().cloned().collect()
    };
    let (stock, inventory) = take(&repository, request, broken).await?;
    let origin = repository.origin().await?;
    let pending = match apply::pending(&repository, &origin, &announcers).await {
        Ok((pending, not_believed)) => {
            not_known.extend(not_believed.iter().map(Error::line));
            pending
        }
        Err(e) => {
            not_known.push(e.line());
            Vec::new()
        }
    };
    Ok(Seen {
        look: Looked { at: looked_at, repository: repository.id().to_owned() },
        inventory,
        for_plan: ForPlan { stock, pending, not_known },
    })
}

/// What was seen.
async fn recall<T: Send + 'static>(
    config: Config,
    read: fn(&Config) -> Result<(Looked, T)>,
) -> Result<(Config, Looked, T)> {
    let ((look, seen), config) = blocking(move || Ok((read(&config)?, config))).await?;
    Ok((config, look, seen))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    ended(tokio::task::spawn_blocking(work).await)
}

fn plan_sum(config: &Config, seen: ForPlan, as_of: Option<Timestamp>) -> Result<PlanSum> {
    let ForPlan { mut stock, pending, not_known } = seen;
    // By the configuration of now, as the classes.
    stock.dropped.named = named(config);
    stock.tenants = match tenants(config) {
        Known::All(named) => Known::All(
            named.into_iter().chain(stock.items.iter().filter_map(|item| item.tenant.clone())).collect(),
        ),
        unknown => unknown,
    };
    let rules = rules(config, &stock)?;
    let clock = as_of.map_or_else(|| Clock::Store(clock::now()), Clock::AsOf);
    let plan = plan(&stock, &rules, clock)?;
    let deletes_now = || phases(&stock, &plan, &pending, config.expire.grace).deleted_bytes;
    Ok(PlanSum {
        now: plan.now,
        snapshots: stock.items.len(),
        stored_bytes: stock.bytes(),
        not_needed: plan.snapshots.len(),
        frees_bytes: plan.bytes(),
        deletes_now_bytes: as_of.is_none().then(deletes_now),
        not_known: stock.unknown().into_iter().chain(not_known).collect(),
        costs: costs(&stock, &plan, config),
    })
}
