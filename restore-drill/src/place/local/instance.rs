//! A drill of a whole instance on this machine: `lifeboat restore --instance-to` restores into an empty data
//! directory ([`super::site`]).

use std::path::{Path, PathBuf};

use lifeboat::error::Result;

use super::site::Site;
use super::{PREFIX, prepare};
use crate::drill::stage::{Drill, PROVISION, Stage, Stop, TEAR_DOWN};
use crate::report::Report;
use crate::setup::{Chosen, Setup};
use crate::snapshot::Snapshot;
use crate::stages::instance::inside;
use crate::vault;

/// Provisions, has the stages run inside, and tears down.
pub(super) async fn carry_out(drill: &mut Drill<'_>, chosen: &Chosen) {
    let plan = &drill.setup.plan;
    let dir = plan.scratch_dir.join(format!("{PREFIX}{}", drill.report.drill));
    let provision = Provision { setup: drill.setup, dir: &dir, snapshot: &chosen.snapshot };
    let Some(mut site) = drill.stage(provision).await else { return };
    inside(drill, &mut site, chosen).await;
    drill.stage(TearDown { site, dir, keep: plan.keep }).await;
}

/// Makes the empty data directory.
struct Provision<'a> {
    setup: &'a Setup,
    dir: &'a Path,
    snapshot: &'a Snapshot,
}

impl Stage for Provision<'_> {
    const NAME: &'static str = PROVISION;
    const STOP: Stop = Stop::ByItself;
    type Output = Site;

    async fn run(self, _: &mut Report) -> Result<(Site, String)> {
        let Provision { setup, dir, snapshot } = self;
        let (tools, secrets) = prepare(setup, snapshot).await?;
        // Production's backups connect as this role; the restore falls back to the usual superuser.
        let role = vault::load(&setup.plan.config)?.postgres.user;
        let site = Site::make(dir, &tools.dir, (&secrets, role))?;
        Ok((
            site,
            format!(
                "an empty data directory for PostgreSQL {} in {}",
                snapshot.postgres_major,
                dir.display()
            ),
        ))
    }
}

/// Removes the site; restored data that stays breaks the drill's own promise.
struct TearDown {
    site: Site,
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
        let TearDown { site, dir, keep } = self;
        if keep {
            report.kept = Some(dir.display().to_string());
        }
        site.tear_down(keep).await?;
        let note = match keep {
            true => format!("server stopped; {} kept, as requested", dir.display()),
            false => "server stopped, restored data removed".to_owned(),
        };
        Ok(((), note))
    }
}
