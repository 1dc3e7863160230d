//! Reports of restore drills as stored objects: the part of `report.json` that is checked without
//! understanding the rest. One signature, over `report.json`; every other file of the drill is covered by its
//! digest in `report.json`.

use serde::{Deserialize, Serialize};

use crate::archive::manifest::Object;
use crate::names::InstanceName;

/// The report for programs; it is what is signed, and it is written last.
pub const JSON: &str = "report.json";
/// Its signature, as `ssh-keygen -Y verify -n lifeboat` reads it.
pub const SIGNATURE: &str = "report.json.sig";
/// The report for people.
pub const MARKDOWN: &str = "report.md";
/// Largest file of a report that is read.
pub const BYTES_MAX: u64 = 64 << 20;

/// Where a report belongs, and which files belong to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The repository's id; absent where it could not be opened.
    pub repository: Option<String>,
    /// The instance; absent in the same case.
    pub instance: Option<InstanceName>,
    /// Whether a signature belongs to it: so a removed one is noticed.
    pub signed: bool,
    /// The other files of the drill, without its signature.
    pub files: Vec<Object>,
}

/// What every `report.json` says about itself.
#[derive(Clone, Debug, Deserialize)]
pub struct Envelope {
    /// The drill's name, as in its key.
    pub drill: String,
    /// Absent in reports older than this field.
    #[serde(default)]
    pub stored: Option<Stored>,
}
