//! The place that every machine has: a private PostgreSQL server ([`server`]) in a directory of its own. If
//! the drill is root, the server runs as an account that can read no secret (`account`). What killed drills
//! left is removed first ([`sweep`]).

use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use lifeboat::error::Result;
use lifeboat::postgres::{PostgresOptions, Tools};

use crate::drill::stage::{Drill, PROVISION, Stage, Stop, TEAR_DOWN};
use crate::place::Place;
use crate::report::Report;
use crate::report::finding::one_line;
use crate::setup::{Chosen, Setup};
use crate::snapshot::Snapshot;
use crate::stages;
use crate::{say, vault};

pub(crate) mod account;
mod instance;
mod network;
mod orphans;
pub mod server;
pub mod site;
pub mod sweep;

use server::Scratch;

/// The prefix of the names of all scratch directories.
const PREFIX: &str = "restore-drill-";

/// A private server on this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

impl Place for Local {
    fn carry_out<'a>(&'a self, drill: &'a mut Drill<'_>, chosen: &'a Chosen) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let plan = &drill.setup.plan;
            if drill.setup.tenant.is_none() {
                return instance::carry_out(drill, chosen).await;
            }
            let dir = plan.scratch_dir.join(format!("{PREFIX}{}", drill.report.drill));
            let provision = Provision { setup: drill.setup, dir: &dir, snapshot: &chosen.snapshot };
            let Some(scratch) = drill.stage(provision).await else { return };
            stages::inside(drill, scratch.room(), chosen).await;
            let keep = plan.keep;
            drill.stage(TearDown { scratch, dir, keep }).await;
        })
    }
}

/// Makes the room, with the snapshot's version of PostgreSQL.
struct Provision<'a> {
    setup: &'a Setup,
    dir: &'a Path,
    snapshot: &'a Snapshot,
}

impl Stage for Provision<'_> {
    const NAME: &'static str = PROVISION;
    const STOP: Stop = Stop::ByItself;
    type Output = Scratch;

    async fn run(self, _: &mut Report) -> Result<(Scratch, String)> {
        let Provision { setup, dir, snapshot } = self;
        let (tools, secrets) = prepare(setup, snapshot).await?;
        let scratch = Scratch::start(dir, &tools.dir, &secrets).await?;
        let (major, network) = (snapshot.postgres_major, scratch.network());
        let note = format!("PostgreSQL {major} in {}, {network}", dir.display());
        Ok((scratch, note))
    }
}

/// Removes what killed drills left; the programs of the snapshot's version, and the files with secrets.
async fn prepare(setup: &Setup, snapshot: &Snapshot) -> Result<(Tools, Vec<PathBuf>)> {
    let plan = &setup.plan;
    for left in sweep::sweep(&plan.scratch_dir, PREFIX).await? {
        match left {
            Ok(dir) => say::line(&format!("  removed {}, which a killed drill had left", dir.display())),
            Err(e) => say::line(&format!("  cannot remove what a killed drill left: {}", one_line(&e))),
        }
    }
    let where_to_look =
        PostgresOptions { bin_dir: plan.postgres_bin_dir.clone(), ..PostgresOptions::default() };
    let tools = Tools::server(&where_to_look, snapshot.postgres_major).await?;
    Ok((tools, [vault::secrets(&plan.config), setup.identities.clone()].concat()))
}

/// Removes the room; restored data that stays breaks the drill's own promise.
struct TearDown {
    scratch: Scratch,
    dir: PathBuf,
    keep: bool,
}

impl Stage for TearDown {
    const NAME: &'static str = TEAR_DOWN;
    const STOP: Stop = Stop::Never;
    const IN_RTO: bool = false;
    const ERROR_FAILS: bool = true;
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let TearDown { scratch, dir, keep } = self;
        if keep {
            report.kept = Some(dir.display().to_string());
        }
        scratch.tear_down(keep).await?;
        let note = match keep {
            true => format!("server stopped; {} kept, as requested", dir.display()),
            false => "server stopped, restored data removed".to_owned(),
        };
        Ok(((), note))
    }
}
