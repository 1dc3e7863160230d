//! The store's legal holds: a version that a hold keeps has one until no hold keeps it. Beside its lock,
//! which ends by itself if nobody makes it longer.
//!
//! **In doubt a legal hold stays.** It is lifted only from what is known, and known to be kept by no hold.
//! What somebody deleted without a tombstone is not known: a hold may keep it, and its old version is all
//! that is left of it. And what was set is read back: several servers answer "done" and forget.

use crate::error::{Error, Kind, Result};
use crate::repository::Repository;
use crate::store::versions::VersionId;

const RIGHTS: &str =
    "s3:GetObjectLegalHold or s3:PutObjectLegalHold may be missing (deploy/s3/expire-policy.json)";

/// What a run does about legal holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldWork {
    /// No hold was ever stored here: no version is asked for one.
    Nothing,
    /// Sets them, and lifts none, and why: something that a hold may keep is not known.
    Set(String),
    /// Sets and lifts them.
    SetAndLift,
}

/// What was done about legal holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegalHolds {
    /// Versions that got one.
    pub set: u64,
    /// Versions from which it was lifted.
    pub lifted: u64,
    /// How many could not be lifted.
    pub not_lifted: u64,
    /// Why none could be lifted, where something that a hold may keep is not known.
    pub in_doubt: Option<String>,
}

/// What was found of one version.
pub(super) enum HoldFound {
    /// It is as it should be, or the version is gone.
    Fine,
    Set,
    Lifted,
    /// It has none, although a hold keeps it, and why.
    NotSet(Error),
    /// It may have one, although no hold keeps it, and why.
    NotLifted(Error),
    /// The store has no legal holds at all.
    Unsupported(Error),
}

impl Repository {
    /// Lets a version have a legal hold, or none, and reads it back.
    pub(super) async fn keep_legal_hold(&self, key: &str, id: &VersionId, wanted: bool) -> HoldFound {
        match (self.changed(key, id, wanted).await, wanted) {
            (Ok(false), _) => HoldFound::Fine,
            (Ok(true), true) => HoldFound::Set,
            (Ok(true), false) => HoldFound::Lifted,
            (Err(e), true) if e.kind() == Kind::Config => HoldFound::Unsupported(
                e.context("the store has no legal holds, so nothing that is held gets one"),
            ),
            // Nothing to lift.
            (Err(e), false) if e.kind() == Kind::Config => HoldFound::Fine,
            (Err(e), true) => HoldFound::NotSet(explained(e, "it is held, and has no legal hold")),
            (Err(e), false) => {
                let what = "no hold keeps it, and whether it has a legal hold is not known";
                HoldFound::NotLifted(explained(e, what))
            }
        }
    }

    /// Whether it had to be changed. A version that is gone need not be: a rule of the bucket may remove it
    /// at any time.
    async fn changed(&self, key: &str, id: &VersionId, wanted: bool) -> Result<bool> {
        let store = self.store();
        match store.legal_hold(key, id).await {
            Ok(is_on) if is_on == wanted => return Ok(false),
            Ok(_) => {}
            Err(e) if e.kind() == Kind::NotFound && !wanted => return Ok(false),
            // A server that does not know the question answers the same: setting it shows which.
            Err(e) if e.kind() == Kind::NotFound => {}
            Err(e) => return Err(e),
        }
        match store.set_legal_hold(key, id, wanted).await {
            Ok(()) => {}
            Err(e) if e.kind() == Kind::NotFound => return Ok(false),
            Err(e) => return Err(e),
        }
        match store.legal_hold(key, id).await? == wanted {
            true => Ok(true),
            false => {
                let word = if wanted { "set" } else { "lifted" };
                let what =
                    format!("the legal hold of {key} was {word}, but is not {word} when it is read back");
                Err(Error::new(Kind::Integrity, what))
            }
        }
    }
}

fn explained(error: Error, what: &str) -> Error {
    match error.kind() {
        Kind::Denied => error.context(format!("{what}; {RIGHTS}")),
        _ => error.context(what),
    }
}
