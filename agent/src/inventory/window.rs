//! The recovery window: from when to when the instance and each tenant can be restored, and its holes.
//!
//! A span ends when the last of its WAL was stored, by the store's clock. What was committed before that
//! moment and is not stored yet would be lost.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::archive::manifest::SnapshotKind;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::inventory::choice::{Reached, bases, choose};
use crate::inventory::decide::obstacle_to_latest;
use crate::inventory::lives::lives;
use crate::inventory::needs::Graph;
use crate::inventory::pick::oldest_first;
use crate::inventory::plan::{DumpAsked, DumpPlan};
use crate::inventory::target::Target;
use crate::inventory::{Inventory, Snapshot};
use crate::names::wal::TimelineId;
use crate::names::{Lsn, SnapshotId, TenantName};

/// Every second from one to the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The base backup that it begins with.
    pub base: SnapshotId,
    /// Its first moment.
    pub from: Timestamp,
    /// Where that is.
    pub from_lsn: Lsn,
    /// Its last moment: when the last WAL of it was stored.
    pub to: Timestamp,
    /// The byte after the last.
    pub to_lsn: Lsn,
    /// The timeline that it ends on.
    pub timeline: TimelineId,
}

/// Moments that cannot be restored, although some before them can.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// Its first moment.
    pub from: Timestamp,
    /// The moment with which the next span begins; `None` where none does: it lasts until now.
    pub to: Option<Timestamp>,
    /// Why.
    pub why: String,
}

/// What can be restored of the whole instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecoveryWindow {
    /// Oldest first; none reaches into the next.
    pub spans: Vec<Span>,
    /// Oldest first.
    pub holes: Vec<Hole>,
}

/// What can be restored of one tenant: any second of the instance's window, and the moments of its dumps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TenantWindow {
    /// Whose.
    pub tenant: TenantName,
    /// The moments of its dumps, oldest first.
    pub dumps: Vec<Timestamp>,
    /// Dumps that cannot be restored whole, and why.
    pub not_whole: Vec<NotWhole>,
    /// The plan of a restore from its newest dump.
    pub restore: Option<DumpPlan>,
    /// Why there is no such plan.
    pub restore_not_known: Option<String>,
}

/// A dump that cannot be restored whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotWhole {
    /// Which.
    pub snapshot: SnapshotId,
    /// Why.
    pub why: String,
}

/// The window of the instance. Snapshots that a check found `broken` count for nothing.
///
/// # Errors
/// The store's error, if base backups or WAL could not be read: nothing is known then.
pub fn instance(inventory: &Inventory, broken: &BTreeSet<&SnapshotId>) -> Result<RecoveryWindow> {
    let wal = inventory.wal()?;
    let graph = Graph::of(inventory.believed().map(|one| &one.manifest));
    let whole =
        |one: &&Snapshot| !broken.contains(&one.manifest.id) && graph.lacks(&one.manifest.id).is_empty();
    let bases: Vec<&Snapshot> = bases(inventory, None, None)?.bases.into_iter().filter(whole).collect();
    // Any target that every base backup serves: what is asked is how far each goes.
    let lives = lives(wal, inventory.of_kind(SnapshotKind::Base, None));
    let mut reached = choose(&bases, wal, &lives, &Target::Immediate, None)?.reached;
    reached.reverse();
    let mut window = RecoveryWindow::default();
    for one in &reached {
        let next = span(one);
        let Some(last) = window.spans.last_mut() else {
            window.spans.push(next);
            continue;
        };
        if last.timeline == next.timeline && last.to_lsn >= next.from_lsn {
            last.to = last.to.max(next.to);
            last.to_lsn = last.to_lsn.max(next.to_lsn);
        } else {
            window.holes.push(Hole { from: last.to, to: Some(next.from), why: why(last) });
            window.spans.push(next);
        }
    }
    if let Some((last, span)) = reached.last().zip(window.spans.last())
        && let Some(why) = obstacle_to_latest(last, wal, &lives)
    {
        window.holes.push(Hole { from: span.to, to: None, why });
    }
    Ok(window)
}

fn span(one: &Reached<'_>) -> Span {
    Span {
        base: one.base.manifest.id.clone(),
        from: one.base.manifest.point,
        from_lsn: one.facts.stop_lsn,
        to: one.reach.stored_at,
        to_lsn: one.reach.end,
        timeline: one.reach.timeline,
    }
}

fn why(before: &Span) -> String {
    format!(
        "recovery stops at {} of timeline {}: the WAL after it is missing",
        before.to_lsn, before.timeline
    )
}

