//! What `restore-drill rehearse` prints for `lifeboat checkpoint --rehearse`: one JSON object, small and
//! stable, so that the two programs share no more than this.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::names::{Lsn, SnapshotId, TenantName};

/// The name of this document.
pub const SCHEMA: &str = "lifeboat-rehearsal";
/// Its version: it changes if a key changes its meaning or is removed.
pub const SCHEMA_VERSION: u32 = 1;
/// Most bytes that are read of it.
pub const BYTES_MAX: usize = 1 << 20;
/// Most reasons that are listed, and most failed checks.
pub const LISTED_MAX: usize = 100;
/// Most characters of a reason.
const REASON_CHARS_MAX: usize = 500;

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Source {
    /// A point in the WAL, from a base backup.
    Point {
        /// Where recovery ended.
        lsn: Lsn,
        /// On which timeline.
        timeline: u32,
    },
    /// A dump.
    Dump {
        /// Which.
        snapshot: SnapshotId,
    },
}

/// The result of a rehearsal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rehearsed {
    /// [`SCHEMA`].
    pub schema: String,
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The tenant that was restored.
    pub tenant: TenantName,
    /// From what, as the call said it.
    pub source: Source,
    /// `passed`, `failed`, `missed-objective` or `could-not-run`, as a drill says it.
    pub verdict: String,
    /// Why, worst first; empty if it passed. At most [`LISTED_MAX`].
    pub reasons: Vec<String>,
    /// How long the restore took; absent if it did not end.
    pub restore_seconds: Option<f64>,
    /// How long all checks took; absent if they did not end.
    pub check_seconds: Option<f64>,
    /// Checks that ran to their end.
    pub checks: u64,
    /// Checks that failed, by name. At most [`LISTED_MAX`].
    pub failed: Vec<String>,
    /// The size of the restored database.
    pub database_bytes: u64,
    /// The size of the restored files that its rows name.
    pub file_bytes: u64,
}

impl Rehearsed {
    /// The document, at most [`BYTES_MAX`]: what is listed is cut.
    ///
    /// # Errors
    /// `Internal`, which is a bug.
    pub fn to_json(mut self) -> Result<String> {
        self.reasons.truncate(LISTED_MAX);
        self.failed.truncate(LISTED_MAX);
        for reason in &mut self.reasons {
            *reason = reason.chars().take(REASON_CHARS_MAX).collect();
        }
        let text = serde_json::to_string_pretty(&self);
        text.map_err(|e| Error::new(Kind::Internal, "cannot write the result of a rehearsal").because(e))
    }

    /// Reads the document.
    ///
    /// # Errors
    /// `Integrity` if it is not one, has another version, or contradicts itself.
    pub fn from_json(text: &str) -> Result<Rehearsed> {
        let wrong = || Error::new(Kind::Integrity, "the result of the rehearsal cannot be read");
        let read: Rehearsed = serde_json::from_str(text).map_err(|e| wrong().because(e))?;
        let known = (read.schema.as_str(), read.schema_version) == (SCHEMA, SCHEMA_VERSION);
        let seconds = [read.restore_seconds, read.check_seconds];
        let counts = seconds.iter().flatten().all(|seconds| seconds.is_finite() && *seconds >= 0.0);
        let passed = read.verdict == "passed";
        let whole = seconds.iter().all(Option::is_some) && read.checks > 0;
        let clean = read.failed.is_empty() && read.reasons.is_empty();
        match (known, counts, !passed || (whole && clean)) {
            (true, true, true) => Ok(read),
            (false, ..) => Err(wrong().because(format!("it is {} {}", read.schema, read.schema_version))),
            (_, false, _) => Err(wrong().because("a time in it is no time")),
            (.., false) => {
                Err(wrong().because("it says that it passed, and that something is missing or wrong"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed() -> Rehearsed {
        Rehearsed {
            schema: SCHEMA.into(),
            schema_version: SCHEMA_VERSION,
            tenant: "shop".parse().unwrap(),
            source: Source::Point { lsn: Lsn(16), timeline: 1 },
            verdict: "passed".into(),
            reasons: Vec::new(),
            restore_seconds: Some(1.5),
            check_seconds: Some(0.5),
            checks: 7,
            failed: Vec::new(),
            database_bytes: 8,
            file_bytes: 9,
        }
    }

    #[test]
    fn it_round_trips_and_its_lists_are_bounded() {
        let one = passed();
        assert_eq!(Rehearsed::from_json(&one.clone().to_json().unwrap()).unwrap(), one);
        let long = Rehearsed {
            verdict: "failed".into(),
            reasons: vec!["é".repeat(10_000); 1_000],
            failed: vec!["x".repeat(32); 10_000],
            ..one
        };
        let text = long.to_json().unwrap();
        assert!(text.len() < BYTES_MAX, "{}", text.len());
        assert_eq!(Rehearsed::from_json(&text).unwrap().failed.len(), LISTED_MAX);
    }

    #[test]
    fn what_contradicts_itself_is_not_read() {
        let change = |change: fn(&mut Rehearsed)| {
            let mut one = passed();
            change(&mut one);
            Rehearsed::from_json(&one.to_json().unwrap())
        };
        assert!(change(|_| {}).is_ok());
        assert!(change(|one| one.schema_version = 2).is_err());
        assert!(change(|one| one.schema = "other".into()).is_err());
        assert!(change(|one| one.restore_seconds = Some(-1.0)).is_err());
        assert!(change(|one| one.restore_seconds = None).is_err());
        assert!(change(|one| one.check_seconds = None).is_err());
        assert!(change(|one| one.checks = 0).is_err());
        assert!(change(|one| one.failed.push("ACC01".into())).is_err());
        assert!(change(|one| one.reasons.push("why".into())).is_err());
        for nonsense in ["", "{}", "[]", "nonsense", "{\"schema\": \"lifeboat-rehearsal\"}"] {
            assert_eq!(Rehearsed::from_json(nonsense).unwrap_err().kind(), Kind::Integrity, "{nonsense}");
        }
    }
}
