//! What a change of the clocks does to a window that another system counts by the wall clock.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::clock::Timestamp;
use crate::crontab::Schedule;

/// Changes of the clocks that are looked at: ten years of them.
const CHANGES_MAX: usize = 20;

/// A change of the clocks, and by how many seconds: more than 0 is forward.
fn changes(zone: &TimeZone, now: Timestamp) -> impl Iterator<Item = (Timestamp, i64)> {
    zone.following(now).take(CHANGES_MAX).map(|change| {
        let at = change.timestamp();
        let just_before = at.checked_sub(Duration::from_nanos(1)).unwrap_or(at);
        let seconds = change.offset().seconds() - zone.to_offset(just_before).seconds();
        (at, i64::from(seconds))
    })
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(count.unsigned_abs())
}

/// By how much a window must last longer, so that it is not shorter where the clocks skip an hour.
pub fn skipped(schedule: &Schedule, lasts: Duration, zone: &TimeZone, now: Timestamp) -> Duration {
    let meets = |(at, by): &(Timestamp, i64)| {
        let earliest = at.checked_sub(lasts).unwrap_or(*at);
        let latest = at.checked_add(seconds(*by)).unwrap_or(*at);
        schedule.next_after(earliest).is_some_and(|begin| begin <= latest)
    };
    let forward = changes(zone, now).filter(|(_, by)| *by > 0).filter(meets);
    forward.map(|(_, by)| seconds(by)).max().unwrap_or_default()
}

/// A moment at which the clocks repeat an hour in which the window begins: by the wall clock it would be
/// lifted until its beginning comes again.
pub fn repeated(schedule: &Schedule, lasts: Duration, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let lifted = |(at, by): &(Timestamp, i64)| {
        let Ok(mut before) = at.checked_sub(seconds(*by)) else { return false };
        while let Some(begin) = schedule.next_after(before).filter(|begin| begin < at) {
            // Where the beginning before it still lasts, nothing is lifted.
            let earlier = begin.checked_sub(Duration::from_secs(1)).unwrap_or(begin);
            let covered = schedule
                .last_until(earlier)
                .and_then(|last| last.checked_add(lasts).ok())
                .is_some_and(|end| end >= begin);
            if !covered {
                return true;
            }
            before = begin;
        }
        false
    };
    changes(zone, now).filter(|(_, by)| *by < 0).find(lifted).map(|(at, _)| at)
}

/// Whether the clocks change within this time.
pub fn change_within(zone: &TimeZone, from: Timestamp, to: Timestamp) -> bool {
    zone.following(from).next().is_some_and(|change| change.timestamp() <= to)
}
