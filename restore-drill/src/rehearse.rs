//! `restore-drill rehearse`: the drill that `lifeboat checkpoint --rehearse` starts before a release. It
//! restores one tenant to a point, or from a dump, that the checkpoint has just made, and checks it like
//! every drill. It stores nothing and keeps nothing: the checkpoint's evidence has the result.

use std::io::Read;
use std::path::{Path, PathBuf};

use lifeboat::archive::rehearsal::{LISTED_MAX, Rehearsed, SCHEMA, SCHEMA_VERSION, Source};
use lifeboat::config::Config;
use lifeboat::disk;
use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::TenantName;
use lifeboat::names::wal::TimelineId;
use lifeboat::odoo::counters::Counters;
use tokio_util::sync::CancellationToken;

use crate::catalogue::run::Status;
use crate::place::local::Local;
use crate::plan::target::Goal;
use crate::plan::{self, Plan};
use crate::report::Report;
use crate::report::finding::State;
use crate::report::verdict::Verdict;
use crate::setup::Setup;
use crate::stages::{files, indexes, restore};
use crate::vault::{self, Vault};
use crate::{catalogue, drill, say};

/// Largest document of counters that is read.
const COUNTERS_BYTES_MAX: u64 = 256 << 20;

/// What to rehearse.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// The tenant.
    pub tenant: TenantName,
    /// From what it is restored.
    pub source: Source,
    /// Plans of drills: the one of this tenant says which violations are known, and where to work.
    pub plans: Vec<PathBuf>,
    /// The configuration's file; empty for that of the environment.
    pub config: PathBuf,
    /// The identities; if empty, those of the configuration.
    pub identities: Vec<PathBuf>,
    /// The program that restores.
    pub program: PathBuf,
    /// The file with the counters of the point, to compare with.
    pub counters: Option<PathBuf>,
}

impl Rehearsal {
    /// The validated input of its drill. The plan of the tenant gives checks, known violations, the objective
    /// for the recovery time, and where to work; without one, the configuration gives the place.
    ///
    /// # Errors
    /// `Config` and others for a plan, a check or a configuration that is wrong.
    pub fn setup(&self) -> Result<Setup> {
        let plans = self.plans.iter().map(|file| plan::file::load(file)).collect::<Result<Vec<_>>>()?;
        let own = plans.into_iter().find(|plan| plan.covers(&self.tenant));
        let config = vault::load(&self.config)?;
        let mut plan = own.unwrap_or_else(|| of_config(&config, self));
        plan.config.clone_from(&self.config);
        plan.postgres_bin_dir = plan.postgres_bin_dir.or(config.postgres.bin_dir);
        (plan.goal, plan.rpo, plan.keep) = (Goal::NewestDump, None, false);
        plan.odoo = None; // a release does not wait for test transactions
        let catalogue = catalogue::load(plan.checks_extra_dir.as_deref())?;
        Ok(Setup {
            plan,
            tenant: Some(self.tenant.clone()),
            identities: self.identities.clone(),
            counters: self.counters.as_deref().map(read_counters).transpose()?.map(Box::new),
            catalogue,
            program: self.program.clone(),
        })
    }

    /// Runs it; always returns a result.
    pub async fn run(&self, setup: &Setup, cancel: &CancellationToken) -> (Rehearsed, Verdict) {
        let chosen = async {
            let vault = Vault::open(&setup.plan.config).await?;
            match &self.source {
                Source::Point { lsn, timeline } => {
                    vault.choose_lsn(&self.tenant, *lsn, TimelineId(*timeline)).await
                }
                Source::Dump { snapshot } => {
                    let goal = Goal::Dump(snapshot.clone());
                    let inventory = vault.look(&goal).await?;
                    vault.choose(&inventory, &self.tenant, &goal, None).await
                }
            }
        };
        let report = drill::run(setup, &Local, chosen, cancel).await;
        (of_report(&report, &self.tenant, self.source.clone()), report.verdict)
    }
}

fn read_counters(file: &Path) -> Result<Counters> {
    Counters::from_json(&disk::read(file, COUNTERS_BYTES_MAX)?)
}

fn of_config(config: &Config, rehearsal: &Rehearsal) -> Plan {
    let plan = Plan::of(rehearsal.config.clone(), rehearsal.tenant.clone().into());
    match &config.restore.work_dir {
        Some(dir) => Plan { scratch_dir: dir.clone(), ..plan },
        None => plan,
    }
}

/// What the checkpoint needs of the report.
fn of_report(report: &Report, tenant: &TenantName, source: Source) -> Rehearsed {
    let seconds = |names: &[&str]| {
        let done: Vec<u64> = report
            .stages
            .iter()
            .filter(|stage| names.contains(&stage.name.as_str()))
            .filter(|stage| matches!(stage.state, State::Done | State::Failed))
            .map(|stage| stage.ms)
            .collect();
        (done.len() == names.len()).then(|| done.iter().sum::<u64>() as f64 / 1000.0)
    };
    let ran = |status: Status| !matches!(status, Status::Skipped | Status::Error);
    let integrity = report.integrity.clone().unwrap_or_default();
    Rehearsed {
        schema: SCHEMA.to_owned(),
        schema_version: SCHEMA_VERSION,
        tenant: tenant.clone(),
        source,
        verdict: report.verdict.to_string(),
        reasons: report.reasons.iter().take(LISTED_MAX).cloned().collect(),
        restore_seconds: seconds(&["restore"]),
        check_seconds: match report.stages.iter().any(|stage| stage.name == "counters") {
            true => seconds(&["counters", "files", "indexes", "checks"]),
            false => seconds(&["files", "indexes", "checks"]),
        },
        checks: report.checks.iter().filter(|check| ran(check.status)).count() as u64,
        failed: failed(report),
        database_bytes: integrity.database_bytes,
        file_bytes: integrity.bytes,
    }
}

/// The names of what failed: checks by their IDs, and the parts of a drill that have none.
fn failed(report: &Report) -> Vec<String> {
    let failed = || report.findings.iter().filter(|finding| finding.state == State::Failed);
    let mut names: Vec<String> = failed().filter_map(|finding| finding.check.clone()).collect();
    let is_of = |parts: &[&str]| failed().any(|finding| parts.contains(&finding.part.as_str()));
    for (name, parts) in
        [("integrity", &[files::FILES, indexes::INDEXES][..]), ("baseline", &[restore::BASELINE])]
    {
        if is_of(parts) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Cancels when standard input ends: then whoever started the rehearsal is gone, and nobody waits for it. The
/// thread ends with the process.
///
/// # Errors
/// `Io` if the thread cannot be started.
pub fn stop_with_stdin(cancel: &CancellationToken) -> Result<()> {
    let cancel = cancel.clone();
    let watch = move || {
        let (mut input, mut piece) = (std::io::stdin().lock(), [0; 64]);
        while matches!(input.read(&mut piece), Ok(1..)) {}
        say::line("  stopping: standard input has ended; the scratch server is removed first");
        cancel.cancel();
    };
    let started = std::thread::Builder::new().name("stdin".to_owned()).spawn(watch);
    started.map(|_| ()).map_err(|e| {
        Error::new(Kind::Io, "cannot watch standard input").because(e).effect("nothing was done")
    })
}
