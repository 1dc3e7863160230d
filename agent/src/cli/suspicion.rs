//! `lifeboat suspicion list` and `lifeboat suspicion accept`.

use std::fmt::Write as _;

use serde::Serialize;

use super::commands::runnable;
use super::{App, Done};
use crate::catalog::state::StateDir;
use crate::catalog::suspicion::{Alarm, Alarms};
use crate::clock;
use crate::error::Result;
use crate::names::{TenantName, counted, shell_word};
use crate::repository::Repository;

/// Show suspicious backups, and accept them
///
/// Each backup of this host compares itself with the one before. What no normal work explains is suspicious:
/// `lifeboat status` shows it until somebody accepts it. Accepting is for changes that were planned, and for
/// losses that have been dealt with.
#[derive(clap::Args, Debug)]
#[command(
    arg_required_else_help = true,
    subcommand_required = true,
    after_long_help = "\
Examples:
  lifeboat suspicion list
  lifeboat suspicion accept retail_north"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Show what was found and is not accepted yet
    ///
    /// Exit code 3: there is something.
    #[command(after_long_help = "\
Examples:
  lifeboat suspicion list
  lifeboat suspicion list --json")]
    List,
    /// Accept what was found in a tenant's backups
    ///
    /// `lifeboat status` stops showing it. Later backups are compared with the new state anyway.
    #[command(after_long_help = "\
Examples:
  lifeboat suspicion accept retail_north")]
    Accept {
        /// The tenant
        #[arg(value_name = "TENANT", allow_hyphen_values = true)]
        tenant: TenantName,
    },
}

#[derive(Serialize)]
struct Accepted<'a> {
    tenant: &'a TenantName,
    accepted: Vec<Alarm>,
}

#[derive(Serialize)]
struct Listed {
    suspicious: Vec<Alarms>,
    problems: Vec<String>,
}

/// Shows or accepts.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let repository = Repository::configured(&config).await?;
    let dir = StateDir::suspicion_dir_of(&config.state_dir, &config.instance);
    match args.command {
        Command::List => {
            let (suspicious, problems) = Alarms::all(&dir, Some(repository.id()), clock::now())?;
            let listed = Listed { suspicious, problems };
            app.print(&listed, || text(&listed))?;
            let is_well = listed.suspicious.is_empty() && listed.problems.is_empty();
            Ok(if is_well { Done::Complete } else { Done::Incomplete })
        }
        Command::Accept { tenant } => {
            let accepted = Alarms::accept(&dir, repository.id(), &tenant, clock::now())?;
            let count = counted(accepted.len() as u64, "suspicious backup");
            app.print(&Accepted { tenant: &tenant, accepted }, || format!("{tenant}: {count} accepted"))?;
            Ok(Done::Complete)
        }
    }
}

fn text(listed: &Listed) -> String {
    let mut out = String::new();
    for one in &listed.suspicious {
        for alarm in &one.alarms {
            let names: Vec<&str> = alarm.snapshots.iter().map(|id| id.as_str()).collect();
            let _ = writeln!(out, "{}  {}  {}", one.tenant, clock::text(alarm.found_at), names.join(" "));
            for line in alarm.lines() {
                let _ = writeln!(out, "    {line}");
            }
        }
        let _ = writeln!(out, "    next: {}", next(&one.tenant));
    }
    for problem in &listed.problems {
        let _ = writeln!(out, "problem: {problem}");
    }
    match out.is_empty() {
        true => "no backup of this host is suspicious".to_owned(),
        false => out.trim_end().to_owned(),
    }
}

/// What to do about a suspicious backup of a tenant.
pub(super) fn next(tenant: &TenantName) -> String {
    let name = shell_word(tenant.as_str());
    let accept = runnable(&format!("lifeboat suspicion accept {name}"));
    format!("runbooks/suspicious-backup.md; if the change was planned: {accept}")
}
