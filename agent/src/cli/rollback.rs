//! `lifeboat rollback plan`, and the choice among it, `salvage` and `reenter`.

use clap::Subcommand;

use super::commands::runnable;
use super::released::ReleasedArgs;
use super::rollback_text::text;
use super::{App, Done};
use super::{reenter, salvage};
use crate::error::Result;
use crate::release::plan::RollbackPlan;

/// Plan a rollback, export what it would lose, and enter it again
///
/// `plan` says whether the previous image is enough or the database must be restored, what was written after
/// the checkpoint and would be lost, how long it takes, and the commands in order, each with its undo.
///
/// `salvage` compares a tenant with its copy at the point, and exports the documents that were written after
/// the point. `reenter` enters them again in the restored tenant.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat rollback plan --release 2026.11.20
  lifeboat rollback plan --release 2026.11.20 --tenant retail_north
  lifeboat rollback plan --release 2026.11.20 --json | jq '.tenants[].written'
  lifeboat rollback salvage --release 2026.11.20 --tenant retail_north \\
      --against retail_north_before_2026.11.20 --to retail_north_after
  lifeboat rollback reenter --release 2026.11.20 --from retail_north_after \\
      --database retail_north --user salvage \\
      --password-file /run/odoo-password --dry-run")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Plan(PlanArgs),
    Salvage(salvage::Args),
    Reenter(reenter::Args),
}

/// Say how to go back, how long it takes, and what it loses
///
/// Works on the production host: it needs no identity, and changes nothing. It reads a few columns of the
/// tables with orders, payments, transfers, invoices and attachments, and the server's statistics. What
/// cannot be read is "not known", never 0.
///
/// Exit code 3: the way, the restore or a count is not known; the output says which.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat rollback plan --release 2026.11.20
  lifeboat rollback plan --release 2026.11.20 --tenant retail_north")]
struct PlanArgs {
    #[command(flatten)]
    released: ReleasedArgs,
}

/// Runs the one that was chosen.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    match args.command {
        Command::Plan(args) => app.looking(plan(args, app)).await,
        Command::Salvage(args) => salvage::run(args, app).await,
        Command::Reenter(args) => reenter::run(args, app).await,
    }
}

/// Computes and prints the plan.
async fn plan(args: PlanArgs, app: &App) -> Result<Done> {
    let config = app.config()?;
    let released = args.released.find(&config).await?;
    let plan = with_place(released.plan(&config, app).await?);
    app.print(&plan, || text(&plan))?;
    Ok(if plan.is_known() { Done::Complete } else { Done::Incomplete })
}

/// The plan with commands that run as they stand.
pub fn with_place(mut plan: RollbackPlan) -> RollbackPlan {
    for step in &mut plan.steps {
        for text in [&mut step.command, &mut step.undo].into_iter().flatten() {
            *text = runnable(text);
        }
    }
    plan
}
