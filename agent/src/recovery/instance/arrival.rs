//! Whether a server is where recovery was to go. "Paused" is not "arrived": it pauses for other reasons,
//! too, and then what it holds is the state of an earlier moment.

use crate::clock::Timestamp;
use crate::inventory::target::Target;
use crate::names::Lsn;
use crate::recovery::instance::plan::InstancePlan;

/// Where a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Behind the last record that was replayed.
    pub replayed_to: Lsn,
    /// The last commit that was replayed.
    pub last_commit: Option<Timestamp>,
}

/// What a plan says of the end.
#[derive(Clone, Debug)]
pub struct Goal<'a> {
    /// What a person asked for.
    pub asked: &'a Target,
    /// What production loads, for an error.
    pub libraries: &'a str,
    /// What PostgreSQL was told.
    pub stops_at: &'a Target,
    /// Where the base backup is consistent.
    pub consistent_at: Lsn,
    /// Where the restore point lies, where that is known.
    pub restore_point: Option<Lsn>,
}

impl<'a> Goal<'a> {
    /// That of a plan.
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

    /// Why this place is not the target; `None` where it is.
    pub fn is_short(&self, place: Reached) -> Option<String> {
        let Reached { replayed_to, last_commit } = place;
        let before = |lsn: Lsn| Some(format!("it replayed up to {replayed_to}, and the target is at {lsn}"));
        match self.stops_at {
            _ if replayed_to < self.consistent_at => before(self.consistent_at),
            // It stops behind the record that begins there.
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
