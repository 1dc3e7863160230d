//! The plan of a drill. [`file::load`] reads it, once, before anything is done.

use std::path::PathBuf;
use std::time::Duration;

use lifeboat::archive::digest::Sha256;
use lifeboat::config::Pattern;
use lifeboat::names::TenantName;

pub mod accept;
pub mod file;
pub mod kubernetes;
pub mod odoo;
mod source;
pub mod target;

use accept::Acceptance;
use kubernetes::KubePlan;
use odoo::OdooPlan;
use target::Goal;

const CHECK_TIMEOUT: Duration = Duration::from_secs(300);
/// Drills at a time: more would measure each other, not the restore.
const PARALLEL_MAX: usize = 2;
/// The default parent of scratch directories: /tmp is often small or in memory.
const SCRATCH_DIR: &str = "/var/tmp";

/// What to restore, which objectives to meet, and where to do it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The plan's own file, absolute.
    pub file: PathBuf,
    /// The digest of its content; `None` if there is no file.
    pub sha256: Option<Sha256>,
    /// Who approved the drill, for the report.
    pub approved_by: Option<String>,
    /// Who must act on findings, for the report.
    pub owner: Option<String>,
    /// In which time, for the report.
    pub due: Option<Duration>,
    /// The `lifeboat.toml` of a restore host: names the repository and the identity.
    pub config: PathBuf,
    /// The tenants, by name or pattern.
    pub tenants: Vec<Pattern>,
    /// Whether the whole instance is drilled, and not single tenants.
    pub instance: bool,
    /// How many of them a run drills; all if `None`.
    pub sample: Option<usize>,
    /// How many drills run at a time.
    pub parallel: usize,
    /// Which state of them.
    pub goal: Goal,
    /// What a random choice follows from; drawn if `None`.
    pub seed: Option<u64>,
    /// The objective for data loss; if `None`, it is only measured.
    pub rpo: Option<Duration>,
    /// The objective for the recovery time; if `None`, it is only measured.
    pub rto: Option<Duration>,
    /// A directory with own checks.
    pub checks_extra_dir: Option<PathBuf>,
    /// Known violations of hard checks; at most one entry per check.
    pub accepted: Vec<Acceptance>,
    /// The time limit of one check.
    pub check_timeout: Duration,
    /// The directory of `initdb` and `postgres`; searched for if `None`.
    pub postgres_bin_dir: Option<PathBuf>,
    /// The directory in which scratch directories are created.
    pub scratch_dir: PathBuf,
    /// Whether the scratch directory is kept, so that somebody can examine it.
    pub keep: bool,
    /// The Odoo of the tenant's release; if `None`, nothing is traded.
    pub odoo: Option<OdooPlan>,
    /// The cluster in which the drill runs; if `None`, it runs on this machine.
    pub kubernetes: Option<KubePlan>,
    /// The program `lifeboat`; if `None`, the one beside this program or on the PATH.
    pub lifeboat: Option<PathBuf>,
}

impl Plan {
    /// The plan with these two keys and the defaults of all others.
    pub fn of(config: PathBuf, tenant: Pattern) -> Plan {
        Plan {
            file: PathBuf::new(),
            sha256: None,
            approved_by: None,
            owner: None,
            due: None,
            config,
            tenants: vec![tenant],
            instance: false,
            sample: None,
            parallel: PARALLEL_MAX,
            goal: Goal::NewestDump,
            seed: None,
            rpo: None,
            rto: None,
            checks_extra_dir: None,
            accepted: Vec::new(),
            check_timeout: CHECK_TIMEOUT,
            postgres_bin_dir: None,
            scratch_dir: SCRATCH_DIR.into(),
            keep: false,
            odoo: None,
            kubernetes: None,
            lifeboat: None,
        }
    }

    /// Whether this tenant is one of the plan's.
    pub fn covers(&self, tenant: &TenantName) -> bool {
        self.tenants.iter().any(|pattern| pattern.covers(tenant))
    }

    /// The plan's only tenant, if it names one and no pattern.
    pub fn only_tenant(&self) -> Option<TenantName> {
        match self.tenants.as_slice() {
            [only] if !only.as_str().contains('*') => only.as_str().parse().ok(),
            _ => None,
        }
    }
}
