//! The plan of a restore as far as the repository alone tells it: from what, how much is read, what will be
//! missing.
//!
//! A plan is a value: it is made without an identity, a server or a directory, it can be printed, kept and
//! signed, and the same inventory always gives the same one. A restore binds it to a host (`recovery`): that
//! opens what is stored and looks at the server and the directories. It may refuse; it never chooses another
//! snapshot, target or timeline.

mod dump;
mod found;
mod lines;
mod point;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use dump::{DumpAsked, DumpPlan, HeldFiles, list_unread, pack_gone, why};
pub use found::Found;
pub use point::{PointAsked, PointPlan};

use crate::clock::Timestamp;
use crate::error::Result;
use crate::inventory::Inventory;

/// What to restore.
#[derive(Clone, Debug)]
pub enum Asked {
    /// A tenant, as one of its dumps has it.
    Dump(DumpAsked),
    /// The instance, or one tenant of it, at a point in time: from a base backup and WAL.
    Point(PointAsked),
}

/// From what it is restored.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Plan {
    /// A tenant from a dump.
    Dump(DumpPlan),
    /// The instance, or one tenant of it, at a point in time.
    Point(PointPlan),
}

/// The plan. `now` is only used for the age of what is restored.
///
/// # Errors
/// `NotFound` if nothing that is stored fits. `Refused` if the target cannot be reached, or if an identity or
/// a person has to decide. The store's error, if something that counts could not be read.
pub fn plan(inventory: &Inventory, asked: &Asked, now: Timestamp) -> Result<Plan> {
    match asked {
        Asked::Dump(asked) => DumpPlan::new(inventory, asked, now).map(Plan::Dump),
        Asked::Point(asked) => PointPlan::new(inventory, asked, now).map(Plan::Point),
    }
}
