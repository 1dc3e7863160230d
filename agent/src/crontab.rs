//! When something is due: a crontab line of five fields, in a time zone.
//!
//! Days and names are as in cron (0 and 7 are Sunday; with both day of month and day of week, either
//! matches). A time that the clocks skip in spring is due right after the change; one that they repeat in
//! autumn is due once.

use std::path::Path;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;

use crate::clock::Timestamp;
use crate::disk;

/// Where the time zones are on every system that has them.
const SYSTEM_ZONES: &str = "/usr/share/zoneinfo";
/// The longest file has 4 KB.
const ZONE_BYTES_MAX: u64 = 64 << 10;

/// A crontab line and the time zone of its hours.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    cron: Cron,
    zone: TimeZone,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Schedule) -> bool {
        self.text == other.text && self.zone == other.zone
    }
}

/// The zone of this IANA name, such as `Europe/Berlin`, or why there is none.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    if let Some(zone) = system_zone(name) {
        return Ok(zone);
    }
    TimeZone::get(name)
        .map_err(|_| "it must be the name of a time zone, such as \"Europe/Berlin\"".to_owned())
}

/// The zone of exactly this name in the system's database. jiff would first list the whole database, which
/// took half of the time of a `wal push` that has nothing to do.
fn system_zone(name: &str) -> Option<TimeZone> {
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b))
    };
    if !name.split('/').all(plain) {
        return None;
    }
    let data = disk::read(&Path::new(SYSTEM_ZONES).join(name), ZONE_BYTES_MAX).ok()?;
    TimeZone::tzif(name, &data).ok()
}

impl Schedule {
    /// Reads a line such as `30 1 * * 1-5`; the error says why it is wrong.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Schedule, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|e| {
            format!("is not a crontab line (minute hour day-of-month month day-of-week): {e}")
        })?;
        let schedule = Schedule { text: text.to_owned(), cron, zone };
        // 30 February is well-formed but never comes.
        match schedule.next_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err("is a crontab line that never comes due".to_owned()),
        }
    }

    /// The line as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first moment after `time` at which it is due; `None` where there is none.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let start = time.to_zoned(self.zone.clone());
        self.cron.find_next_occurrence(&start, false).ok().map(|found| found.timestamp())
    }

    /// The last moment up to and including `time` at which it was due.
    pub fn last_until(&self, time: Timestamp) -> Option<Timestamp> {
        let start = time.to_zoned(self.zone.clone());
        self.cron.find_previous_occurrence(&start, true).ok().map(|found| found.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn schedule(line: &str, zone_name: &str) -> Schedule {
        Schedule::parse(line, zone(zone_name).unwrap()).unwrap()
    }

    fn next(line: &str, zone_name: &str, from: &str, count: usize) -> Vec<String> {
        let schedule = schedule(line, zone_name);
        let mut time = at(from);
        (0..count)
            .map(|_| {
                time = schedule.next_after(time).unwrap();
                time.to_string()
            })
            .collect()
    }

    #[test]
    fn days_are_those_of_cron() {
        // 2026-11-21 is a Saturday.
        for sunday in ["0 2 * * 0", "0 2 * * 7", "0 2 * * sun"] {
            assert_eq!(next(sunday, "UTC", "2026-11-21T12:00:00Z", 1), ["2026-11-22T02:00:00Z"]);
        }
        assert_eq!(next("0 2 * * 1-5", "UTC", "2026-11-21T12:00:00Z", 1), ["2026-11-23T02:00:00Z"]);
        // Day of month or day of week, where both are given.
        assert_eq!(
            next("0 2 25 * 0", "UTC", "2026-11-21T12:00:00Z", 2),
            ["2026-11-22T02:00:00Z", "2026-11-25T02:00:00Z"]
        );
        assert_eq!(next("*/15 * * * *", "UTC", "2026-11-21T12:00:00Z", 1), ["2026-11-21T12:15:00Z"]);
    }

    #[test]
    fn a_time_that_is_skipped_in_spring_comes_once_and_one_that_repeats_in_autumn_too() {
        // 28 March 2027: 02:00 becomes 03:00 in Berlin, at 01:00 UTC.
        let spring = next("30 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", 2);
        assert_eq!(spring.len(), 2);
        assert!(spring[0].starts_with("2027-03-28T01:"), "on the day itself, after the gap: {spring:?}");
        assert_eq!(spring[1], "2027-03-29T00:30:00Z");
        // 31 October 2027: 03:00 becomes 02:00, so 02:30 is at 00:30 and at 01:30 UTC.
        let autumn = next("30 2 * * *", "Europe/Berlin", "2027-10-30T12:00:00Z", 2);
        assert_eq!(autumn, ["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"]);
    }

    #[test]
    fn the_last_one_includes_now() {
        let nightly = schedule("30 1 * * *", "UTC");
        let last = |time: &str| nightly.last_until(at(time)).unwrap().to_string();
        assert_eq!(last("2026-11-21T01:30:00Z"), "2026-11-21T01:30:00Z");
        assert_eq!(last("2026-11-21T01:30:59.5Z"), "2026-11-21T01:30:00Z");
        assert_eq!(last("2026-11-21T01:29:59Z"), "2026-11-20T01:30:00Z");
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for line in ["", "* * * *", "0 0 * * * *", "0 0 1 1 * 2027", "61 * * * *", "0 0 30 2 *", "soon"] {
            assert!(Schedule::parse(line, TimeZone::UTC).is_err(), "{line:?} passed");
        }
        assert!(zone("Europe/Bärlin").is_err() && zone("../../../etc/passwd").is_err() && zone("").is_err());
        assert_eq!(zone("europe/berlin").unwrap().iana_name(), zone("Europe/Berlin").unwrap().iana_name());
    }
}
