//! `lifeboat expire`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::confirm::confirm;
use super::expire_html::page;
use super::expire_locks::{locks_json, locks_problem, locks_text};
use super::expire_text::{Shown, done_json, done_text};
use super::{App, Done, print};
use crate::archive::evidence::key::TrustedEvidenceKeys;
use crate::archive::signature::SigningKey;
use crate::backup::all_tenants;
use crate::catalog::last_expire::{ExpireRun, LastExpire, LocksRead};
use crate::catalog::record;
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::inventory::pick::MARGIN;
use crate::inventory::read_before::ReadBefore;
use crate::inventory::target::ZonedTime;
use crate::names::TenantName;
use crate::postgres::connect::PostgresOptions;
use crate::repository::locks::Locks;
use crate::repository::snapshots::Trust;
use crate::repository::tombstones::announcers;
use crate::repository::{Repository, layout};
use crate::retention::cost::{cold, costs};
use crate::retention::locking::{Times, extend_locks};
use crate::retention::look::LookRequest;
use crate::retention::phases::{phases, share};
use crate::retention::plan::{Clock, plan};
use crate::retention::stock::Known;
use crate::retention::{apply, look};
use crate::status::remembered;

/// Delete what no recovery class, release or hold keeps
///
/// Deletion has two steps. A run announces what nobody needs any more. A run at least expire.grace (24 hours)
/// later deletes it, unless something needs it by then. Run it once a day. Backups and restores may run at
/// the same time. The plan is shown first, with every reason for each snapshot that is kept. See
/// docs/retention.md.
///
/// Ages are counted by the store's clock, up to one day after the newest stored snapshot or WAL: if backups
/// stop, expiry stops. --as-of ignores this limit. If something cannot be read, everything that it may need
/// is kept.
///
/// With repository.lock, the locks of what is kept are then read back, and made longer where that is due.
/// What a hold keeps gets the store's legal hold, which is lifted when no hold keeps it.
///
/// Exit code 3: something could not be read, deleted or locked. 4: there is no class. 16: refused (too much
/// at once, clocks, not confirmed); nothing was announced or deleted.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat expire --dry-run
  lifeboat expire --dry-run --as-of 2027-03-01T00:00:00Z
  lifeboat expire --dry-run --html plan.html
  lifeboat expire --dry-run --json | jq '.plan.snapshots[].id'
  lifeboat expire --yes")]
pub struct Args {
    /// Only show the plan
    #[arg(long)]
    dry_run: bool,
    /// Show what would not be needed at this time, if nothing more were stored. It ignores the rule that
    /// expiry stops when backups stop
    #[arg(long, value_name = "TIME", requires = "dry_run")]
    as_of: Option<ZonedTime>,
    /// Also write the plan as a page for a browser, with a timeline, to this file (mode 0600)
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    html: Option<PathBuf>,
    /// Do not ask before anything is announced or deleted
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Allow this run to announce up to this percentage of the snapshots, and of all stored bytes
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    max_percent: Option<u8>,
    /// Do not ask the server which tenants there are. Without odoo.tenants, all batches of files are kept,
    /// and the exit code is 3
    #[arg(long)]
    stored_only: bool,
}

/// Plans, asks, announces and deletes; what it came to is remembered on this host.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let (is_dry, is_by_hand) = (args.dry_run, !args.yes);
    let outcome = expire(args, app, &config).await;
    if let Err(e) = &outcome
        && !is_dry
        && !is_by_hand
    {
        remember(&config, |last| last.failed = Some((clock::now(), e.line())));
    }
    outcome
}

