//! Holds as stored records: what must stay whatever the rules of retention say, for which reason, and who
//! said so.
//!
//! A record has no time of its own. The time of its object, by the store's clock, is the time that counts.
//! Therefore the same hold always has the same bytes: adding one that was interrupted completes it.

use serde::{Deserialize, Serialize};

use crate::archive::digest::Sha256;
use crate::archive::manifest::{FORMAT, Origin};
use crate::clock::Timestamp;
use crate::error::shown::is_control;
use crate::error::{Error, Kind, Result};
use crate::names::{HoldName, ReleaseId, SnapshotId, TenantName};

/// The record of a hold.
pub const HOLD: &str = "hold.json";
/// Its signature, stored just before it.
pub const HOLD_SIGNATURE: &str = "hold.json.sig";
/// The record of a hold's removal. The hold stays as it is.
pub const REMOVED: &str = "removed.json";
/// Its signature, stored just before it.
pub const REMOVED_SIGNATURE: &str = "removed.json.sig";
/// Largest record that is read.
pub const BYTES_MAX: u64 = 64 << 10;
/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 1_000;
/// Longest name of a person, in characters.
const BY_CHARS_MAX: usize = 200;

/// What is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// A snapshot, with all that it needs.
    Snapshot(SnapshotId),
    /// The checkpoint of a release, with all that it takes to go back to it.
    Release(ReleaseId),
    /// All dumps and filestores of a tenant, and the batches of files since the first of them. No base
    /// backups and no WAL.
    Tenant(TenantName),
    /// Every moment from the first to the second.
    Span(Timestamp, Timestamp),
}

impl Held {
    /// Whether it can hold anything: a span begins before it ends.
    fn fits(&self) -> bool {
        !matches!(self, Held::Span(from, to) if from >= to)
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Held::Snapshot(id) => write!(f, "snapshot {id}"),
            Held::Release(release) => write!(f, "release {release}"),
            Held::Tenant(tenant) => write!(f, "tenant {tenant}"),
            Held::Span(from, to) => write!(f, "every moment from {from} to {to}"),
        }
    }
}

/// `hold.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRecord {
    /// Version of the archive format.
    pub format: u32,
    /// The repository and instance that it belongs to.
    pub origin: Origin,
    /// The hold's own name, as in its key.
    pub name: HoldName,
    /// What it holds.
    pub held: Held,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
}

/// `removed.json`: this hold, with exactly these bytes, no longer holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalRecord {
    /// Version of the archive format.
    pub format: u32,
    /// The repository and instance that it belongs to.
    pub origin: Origin,
    /// The hold's name, as in its key.
    pub name: HoldName,
    /// Digest of the hold's record.
    pub hold_sha256: Sha256,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
}

impl HoldRecord {
    /// A hold of this repository and instance.
    ///
    /// # Errors
    /// `Usage` where the span has no length, or reason or person are empty, too long or not one line.
    pub fn new(origin: Origin, name: HoldName, held: Held, (reason, by): (&str, &str)) -> Result<HoldRecord> {
        if !held.fits() {
            return Err(Error::new(Kind::Usage, format!("{held}: the first time must be before the second"))
                .effect("nothing was stored"));
        }
        let (reason, by) = said(reason, by)?;
        Ok(HoldRecord { format: FORMAT, origin, name, held, reason, by })
    }

    /// The bytes that are signed and stored.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        to_bytes(self)
    }

    /// Reads a record whose signature was checked, and checks that it is that of hold `name` of this
    /// repository and instance.
    ///
    /// # Errors
    /// `Integrity` where it is another one, or cannot be read; `Repository` where it has another format.
    pub fn parse(name: &HoldName, origin: &Origin, bytes: &[u8]) -> Result<HoldRecord> {
        let record: HoldRecord = parse(HOLD, name, bytes)?;
        belongs(HOLD, name, origin, (&record.name, &record.origin))?;
        if !record.held.fits() {
            return Err(Error::new(
                Kind::Integrity,
                format!("{HOLD} of hold {name}: its span has no length"),
            ));
        }
        Ok(record)
    }
}

