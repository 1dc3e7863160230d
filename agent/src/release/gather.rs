//! Collects what the plan of a rollback is computed from: the counters that this host keeps, the tenants as
//! they are, and what is stored. Needs no identity.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::archive::digest::Sha256;
use crate::archive::evidence::predicate::{Checkpoint, TenantState};
use crate::catalog::checkpoints;
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::inventory::Inventory;
use crate::inventory::pick::Pick;
use crate::inventory::plan::{Asked, DumpAsked, Plan, PointAsked, plan};
use crate::inventory::target::Target;
use crate::names::TenantName;
use crate::names::wal::TimelineId;
use crate::odoo::baseline::installed_modules;
use crate::odoo::business::{Currencies, Document, Numbering, Read, SOURCES, Source};
use crate::odoo::counters::Counters;
use crate::odoo::tenants::named;
use crate::postgres::PostgresOptions;
use crate::release::plan::counting;
use crate::release::reading::{Connected, Reading};
use crate::release::tenant::{DocumentCount, Looked, TenantInput, TenantNow};
use crate::release::written::Counting;

/// How long reading one table may take: a table of a hundred million rows takes minutes.
const TABLE_MAX: Duration = Duration::from_secs(15 * 60);

/// Collects all of it for these tenants, one after the other. `folder` is the checkpoint's; `stored` is what
/// the repository holds, or why that is not known.
///
/// # Errors
/// `Interrupted` alone: what else fails is "not known" in the result.
pub async fn gather(
    config: &Config,
    checkpoint: &Checkpoint,
    folder: &str,
    tenants: &[TenantName],
    stored: &Result<Inventory>,
    stop: &CancellationToken,
) -> Result<Vec<TenantInput>> {
    let options = PostgresOptions::from(&config.postgres).stopped_by(stop);
    let mut out = Vec::new();
    for tenant in tenants {
        let state = checkpoint.tenants.iter().find(|state| state.tenant == *tenant);
        let point = kept(config, folder, tenant, state).map_err(|e| e.line());
        let now = look(&options, checkpoint, tenant, point.as_ref().ok()).await?;
        let restore = restore(checkpoint, tenant, state, stored, clock::now());
        out.push(TenantInput { tenant: tenant.clone(), point, now, restore: restore.map_err(|e| e.line()) });
    }
    Ok(out)
}

/// The counters of the point, if they are those that the checkpoint was signed with.
fn kept(config: &Config, folder: &str, tenant: &TenantName, state: Option<&TenantState>) -> Result<Counters> {
    let file = checkpoints::counters_file(&config.state_dir, &config.instance, folder, tenant)?;
    let Some(document) = checkpoints::counters(&file)? else {
        return Err(Error::new(Kind::NotFound, format!("{} is not on this host", file.display())));
    };
    let counters = Counters::from_json(&document)?;
    match state {
        Some(state) if Sha256::of(&document) == state.baseline_sha256 => Ok(counters),
        Some(_) => Err(Error::new(Kind::Integrity, format!("{} is not what was signed", file.display()))),
        None => Err(Error::new(Kind::NotFound, "the checkpoint does not cover this tenant")),
    }
}

/// From what a tenant is restored to the point.
fn restore(
    checkpoint: &Checkpoint,
    tenant: &TenantName,
    state: Option<&TenantState>,
    stored: &Result<Inventory>,
    now: Timestamp,
) -> Result<Plan> {
    let inventory = stored.as_ref().map_err(Error::again)?;
    let asked = match (&checkpoint.point, state.and_then(|state| state.dump.as_ref())) {
        (Some(point), _) => Asked::Point(PointAsked {
            tenant: Some(tenant.clone()),
            timeline: Some(TimelineId(point.timeline)),
            ..PointAsked::instance(Target::Lsn(point.lsn))
        }),
        (None, Some(dump)) => Asked::Dump(DumpAsked {
            tenant: tenant.clone(),
            pick: Pick::Snapshot(dump.id.clone()),
            database_only: false,
        }),
        (None, None) => {
            return Err(Error::new(Kind::NotFound, "the checkpoint has neither a point nor a dump of it"));
        }
    };
    plan(inventory, &asked, now)
}

/// # Errors
/// `Interrupted` alone.
async fn look(
    options: &PostgresOptions,
    checkpoint: &Checkpoint,
    tenant: &TenantName,
    point: Option<&Counters>,
) -> Result<Looked> {
    let mut reading = Reading::new(options, tenant, TABLE_MAX);
    match reading.connect().await {
        Connected::Yes => {}
        Connected::Gone => return Ok(Looked::Gone),
        Connected::No(e) => return known(Err::<Looked, _>(e)).map(|e| e.unwrap_or_else(Looked::NotRead)),
    }
    let counters = match known(reading.alone(async |session| Counters::take(session).await).await)? {
        Ok(counters) => counters,
        Err(why) => return Ok(Looked::NotRead(why)),
    };
    let mut kept_as = None;
    if let Some(point) = point.filter(|point| point.database_oid != counters.database_oid) {
        let oid = point.database_oid;
        kept_as = known(reading.part(async |session| named(session, oid).await).await)?.ok().flatten();
    }
    let modules = known(reading.part(async |session| installed_modules(session).await).await)?;
    let numbering = known(reading.part(async |session| Numbering::read(session).await).await)?.ok();
    let currencies = known(reading.part(async |session| Currencies::read(session).await).await)?.ok();
    let mut written = BTreeMap::new();
    for source in &SOURCES {
        let counted = documents(&mut reading, source, checkpoint, point).await;
        match known(counted)? {
            Err(why) => {
                let no = |document: &Document| (*document, DocumentCount::No { why: why.clone() });
                written.extend(source.documents.iter().map(no));
            }
            Ok(None) => {
                let no = |document: &Document| (*document, DocumentCount::NotInstalled);
                written.extend(source.documents.iter().map(no));
            }
            Ok(Some(counted)) => {
                let finished = counted.into_iter().map(|counting| counting.finish(currencies.as_ref()));
                written.extend(finished.map(|one| (one.document, DocumentCount::Yes(Box::new(one)))));
            }
        }
    }
    reading.close().await;
    Ok(Looked::Seen(Box::new(TenantNow { counters, modules, numbering, written, kept_as })))
}

/// Counts the documents of one table; `None` if there is no such table.
async fn documents(
    reading: &mut Reading<'_>,
    source: &Source,
    checkpoint: &Checkpoint,
    point: Option<&Counters>,
) -> Result<Option<Vec<Counting>>> {
    let new = |document: &Document| (*document, counting(checkpoint, point, *document));
    let mut all: Vec<(Document, Counting)> = source.documents.iter().map(new).collect();
    let counted = reading.part(async |session| {
        let each = |seen: &crate::odoo::business::Seen<'_>| {
            if let Some((_, counting)) = all.iter_mut().find(|(document, _)| *document == seen.document) {
                counting.add(seen);
            }
            Ok(())
        };
        source.each(session, each).await
    });
    match counted.await? {
        Read::NoTable => Ok(None),
        Read::All => Ok(Some(all.into_iter().map(|(_, counting)| counting).collect())),
    }
}

/// What could be read, or why not.
///
/// # Errors
/// `Interrupted` alone: then nothing more is to be read.
fn known<T>(read: Result<T>) -> Result<Result<T, String>> {
    match read {
        Err(e) if e.kind() == Kind::Interrupted => Err(e),
        read => Ok(read.map_err(|e| e.line())),
    }
}
