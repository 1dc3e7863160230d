//! What is promised to be kept: the numbers of a recovery class, and which period a moment is in.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::clock::Timestamp;
use crate::names::TenantName;

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
        let civil = zone.to_datetime(at);
        let (year, month) = (i64::from(civil.year()), i64::from(civil.month()));
        let seconds = at.as_second() + i64::from(zone.to_offset(at).seconds());
        let days = seconds.div_euclid(86_400);
        match self {
            Period::Hour => seconds.div_euclid(3_600),
            Period::Day => days,
            // 1 January 1970 was a Thursday.
            Period::Week => (days + 3).div_euclid(7),
            Period::Month => year * 12 + month - 1,
            Period::Year => year,
        }
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

/// What a class promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Any moment since so long ago can be restored.
    pub window: Duration,
    /// Of how many periods, the current one included, the first snapshot is kept.
    pub periods: BTreeMap<Period, u32>,
    /// How long the checkpoint of a release can be gone back to.
    pub releases: Duration,
    /// How long the last backup of a tenant is kept whose database is gone; `None` is for ever.
    pub dropped: Option<Duration>,
}

impl Rule {
    /// What keeps all that either of them keeps.
    pub fn or(&self, other: &Rule) -> Rule {
        let mut periods = self.periods.clone();
        for (period, count) in &other.periods {
            let most = periods.entry(*period).or_default();
            *most = (*most).max(*count);
        }
        Rule {
            window: self.window.max(other.window),
            periods,
            releases: self.releases.max(other.releases),
            dropped: self.dropped.zip(other.dropped).map(|(one, other)| one.max(other)),
        }
    }
}

/// The rules of an instance.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The rule of each tenant that has exactly one class. Of another tenant, everything stays.
    pub tenants: BTreeMap<TenantName, Rule>,
    /// What serves all tenants has the strongest of all rules: base backups, WAL, batches, roles and captured
    /// configurations. `None` where no class is configured: then everything stays.
    pub instance: Option<Rule>,
    /// The zone of the calendar.
    pub zone: TimeZone,
    /// How long everything stays that was stored, whatever it is: longer than the longest backup or restore.
    pub grace: Duration,
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
}