impl RemovalRecord {
    /// The removal of a hold whose record has the digest `hold_sha256`.
    ///
    /// # Errors
    /// `Usage` where reason or person are empty, too long or not one line.
    pub fn new(hold: &HoldRecord, hold_sha256: Sha256, (reason, by): (&str, &str)) -> Result<RemovalRecord> {
        let (reason, by) = said(reason, by)?;
        let (origin, name) = (hold.origin.clone(), hold.name.clone());
        Ok(RemovalRecord { format: FORMAT, origin, name, hold_sha256, reason, by })
    }

    /// The bytes that are signed and stored.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        to_bytes(self)
    }

    /// Reads a record whose signature was checked, and checks that it removes the hold `name` of this
    /// repository and instance, whose record has the digest `hold_sha256`.
    ///
    /// # Errors
    /// As [`HoldRecord::parse`].
    pub fn parse(
        name: &HoldName,
        origin: &Origin,
        hold_sha256: Sha256,
        bytes: &[u8],
    ) -> Result<RemovalRecord> {
        let record: RemovalRecord = parse(REMOVED, name, bytes)?;
        belongs(REMOVED, name, origin, (&record.name, &record.origin))?;
        if record.hold_sha256 != hold_sha256 {
            let what = format!("{REMOVED} of hold {name} removes another hold, which had the same name");
            return Err(Error::new(Kind::Integrity, what));
        }
        Ok(record)
    }
}

/// Reason and person, as they are recorded.
fn said(reason: &str, by: &str) -> Result<(String, String)> {
    for (what, text, most) in [("--reason", reason, REASON_CHARS_MAX), ("--by", by, BY_CHARS_MAX)] {
        let why = match text.trim() {
            "" => "is empty".to_owned(),
            text if text.chars().count() > most => format!("is longer than {most} characters"),
            text if text.chars().any(|c| c.is_control() || is_control(c)) => {
                "contains a line end, or a character that hides or turns text".to_owned()
            }
            _ => continue,
        };
        return Err(Error::new(Kind::Usage, format!("{what} {why}")).effect("nothing was stored"));
    }
    Ok((reason.trim().to_owned(), by.trim().to_owned()))
}

fn to_bytes(record: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(record)
        .map_err(|e| Error::new(Kind::Internal, "cannot write the record of a hold").because(e))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn parse<T: serde::de::DeserializeOwned>(object: &str, name: &HoldName, bytes: &[u8]) -> Result<T> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let bad = |e| Error::new(Kind::Integrity, format!("{object} of hold {name} cannot be read")).because(e);
    let Format { format } = serde_json::from_slice(bytes).map_err(bad)?;
    if format != FORMAT {
        let what = format!("{object} of hold {name} has format {format}; this program reads format {FORMAT}");
        return Err(Error::new(Kind::Repository, what)
            .next("use a Lifeboat at least as new as the one that wrote it"));
    }
    serde_json::from_slice(bytes).map_err(bad)
}