async fn expire(args: Args, app: &App, config: &Config) -> Result<Done> {
    // What nobody signed must not decide what is deleted.
    let trust = Trust::keys(&config.signing.trusted_keys)?;
    let signing = match signing_key(config) {
        Ok(key) => Some(key),
        Err(_) if args.dry_run => None,
        Err(e) => return Err(e),
    };
    let evidence = TrustedEvidenceKeys::configured(&config.checkpoint)?;
    let repository = Repository::configured(config).await?;
    let tenants = tenants(config, args.stored_only).await;
    let broken = |inventory: &_| {
        let (verified, _) = remembered::recall(config, repository.id());
        remembered::broken(inventory, &verified).into_iter().cloned().collect()
    };
    let at = args.as_of.map_or_else(clock::now, |at| at.0);
    let mut announcers = announcers(config)?;
    if let Some(key) = &signing {
        announcers = announcers.with(key);
    }
    let request = LookRequest {
        trust: &trust,
        evidence: &evidence,
        tenants,
        named: config.odoo.tenants.iter().cloned().collect(),
        announcers: &announcers,
        expire: &config.expire,
        at,
        known: match args.dry_run {
            true => ReadBefore::open(config, &repository, &trust).await?.map(Arc::new),
            false => None,
        },
    };
    let (stock, _) = look::take(&repository, request, broken).await?;
    let looked = clock::instant();
    let rules = look::rules(config, &stock)?;
    let now = store_time(&repository).await?;
    let clock = args.as_of.map_or(Clock::Store(now), |at| Clock::AsOf(at.0));
    let plan = plan(&stock, &rules, clock)?;
    let origin = repository.origin().await?;
    let (pending, not_believed) = apply::pending(&repository, &origin, &announcers).await?;
    let phases = phases(&stock, &plan, &pending, config.expire.grace);
    let costs = costs(&stock, &plan, config);
    let shown = Shown {
        costs: &costs,
        cold: cold(&stock, &plan, config),
        config,
        repository: repository.store().url(),
        plan: &plan,
        phases: &phases,
        unknown: stock.unknown(),
        not_believed: not_believed.iter().map(Error::line).collect(),
        locked: apply::locked(&repository, &plan).await,
        as_of: args.as_of.is_some(),
    };
    if let Some(file) = &args.html {
        disk::replace_durable(file, page(&shown).as_bytes())?;
    }
    let is_known = shown.unknown.is_empty() && shown.not_believed.is_empty();
    let mut known = if is_known { Done::Complete } else { Done::Incomplete };
    let signing = match signing {
        Some(signing) if !args.dry_run => signing,
        _ => {
            app.print(&shown.json(), || shown.text())?;
            return Ok(known);
        }
    };
    if !app.json || !args.yes {
        print::err_text(&shown.text());
    }
    let holds = match &stock.holds {
        Known::All(holds) => holds.iter().filter(|hold| hold.removed.is_none()).count(),
        Known::Unknown(_) => 0,
    };
    let mut came_to = ExpireRun {
        at: now,
        snapshots: 0,
        freed_bytes: 0,
        announced_bytes: 0,
        failed: 0,
        not_known: shown.unknown.len() + shown.not_believed.len(),
        pending: phases.waiting,
        holds,
    };
    let applied = async {
        if phases.is_nothing() {
            return Ok(None);
        }
        let max_percent = args.max_percent.unwrap_or(config.expire.max_percent);
        check_share(share(&stock, &plan, &phases), max_percent)?;
        if !args.yes {
            confirm()?;
        }
        if clock::instant() - looked > LOOK_COUNTS_FOR {
            return Err(Error::new(Kind::Refused, "the plan is older than 15 minutes")
                .effect("nothing was announced or deleted: something else may be needed by now")
                .next("run lifeboat expire again"));
        }
        apply::apply(&repository, &origin, &signing, &stock, &plan, &phases).await.map(Some)
    }
    .await;
    // Whatever became of it: locks protect what stays. It takes a request for each object.
    let is_stale = clock::instant() - looked > LOOK_COUNTS_FOR;
    let times = Times { counted_from: plan.counted_from, now, is_stale };
    let locks = extend_locks(&repository, (&origin, &announcers), (&stock, &rules), times).await;
    if let Some(read) = locks_read(&locks, now) {
        remember(config, |last| last.locks = Some(read));
    }
    if let Some(problem) = locks_problem(&locks) {
        known = Done::Incomplete;
        print::err(&problem);
    }
    let mut json = shown.json();
    json.add("locks", locks_json(&locks));
    let Some(applied) = applied? else {
        remember_end(config, came_to);
        let text = || format!("{}nothing is to be announced or deleted now", locks_text(&locks));
        app.print(&json, text)?;
        return Ok(known);
    };
    came_to.snapshots = applied.erased.snapshots + applied.erased.batches;
    came_to.freed_bytes = phases.deleted_bytes;
    came_to.announced_bytes = phases.announced_bytes;
    came_to.failed = applied.erased.failed.len();
    came_to.pending += usize::from(applied.announced.is_some());
    remember_end(config, came_to);
    json.add("done", done_json(&applied));
    let text = || locks_text(&locks) + &done_text(&applied, &phases, config.expire.grace);
    app.print(&json, text)?;
    Ok(if applied.erased.failed.is_empty() { known } else { Done::Incomplete })
}

