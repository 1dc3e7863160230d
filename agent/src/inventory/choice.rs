//! Which base backup reaches a target, and why others do not. Every restore to a point in time chooses here,
//! and so does whatever shows the choice beforehand.

use crate::archive::base::BaseFacts;
use crate::archive::manifest::SnapshotKind;
use crate::error::Result;
use crate::inventory::lives::Life;
use crate::inventory::pick::oldest_first;
use crate::inventory::reach::{Reach, StoredWal, obstacle, reach, way};
use crate::inventory::target::Target;
use crate::inventory::{Inventory, Look, Snapshot};
use crate::names::wal::TimelineId;
use crate::names::{ReleaseId, SnapshotId};

/// A base backup and how far it goes.
#[derive(Clone, Debug)]
pub struct Reached<'a> {
    /// The base backup.
    pub base: &'a Snapshot,
    /// Its own facts.
    pub facts: &'a BaseFacts,
    /// How far it goes.
    pub reach: Reach,
}

/// Which base backups reach a target, and which do not.
#[derive(Clone, Debug, Default)]
pub struct Choice<'a> {
    /// Base backups from which it can be reached, the newest first.
    pub reached: Vec<Reached<'a>>,
    /// Base backups from which it cannot be reached, the newest first.
    pub others: Vec<Reached<'a>>,
    /// Why: a sentence for each that does not reach it.
    pub obstacles: Vec<String>,
}

/// The base backups that may be used, and why others were skipped.
#[derive(Clone, Debug, Default)]
pub struct Bases<'a> {
    /// Those that may be used, the oldest first.
    pub bases: Vec<&'a Snapshot>,
    /// Why others were skipped, a sentence for each.
    pub skipped: Vec<String>,
}

/// The base backups of an inventory; the one that is named, or those of a release.
///
/// # Errors
/// What is wrong with the one that is named; the store's error, if one could not be read.
pub fn bases<'a>(
    inventory: &'a Inventory,
    snapshot: Option<&SnapshotId>,
    release: Option<&ReleaseId>,
) -> Result<Bases<'a>> {
    if let Some(id) = snapshot {
        let named = inventory.named(id)?;
        named.manifest.base_facts()?;
        return Ok(Bases { bases: vec![named], skipped: Vec::new() });
    }
    let mut skipped = Vec::new();
    for (id, look) in inventory.snapshots.iter().filter(|(id, _)| id.kind() == SnapshotKind::Base.as_str()) {
        match look {
            Look::NotBelieved(e) => {
                skipped.push(format!("base backup {id} was skipped: {}", e.what()));
            }
            Look::NotRead(e) => return Err(e.again().context(format!("look at base backup {id}"))),
            Look::Believed(_) | Look::Unfinished => {}
        }
    }
    let fits = |one: &&Snapshot| release.is_none() || one.manifest.release.as_ref() == release;
    let bases = oldest_first(inventory.of_kind(SnapshotKind::Base, None).filter(fits));
    Ok(Bases { bases, skipped })
}

/// Tries each of `bases`, the oldest first. Without a `timeline` it follows the only life, if there is just
/// one; otherwise the newest timeline, and the caller has to look at the others
/// ([`crate::inventory::decide`]).
///
/// # Errors
/// If one of them is not a base backup.
pub fn choose<'a>(
    bases: &[&'a Snapshot],
    wal: &StoredWal,
    lives: &[Life],
    target: &Target,
    timeline: Option<TimelineId>,
) -> Result<Choice<'a>> {
    let mut choice = Choice::default();
    let only = match lives {
        [life] => Some(life.timeline),
        _ => None,
    };
    for base in bases.iter().rev() {
        let facts = base.manifest.base_facts()?;
        let (id, point) = (&base.manifest.id, base.manifest.point);
        let only = only.filter(|id| way(facts, wal, *id).is_some());
        let Some(reach) = reach(facts, point, wal, timeline.or(only)) else {
            let why = "the requested timeline does not descend from the timeline of this base backup";
            choice.obstacles.push(format!("{id}: {why}"));
            continue;
        };
        let why = obstacle(facts, point, &reach, target);
        let reached = Reached { base, facts, reach };
        match why {
            Some(why) => {
                choice.obstacles.push(format!("{id}: {why}"));
                choice.others.push(reached);
            }
            None => choice.reached.push(reached),
        }
    }
    Ok(choice)
}

/// Whether a base backup is consistent before the target.
pub fn is_before(target: &Target, base: &Snapshot) -> bool {
    match target {
        Target::Time(time) => base.manifest.point <= *time,
        Target::Lsn(lsn) => base.manifest.base().is_some_and(|facts| facts.stop_lsn <= *lsn),
        _ => true,
    }
}
