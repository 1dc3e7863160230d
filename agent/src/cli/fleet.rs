//! `lifeboat fleet`: many instances at once, each with a configuration file of its own.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::fleet_text::{look_text, plan_text, status_text};
use super::status::duration;
use super::{App, Done};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::fleet::{self, Site};
use crate::inventory::target::ZonedTime;
use crate::status::Status;

/// Show how all your instances stand, and what expire would do
///
/// Each instance has a configuration file of its own. `look` reads the repositories, and keeps what it saw in
/// state_dir on this host. `status` and `plan` answer from that in a second or two, without a request to any
/// repository; they say when each was last looked at. Run `look` as often as the answers must be new.
///
/// Needs no identity, no signing key and no PostgreSQL: a host that only lists and reads is enough. See
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
/// What a tenant would lose is counted up to now: where nobody looked for a day, it is a day. As `lifeboat
/// status`, which shows one instance with all that is wrong with it, it also counts what the checks and jobs
/// of this host found.
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
/// It is the sum of `lifeboat expire --dry-run` of each, by the classes that its configuration has now:
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
    let own = [("--config", app.inputs.config.is_some()), ("--repository", app.inputs.repository.is_some())];
    let own = own.into_iter().chain([("--instance", app.inputs.instance.is_some())]);
    if let Some((flag, _)) = own.into_iter().find(|(_, is_given)| *is_given) {
        return Err(Error::new(
            Kind::Usage,
            format!("{flag} is of one instance, and this command is for many"),
        )
        .next("name the configuration files without a flag"));
    }
    match args.command {
        Command::Look(LookArgs { sites }) => {
            let shown = app.progress("look at repositories", None);
            let sites = fleet::look(&sites.files, &app.inputs, &shown).await;
            shown.finish();
            app.print(&json!({ "sites": sites }), || look_text(&sites))?;
            Ok(done(&sites, |()| true))
        }
        Command::Status(StatusArgs { sites, max_age }) => {
            let mut sites = fleet::status(&sites.files, &app.inputs, max_age).await;
            sites.sort_by_key(order);
            let well = sites.iter().filter(|site| site.result.as_ref().is_some_and(Status::is_well)).count();
            let value =
                json!({ "now": clock::now(), "instances": sites.len(), "well": well, "sites": sites });
            app.print(&value, || status_text(&sites))?;
            Ok(done(&sites, Status::is_well))
        }
        Command::Plan(PlanArgs { sites, as_of }) => {
            let sites = fleet::plans(&sites.files, &app.inputs, as_of.map(|at| at.0)).await;
            app.print(&json!({ "sites": sites }), || plan_text(&sites))?;
            Ok(done(&sites, |plan| plan.not_known.is_empty()))
        }
    }
}

/// What nobody knows first; then by the worst tenant, and by what that would lose.
fn order(site: &Site<Status>) -> impl Ord + use<> {
    let worst = site.result.as_ref().map(|status| {
        let tenant = status.tenants.first();
        let loses = tenant.and_then(|tenant| tenant.rpo_seconds).unwrap_or(u64::MAX);
        (tenant.map(|tenant| tenant.standing), status.is_well(), std::cmp::Reverse(loses))
    });
    (worst, site.file.clone())
}

fn done<T>(sites: &[Site<T>], is_well: impl Fn(&T) -> bool) -> Done {
    match sites.iter().all(|site| site.result.as_ref().is_some_and(&is_well)) {
        true => Done::Complete,
        false => Done::Incomplete,
    }
}
