//! Known violations that a plan accepts: up to a number, of one check, for a reason, until a day. They are
//! always reported as accepted. More of them, or later, they fail the drill like any other.

use lifeboat::clock::{self, Timestamp};
use serde::{Deserialize, Serialize};

/// What the plan accepts of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// The check's ID.
    pub check: String,
    /// The highest number of accepted violations.
    pub max: u64,
    /// The reason that the plan gives.
    pub reason: String,
    /// The last moment (UTC) at which they are accepted.
    pub until: Timestamp,
}

impl Acceptance {
    /// The last day (UTC).
    pub fn last_day(&self) -> String {
        self.until.strftime("%Y-%m-%d").to_string()
    }

    /// Why this number of violations is not accepted now; `None` if it is.
    pub fn refuses(&self, violations: u64, now: Timestamp) -> Option<String> {
        if now > self.until {
            return Some(format!("the plan accepted them until {}; that day is over", self.last_day()));
        }
        (violations > self.max).then(|| format!("the plan accepts at most {} of them", self.max))
    }
}

/// The end of a day, such as `2027-01-31` (UTC).
pub fn end_of_day(text: &str) -> Option<Timestamp> {
    let end: Timestamp = format!("{text}T23:59:59.999999Z").parse().ok()?;
    (clock::text(end).get(..10)? == text).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_until_the_end_of_a_day_and_no_more() {
        let until = end_of_day("2027-01-31").unwrap();
        let known = Acceptance { check: "ACC01".into(), max: 3, reason: "old".into(), until };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(known.refuses(3, at("2027-01-31T23:59:59Z")), None);
        assert!(known.refuses(4, at("2027-01-31T00:00:00Z")).unwrap().contains("accepts at most 3"));
        assert!(known.refuses(1, at("2027-02-01T00:00:00Z")).unwrap().contains("until 2027-01-31"));
        for text in ["2027-02-30", "31.1.2027", "2027-1-31", "", "2027-01-31T00:00:00Z"] {
            assert_eq!(end_of_day(text), None, "{text:?}");
        }
    }
}
