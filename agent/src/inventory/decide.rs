//! Whether the chosen timeline is the right one. If another timeline continues it, there is nothing to
//! decide. If two timelines come after the base backup, only a person knows which one is production's. Some
//! of this can only be seen in decrypted WAL.

use crate::archive::wal_records::Mark;
use crate::error::{Error, Kind};
use crate::inventory::choice::Reached;
use crate::inventory::lives::{self, Life, rivals};
use crate::inventory::reach::{Reach, StoredWal, obstacle};
use crate::inventory::target::Target;
use crate::names::wal::TimelineId;

/// What decrypted WAL says of a target. Without an identity nothing was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The restore point that was asked for.
    pub restore_point: RestorePoint,
    /// Whether a commit after the requested time lies before the place where the timelines part.
    pub is_before_parting: bool,
    /// What a person should know about it.
    pub notes: Vec<String>,
}

/// Where a restore point lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RestorePoint {
    /// It was not looked for.
    #[default]
    NotLooked,
    /// It was found here.
    At(Mark),
    /// The WAL could not be read; a note says why.
    NotRead,
}

impl RestorePoint {
    /// The record, where it was found.
    pub fn mark(&self) -> Option<&Mark> {
        match self {
            RestorePoint::At(mark) => Some(mark),
            _ => None,
        }
    }
}

/// Why only a person, or somebody with an identity, can tell which timeline is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// Two servers stored different histories of one timeline.
    TwoHistories {
        /// Which.
        timeline: TimelineId,
        /// The timeline of the base backup, which ends before it.
        own: TimelineId,
    },
    /// A newer timeline: where it began cannot be known without an identity.
    NotKnown(TimelineId),
    /// The target lies on more than one timeline, and is not the same there.
    Differs {
        /// The target and these timelines, in words.
        what: String,
        /// How far each life goes, in words.
        lives: String,
        /// The newest of them.
        newest: TimelineId,
    },
}

impl Undecided {
    /// In a sentence.
    pub fn text(&self) -> String {
        match self {
            Undecided::TwoHistories { timeline, .. } => {
                format!("two different histories of timeline {timeline} are stored")
            }
            Undecided::NotKnown(timeline) => format!(
                "where timeline {timeline} began is not known without an identity: an older version of Lifeboat stored its history"
            ),
            Undecided::Differs { what, lives, .. } => format!("{what}: {lives}"),
        }
    }

    /// Why a restore is refused for it, and what to do.
    pub fn error(&self) -> Error {
        match self {
            Undecided::TwoHistories { own, .. } => Error::new(Kind::Integrity, self.text())
                .because(
                    "two servers, one perhaps a clone of the other, were promoted and archived as one instance",
                )
                .effect("it is not known which WAL of this timeline belongs together; nothing was changed")
                .next(format!(
                    "restore with --timeline {own}, which ends before it; or move away what the wrong server stored"
                )),
            Undecided::NotKnown(_) => Error::new(Kind::Refused, self.text())
                .effect("nothing was changed")
                .next("give the identity, or name production's timeline: --timeline ID"),
            Undecided::Differs { what, lives, newest } => Error::new(Kind::Refused, what.clone())
                .because(format!("two servers continued from the same point, and both store WAL here: {lives}"))
                .effect("nothing was changed")
                .next(format!(
                    "find out which of them is production, and name its timeline: --timeline ID (the newest, {newest}, may be a copy); then stop archiving on the other server"
                )),
        }
    }
}

/// Why it is not known whether `on` leads to the right target; `None` if it is known.
pub fn undecided(
    on: &Reached<'_>,
    wal: &StoredWal,
    lives: &[Life],
    (target, timeline): (&Target, Option<TimelineId>),
    seen: &Seen,
) -> Option<Undecided> {
    if let Some(timeline) = contradicting(wal, &on.reach) {
        return Some(Undecided::TwoHistories { timeline, own: TimelineId(on.facts.timeline) });
    }
    if timeline.is_some() || *target == Target::Immediate {
        return None;
    }
    let unknown = wal.unknown.iter().map(|unknown| unknown.timeline);
    if let Some(id) = unknown.filter(|id| *id > on.reach.timeline).max() {
        return Some(Undecided::NotKnown(id));
    }
    let (timelines, common) = rivals(wal, lives, on.reach.timeline)?;
    // Where the ways are still the same nobody has to choose.
    let is_before = match target {
        Target::Immediate => true,
        Target::Latest => false,
        Target::Lsn(lsn) => *lsn < common,
        Target::RestorePoint(_) => seen.restore_point.mark().is_some_and(|mark| mark.lsn < common),
        Target::Time(_) => seen.is_before_parting,
    };
    (!is_before).then(|| {
        let names: Vec<String> = timelines.iter().map(TimelineId::to_string).collect();
        Undecided::Differs {
            what: format!("{target} differs between timelines {}", names.join(" and ")),
            lives: lives::text(lives),
            newest: timelines.last().copied().unwrap_or(on.reach.timeline),
        }
    })
}

/// A timeline on the way, of which two servers stored different histories.
fn contradicting(wal: &StoredWal, reach: &Reach) -> Option<TimelineId> {
    reach.path.iter().map(|(id, _)| *id).find(|id| wal.contradicting.contains(id))
}

/// Why recovery cannot reach the end of the stored WAL, in the words of a restore that is refused.
pub fn obstacle_to_latest(newest: &Reached<'_>, wal: &StoredWal, lives: &[Life]) -> Option<String> {
    let undecided = undecided(newest, wal, lives, (&Target::Latest, None), &Seen::default());
    undecided
        .map(|why| why.text())
        .or_else(|| obstacle(newest.facts, newest.base.manifest.point, &newest.reach, &Target::Latest))
}

/// What is lost where recovery leaves a timeline before its end, as after a failover or a recovery to an
/// earlier point: a sentence for each.
pub fn left_behind(wal: &StoredWal, chosen: &Reach) -> Vec<String> {
    let longer = chosen.path.iter().filter(|(_, until)| until.0 != u64::MAX).filter_map(|(id, until)| {
        let windows = wal.windows.iter().filter(|w| w.timeline == *id);
        let end = windows.flat_map(|w| &w.ranges).map(|range| range.end).max()?;
        (end > *until).then(|| {
            format!("this restore leaves timeline {id} at {until}; later changes on it (stored up to {end}) will be missing; --timeline {id} restores them")
        })
    });
    longer.collect()
}
