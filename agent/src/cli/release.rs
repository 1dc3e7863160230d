//! `lifeboat release watch`; `calendar` is in `release_calendar`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::release_calendar::{self, CalendarArgs};
use super::release_text::{last, line};
use super::released::ReleasedArgs;
use super::rollback::with_place;
use super::{App, Done, print};
use crate::clock;
use crate::config::units;
use crate::error::{Error, Kind, Result};
use crate::inventory::target::ZonedTime;
use crate::release::watch::judge::Verdict;
use crate::release::watch::metrics;
use crate::release::watch::run::{Look, WatchRequest, watch};

/// The longest watch.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How far the server's clock may be ahead of ours.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// Watch the business after a release; export freeze windows
///
/// `watch` counts what each tenant does since the release and says: continue, pause, or roll back. `calendar`
/// writes the freeze windows for people, Argo CD and Azure DevOps.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat release watch --release 2026.11.20 --for 30min
  lifeboat release watch --release 2026.11.20 --since 2026-11-20T02:10:00Z
  lifeboat release calendar --format argo")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Watch(WatchArgs),
    Calendar(CalendarArgs),
}

/// Compare orders, moves and payments since a release with the time before
///
/// Counts sale orders, POS orders, stock moves, payments, failed queue jobs and failed mails of each tenant
/// since the release, in the same time before it, and in the same hours a week before; and counts sessions
/// that wait for a lock. The thresholds are in section [watch] of the configuration. Changes nothing, and
/// needs no identity.
///
/// After a rollback, give the time at which Odoo was started again (--since).
///
/// Exit codes: 0 continue; 3 pause, also if something could not be read; 20 roll back: the plan of the
/// rollback is printed.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat release watch --release 2026.11.20 --for 30min
  # what the first 30 minutes say, at once
  lifeboat release watch --release 2026.11.20 --since 2026-11-20T02:10:00Z
  # numbers for the textfile collector of a monitoring agent
  lifeboat release watch --release 2026.11.20 --metrics /var/lib/node/boat.prom")]
struct WatchArgs {
    #[command(flatten)]
    released: ReleasedArgs,
    /// How long after the release the watch ends, such as 30min or 2h
    #[arg(long = "for", value_name = "TIME", default_value = "30min", value_parser = length)]
    length: Duration,
    /// How often it looks; less often if a look takes long
    #[arg(long, value_name = "TIME", default_value = "1min", value_parser = length)]
    every: Duration,
    /// When the release began; give the time zone [default: the time of the checkpoint]
    #[arg(long, value_name = "TIME")]
    since: Option<ZonedTime>,
    /// Write each look to this file, in Prometheus' text format
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
}

fn length(text: &str) -> Result<Duration> {
    let wrong = || Error::new(Kind::Usage, format!("{text:?} is not a time such as 10s, 30min or 2h"));
    let length = Duration::from_millis(units::duration(text).ok_or_else(wrong)?);
    match length >= Duration::from_secs(1) && length <= LONGEST {
        true => Ok(length),
        false => Err(Error::new(Kind::Usage, format!("{text:?} is not between 1s and 24h"))),
    }
}

/// Runs it.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    match args.command {
        Command::Watch(args) => run_watch(args, app).await,
        Command::Calendar(args) => release_calendar::run(args, app),
    }
}

/// Watches and prints.
async fn run_watch(args: WatchArgs, app: &App) -> Result<Done> {
    let config = app.config()?;
    let released = args.released.find(&config).await?;
    let checkpoint = &released.checkpoint;
    let begun = checkpoint.point.as_ref().map_or(checkpoint.ended, |point| point.time);
    let since = args.since.map_or(begun, |since| since.0);
    if since > clock::now() + AHEAD_MAX {
        let what = format!("--since is in the future: {}", clock::text(since));
        return Err(
            Error::new(Kind::Usage, what).next("give the time at which the release began: --since TIME")
        );
    }
    let request = WatchRequest {
        release: checkpoint.release.id.clone(),
        tenants: released.tenants.clone(),
        since,
        length: args.length,
        every: args.every,
    };
    let mut before: Option<Look> = None;
    let mut warned = false;
    let each = |look: &Look| {
        print::err(&line(look, before.as_ref()));
        if let Some(file) = &args.metrics
            && let Err(e) = metrics::write(file, look)
            && !std::mem::replace(&mut warned, true)
        {
            print::err(&format!("warning: the metrics are not written: {}", e.line()));
        }
        before = Some(look.clone());
        Ok(())
    };
    let look = watch(&config, &request, each, &app.cancel).await?;
    let plan = match look.verdict {
        Verdict::RollBack => Some(with_place(released.plan(&config, app).await?)),
        _ => None,
    };
    let value = json!({ "verdict": look.verdict, "look": look, "plan": plan });
    app.print(&value, || last(&look, plan.as_ref()))?;
    Ok(match look.verdict {
        Verdict::Continue => Done::Complete,
        Verdict::Pause => Done::Incomplete,
        Verdict::RollBack => Done::Failed(Kind::RollBack),
    })
}
