//! Reports of restore drills as stored objects: the part of `report.json` that is checked without
//! understanding the rest. One signature, over `report.json`; every other file of the drill is covered by its
//! digest in `report.json`.
//!
//! Since version 3, `report.json` is an in-toto Statement, and the report is its predicate. Older ones are
//! the bare report; [`read`] reads both.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::archive::evidence::statement::{Statement, Subject, TYPE};
use crate::archive::manifest::Object;
use crate::error::{Error, Kind, Result};
use crate::names::InstanceName;

/// The type of the predicate: the report of a restore drill.
pub const PREDICATE_TYPE: &str = "https://lifeboat-backup.org/evidence/restore-drill/v1";

/// The report for programs; it is what is signed, and it is written last.
pub const JSON: &str = "report.json";
/// Its signature, as `ssh-keygen -Y verify -n lifeboat` reads it.
pub const SIGNATURE: &str = "report.json.sig";
/// The report for people.
pub const MARKDOWN: &str = "report.md";
/// The report as one page for a browser or a printer.
pub const HTML: &str = "report.html";
/// The report for programs that show test results.
pub const JUNIT: &str = "junit.xml";
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

/// The bytes of `report.json`. `subject` is what was drilled; in-toto wants at least one.
///
/// # Errors
/// `Internal` where it cannot be written as JSON.
pub fn write(subject: Vec<Subject>, report: &impl Serialize) -> Result<Vec<u8>> {
    let (kind, predicate_type) = (TYPE.to_owned(), PREDICATE_TYPE.to_owned());
    let statement = Statement { kind, subject, predicate_type, predicate: report };
    let mut json = serde_json::to_vec_pretty(&statement)
        .map_err(|e| Error::new(Kind::Internal, "cannot write the report as JSON").because(e))?;
    json.push(b'\n');
    Ok(json)
}

/// The report in the bytes of a `report.json` of any version, as far as `T` asks for it.
///
/// # Errors
/// `Integrity` where it is a Statement of another kind, or no report.
pub fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "_type")]
        kind: Option<String>,
        #[serde(rename = "predicateType")]
        predicate_type: Option<String>,
    }
    let bad = |why: String| Error::new(Kind::Integrity, "it is not the report of a drill").because(why);
    let head: Head = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
    let Some(kind) = head.kind else {
        return serde_json::from_slice(json).map_err(|e| bad(e.to_string()));
    };
    let predicate = head.predicate_type.unwrap_or_default();
    if (kind.as_str(), predicate.as_str()) != (TYPE, PREDICATE_TYPE) {
        return Err(bad(format!("it is a {kind:.100} of type {predicate:.100}")));
    }
    let statement: Statement<T> = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
    Ok(statement.predicate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_bare_as_of_old_and_as_the_predicate_of_its_statement() {
        let drill = |json: &[u8]| read::<Envelope>(json).map(|envelope| envelope.drill).map_err(|e| e.kind());
        let bare = serde_json::json!({ "drill": "one", "verdict": "passed" });
        assert_eq!(drill(&serde_json::to_vec(&bare).unwrap()), Ok("one".to_owned()));
        let subject = Subject::sha256("plan", &crate::archive::digest::Sha256::of(b""));
        let json = write(vec![subject], &bare).unwrap();
        assert_eq!(drill(&json), Ok("one".to_owned()));
        let other = String::from_utf8(json).unwrap().replace(PREDICATE_TYPE, "https://example.com/other");
        assert_eq!(drill(other.as_bytes()), Err(Kind::Integrity));
        assert_eq!(drill(b"{}"), Err(Kind::Integrity));
        assert_eq!(drill(b"\"drill\""), Err(Kind::Integrity));
    }
}
