//! What is promised to be kept: the numbers of a recovery class.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;

pub use crate::config::period::Period;
use crate::names::TenantName;

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
