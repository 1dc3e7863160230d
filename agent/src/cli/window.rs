//! `lifeboat window`.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::json;

use super::table::table;
use super::trust::TrustArgs;
use super::{App, Done, print};
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::inventory::Inventory;
use crate::inventory::plan::{PointAsked, PointPlan};
use crate::inventory::take::Wanted;
use crate::inventory::target::Target;
use crate::inventory::window::{self, RecoveryWindow, TenantWindow};
use crate::names::bytes_text;
use crate::repository::Repository;
use crate::status::remembered;

/// Show the recovery window of the instance and of each tenant
///
/// Shows from when to when they can be restored, and every hole with its cause.
///
/// Needs no identity and no PostgreSQL. "any second" lines come from base backups and WAL: any second in them
/// can be restored, for the whole instance or for one tenant (lifeboat restore --to-time). Each dump of a
/// tenant restores the moment at which it was taken.
///
/// FETCHES AT MOST is what a restore of the tenant's newest dump reads of the repository; "to its end" says
/// the same of a restore of the instance. For any other target: lifeboat restore --dry-run --stored-only.
///
/// Exit code 3: a hole lasts until now, a dump cannot be restored completely, or something could not be read.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat window
  lifeboat window --json | jq '.window.holes'")]
pub struct Args {
    #[command(flatten)]
    trust: TrustArgs,
}

/// What will change it next.
#[derive(Serialize)]
struct Event {
    /// Its key in the configuration.
    schedule: &'static str,
    /// The moment that it is due.
    due: Timestamp,
}

/// Shows it.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let trust = args.trust.trust(&config)?;
    let repository = Repository::configured(&config).await?;
    let wanted = Wanted { wal: true, ..Wanted::default() };
    let inventory = Inventory::take(&repository, &trust, &wanted).await?;
    let (verified, unknown) = remembered::recall(&config, &repository);
    let broken = remembered::broken(&inventory, &verified);
    let instance = window::instance(&inventory, &broken);
    let now = clock::now();
    let tenants = window::tenants(&inventory, &config.odoo.tenants, &broken, now);
    let not_believed = inventory.not_believed();
    let latest = PointPlan::new(&inventory, &PointAsked::instance(Target::Latest), now);
    let next = next(&config);
    let value = json!({
        "instance": inventory.instance,
        "repository": inventory.repository,
        "now": now,
        "window": instance.as_ref().ok(),
        "not_known": instance.as_ref().err().map(Error::what),
        "latest": latest.as_ref().ok(),
        "latest_not_known": latest.as_ref().err().map(Error::what),
        "tenants": tenants,
        "next": next,
        "problems": unknown.iter().collect::<Vec<_>>(),
        "not_believed": not_believed.iter().map(|(id, e)| json!({ "snapshot": id, "error": e.what() })).collect::<Vec<_>>(),
    });
    app.print(&value, || text(&inventory, instance.as_ref(), latest.as_ref().ok(), &tenants, &next))?;
    if let Some(problem) = &unknown {
        print::err(&format!("problem: {problem}"));
    }
    for (id, e) in &not_believed {
        print::err(&format!("ignored: {id}: {}", e.what()));
    }
    let lasts = |window: &RecoveryWindow| window.holes.iter().any(|hole| hole.to.is_none());
    let well = instance.is_ok_and(|window| !lasts(&window))
        && tenants.iter().all(|tenant| tenant.not_whole.is_empty())
        && not_believed.is_empty()
        && unknown.is_none();
    Ok(if well { Done::Complete } else { Done::Incomplete })
}

/// The next run of each schedule, the nearest first.
fn next(config: &Config) -> Vec<Event> {
    let schedule = &config.schedule;
    let all = [
        ("schedule.backup", &schedule.backup),
        ("schedule.filestore", &schedule.filestore),
        ("schedule.base", &schedule.base),
        ("schedule.base_full", &schedule.base_full),
    ];
    let due = |(name, one): (&'static str, &Option<crate::crontab::Schedule>)| {
        Some(Event { schedule: name, due: one.as_ref()?.next_after(clock::now())? })
    };
    let mut events: Vec<Event> = all.into_iter().filter_map(due).collect();
    events.sort_by_key(|event| event.due);
    events
}

fn text(
    inventory: &Inventory,
    instance: std::result::Result<&RecoveryWindow, &Error>,
    latest: Option<&PointPlan>,
    tenants: &[TenantWindow],
    next: &[Event],
) -> String {
    let mut out = format!("instance {} in {}\n", inventory.instance, inventory.repository);
    match instance {
        Err(e) => out += &format!("any second   not known: {}\n", e.what()),
        Ok(window) if window.spans.is_empty() => {
            out += "any second   none: there is no base backup that can be restored\n";
        }
        Ok(window) => {
            for span in &window.spans {
                out += &format!(
                    "any second   {} to {} ({} to {}, timeline {}, base backup {})\n",
                    clock::text(span.from),
                    clock::text(span.to),
                    span.from_lsn,
                    span.to_lsn,
                    span.timeline,
                    span.base
                );
            }
            for hole in &window.holes {
                let to = hole.to.map_or("now".to_owned(), clock::text);
                out += &format!("HOLE         {} to {to}: {}\n", clock::text(hole.from), hole.why);
            }
        }
    }
    if let Some(latest) = latest {
        out += &format!("to its end   from {}: fetches {}\n", latest.snapshot, latest.reads());
    }
    for event in next {
        out += &format!("next run     {} ({})\n", clock::text(event.due), event.schedule);
    }
    if next.is_empty() {
        out += "next run     nothing is scheduled\n";
    }
    let head = ["TENANT", "DUMPS", "FIRST", "LAST", "FETCHES AT MOST"];
    let mut rows = vec![head.map(str::to_owned)];
    let when = |time: Option<&Timestamp>| time.map_or("-".to_owned(), |time| clock::text(*time));
    let mut bad: BTreeSet<String> = BTreeSet::new();
    for tenant in tenants {
        rows.push([
            tenant.tenant.to_string(),
            tenant.dumps.len().to_string(),
            when(tenant.dumps.first()),
            when(tenant.dumps.last()),
            tenant.restore.as_ref().map_or("-".to_owned(), |plan| bytes_text(plan.fetch_bytes)),
        ]);
        bad.extend(
            tenant.not_whole.iter().map(|one| format!("INCOMPLETE   {}: {}\n", one.snapshot, one.why)),
        );
    }
    out + &bad.into_iter().collect::<String>() + &table(&rows)
}
