//! Periods of the calendar, by the library's own means.

use jiff::{SignedDuration, ToSpan, Zoned};

use crate::clock::Timestamp;
use crate::names::SnapshotId;
use crate::retention::rule::Period;

pub(super) const HOUR: i64 = 3_600;

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// A real snapshot that was the first of a period when it was stored.
#[derive(Debug)]
pub(super) struct First {
    pub(super) id: SnapshotId,
    pub(super) tenant: Option<usize>,
    pub(super) stored_at: Timestamp,
    pub(super) period: Period,
}

/// When the first of the last `count` periods began, the current one included, by the library's calendar.
pub(super) fn begin(period: Period, now: &Zoned, count: u32) -> Timestamp {
    let back = i64::from(count) - 1;
    let day = now.start_of_day().unwrap();
    let begun = match period {
        // Not across a change of the clocks: hours of the calendar are counted there.
        Period::Hour => {
            let offset = i64::from(now.offset().seconds());
            let hour = (now.timestamp().as_second() + offset).div_euclid(HOUR) - back;
            return at(hour * HOUR - offset).checked_add(SignedDuration::from_hours(1)).unwrap();
        }
        Period::Day => day.checked_sub(back.days()),
        Period::Week => {
            let monday = day.checked_sub(i64::from(day.weekday().to_monday_zero_offset()).days()).unwrap();
            monday.checked_sub(back.weeks())
        }
        Period::Month => day.first_of_month().unwrap().checked_sub(back.months()),
        Period::Year => day.first_of_year().unwrap().checked_sub(back.years()),
    };
    begun.unwrap().timestamp()
}

/// The period of the calendar: the same numbers for every moment of it.
pub(super) fn number(period: Period, now: &Zoned) -> [i16; 4] {
    let (year, month, day) = (now.year(), i16::from(now.month()), i16::from(now.day()));
    match period {
        Period::Hour => [year, month, day, i16::from(now.hour())],
        Period::Day => [year, month, day, 0],
        Period::Week => {
            let week = now.date().iso_week_date();
            [week.year(), i16::from(week.week()), 0, 0]
        }
        Period::Month => [year, month, 0, 0],
        Period::Year => [year, 0, 0, 0],
    }
}
