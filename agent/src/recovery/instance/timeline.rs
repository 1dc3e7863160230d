//! Which timeline: one that others continue is no question, but of two that both come after the base
//! backup only a person knows which is right.

use crate::error::{Error, Kind, Result};
use crate::inventory::choice::{Reached, contradicting, not_the_same, siblings, two_histories};
use crate::inventory::reach::{Reach, StoredWal, reach, way};
use crate::inventory::target::Target;
use crate::names::Lsn;
use crate::names::wal::TimelineId;
use crate::recovery::instance::Request;
use crate::recovery::instance::marks::Way;

/// What a person should know of the timeline that is followed; `found` is where the restore point
/// lies that was asked for.
///
/// # Errors
/// `Refused` where another timeline reaches the target as well, and it is not the same there;
/// `Integrity` where two servers claim the same timeline.
pub async fn check(
    request: &Request,
    wal: &StoredWal,
    on_way: &Way<'_>,
    on: &Reached<'_>,
    found: Option<Lsn>,
) -> Result<Vec<String>> {
    let Reached { base, facts, reach: chosen } = on;
    if let Some(id) = contradicting(wal, chosen) {
        return Err(Error::new(Kind::Integrity, two_histories(id))
            .because(
                "two servers, one perhaps a clone of the other, were promoted and archived as one instance",
            )
            .effect("which WAL of it belongs together is not known; nothing was changed")
            .next(format!(
                "--timeline {} ends before it; or move away what the wrong server stored",
                TimelineId(facts.timeline)
            )));
    }
    if let (None, Some((ends, common))) = (request.timeline, siblings(on, wal))
        && !is_before(&request.target, common, on_way, found).await?
    {
        let said = |id: &TimelineId| {
            let path = way(facts, wal, *id).unwrap_or_default();
            let left =
                path.iter().rev().nth(1).map_or(String::new(), |(from, at)| format!(" left {from} at {at},"));
            let point = base.manifest.point;
            let end = reach(facts, point, wal, Some(*id)).map(|reach| (reach.end, reach.stored_at));
            let (end, at) = end.unwrap_or((Lsn(0), point));
            format!("{id}{left} stored up to {end} of {at}")
        };
        return Err(Error::new(Kind::Refused, not_the_same(&request.target, &ends))
            .because(ends.iter().map(said).collect::<Vec<_>>().join("; "))
            .effect("nothing was changed")
            .next(format!("choose one: --timeline {} is the newest", chosen.timeline)));
    }
    Ok(left_behind(request, wal, on_way, chosen))
}

/// Whether the target lies where the ways are still the same.
async fn is_before(target: &Target, common: Lsn, on_way: &Way<'_>, found: Option<Lsn>) -> Result<bool> {
    Ok(match target {
        Target::Immediate => true,
        Target::Latest => false,
        Target::Lsn(lsn) => *lsn < common,
        Target::RestorePoint(_) => found.is_some_and(|lsn| lsn < common),
        Target::Time(time) => {
            let tail = Way { end: common, ..*on_way }.tail().await?;
            tail.latest.is_some_and(|latest| latest.time > *time)
        }
    })
}

/// Timelines on the way that were written on behind where the next one left them.
fn left_behind(request: &Request, wal: &StoredWal, on_way: &Way<'_>, chosen: &Reach) -> Vec<String> {
    let size = on_way.segment_bytes.get();
    let longer = chosen.path.iter().filter(|(_, until)| until.0 != u64::MAX).filter_map(|(id, until)| {
        let windows = wal.windows.iter().filter(|w| w.timeline == *id);
        let end = windows.flat_map(|w| &w.ranges).map(|range| range.end).max()?;
        // the segment in which it was left is often stored to its end
        (request.timeline.is_none() && end.0 > until.0.div_ceil(size) * size).then(|| {
            format!("timeline {id} is stored up to {end}, and was left at {until}: what was done on it behind that is not in this; --timeline {id} leads there")
        })
    });
    longer.collect()
}
