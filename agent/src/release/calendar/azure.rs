//! Freeze windows as the business hours of an Azure DevOps environment: the body of a request to its checks
//! (`pipelines/checks/configurations`).
//!
//! The check knows days of the week and one span of hours for all of them, no dates. So it is made for the
//! coming days only, and allows only minutes that are free on each such weekday of these. In UTC: the check
//! takes names of Windows' time zones, and UTC has no changes of the clocks.

use std::time::Duration;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Value, json};

use super::openings::Opening;
use crate::clock::{self, Timestamp};
use crate::error::{Error, Kind, Result};

/// The check that Azure DevOps calls a task check, and the task of business hours; both are the same
/// everywhere.
const TASK_CHECK: &str = "fe1de3ee-a436-41b4-bb20-f6eb4cb879a7";
const BUSINESS_HOURS: &str = "445fde2f-6c39-441c-807f-8a59ff2e075f";
/// How long a stage may wait for the hours, in minutes: three days.
const WAIT_MINUTES: u64 = 3 * 24 * 60;
const DAY: usize = 24 * 60;
const MINUTE: Duration = Duration::from_secs(60);
const WEEK: [(Weekday, &str); 7] = [
    (Weekday::Monday, "Monday"),
    (Weekday::Tuesday, "Tuesday"),
    (Weekday::Wednesday, "Wednesday"),
    (Weekday::Thursday, "Thursday"),
    (Weekday::Friday, "Friday"),
    (Weekday::Saturday, "Saturday"),
    (Weekday::Sunday, "Sunday"),
];

/// The check, and how long it is right.
#[derive(Clone, Debug, Serialize)]
pub struct BusinessHours {
    /// From.
    pub valid_from: Timestamp,
    /// Until: then it must be made again.
    pub valid_until: Timestamp,
    /// The openings that it keeps free of releases.
    pub windows: Vec<Opening>,
    /// The body of the request, without its `resource`.
    pub check: Value,
}

/// Of each weekday, which minutes are free.
type Week = [[bool; DAY]; 7];

/// The hours in which no window is open, from `from` to `to`; `openings` are those of this time.
///
/// # Errors
/// `Refused` where no minute of the week is free.
pub fn hours(openings: Vec<Opening>, from: Timestamp, to: Timestamp) -> Result<BusinessHours> {
    let week = free(&openings, from, to);
    let (days, first, end) = best(&week).ok_or_else(|| {
        Error::new(Kind::Refused, "freeze windows leave no time free in these days")
            .effect("no business hours were made: the check cannot say \"never\"")
            .next("disable the pipeline, or add an approval that nobody gives; export again afterwards")
            .safe("lifeboat checkpoint blocks releases while a window is open in any case")
    })?;
    let time = |minute: usize| format!("{:02}:{:02}", minute / 60, minute % 60);
    let check = json!({
        "type": { "id": TASK_CHECK, "name": "Task Check" },
        "settings": {
            "displayName": format!("Lifeboat freeze windows, until {}", clock::text(to)),
            "definitionRef": { "id": BUSINESS_HOURS, "name": "evaluateBusinessHours", "version": "0.0.1" },
            "inputs": {
                "businessDays": days.join(", "),
                "timeZone": "UTC",
                "startTime": time(first),
                // The last free minute: whether the end is still in it does not matter then.
                "endTime": time(end - 1),
            },
        },
        "timeout": WAIT_MINUTES,
    });
    Ok(BusinessHours { valid_from: from, valid_until: to, windows: openings, check })
}

/// A minute is free where it comes at least once in this time, and never while a window is open.
fn free(openings: &[Opening], from: Timestamp, to: Timestamp) -> Week {
    let mut week = [[false; DAY]; 7];
    each_minute(from, to, |day, minute| week[day][minute] = true);
    for opening in openings {
        each_minute(opening.begin.max(from), opening.end.min(to), |day, minute| week[day][minute] = false);
    }
    week
}

/// Calls it with the weekday and minute of each minute of which `from..to` has a part.
fn each_minute(from: Timestamp, to: Timestamp, mut call: impl FnMut(usize, usize)) {
    let seconds = Duration::from_secs(from.as_second().rem_euclid(60).unsigned_abs());
    let nanos = Duration::from_nanos(from.subsec_nanosecond().unsigned_abs().into());
    let mut at = from.checked_sub(seconds + nanos).unwrap_or(from);
    while at < to {
        let here = at.to_zoned(TimeZone::UTC);
        let day = WEEK.iter().position(|(day, _)| *day == here.weekday()).unwrap_or_default();
        call(day, here.hour().unsigned_abs() as usize * 60 + here.minute().unsigned_abs() as usize);
        let Ok(next) = at.checked_add(MINUTE) else { return };
        at = next;
    }
}

/// The days, the first minute and the end, which allow the most time together.
fn best(week: &Week) -> Option<(Vec<&'static str>, usize, usize)> {
    let mut ends = [[0; DAY + 1]; 7]; // the end of the free minutes that begin at this one
    for (day, minutes) in week.iter().enumerate() {
        for minute in (0..DAY).rev() {
            ends[day][minute] = match minutes[minute] {
                true if minute + 1 < DAY && minutes[minute + 1] => ends[day][minute + 1],
                true => minute + 1,
                false => 0,
            };
        }
    }
    let mut found: Option<(usize, usize, usize)> = None; // time, first, end
    for first in 0..DAY {
        for end in ends.iter().map(|day| day[first]).filter(|end| *end > first + 1) {
            let days = ends.iter().filter(|day| day[first] >= end).count();
            let time = days * (end - first);
            if found.is_none_or(|(most, ..)| time > most) {
                found = Some((time, first, end));
            }
        }
    }
    let (_, first, end) = found?;
    let days = WEEK.iter().enumerate().filter(|(day, _)| ends[*day][first] >= end);
    Some((days.map(|(_, (_, name))| *name).collect(), first, end))
}
