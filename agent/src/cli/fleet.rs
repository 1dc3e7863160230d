//! `lifeboat fleet`: many instances at once, each with a configuration file of its own.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::fleet_text::{State, look_text, loses, plan_text, status_text};
use super::status::duration;
use super::{App, Done};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::fleet::{self, PlanSum, Site};
use crate::inventory::target::ZonedTime;

/// Show how all your instances stand, and what expire would do
///
/// Each instance has a configuration file of its own. `look` reads the repositories, and keeps what it saw in
/// state_dir on this host. `status` and `plan` answer from that in a second or two, without a request to any
/// repository; they say when each was last looked at. Run `look` as often as you need new answers.
///
/// Needs no identity, no signing key and no PostgreSQL. Credentials that only list and read are enough. See
/// docs/fleet.md.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat fleet look /etc/lifeboat/*.toml
  lifeboat fleet status /etc/lifeboat/*.toml
  lifeboat fleet plan /etc/lifeboat/*.toml --as-of 2027-03-01T00:00:00Z")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Look(LookArgs),
    Status(StatusArgs),
    Plan(PlanArgs),
}

/// Read the repositories of these instances
///
/// Lists and reads; writes nothing there. Up to 8 are read at once, and manifests that this host has read
/// before are not read again. If one cannot be read, what was seen of it before stays.
///
/// Exit code 3: one of them could not be read.
#[derive(clap::Args, Debug)]
struct LookArgs {
    #[command(flatten)]
    sites: SiteArgs,
}

/// Show how each instance stood when this host last looked, the worst first
///
/// The age of a tenant's newest state is counted up to now, however old the look is. Like `lifeboat status`,
/// it counts what checks and jobs of this host found; run that command to see all problems of one instance.
///
/// Exit code 3: one of them is not well, or not known.
#[derive(clap::Args, Debug)]
struct StatusArgs {
    #[command(flatten)]
    sites: SiteArgs,
    /// How old the newest restorable state of a tenant may be
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "26h")]
    max_age: Duration,
}

/// Show what expire would do at each instance
///
/// It counts what `lifeboat expire --dry-run` would, by the recovery classes that each configuration has now:
/// change one and run it again to see what that saves. Without odoo.tenants, batches of files count as
/// needed.
///
/// Exit code 3: one of them is not known, or something of it could not be read.
#[derive(clap::Args, Debug)]
struct PlanArgs {
    #[command(flatten)]
    sites: SiteArgs,
    /// Show what would not be needed at this time, if nothing more were stored
    #[arg(long, value_name = "TIME")]
    as_of: Option<ZonedTime>,
}

#[derive(clap::Args, Debug)]
struct SiteArgs {
    /// The configuration files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Runs the command.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    match args.command {
        Command::Look(LookArgs { sites }) => {
            check(&sites.files, app)?;
            let shown = app.progress("look at repositories", None);
            let looked = tokio::select! {
                biased;
                sites = fleet::look(&sites.files, &app.inputs, &shown) => Ok(sites),
                () = app.cancel.cancelled() => {
                    Err(Error::new(Kind::Interrupted, "stopped by a signal").safe("what was read so far is kept"))
                }
            };
            shown.finish();
            let sites = looked?;
            app.print(&json!({ "sites": sites }), || look_text(&sites))?;
            Ok(done(sites.iter().all(|site| site.error.is_none())))
        }
        Command::Status(StatusArgs { sites, max_age }) => {
            check(&sites.files, app)?;
            let status = async { Ok(fleet::status(&sites.files, &app.inputs, max_age).await) };
            let mut sites = app.looking(status).await?;
            sites.sort_by_key(|site| (State::of(site), Reverse(loses(site)), site.file.clone()));
            let well = sites.iter().filter(|site| State::of(site) == State::Ok).count();
            let value =
                json!({ "now": clock::now(), "instances": sites.len(), "well": well, "sites": sites });
            app.print(&value, || status_text(&sites))?;
            Ok(done(well == sites.len()))
        }
        Command::Plan(PlanArgs { sites, as_of }) => {
            check(&sites.files, app)?;
            let as_of = as_of.map(|at| at.0);
            let plans = async { Ok(fleet::plans(&sites.files, &app.inputs, as_of).await) };
            let sites = app.looking(plans).await?;
            app.print(&json!({ "sites": sites }), || plan_text(&sites, as_of))?;
            let is_known =
                |site: &Site<PlanSum>| site.result.as_ref().is_some_and(|plan| plan.not_known.is_empty());
            Ok(done(sites.iter().all(is_known)))
        }
    }
}

/// # Errors
/// `Usage` where something says for all of them which repository or instance is meant, or a file is named
/// twice.
fn check(files: &[PathBuf], app: &App) -> Result<()> {
    let inputs = &app.inputs;
    let mut of_one = vec![
        ("--config", inputs.config.is_some()),
        ("--repository", inputs.repository.is_some()),
        ("--instance", inputs.instance.is_some()),
    ];
    for variable in ["LIFEBOAT_REPOSITORY_URL", "LIFEBOAT_INSTANCE"] {
        of_one.push((variable, inputs.variable(variable)?.is_some()));
    }
    if let Some((what, _)) = of_one.into_iter().find(|(_, is_given)| *is_given) {
        let what =
            format!("{what} names one instance; lifeboat fleet takes configuration files as arguments");
        return Err(Error::new(Kind::Usage, what).next("leave it out"));
    }
    let mut seen = BTreeSet::new();
    match files.iter().find(|file| !seen.insert(*file)) {
        Some(twice) => Err(Error::new(Kind::Usage, format!("{} is named twice", twice.display()))),
        None => Ok(()),
    }
}

fn done(is_well: bool) -> Done {
    if is_well { Done::Complete } else { Done::Incomplete }
}
