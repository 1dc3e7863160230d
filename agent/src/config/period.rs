//! Spans of the calendar: of so many of them, the first backup is kept.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, civil};

use crate::clock::Timestamp;

/// A span of the calendar of which the first snapshot is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// From one full hour to the next.
    Hour,
    /// A calendar day.
    Day,
    /// Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

impl Period {
    /// All of them, the shortest first.
    pub const ALL: [Period; 5] = [Period::Hour, Period::Day, Period::Week, Period::Month, Period::Year];

    /// The number of the period that this moment is in: the next period has the next number.
    pub fn number(self, at: Timestamp, zone: &TimeZone) -> i64 {
        let offset = zone.to_offset(at);
        let seconds = at.as_second() + i64::from(offset.seconds());
        let civil = || offset.to_datetime(at);
        let days = seconds.div_euclid(86_400);
        match self {
            Period::Hour => seconds.div_euclid(3_600),
            Period::Day => days,
            // 1 January 1970 was a Thursday.
            Period::Week => (days + 3).div_euclid(7),
            Period::Month => i64::from(civil().year()) * 12 + i64::from(civil().month()) - 1,
            Period::Year => i64::from(civil().year()),
        }
    }

    /// When the period of this number begins.
    pub fn begins(self, number: i64, zone: &TimeZone) -> Option<Timestamp> {
        let month = |number: i64| {
            let year = i16::try_from(number.div_euclid(12)).ok()?;
            civil::Date::new(year, (number.rem_euclid(12) + 1) as i8, 1).ok().map(civil::DateTime::from)
        };
        let seconds = |number: i64, each: i64| {
            let since = SignedDuration::from_secs(number.checked_mul(each)?);
            civil::date(1970, 1, 1).at(0, 0, 0, 0).checked_add(since).ok()
        };
        let at = match self {
            Period::Hour => seconds(number, 3_600),
            Period::Day => seconds(number, 86_400),
            Period::Week => seconds(number.checked_mul(7)?.checked_sub(3)?, 86_400),
            Period::Month => month(number),
            Period::Year => month(number.checked_mul(12)?),
        };
        zone.to_timestamp(at?).ok()
    }

    /// The word for what is kept: `daily`.
    pub fn word(self) -> &'static str {
        match self {
            Period::Hour => "hourly",
            Period::Day => "daily",
            Period::Week => "weekly",
            Period::Month => "monthly",
            Period::Year => "yearly",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_those_of_the_calendar_in_the_zone() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let same =
            |period: Period, a: &str, b: &str| period.number(at(a), &berlin) == period.number(at(b), &berlin);
        // Midnight in Berlin is 23:00 UTC in winter, 22:00 in summer.
        assert!(same(Period::Day, "2026-01-09T23:00:00Z", "2026-01-10T22:59:59Z"));
        assert!(!same(Period::Day, "2026-01-09T22:59:59Z", "2026-01-09T23:00:00Z"));
        assert!(!same(Period::Day, "2026-07-09T21:59:59Z", "2026-07-09T22:00:00Z"));
        // 4 January 2027 is a Monday.
        assert!(same(Period::Week, "2026-12-28T00:00:00Z", "2027-01-03T22:00:00Z"));
        assert!(!same(Period::Week, "2027-01-03T22:59:59Z", "2027-01-03T23:00:00Z"));
        assert!(same(Period::Month, "2026-12-31T23:00:00Z", "2027-01-31T22:59:59Z"));
        assert!(!same(Period::Year, "2026-12-31T22:59:59Z", "2026-12-31T23:00:00Z"));
        assert!(same(Period::Hour, "2026-01-09T22:00:00Z", "2026-01-09T22:59:59Z"));
    }

    #[test]
    fn a_period_begins_where_its_number_changes() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let second = SignedDuration::from_secs(1);
        for at in
            ["2026-01-09T22:30:00Z", "2026-03-29T06:30:00Z", "2026-10-25T12:00:00Z", "2028-02-29T23:30:00Z"]
        {
            let at: Timestamp = at.parse().unwrap();
            for period in Period::ALL {
                let number = period.number(at, &berlin);
                let next = period.begins(number + 1, &berlin).unwrap();
                assert!(period.begins(number, &berlin).unwrap() <= at && at < next, "{period:?} {at}");
                assert_eq!(period.number(next, &berlin), number + 1, "{period:?} {at}");
                assert_eq!(period.number(next - second, &berlin), number, "{period:?} {at}");
            }
        }
    }
}