/// A record that was copied from another hold, instance or repository is refused.
fn belongs(object: &str, name: &HoldName, origin: &Origin, of: (&HoldName, &Origin)) -> Result<()> {
    let (found, from) = of;
    let what = if from.repository != origin.repository {
        format!("{object} of hold {name} is of another repository, {}", from.repository)
    } else if from.instance != origin.instance {
        format!("{object} of hold {name} is of another instance, {}", from.instance)
    } else if from != origin {
        format!(
            "{object} of hold {name} does not fit lifeboat.json or instance.json: one of them was altered"
        )
    } else if found != name {
        format!("{object} of hold {name} is of another hold, {found}")
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Integrity, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What format 1 looks like: it must be readable for ever.
    const STORED: &str = r#"{
  "format": 1,
  "origin": {
    "repository": "0123456789abcdef0123456789abcdef",
    "repository_sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "instance": "prod",
    "instance_sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
  },
  "name": "case-114",
  "held": {
    "span": [
      "2026-01-01T00:00:00Z",
      "2026-02-01T00:00:00Z"
    ]
  },
  "reason": "tax audit",
  "by": "anna"
}
"#;

    fn origin() -> Origin {
        let empty = Sha256::of(b"");
        Origin {
            repository: "0123456789abcdef0123456789abcdef".to_owned(),
            repository_sha256: empty,
            instance: "prod".parse().unwrap(),
            instance_sha256: empty,
        }
    }

    fn span(from: &str, to: &str) -> Held {
        Held::Span(from.parse().unwrap(), to.parse().unwrap())
    }

    fn name() -> HoldName {
        "case-114".parse().unwrap()
    }

    #[test]
    fn the_stored_form_stays_and_unknown_fields_are_ignored() {
        let read = HoldRecord::parse(&name(), &origin(), STORED.as_bytes()).unwrap();
        let held = span("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
        assert_eq!(read, HoldRecord::new(origin(), name(), held, (" tax audit ", "anna")).unwrap());
        assert_eq!(String::from_utf8(read.to_bytes().unwrap()).unwrap(), STORED);
        let newer = STORED.replace("\"by\"", "\"court\": \"north\",\n  \"by\"");
        assert_eq!(HoldRecord::parse(&name(), &origin(), newer.as_bytes()).unwrap(), read);
        let all =
            [("snapshot", "20261120T015812Z-dump-4f3a9c1e"), ("release", "2026.11.20"), ("tenant", "shop")];
        for (word, value) in all {
            let stored = format!("{{\"{word}\":\"{value}\"}}");
            let held: Held = serde_json::from_str(&stored).unwrap();
            assert_eq!(held.to_string(), format!("{word} {value}"));
            assert_eq!(serde_json::to_string(&held).unwrap(), stored);
        }
    }

    #[test]
    fn a_record_of_another_place_or_form_is_refused() {
        let read = |text: String| HoldRecord::parse(&name(), &origin(), text.as_bytes()).unwrap_err();
        assert_eq!(read(STORED.replace("\"format\": 1", "\"format\": 2")).kind(), Kind::Repository);
        for (from, to, says) in [
            ("0123", "4567", "of another repository"),
            ("\"prod\"", "\"test\"", "of another instance, test"),
            ("e3b0", "e3b1", "one of them was altered"),
            ("case-114", "case-115", "of another hold, case-115"),
            ("\"span\"", "\"century\"", "cannot be read"),
            ("  \"reason\": \"tax audit\",\n", "", "cannot be read"),
            ("2026-02", "2025-02", "has no length"),
        ] {
            let error = read(STORED.replacen(from, to, 1));
            assert!(error.kind() == Kind::Integrity && error.what().contains(says), "{says}: {error}");
        }
    }

    #[test]
    fn a_removal_is_of_one_hold_with_one_content() {
        let hold = HoldRecord::parse(&name(), &origin(), STORED.as_bytes()).unwrap();
        let digest = Sha256::of(STORED.as_bytes());
        let removal = RemovalRecord::new(&hold, digest, ("closed", "ben")).unwrap();
        let bytes = removal.to_bytes().unwrap();
        assert_eq!(RemovalRecord::parse(&name(), &origin(), digest, &bytes).unwrap(), removal);
        let other = RemovalRecord::parse(&name(), &origin(), Sha256::of(b"other"), &bytes).unwrap_err();
        assert!(other.what().contains("removes another hold"), "{other}");
        let renamed = "case-115".parse().unwrap();
        assert!(RemovalRecord::parse(&renamed, &origin(), digest, &bytes).is_err());
    }

    #[test]
    fn reason_person_and_span_are_checked_before_they_are_stored() {
        let new = |held, reason: &str, by: &str| HoldRecord::new(origin(), name(), held, (reason, by));
        let held = || span("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
        assert!(new(span("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"), "r", "b").is_err());
        let long = "x".repeat(REASON_CHARS_MAX);
        assert!(new(held(), &long, "b").is_ok());
        for (reason, by) in [
            ("", "b"),
            ("r", " "),
            ("two\nlines", "b"),
            ("turned \u{202e}", "b"),
            (&format!("{long}x"), "b"),
            ("r", &"x".repeat(BY_CHARS_MAX + 1)),
        ] {
            assert_eq!(new(held(), reason, by).unwrap_err().kind(), Kind::Usage, "{reason:?} {by:?}");
        }
    }
}