/// Notes something for status and metrics. Where this host cannot keep it, what was done counts all the same.
fn remember(config: &Config, change: impl FnOnce(&mut LastExpire)) {
    let file = LastExpire::file(&config.state_dir, &config.instance);
    if let Err(e) = record::change(&file, |last| {
        change(last);
        Ok(())
    }) {
        tracing::warn!("lifeboat status will not show this run: {e:?}");
    }
}

/// The run came to its end.
fn remember_end(config: &Config, run: ExpireRun) {
    remember(config, |last| (last.done, last.failed) = (Some(run), None));
}

/// What was found of locks; `None` where nothing is locked.
fn locks_read(locks: &Result<Option<Locks>>, at: Timestamp) -> Option<LocksRead> {
    match locks {
        Ok(None) => None,
        Ok(Some(locks)) => Some(LocksRead {
            at,
            too_short: locks.too_short,
            failed: locks.failed,
            not_lifted: locks.legal_holds.as_ref().map_or(0, |holds| holds.not_lifted),
        }),
        Err(_) => Some(LocksRead { at, too_short: 0, failed: 1, not_lifted: 0 }),
    }
}

/// How long what was looked at is acted on.
const LOOK_COUNTS_FOR: Duration = Duration::from_secs(15 * 60);

/// Who signs tombstones.
fn signing_key(config: &Config) -> Result<SigningKey> {
    let file = config.expire.key_file.as_deref().or(config.signing.key_file.as_deref());
    let file = file.ok_or_else(|| {
        Error::new(Kind::Config, "neither expire.key_file nor signing.key_file is set")
            .effect("nothing was announced or deleted: tombstones must be signed")
            .next("set expire.key_file to a key of its own (docs/retention.md shows how to make one)")
    })?;
    SigningKey::load(file)
}

/// The store's time; this host's, where the store is a directory.
async fn store_time(repository: &Repository) -> Result<Timestamp> {
    let own = clock::now();
    match repository.store().now(layout::META).await? {
        Some(now) => agreed(now, own),
        None => Ok(own),
    }
}

/// # Errors
/// `Refused` where the two differ: one of them is wrong, and it is not known which.
fn agreed(store: Timestamp, own: Timestamp) -> Result<Timestamp> {
    match own.duration_since(store).abs() > MARGIN {
        true => Err(Error::new(Kind::Refused, format!("the store's clock says {store}, this host's {own}"))
            .effect("nothing was announced or deleted: one of them is wrong, and ages depend on it")
            .next("set this host's clock (timedatectl), or the store's")),
        false => Ok(store),
    }
}

fn check_share(share: f64, max_percent: u8) -> Result<()> {
    let percent = (share * 100.0).ceil() as u64;
    if percent <= u64::from(max_percent) {
        return Ok(());
    }
    let what = format!("this run would announce {percent} % of what is stored; the limit is {max_percent} %");
    Err(Error::new(Kind::Refused, what).effect("nothing was announced or deleted").next(format!(
        "read the plan; if it is right, run lifeboat expire --max-percent {} (see expire.max_percent)",
        percent.min(100)
    )))
}

/// The tenants that are backed up.
async fn tenants(config: &Config, stored_only: bool) -> Known<BTreeSet<TenantName>> {
    if !config.odoo.tenants.is_empty() {
        return Known::All(config.odoo.tenants.iter().cloned().collect());
    }
    if stored_only {
        return Known::Unknown("the server was not asked (--stored-only)".to_owned());
    }
    let found = all_tenants(config, &PostgresOptions::from(&config.postgres)).await;
    found.map(|tenants| tenants.into_iter().collect()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clocks_that_differ_and_a_large_share_are_refused() {
        let at = |minutes: i64| Timestamp::from_second(1_780_000_000 + minutes * 60).unwrap();
        assert_eq!(agreed(at(0), at(14)).unwrap(), at(0));
        assert_eq!(agreed(at(0), at(16)).unwrap_err().kind(), Kind::Refused);
        assert_eq!(agreed(at(0), at(-16)).unwrap_err().kind(), Kind::Refused);
        assert!(check_share(0.3, 30).is_ok());
        assert!(check_share(0.301, 30).unwrap_err().next_text().unwrap().contains("--max-percent 31"));
        assert!(check_share(1.0, 100).is_ok());
    }
}
