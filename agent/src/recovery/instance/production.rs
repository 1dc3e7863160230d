//! Makes a restored directory production: production's own configuration replaces ours, and the plan says
//! what the server will then listen on, connect to, archive to and take over.
//!
//! It has already recovered with our configuration, so production's never gets a recovery setting. It is
//! started once more as a copy: this proves what it runs on, and disables subscriptions, so that none
//! starts by itself.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::inventory::target::Action;
use crate::names::shell_path;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::server_stop::stop_fast;
use crate::postgres::tools::Tools;
use crate::progress::Progress;
use crate::recovery::instance::aside::{
    AUTO_FILE, CONF_FILE, HBA_FILE, Note, Subscription, put_aside, put_back,
};
use crate::recovery::instance::closed::closed;
use crate::recovery::instance::conf::Conf;
use crate::recovery::instance::production_plan::{ProductionPlan, find, major, owner, plan};
use crate::recovery::instance::proof::Allowed;
use crate::recovery::instance::run::Server;
use crate::recovery::instance::settings::{HBA_TEXT, conf_without_recovery, kept};
use crate::recovery::instance::settle_archive::settle_archive;
use crate::recovery::instance::start::Started;
use crate::recovery::instance::takeover::Aside;
use crate::recovery::instance::{delta, tree};

/// The file in which a server keeps its command line.
const OPTIONS_FILE: &str = "postmaster.opts";

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct Production {
    /// The plan that was applied.
    pub plan: ProductionPlan,
    /// Commands that enable the subscriptions again, after production's own are gone.
    pub enable: Vec<String>,
    /// The command that makes it a copy again.
    pub undo: String,
}

/// Finds the programs that start it once more, before anything is done.
pub async fn tools(config: &Config, plan: &ProductionPlan) -> Result<Tools> {
    Tools::server(&PostgresOptions::from(&config.postgres), plan.major).await
}

/// Starts it as a copy, disables subscriptions, stops it, and puts production's configuration back. It
/// does not start it as production.
///
/// # Errors
/// Whatever failed: then it is still a copy, or the same command continues.
pub async fn apply(
    config: &Config,
    plan: ProductionPlan,
    tools: &Tools,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Production> {
    if !plan.opens {
        return finish(plan);
    }
    let server = Server {
        config,
        data_dir: &plan.data_dir,
        owner: plan.owner,
        tools,
        goal: None,
        action: Action::Promote,
        allowed: Allowed::default(),
        scratch: false,
        databases: &[],
        restore_command: None,
        progress,
        cancel,
    };
    let started = server.open().await?;
    stop_fast(&plan.data_dir).await?;
    check_disabled(&started, &plan.data_dir)?;
    finish(plan)
}

/// The same for a copy that a restore has just started and that accepts writes.
///
/// # Errors
/// As [`plan`] and [`apply`].
pub async fn complete(config: &Config, started: &Started, data_dir: &Path) -> Result<Production> {
    stop_fast(data_dir).await?;
    check_disabled(started, data_dir)?;
    finish(plan(config, data_dir)?)
}

fn check_disabled(started: &Started, data_dir: &Path) -> Result<()> {
    if started.proof.not_disabled.is_empty() && started.proof.enabled_subscriptions == 0 {
        return Ok(());
    }
    Err(Error::new(Kind::Refused, "a subscription could not be disabled; it would start at once")
        .because(started.proof.not_disabled.join("; "))
        .effect(format!("{} is still a copy", data_dir.display()))
        .next(format!(
            "start it, run ALTER SUBSCRIPTION … DISABLE or DROP SUBSCRIPTION, stop it, then run this again: \
             lifeboat as-production {}",
            shell_path(data_dir)
        )))
}

/// Puts production's configuration back after a server was checked and stopped.
fn finish(mut plan: ProductionPlan) -> Result<Production> {
    let dir = tree::open(&plan.data_dir)?;
    if let Some(note) = Note::read(&dir)? {
        plan.disabled_subscriptions = note.disabled_subscriptions;
    }
    closed(&dir, plan.owner, |dir| {
        settle_archive(dir, plan.owner)?;
        // The copy's command line: the next start writes its own.
        dir.remove_file(Path::new(OPTIONS_FILE)).map_err(|e| Error::file("remove", dir.path(), e))?;
        put_back(dir, plan.owner)
    })?;
    let enable = plan.disabled_subscriptions.iter().map(Subscription::enable).collect();
    let undo = format!("lifeboat as-production --undo {}", shell_path(&plan.data_dir));
    Ok(Production { plan, enable, undo })
}

/// Makes it a copy again: puts production's configuration aside.
///
/// # Errors
/// `Refused` if a server runs on it.
pub fn undo(dir: &Path) -> Result<PathBuf> {
    let data_dir = find(dir)?;
    let dir = tree::open(&data_dir)?;
    delta::check_stopped(&dir)?;
    if Note::read(&dir)?.is_some() {
        return Err(Error::new(Kind::Refused, format!("{} is already a copy", data_dir.display()))
            .effect("nothing was changed"));
    }
    let owner = owner(&dir)?;
    let sizes = kept(&Conf::read(&Aside(&dir), &[CONF_FILE, AUTO_FILE]));
    let conf = conf_without_recovery(&data_dir, &sizes, major(&dir)?);
    let ours = [(CONF_FILE, conf), (HBA_FILE, HBA_TEXT.to_owned())];
    closed(&dir, owner, |dir| put_aside(dir, &ours, false, owner))?;
    Ok(data_dir)
}
