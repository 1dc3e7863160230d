//! `lifeboat as-production DIR`: a restored copy becomes the real thing.

use std::path::PathBuf;

use super::confirm::confirm_named;
use super::{App, Done, print};
use crate::error::Result;
use crate::recovery::instance::production::{self, Production};
use crate::recovery::instance::production_plan;

/// Turn a copy that restore --instance-to made into production
///
/// The copy must have reached its target and be stopped. This command starts it once more on its private
/// socket, disables its subscriptions, stops it, and puts production's own configuration back. The plan says
/// where the server will listen, how it archives and what it loads. Start the server yourself afterwards.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  # print what the server will do in production
  lifeboat as-production /srv/pg/back --dry-run
  # do it; asks for the directory's name
  lifeboat as-production /srv/pg/back
  # make it a copy again
  lifeboat as-production /srv/pg/back --undo")]
pub struct Args {
    /// The data directory of the copy
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Make it a copy again: put production's configuration aside
    #[arg(long, conflicts_with_all = ["dry_run", "yes_production"])]
    undo: bool,
    /// For scripts: the name of the directory, instead of typing it
    #[arg(long, value_name = "DIR")]
    yes_production: Option<PathBuf>,
    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Plans, asks, applies.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    if args.undo {
        let dir = production::undo(&args.dir)?;
        app.print(&serde_json::json!({ "copy": dir }), || {
            format!(
                "{} is a copy again: a server on it runs on a private socket and is isolated",
                dir.display()
            )
        })?;
        return Ok(Done::Complete);
    }
    let config = app.config()?;
    let plan = production_plan::plan(&config, &args.dir)?;
    let tools = production::tools(&config, &plan).await?;
    if args.dry_run {
        app.print(&plan, || plan.to_string())?;
        return Ok(Done::Complete);
    }
    print::err(&plan.to_string());
    let given = args.yes_production.as_deref();
    confirm_named(&plan.data_dir, given, "--yes-production", "that becomes production")?;
    let shown = app.progress("as production", None);
    let done = production::apply(&config, plan, &tools, &shown.clone(), &app.cancel).await;
    shown.finish();
    let done = done?;
    app.print(&done, || text(&done))?;
    Ok(Done::Complete)
}

/// What became of it.
pub fn text(done: &Production) -> String {
    let dir = done.plan.data_dir.display();
    let mut out = format!("{dir} is production now, but it is not started: start it as your service does");
    out += &format!("\nthen it{}", done.plan.takeover);
    for enable in &done.enable {
        out += &format!(
            "\nits subscription stays disabled. When the old server is gone for good, run: {enable}"
        );
    }
    out += &format!("\nto undo it before the first start: {}", done.undo);
    out
}
