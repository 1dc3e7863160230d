//! `lifeboat window`.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::json;

use super::past::PastArgs;
use super::screen::{Text, Tone};
use super::table::{Cell, WIDTH, table};
use super::trust::TrustArgs;
use super::{App, Done, print};
use crate::clock::{self, Timestamp};
use crate::config::{Config, Scheduled};
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
/// Shows from when to when they can be restored, and every gap with its cause.
///
/// Needs no identity and no PostgreSQL. "any second" lines come from base backups and WAL: any second in them
/// can be restored, for the whole instance or for one tenant (lifeboat restore --to-time). Each dump of a
/// tenant restores the moment at which it was taken.
///
/// FETCHES AT MOST is what a restore of the tenant's newest dump reads of the repository; "latest" says
/// the same of a restore of the instance. For any other target: lifeboat restore --dry-run --stored-only.
///
/// Exit code 3: a gap lasts until now, a dump cannot be restored completely, or something could not be read.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat window
  lifeboat window --json | jq '.window.holes'")]
pub struct Args {
    #[command(flatten)]
    trust: TrustArgs,
    /// As of when it is read.
    #[command(flatten)]
    pub past: PastArgs,
}

/// What will change it next.
#[derive(Serialize)]
struct Event {
    /// Its key in the configuration.
    schedule: String,
    /// The moment that it is due.
    due: Timestamp,
}

/// Shows it.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let trust = args.trust.trust(&config)?;
    let repository = Repository::configured(&config).await?;
    let wanted = Wanted { wal: true, ..Wanted::default() };
    let inventory = Inventory::take_to_show(&config, &repository, &trust, &wanted).await?;
    let (verified, unknown) = remembered::recall(&config, repository.id());
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
    app.print(&value, || {
        let mut text = text(&inventory, instance.as_ref(), latest.as_ref().ok(), &next);
        tenant_lines(&mut text, &tenants);
        text
    })?;
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
    let now = clock::now();
    let due = |one: Scheduled<'_>| Some(Event { due: one.schedule.next_after(now)?, schedule: one.key });
    let mut events: Vec<Event> = config.scheduled().into_iter().filter_map(due).collect();
    events.sort_by_key(|event| event.due);
    events
}

/// Where the values of the lines above the table begin.
const VALUE: usize = 13;

fn text(
    inventory: &Inventory,
    instance: std::result::Result<&RecoveryWindow, &Error>,
    latest: Option<&PointPlan>,
    next: &[Event],
) -> Text {
    let mut text = Text::from(format!("instance {} in {}", inventory.instance, inventory.repository));
    let none = |text: &mut Text, word: &str, why: &str| {
        text.line(VALUE).plain("any second   ").push(Tone::Bad, word).plain(format!(": {why}"));
    };
    match instance {
        Err(e) => none(&mut text, "not known", e.what()),
        Ok(window) if window.spans.is_empty() => {
            none(&mut text, "none", "there is no base backup that can be restored");
        }
        Ok(window) => {
            for span in &window.spans {
                let (from, to) = (clock::text(span.from), clock::text(span.to));
                text.add(format!("any second   {from} to {to}"));
                let lsn = format!("{} to {}, timeline {}", span.from_lsn, span.to_lsn, span.timeline);
                text.line(VALUE).plain(format!("{:VALUE$}({lsn},", ""));
                text.line(VALUE).plain(format!("{:VALUE$}base backup {})", "", span.base));
            }
            for hole in &window.holes {
                let to = hole.to.map_or("now".to_owned(), clock::text);
                let (from, why) = (clock::text(hole.from), &hole.why);
                text.add(format!("GAP          {from} to {to}:"));
                text.line(VALUE).plain(format!("{:VALUE$}{why}", ""));
            }
        }
    }
    if let Some(latest) = latest {
        text.add(format!("latest       a restore of the instance from {}:", latest.snapshot));
        text.line(VALUE).plain(format!("{:VALUE$}fetches {}", "", latest.reads()));
    }
    for event in next {
        text.add(format!("next run     {} ({})", clock::text(event.due), event.schedule));
    }
    if next.is_empty() {
        text.add("next run     nothing is scheduled");
    }
    text
}

/// First what of their dumps cannot be restored completely, then a table.
fn tenant_lines(text: &mut Text, tenants: &[TenantWindow]) {
    let whole = tenants.iter().flat_map(|tenant| &tenant.not_whole);
    let bad: BTreeSet<String> =
        whole.map(|one| format!("INCOMPLETE   {}:\n{:VALUE$}{}", one.snapshot, "", one.why)).collect();
    bad.into_iter().for_each(|bad| text.add(bad));
    let head = ["TENANT", "DUMPS", "FIRST (UTC)", "LAST (UTC)", "FETCHES AT MOST"];
    let mut rows = vec![head.map(Cell::from)];
    let when = |time: Option<&Timestamp>| {
        time.map_or("-".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
    };
    for tenant in tenants {
        rows.push([
            tenant.tenant.to_string().into(),
            tenant.dumps.len().to_string().into(),
            when(tenant.dumps.first()).into(),
            when(tenant.dumps.last()).into(),
            tenant.restore.as_ref().map_or("-".to_owned(), |plan| bytes_text(plan.fetch_bytes)).into(),
        ]);
    }
    text.line(0);
    text.extend(table(&rows, print::out_width().unwrap_or(WIDTH)));
}
