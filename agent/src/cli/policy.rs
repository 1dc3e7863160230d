//! `lifeboat policy`: whether the promises of the classes are met, and whether sites have the same classes.

use std::path::PathBuf;

use clap::Subcommand;

use super::commands::runnable;
use super::policy_text::{check_text, drift_text};
use super::trust::TrustArgs;
use super::{App, Done};
use crate::config::Pattern;
use crate::error::Result;
use crate::policy::{self, drift};

/// Check the recovery classes, and compare them between sites
///
/// A recovery class ([class.NAME]) says what its tenants are promised: RPO, RTO, recovery window, how long
/// backups are kept, how often a restore is drilled. See docs/retention.md.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat policy check
  lifeboat policy check --stored-only --json
  lifeboat policy drift north.toml south.toml --ignore repository.region")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Check(CheckArgs),
    Drift(DriftArgs),
}

/// Check whether each class meets its promises
///
/// Names tenants without a class, or with two; schedules that cannot meet the RPO; a window that is shorter
/// than the time between drills; a repository outside the allowed regions; and classes whose newest states,
/// window or drills fall short. Needs no identity. The server is asked which tenants it has, unless
/// odoo.tenants names them.
///
/// Exit code 3: something falls short, or could not be looked at. 4: there is no class.
#[derive(clap::Args, Debug)]
struct CheckArgs {
    /// Judge the tenants of which something is stored; do not ask the server for others
    #[arg(long)]
    stored_only: bool,
    #[command(flatten)]
    trust: TrustArgs,
}

/// Compare the classes of several configuration files
///
/// Compares [class.NAME], [schedule], regions, recipients, the length of chains, WAL streaming and
/// odoo.exclude. Each difference names its key, and file and line of each value. Values that are written
/// differently (24h, 1d) are the same. The environment of this host does not count.
///
/// Exit code 3: there are differences. 0: there are none.
#[derive(clap::Args, Debug)]
struct DriftArgs {
    /// The configuration files
    #[arg(value_name = "FILE", num_args = 2.., required = true)]
    files: Vec<PathBuf>,
    /// Leave out this key, such as repository.region or class.*.tenants; may be repeated
    #[arg(long, value_name = "KEY")]
    ignore: Vec<Pattern>,
}

/// Runs the command.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    match args.command {
        Command::Check(args) => check(args, app).await,
        Command::Drift(args) => {
            let found = drift::drift(&args.files, &args.ignore)?;
            app.print(&found, || drift_text(&found))?;
            Ok(done(found.same))
        }
    }
}

async fn check(args: CheckArgs, app: &App) -> Result<Done> {
    let config = app.config()?;
    let mut report = policy::check(&config, &args.trust.trust(&config)?, args.stored_only).await?;
    let of_classes = report.classes.iter_mut().flat_map(|class| &mut class.findings);
    for next in report.findings.iter_mut().chain(of_classes).filter_map(|one| one.next.as_mut()) {
        *next = runnable(next);
    }
    app.print(&report, || check_text(&report))?;
    Ok(done(report.ok))
}

fn done(well: bool) -> Done {
    if well { Done::Complete } else { Done::Incomplete }
}
