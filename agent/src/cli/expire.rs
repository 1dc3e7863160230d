//! `lifeboat expire`.

use std::collections::BTreeSet;

use super::expire_text::plan_text;
use super::trust::TrustArgs;
use super::{App, Done};
use crate::archive::evidence::key::TrustedEvidenceKeys;
use crate::backup::all_tenants;
use crate::clock;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::inventory::target::ZonedTime;
use crate::names::TenantName;
use crate::postgres::connect::PostgresOptions;
use crate::repository::snapshots::Trust;
use crate::repository::{Repository, layout};
use crate::retention::look;
use crate::retention::plan::{Clock, plan};
use crate::retention::stock::Known;
use crate::status::remembered;

/// Show what the recovery classes keep, and what would be deleted
///
/// For each snapshot that is kept, every reason is shown: the recovery window, the first backup of a day,
/// week, month or year, a release, or another snapshot that needs it. See docs/retention.md.
///
/// Ages are counted by the clock of the store, at most up to one day after the newest stored object: if
/// backups stop, expiry stops. --as-of ignores this limit. What cannot be read keeps all that it may need.
///
/// This version only plans: it deletes nothing.
///
/// Exit code 3: something could not be read, so more is kept than necessary. 4: there is no class.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat expire --dry-run
  lifeboat expire --dry-run --as-of 2027-03-01T00:00:00Z
  lifeboat expire --dry-run --json | jq '.plan.snapshots[].id'")]
pub struct Args {
    /// Only show the plan
    #[arg(long, required = true)]
    dry_run: bool,
    /// Show what would be deleted at this time, if nothing were stored until then
    #[arg(long, value_name = "TIME")]
    as_of: Option<ZonedTime>,
    /// Do not ask the server which tenants there are. Without odoo.tenants, all batches of files are kept,
    /// and the exit code is 3
    #[arg(long)]
    stored_only: bool,
    #[command(flatten)]
    trust: TrustArgs,
}

/// Shows it.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let trust = args.trust.trust(&config)?;
    if matches!(trust, Trust::Anyone) {
        return Err(Error::new(Kind::Usage, "expire does not take --accept-unsigned")
            .effect("what nobody signed must not decide what is deleted")
            .next("set signing.trusted_keys"));
    }
    let evidence = TrustedEvidenceKeys::configured(&config.checkpoint)?;
    let repository = Repository::configured(&config).await?;
    let tenants = tenants(&config, args.stored_only).await;
    let broken = |inventory: &_| {
        let (verified, _) = remembered::recall(&config, &repository);
        remembered::broken(inventory, &verified).into_iter().cloned().collect()
    };
    let stock = look::take(&repository, &trust, &evidence, tenants, broken).await?;
    let rules = look::rules(&config, &stock)?;
    let now = repository.store().now(layout::META).await?.unwrap_or_else(clock::now);
    let clock = args.as_of.map_or(Clock::Store(now), |at| Clock::AsOf(at.0));
    let plan = plan(&stock, &rules, clock)?;
    let unknown = stock.unknown();
    let value = serde_json::json!({
        "instance": config.instance,
        "repository": repository.store().url(),
        "frees_bytes": plan.bytes(),
        "not_known": unknown,
        "plan": plan,
    });
    app.print(&value, || {
        plan_text(&config, repository.store().url(), &plan, &unknown, args.as_of.is_some())
    })?;
    Ok(if unknown.is_empty() { Done::Complete } else { Done::Incomplete })
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
