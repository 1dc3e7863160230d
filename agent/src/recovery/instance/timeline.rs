//! Which timeline: one that others continue is no question, but of two that both come after the base
//! backup only a person knows which is right.

use crate::error::{Error, Kind, Result};
use crate::inventory::choice::{Reached, contradicting, not_the_same, two_histories};
use crate::inventory::lives::{self, Life, rivals};
use crate::inventory::reach::{Reach, StoredWal};
use crate::inventory::target::Target;
use crate::names::Lsn;
use crate::names::wal::TimelineId;
use crate::recovery::instance::InstanceRequest;
use crate::recovery::instance::marks::Way;

/// What a person should know of the timeline that is followed; `found` is where the restore point
/// lies that was asked for.
///
/// # Errors
/// `Refused` where another timeline reaches the target as well, and it is not the same there;
/// `Integrity` where two servers claim the same timeline.
pub async fn check(
    request: &InstanceRequest,
    wal: &StoredWal,
    lives: &[Life],
    on_way: &Way<'_>,
    on: &Reached<'_>,
    found: Option<Lsn>,
) -> Result<Vec<String>> {
    let Reached { facts, reach: chosen, .. } = on;
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
    ask(request, wal, lives, on_way, on, found).await?;
    Ok(left_behind(request, wal, chosen))
}

/// Refuses to choose between lives of the cluster that are not the same at the target.
///
/// # Errors
/// `Refused`, with until when each goes.
pub async fn ask(
    request: &InstanceRequest,
    wal: &StoredWal,
    lives: &[Life],
    on_way: &Way<'_>,
    on: &Reached<'_>,
    found: Option<Lsn>,
) -> Result<()> {
    let (None, Some((timelines, common))) = (request.timeline, rivals(wal, lives, on.reach.timeline)) else {
        return Ok(());
    };
    if is_before(&request.target, common, on_way, found).await? {
        return Ok(());
    }
    let newest = timelines.last().copied().unwrap_or(on.reach.timeline);
    Err(Error::new(Kind::Refused, not_the_same(&request.target, &timelines))
        .because(format!("two servers continued from the same point, and both store WAL here: {}", lives::text(lives)))
        .effect("nothing was changed")
        .next(format!(
            "find out which of them is production, and name its timeline: --timeline ID (the newest, {newest}, may be a copy); then stop archiving on the other server"
        )))
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

/// Timelines on the way that had been written on when the next one left them: what a failover or a recovery to an
/// earlier point loses.
fn left_behind(request: &InstanceRequest, wal: &StoredWal, chosen: &Reach) -> Vec<String> {
    let longer = chosen.path.iter().filter(|(_, until)| until.0 != u64::MAX).filter_map(|(id, until)| {
        let windows = wal.windows.iter().filter(|w| w.timeline == *id);
        let end = windows.flat_map(|w| &w.ranges).map(|range| range.end).max()?;
        (request.timeline.is_none() && end > *until).then(|| {
            format!("this restore leaves timeline {id} at {until}; later changes on it (stored up to {end}) will be missing; --timeline {id} restores them")
        })
    });
    longer.collect()
}
