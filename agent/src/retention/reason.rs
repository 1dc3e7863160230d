//! Why something stays, in words for a person.

use serde::Serialize;

use super::rule::Period;
use crate::names::{ReleaseId, SnapshotId};

/// Why a snapshot, a batch or WAL stays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It holds moments of the recovery window.
    Window,
    /// The recovery window begins with it.
    WindowStart,
    /// It is the first of a period: `daily 2026-11-20`.
    First(#[serde(serialize_with = "word")] Period),
    /// It is the newest of its kind.
    Newest,
    /// It takes part in going back to this release.
    Release(ReleaseId),
    /// Somebody holds it; the name of the hold.
    Hold(String),
    /// It was the last good one before this backup, which is suspicious.
    GoodBefore(SnapshotId),
    /// Another one that stays cannot be restored without it.
    NeededBy(SnapshotId),
    /// It is younger than the grace.
    Young,
    /// Its tenant has no class, or no class is configured.
    NoClass,
    /// It is not known whether it is needed, and why.
    Unknown(String),
}

fn word<S: serde::Serializer>(period: &Period, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(period.word())
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Window => f.write_str("in the recovery window"),
            Reason::WindowStart => f.write_str("start of the recovery window"),
            Reason::First(period) => f.write_str(period.word()),
            Reason::Newest => f.write_str("newest"),
            Reason::Release(release) => write!(f, "release {release}"),
            Reason::Hold(name) => write!(f, "hold {name}"),
            Reason::GoodBefore(id) => write!(f, "last good before {id}"),
            Reason::NeededBy(id) => write!(f, "needed by {id}"),
            Reason::Young => f.write_str("younger than expire.grace"),
            Reason::NoClass => f.write_str("no recovery class"),
            Reason::Unknown(why) => write!(f, "not known: {why}"),
        }
    }
}
