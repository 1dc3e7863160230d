//! `lifeboat rollback plan`, and the choice among it, `salvage` and `reenter`.

use clap::Subcommand;

use super::commands::runnable;
use super::released::ReleasedArgs;
use super::rollback_text::text;
use super::{App, Done};
use super::{reenter, salvage};
use crate::error::Result;
use crate::release::plan::RollbackPlan;

/// Plan the way back from a release, and save what came after
///
/// `plan` says whether the image alone is enough or the database goes back, what was written since the
/// checkpoint and would be lost, how long it takes, and the commands in order, each with its undo.
///
/// `salvage` compares a tenant with its copy at the point, and exports the documents that were written in
/// between. `reenter` enters them again, in the tenant that went back.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat rollback plan --release 2026.11.20
  lifeboat rollback plan --release 2026.11.20 --tenant retail_north
  lifeboat rollback plan --release 2026.11.20 --json | jq '.tenants[].written'
  lifeboat rollback salvage --release 2026.11.20 --tenant retail_north \\
      --against retail_north_before_2026.11.20 --to retail_north_after
  lifeboat rollback reenter --release 2026.11.20 --from retail_north_after \\
      --database retail_north --user salvage --password-file /run/odoo-password --dry-run")]
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

/// Say what going back would take and what it would lose
///
/// Works on the production host: it needs no identity, and changes nothing. It reads a few columns of the
/// tables with orders, payments, transfers, invoices and attachments, and the server's statistics. What
/// cannot be read is "not known", never 0.
///
/// Exit code 3: something that decides is not known.
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
