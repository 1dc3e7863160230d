//! What the pods of a drill are told, and what they answer: JSON, in a ConfigMap and at the end of a log.

use std::time::Duration;

use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::TenantName;
use serde::{Deserialize, Serialize};

use crate::plan::accept::Acceptance;
use crate::plan::odoo::OdooPlan;
use crate::report::finding::shortened;
use crate::report::{Report, SCHEMA_VERSION};
use crate::setup::{Chosen, OlderDump};
use crate::snapshot::Snapshot;

/// The directory of [`FILE`] in a pod.
pub const DIR: &str = "/drill/order";
/// An [`Order`].
pub const FILE: &str = "order.json";
/// The directory of [`CONFIG`], the identities and the credentials, in the pod that restores.
pub const SECRET_DIR: &str = "/drill/secret";
/// The configuration of the pod that restores.
pub const CONFIG: &str = "lifeboat.toml";
/// The volume that both pods share, one after the other.
pub const WORK_DIR: &str = "/drill/work";
/// Stands before a report in a log.
const MARK: &str = "restore-drill-report: ";
const WORDS_CHARS_MAX: usize = 400;

/// What a drill's pods need to know of it. No secret is in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The drill.
    pub drill: String,
    /// The tenant.
    pub tenant: TenantName,
    /// What is restored.
    pub snapshot: Snapshot,
    /// The dumps before it, the oldest first.
    pub older: Vec<OlderDump>,
    /// What the plan accepts.
    pub accepted: Vec<Acceptance>,
    /// The time limit of one check.
    pub check_timeout: Duration,
    /// PostgreSQL's programs in the image; if `None`, they are searched for.
    pub postgres_bin_dir: Option<std::path::PathBuf>,
    /// The Odoo in the image.
    pub odoo: Option<OdooPlan>,
    /// Own checks: the end of each file's name, and its text.
    pub checks: Vec<(String, String)>,
    /// `host:port` that the pod that proves must not reach.
    pub closed_to: Vec<String>,
}

impl Order {
    /// The state that was chosen, as far as it matters inside.
    pub fn chosen(&self) -> Chosen {
        Chosen { older: self.older.clone(), ..Chosen::of(self.snapshot.clone()) }
    }
}

/// The last line of a pod's log.
///
/// # Errors
/// `Internal` if a report is no JSON.
pub fn answer(report: &Report) -> Result<String> {
    let json = serde_json::to_string(report)
        .map_err(|e| Error::new(Kind::Internal, "cannot write the report of a pod").because(e))?;
    Ok(format!("{MARK}{json}\n"))
}

/// The report in a pod's log, if it is of this drill.
///
/// # Errors
/// `Refused` if there is none, or one of another version of the program.
pub fn report_in(log: &str, drill: &str) -> Result<Report> {
    let Some(json) = log.lines().rev().find_map(|line| line.strip_prefix(MARK)) else {
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(4)..].join(" | ");
        return Err(Error::new(Kind::Refused, "the pod ended without a report")
            .because(shortened(&format!("its log ends with: {last}"), WORDS_CHARS_MAX)));
    };
    let other = |why: String| {
        Error::new(Kind::Refused, "the image has another version of restore-drill")
            .because(why)
            .next("set kubernetes.image in the plan to the image of the version that runs the drill")
    };
    let report: Report = serde_json::from_str(json).map_err(|e| other(e.to_string()))?;
    match report.schema_version == SCHEMA_VERSION && report.drill == drill {
        true => Ok(report),
        false => Err(other(format!("{} wrote the report of {}", report.written_by, report.drill))),
    }
}
