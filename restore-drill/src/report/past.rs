//! Earlier drills, as far as a later report needs them.

use lifeboat::archive::digest::Sha256;
use lifeboat::clock::Timestamp;
use lifeboat::disk;
use lifeboat::names::TenantName;
use serde::{Deserialize, Serialize};

use super::finding::Coverage;
use super::verdict::{Measure, Verdict};

/// A drill in one line. It is a part of every report, so it is read from one, too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// Its name.
    pub drill: String,
    /// The tenant that was restored; absent if it was the whole instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantName>,
    /// When it ended (UTC).
    pub ended: Timestamp,
    /// The result.
    pub verdict: Verdict,
    /// Data loss.
    pub rpo: Measure,
    /// Time to recover.
    pub rto: Measure,
    /// How much was exercised; absent in old reports.
    #[serde(default)]
    pub coverage: Option<Coverage>,
}

impl Past {
    /// What was restored, in a word.
    pub fn whose(&self) -> &str {
        self.tenant.as_ref().map_or(WHOLE, TenantName::as_str)
    }
}

/// What lists call a drill of a whole instance: no tenant has such a name.
pub const WHOLE: &str = "(instance)";

/// The report before this one: so none of them can be taken away, or exchanged, unnoticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Its drill.
    pub drill: String,
    /// SHA-256 of its `report.json` as stored.
    pub sha256: Sha256,
}

/// The user and the host of this process: `postgres@restore-1`.
pub fn this_user() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let name = disk::user_name(uid).ok().flatten().unwrap_or_else(|| format!("uid {uid}"));
    format!("{name}@{}", rustix::system::uname().nodename().to_string_lossy())
}
