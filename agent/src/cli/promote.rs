//! `lifeboat promote`.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::confirm::ask;
use super::{App, Done, commands, print};
use crate::clock::span_text;
use crate::error::{Error, Kind, Result};
use crate::names::{TenantName, shell_word};
use crate::recovery::promote::PromoteRequest;
use crate::recovery::promote::apply::{Promoted, apply};
use crate::recovery::promote::plan::{PromotePlan, prepare};

/// Make a restored copy the tenant: rename database and files
///
/// Database and filestore change names together. The plan is printed first; type the tenant's name to
/// confirm. The old state of the tenant is kept as NAME.replaced-TIME: closed for connections, not backed up,
/// not followed. Nothing is deleted. Both databases are closed for some seconds while their names change, so
/// that no database is open with the files of another one.
///
/// To undo it, run the command that is printed at the end: the same one with the names exchanged. If it was
/// killed, run the same command again: it continues.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  # what would happen, and who is connected
  lifeboat promote retail_north_live --as retail_north --dry-run
  # end Odoo's sessions, then promote
  lifeboat promote retail_north_live --as retail_north --disconnect
  # undo it
  lifeboat promote retail_north.replaced-20261128T021500Z --as retail_north")]
pub struct Args {
    /// The database to promote
    #[arg(value_name = "COPY", allow_hyphen_values = true)]
    copy: TenantName,
    /// The tenant that the copy becomes
    #[arg(long = "as", value_name = "TENANT", allow_hyphen_values = true)]
    tenant: TenantName,
    /// End all sessions after both databases are closed
    #[arg(long)]
    disconnect: bool,
    /// Promote a neutralized copy: set up mail servers, scheduled jobs, providers and credentials again
    #[arg(long)]
    although_neutralized: bool,
    /// Promote a copy that has no filestore: its attachments on disk will be missing
    #[arg(long)]
    without_filestore: bool,
    /// Odoo's data directory, which holds both filestores [default: odoo.data_dir]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// For scripts: the tenant's name, instead of typing it
    #[arg(long, value_name = "TENANT", allow_hyphen_values = true)]
    yes_replace: Option<TenantName>,
    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Plans, asks, applies.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let request = PromoteRequest {
        copy: args.copy,
        tenant: args.tenant,
        data_dir: args.data_dir.map(|dir| std::path::absolute(&dir).unwrap_or(dir)),
        disconnect: args.disconnect,
        although_neutralized: args.although_neutralized,
        without_filestore: args.without_filestore,
    };
    let prepared = app.looking(prepare(&config, request)).await?;
    let plan = &prepared.plan;
    if args.dry_run {
        app.print(plan, || plan.to_string())?;
    } else {
        print::err(&plan.to_string());
    }
    if let Some(first) = plan.refused.first() {
        let next: Vec<&str> = plan.refused.iter().map(|refusal| refusal.next.as_str()).collect();
        let error =
            Error::new(Kind::Refused, first.what.clone()).effect("nothing was changed").next(next.join("\n"));
        return match args.dry_run && app.json {
            // The plan says it as well: one document, not two.
            true => {
                print::error(&error, false);
                Ok(Done::Failed(Kind::Refused))
            }
            false => Err(error),
        };
    }
    if args.dry_run {
        return Ok(Done::Complete);
    }
    confirm(&plan.tenant, args.yes_replace.as_ref())?;
    let promoted = apply(prepared, &app.cancel).await?;
    let mut json = serde_json::to_value(&promoted)
        .map_err(|e| Error::new(Kind::Internal, "cannot write the result").because(e))?;
    json["undo"] = undo(&promoted.plan).into();
    app.print(&json, || text(&promoted))?;
    Ok(Done::Complete)
}

/// Has a person type the tenant's name; `given` is what a script said.
fn confirm(tenant: &TenantName, given: Option<&TenantName>) -> Result<()> {
    let refused = |what: String| {
        Error::new(Kind::Refused, what)
            .effect("nothing was changed")
            .next(format!("for scripts: --yes-replace {}", shell_word(tenant.as_str())))
    };
    let said = match given {
        Some(given) => given.to_string(),
        None if !std::io::stdin().is_terminal() => {
            return Err(refused(format!("nobody typed {tenant}, the tenant to replace")));
        }
        None => ask(&format!("Type the name of the tenant ({tenant}): "))?,
    };
    match said == tenant.as_str() {
        true => Ok(()),
        false => Err(refused(format!("{said:?} is not {tenant}, the tenant to replace"))),
    }
}

fn undo(plan: &PromotePlan) -> String {
    let words: Vec<String> = plan.undo.iter().map(|word| shell_word(word)).collect();
    let command = commands::runnable(&format!("lifeboat {}", words.join(" ")));
    plan.undo_more.iter().fold(command, |command, more| format!("{command} && {more}"))
}

fn text(promoted: &Promoted) -> String {
    let plan = &promoted.plan;
    let took = span_text(std::time::Duration::from_secs_f64(promoted.closed_seconds));
    let mut out = format!("{} is now {} (both databases were closed for {took})", plan.copy, plan.tenant);
    if let Some(replaced) = &plan.replaced {
        out += &format!(
            "\nthe old state is kept as {replaced}; drop it when nobody needs it any more, not tonight"
        );
    }
    for sort in &promoted.disconnected {
        out += &format!("\nended: {sort}");
    }
    for warning in &promoted.warnings {
        out += &format!("\nwarning: {warning}");
    }
    out + &format!("\nundo: {}", undo(plan))
}
