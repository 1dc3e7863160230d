//! The recovery target for PostgreSQL. The server fails if the WAL has nothing after the target ("recovery
//! ended before configured recovery target was reached"). So the end of the stored WAL is read first; if it
//! has nothing after the target, recovery stops at the last stored transaction instead.

use crate::archive::base::BaseFacts;
use crate::archive::wal_records::Mark;
use crate::error::{Error, Kind, Result};
use crate::inventory::target::Target;
use crate::names::Lsn;
use crate::recovery::instance::marks::{Tail, Way};

/// How many restore points an error names.
const NAMED_MAX: usize = 10;

/// Where recovery should end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    /// The target for PostgreSQL.
    pub target: Target,
    /// A note about it for a person.
    pub note: Option<String>,
}

/// The recovery target for a requested target within the stored WAL.
///
/// # Errors
/// Those of the store, and `Identity`, `Signature`.
pub async fn aim(way: &Way<'_>, facts: &BaseFacts, target: &Target) -> Result<Aim> {
    if !matches!(target, Target::Time(_) | Target::Lsn(_)) {
        return Ok(Aim { target: target.clone(), note: None });
    }
    match way.tail().await {
        Ok(tail) => Ok(aim_in(&tail, facts, target)),
        Err(e) if e.kind() == Kind::Integrity => Ok(Aim {
            target: target.clone(),
            note: Some(format!(
                "it is unknown whether the stored WAL continues after the target: {}",
                e.what()
            )),
        }),
        Err(e) => Err(e),
    }
}

fn aim_in(tail: &Tail, facts: &BaseFacts, target: &Target) -> Aim {
    let at = |lsn: Option<Lsn>| match lsn.filter(|lsn| *lsn >= facts.stop_lsn) {
        Some(lsn) => Target::Lsn(lsn),
        None => Target::Immediate,
    };
    let (aim, note) = match target {
        Target::Time(time) if tail.latest.as_ref().is_some_and(|latest| latest.time > *time) => (None, None),
        Target::Time(_) => match &tail.last {
            Some(last) => (Some(at(Some(last.lsn))), Some(format!(
                "the stored WAL has no commit after {}: recovery ends after that commit, at {}; commits between it and your target time, if any, will be missing",
                last.time, last.lsn
            ))),
            None if tail.is_all => (
                Some(Target::Immediate),
                Some("the stored WAL has no commit after the base backup: the result is the state of the base backup".to_owned()),
            ),
            None => (None, Some("it is unknown whether anything was committed after that time".to_owned())),
        },
        Target::Lsn(lsn) if tail.last_record.is_some_and(|last| last < *lsn) => (
            Some(at(tail.last_record)),
            tail.last_record.map(|last| format!("the last stored record begins at {last}: recovery ends after it")),
        ),
        _ => (None, None),
    };
    Aim { target: aim.unwrap_or_else(|| target.clone()), note }
}

/// The first restore point of this name from `begin` on, and a note about it for a person.
///
/// # Errors
/// `Refused` if it does not exist, with the names that exist.
pub fn find_restore_point(points: &[Mark], name: &str, begin: Lsn) -> Result<(Mark, Option<String>)> {
    let called = |mark: &&Mark| mark.restore_point.as_deref() == Some(name);
    let mut same = points.iter().filter(called).filter(|mark| mark.lsn >= begin);
    let Some(first) = same.next() else {
        let said = |mark: &Mark| {
            format!("{} ({}, {})", mark.restore_point.as_deref().unwrap_or_default(), mark.time, mark.lsn)
        };
        let mut known: Vec<String> = points.iter().rev().take(NAMED_MAX).map(said).collect();
        if points.len() > NAMED_MAX {
            known.push(format!("and {} older ones", points.len() - NAMED_MAX));
        }
        let because = match (known.is_empty(), points.iter().any(|mark| called(&mark))) {
            (_, true) => {
                "it is older than the earliest point at which a base backup is consistent".to_owned()
            }
            (true, _) => "the stored WAL has no restore points".to_owned(),
            _ => format!("the stored WAL has these: {}", known.join(", ")),
        };
        return Err(Error::new(Kind::Refused, format!("restore point {name} cannot be reached"))
            .because(because)
            .effect("nothing was changed")
            .next("use one of these names, or --to-time or --to-lsn"));
    };
    let later: Vec<String> = same.map(|mark| format!("{} of {}", mark.lsn, mark.time)).collect();
    let note = (!later.is_empty()).then(|| {
        format!(
            "{} restore points are called {name}: the target is the first, at {} of {}; choose a later one with --to-lsn: {}",
            later.len() + 1, first.lsn, first.time, later.join(", ")
        )
    });
    Ok((first.clone(), note))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::inventory::reach::tests::facts;

    fn mark(lsn: u64, second: i64, name: Option<&str>) -> Mark {
        let time = Timestamp::from_second(second).unwrap();
        Mark { lsn: Lsn(lsn), time, restore_point: name.map(str::to_owned) }
    }

    #[test]
    fn a_target_behind_which_nothing_comes_is_the_last_transaction() {
        let stop = facts().stop_lsn.0;
        let last = mark(stop + 800, 1_000, None);
        let last_record = Some(Lsn(stop + 900));
        let tail = Tail { last: Some(last.clone()), latest: Some(last), last_record, is_all: false };
        let aim = |tail: &Tail, target: Target| aim_in(tail, &facts(), &target).target;
        let time = |second| Target::Time(Timestamp::from_second(second).unwrap());
        assert_eq!(aim(&tail, time(999)), time(999));
        assert_eq!(aim(&tail, time(1_000)), Target::Lsn(Lsn(stop + 800)), "PostgreSQL wants a later one");
        assert_eq!(aim(&tail, Target::Lsn(Lsn(stop + 900))), Target::Lsn(Lsn(stop + 900)));
        assert_eq!(aim(&tail, Target::Lsn(Lsn(stop + 901))), Target::Lsn(Lsn(stop + 900)));
        assert_eq!(aim(&tail, Target::Latest), Target::Latest);
        let before = mark(stop - 8, 1_000, None);
        let none = Tail { last: Some(before), last_record: Some(Lsn(stop - 8)), ..Tail::default() };
        assert_eq!(aim(&none, time(1_500)), Target::Immediate, "the backup itself is later");
        let empty = Tail { is_all: true, ..Tail::default() };
        assert_eq!(aim(&empty, time(1_500)), Target::Immediate);
        assert_eq!(aim(&Tail::default(), time(1_500)), time(1_500), "not seen is not absent");
    }

    #[test]
    fn of_two_restore_points_of_a_name_the_first_is_taken_and_it_is_said() {
        let points = [mark(10, 1, Some("a")), mark(20, 2, Some("b")), mark(30, 3, Some("a"))];
        let (first, note) = find_restore_point(&points, "a", Lsn(0)).unwrap();
        assert_eq!(first, points[0]);
        assert!(note.unwrap().contains("2 restore points are called a"));
        assert_eq!(find_restore_point(&points, "a", Lsn(11)).unwrap(), (points[2].clone(), None));
        let error = find_restore_point(&points, "c", Lsn(0)).unwrap_err();
        assert!(
            error.causes().join(" ").contains("the stored WAL has these: a (1970-01-01T00:00:03Z, 0/1E), b")
        );
        assert!(find_restore_point(&points, "b", Lsn(21)).is_err());
    }
}
