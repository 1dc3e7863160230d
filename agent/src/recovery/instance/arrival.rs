//! Whether a server has reached its recovery target. "Paused" is not "arrived": a server also pauses for
//! other reasons, and then it has an earlier state.

use crate::clock::Timestamp;
use crate::inventory::target::Target;
use crate::names::Lsn;
use crate::recovery::instance::plan::InstancePlan;

/// The position of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The position after the last replayed record.
    pub replayed_to: Lsn,
    /// The last replayed commit.
    pub last_commit: Option<Timestamp>,
}

/// What the plan says about the target.
#[derive(Clone, Debug)]
pub struct Goal<'a> {
    /// The target that the user named.
    pub asked: &'a Target,
    /// The libraries that production loads, for an error.
    pub libraries: &'a str,
    /// The target in PostgreSQL's configuration.
    pub stops_at: &'a Target,
    /// Where the base backup is consistent.
    pub consistent_at: Lsn,
    /// The position of the restore point, if known.
    pub restore_point: Option<Lsn>,
}

impl<'a> Goal<'a> {
    /// The goal of a plan.
    pub fn of(plan: &'a InstancePlan) -> Goal<'a> {
        Goal {
            asked: &plan.source.target,
            libraries: plan
                .switched_off
                .iter()
                .find(|off| off.name == "shared_preload_libraries")
                .map_or("no libraries by its configuration", |off| &off.value),
            stops_at: &plan.stops_at,
            consistent_at: plan.source.base_lsn,
            restore_point: plan.source.restore_point.as_ref().map(|mark| mark.lsn),
        }
    }

    /// Why this position is not the target; `None` if it is.
    pub fn is_short(&self, place: Reached) -> Option<String> {
        let Reached { replayed_to, last_commit } = place;
        let before = |lsn: Lsn| Some(format!("it replayed up to {replayed_to}, but the target is at {lsn}"));
        match self.stops_at {
            _ if replayed_to < self.consistent_at => before(self.consistent_at),
            // It stops after the record that begins there.
            Target::Lsn(lsn) if replayed_to <= *lsn && *lsn > self.consistent_at => before(*lsn),
            Target::RestorePoint(_) => self.restore_point.filter(|lsn| replayed_to <= *lsn).and_then(before),
            Target::Time(time) => last_commit
                .filter(|last| last > time)
                .map(|last| format!("its last commit is of {last}, after {time}")),
            Target::Lsn(_) | Target::Immediate | Target::Latest => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_before_the_target_is_told_with_both_positions() {
        let at = |lsn| Reached { replayed_to: Lsn(lsn), last_commit: Timestamp::from_second(50).ok() };
        let (early, late) = (Timestamp::from_second(49).unwrap(), Timestamp::from_second(50).unwrap());
        for (target, place, is_short) in [
            (Target::Lsn(Lsn(200)), at(200), true),
            (Target::Lsn(Lsn(200)), at(208), false),
            (Target::RestorePoint("x".into()), at(150), true),
            (Target::RestorePoint("x".into()), at(151), false),
            (Target::Immediate, at(99), true),
            (Target::Latest, at(100), false),
            (Target::Time(early), at(150), true),
            (Target::Time(late), at(150), false),
        ] {
            let goal = Goal {
                asked: &target,
                libraries: "",
                stops_at: &target,
                consistent_at: Lsn(100),
                restore_point: Some(Lsn(150)),
            };
            assert_eq!(goal.is_short(place).is_some(), is_short, "{target:?} {place:?}");
        }
    }
}
