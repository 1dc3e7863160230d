//! Which base backup serves a target, and why others do not: the choice of every restore to a point in time,
//! and of whoever says beforehand what it would be.

use serde::Serialize;

use crate::archive::base::BaseFacts;
use crate::archive::manifest::SnapshotKind;
use crate::error::{Error, Kind, Result};
use crate::inventory::lives::{self, Life, rivals};
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

/// What a target comes to.
#[derive(Clone, Debug, Default)]
pub struct Choice<'a> {
    /// Base backups from which it can be reached, the newest first.
    pub reached: Vec<Reached<'a>>,
    /// Those that lead elsewhere, the newest first.
    pub others: Vec<Reached<'a>>,
    /// Why not, a sentence for each that does not serve.
    pub obstacles: Vec<String>,
}

/// The base backups that may be used, the oldest first, and what is to be said of others.
#[derive(Clone, Debug, Default)]
pub struct Bases<'a> {
    /// Those.
    pub bases: Vec<&'a Snapshot>,
    /// What was passed over.
    pub passed_over: Vec<String>,
}

/// What a restore of the instance begins with: a value that can be kept, printed and signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceChoice {
    /// The base backup.
    pub base: SnapshotId,
    /// Whose packs are read.
    pub chain: Vec<SnapshotId>,
    /// Where recovery is to end.
    pub target: Target,
    /// The WAL that leads there, and how far it goes.
    pub reach: Reach,
}

/// The base backups of an inventory; the one that is named, or those of a release.
///
/// # Errors
/// Where one is named, what is wrong with it; that of the store where one could not be read.
pub fn bases<'a>(
    inventory: &'a Inventory,
    snapshot: Option<&SnapshotId>,
    release: Option<&ReleaseId>,
) -> Result<Bases<'a>> {
    if let Some(id) = snapshot {
        let named = inventory.named(id)?;
        named.manifest.base_facts()?;
        return Ok(Bases { bases: vec![named], passed_over: Vec::new() });
    }
    let mut passed_over = Vec::new();
    for (id, look) in inventory.snapshots.iter().filter(|(id, _)| id.kind() == SnapshotKind::Base.as_str()) {
        match look {
            Look::NotBelieved(e) => {
                passed_over.push(format!("base backup {id} was skipped: {}", e.what()));
            }
            Look::NotRead(e) => return Err(e.again().context(format!("look at base backup {id}"))),
            Look::Believed(_) | Look::Unfinished => {}
        }
    }
    let fits = |one: &&Snapshot| release.is_none() || one.manifest.release.as_ref() == release;
    let bases = oldest_first(inventory.of_kind(SnapshotKind::Base, None).filter(fits));
    Ok(Bases { bases, passed_over })
}

/// Tries each of `bases`, which come the oldest first. Without a `timeline` the one life that goes on is followed, where
/// there is only one; else the newest timeline, and whoever asked has to look at the others ([`rivals`]).
///
/// # Errors
/// Where one of them is no base backup.
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
            let why = "the timeline that was asked for does not descend from its timeline";
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

/// The choice for a target as far as it can be made without looking into WAL.
///
/// # Errors
/// `NotFound` where there is no base backup, `Refused` where none leads there, that of the store where WAL could
/// not be looked at.
pub fn plan(inventory: &Inventory, target: &Target, timeline: Option<TimelineId>) -> Result<InstanceChoice> {
    let Bases { bases, .. } = bases(inventory, None, None)?;
    if bases.is_empty() {
        let place = format!("in {} for instance {}", inventory.repository, inventory.instance);
        return Err(Error::new(Kind::NotFound, format!("no base backup {place}")));
    }
    let wal = inventory.wal()?;
    let lives = lives::lives(wal, inventory.of_kind(SnapshotKind::Base, None));
    let mut choice = choose(&bases, wal, &lives, target, timeline)?;
    if choice.reached.is_empty() {
        return Err(Error::new(Kind::Refused, format!("{target} cannot be reached"))
            .because(choice.obstacles.join("; ")));
    }
    let chosen = choice.reached.swap_remove(0);
    if let Some(why) = undecided(&chosen, wal, &lives, target, timeline) {
        return Err(Error::new(Kind::Refused, why));
    }
    Ok(InstanceChoice {
        base: chosen.base.manifest.id.clone(),
        chain: chosen.facts.chain.clone(),
        target: target.clone(),
        reach: chosen.reach,
    })
}

/// Why only a person, or whoever opens WAL, can tell whether this way is the right one; `None` where it is.
fn undecided(
    chosen: &Reached<'_>,
    wal: &StoredWal,
    lives: &[Life],
    target: &Target,
    timeline: Option<TimelineId>,
) -> Option<String> {
    if let Some(id) = contradicting(wal, &chosen.reach) {
        return Some(two_histories(id));
    }
    if timeline.is_some() || *target == Target::Immediate {
        return None;
    }
    let unknown = wal.unknown.iter().map(|unknown| unknown.timeline);
    if let Some(id) = unknown.filter(|id| *id > chosen.reach.timeline).max() {
        return Some(format!(
            "where timeline {id} began is not known without an identity: an older version of Lifeboat stored its history"
        ));
    }
    let (timelines, common) = rivals(wal, lives, chosen.reach.timeline)?;
    let before = matches!(target, Target::Lsn(lsn) if *lsn < common);
    (!before).then(|| format!("{}: {}", not_the_same(target, &timelines), lives::text(lives)))
}

/// A timeline on the way of which two servers tell different histories.
pub fn contradicting(wal: &StoredWal, reach: &Reach) -> Option<TimelineId> {
    reach.path.iter().map(|(id, _)| *id).find(|id| wal.contradicting.contains(id))
}

/// What is said of such a one.
pub fn two_histories(id: TimelineId) -> String {
    format!("two different histories of timeline {id} are stored")
}

/// What is said of a target that lies on more than one timeline.
pub fn not_the_same(target: &Target, timelines: &[TimelineId]) -> String {
    let names: Vec<String> = timelines.iter().map(TimelineId::to_string).collect();
    format!("{target} differs between timelines {}", names.join(" and "))
}

/// What keeps recovery from the end of the stored WAL, in the words of a restore that is refused for it.
pub fn obstacle_to_latest(newest: &Reached<'_>, wal: &StoredWal, lives: &[Life]) -> Option<String> {
    undecided(newest, wal, lives, &Target::Latest, None)
        .or_else(|| obstacle(newest.facts, newest.base.manifest.point, &newest.reach, &Target::Latest))
}
