//! `lifeboat as-production DIR`: a restored copy becomes the real thing.

use std::path::PathBuf;

use super::restore_instance::confirm_named;
use super::{App, Done, print};
use crate::error::Result;
use crate::recovery::instance::production::{self, Production};

/// Turn a copy that restore --instance-to made into the real thing
///
/// The copy has recovered and is stopped. It is opened once more on its private socket, subscriptions are
/// disabled, it is stopped, and production's own configuration takes the place of the copy's. The plan
/// says what it then listens on, archives to, loads and takes over. It is not started.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat as-production /srv/pg/back --dry-run           what it would do as the real thing
  lifeboat as-production /srv/pg/back                     asks for the directory's name
  lifeboat as-production /srv/pg/back --undo              a copy again")]
pub struct Args {
    /// The data directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Put production's configuration aside again
    #[arg(long, conflicts_with_all = ["dry_run", "yes_production"])]
    undo: bool,
    /// For scripts: the name of the directory, in place of typing it
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
            format!("{} is a copy again: it runs on a private socket, and keeps to itself", dir.display())
        })?;
        return Ok(Done::Complete);
    }
    let config = app.config()?;
    let plan = production::plan(&config, &args.dir)?;
    let tools = production::tools(&config, &plan).await?;
    if args.dry_run {
        app.print(&plan, || plan.to_string())?;
        return Ok(Done::Complete);
    }
    print::err(&plan.to_string());
    let given = args.yes_production.as_deref();
    confirm_named(&plan.data_dir, given, "--yes-production", "which would be the real thing")?;
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
    let mut out = format!("{dir} is the real thing now, and not started: start it as your service does");
    out += &format!("\nthen it{}", done.plan.takeover);
    for enable in &done.enable {
        out += &format!(
            "\nits subscription stays off until you say, once the old server is gone for good: {enable}"
        );
    }
    out += &format!("\nundo, as long as it was not started: {}", done.undo);
    out
}