/// The window of each tenant that has a dump or is `expected`, by name.
pub fn tenants(
    inventory: &Inventory,
    expected: &[TenantName],
    broken: &BTreeSet<&SnapshotId>,
    now: Timestamp,
) -> Vec<TenantWindow> {
    let graph = Graph::of(inventory.believed().map(|one| &one.manifest));
    let mut of: BTreeMap<&TenantName, Vec<&Snapshot>> =
        expected.iter().map(|tenant| (tenant, Vec::new())).collect();
    for one in inventory.of_kind(SnapshotKind::Dump, None) {
        if let Some(tenant) = &one.manifest.tenant {
            of.entry(tenant).or_default().push(one);
        }
    }
    let one = |(tenant, dumps): (&TenantName, Vec<&Snapshot>)| {
        let plan = DumpPlan::new(inventory, &DumpAsked::newest(tenant), now);
        let mut window = TenantWindow {
            tenant: tenant.clone(),
            dumps: Vec::new(),
            not_whole: Vec::new(),
            restore_not_known: plan.as_ref().err().map(|e| e.what().to_owned()),
            restore: plan.ok(),
        };
        for dump in oldest_first(dumps) {
            let id = &dump.manifest.id;
            let why = match graph.lacks(id).first() {
                Some(missing) => Some(format!("it cannot be restored completely without {missing}")),
                None if broken.contains(id) => Some("the last lifeboat verify found it damaged".to_owned()),
                None => None,
            };
            match why {
                Some(why) => window.not_whole.push(NotWhole { snapshot: id.clone(), why }),
                None => window.dumps.push(dump.time()),
            }
        }
        window
    };
    of.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Part;
    use crate::inventory::made_up::{at, base, dump, id, inventory, stored, wal};

    #[test]
    fn a_gap_is_a_hole_until_the_next_base_backup() {
        let mut all = inventory([
            stored(base("b1", 1, 2, &["b1"]), 2),
            stored(base("b2", 1, 8, &["b2"]), 8),
            stored(base("b3", 1, 10, &["b3"]), 10),
        ]);
        all.wal = Part::Found(wal(&[(3, 5), (6, 12)]));
        let window = instance(&all, &BTreeSet::new()).unwrap();
        let spans: Vec<_> = window.spans.iter().map(|span| (&span.base, span.from, span.to)).collect();
        assert_eq!(spans, [(&id("b1"), at(2), at(5)), (&id("b2"), at(8), at(12))]);
        assert_eq!((window.holes.len(), window.holes[0].to), (1, Some(at(8))));
        let broken = id("b2");
        let window = instance(&all, &BTreeSet::from([&broken])).unwrap();
        assert_eq!(window.holes[0].to, Some(at(10)), "a damaged one counts for nothing");
        all.wal = Part::Found(wal(&[(3, 5), (6, 12), (13, 14)]));
        let window = instance(&all, &BTreeSet::new()).unwrap();
        assert_eq!(window.holes.last().unwrap().to, None, "{window:?}");
        assert!(window.holes.last().unwrap().why.contains("is missing: recovery stops at"));
    }

    #[test]
    fn what_could_not_be_looked_at_is_no_empty_window() {
        let mut all = inventory([stored(base("b1", 1, 2, &["b1"]), 2)]);
        let denied = crate::error::Error::new(crate::error::Kind::Denied, "HTTP 403");
        all.wal = Part::CouldNotLook(denied);
        assert_eq!(instance(&all, &BTreeSet::new()).unwrap_err().kind(), crate::error::Kind::Denied);
    }

    #[test]
    fn a_tenant_has_the_moments_of_its_whole_dumps() {
        let all = inventory([
            stored(dump("d1", "shop", 1, 1, None), 1),
            stored(dump("d2", "shop", 2, 2, Some("f1")), 2),
            stored(dump("d3", "shop", 3, 3, None), 3),
        ]);
        let broken = id("d3");
        let found = tenants(&all, &["books".parse().unwrap()], &BTreeSet::from([&broken]), at(4));
        assert_eq!((&found[0].dumps, &found[0].restore), (&vec![], &None));
        assert_eq!(found[1].restore.as_ref().unwrap().snapshot, id("d3"), "the newest, as restore takes it");
        assert_eq!(found[1].dumps, [at(1)]);
        let not_whole: Vec<_> = found[1].not_whole.iter().map(|one| one.snapshot.clone()).collect();
        assert_eq!(not_whole, [id("d2"), id("d3")]);
    }
}
