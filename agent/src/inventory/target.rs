//! Where recovery ends, and the settings of PostgreSQL for it.

use std::str::FromStr;

use serde::Serialize;

use crate::clock::{self, Timestamp};
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;

/// The end of recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// As soon as the base backup is consistent.
    Immediate,
    /// All WAL that is stored.
    Latest,
    /// The last commit at or before this moment.
    Time(Timestamp),
    /// The record that begins here, or the first after it, and nothing later.
    Lsn(Lsn),
    /// The first restore point of this name.
    RestorePoint(String),
}

/// What PostgreSQL does at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Becomes a server that takes writes, on a timeline of its own.
    Promote,
    /// Stays readable; recovery can continue to a later target.
    Pause,
    /// Stops.
    Shutdown,
}

impl Action {
    /// As PostgreSQL calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Promote => "promote",
            Action::Pause => "pause",
            Action::Shutdown => "shutdown",
        }
    }
}

impl Target {
    /// `recovery_target…`: names and values; none for all WAL.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        match self {
            Target::Immediate => vec![("recovery_target", "immediate".to_owned())],
            Target::Latest => Vec::new(),
            Target::Time(time) => {
                vec![("recovery_target_time", time.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string())]
            }
            Target::Lsn(lsn) => vec![("recovery_target_lsn", lsn.to_string())],
            Target::RestorePoint(name) => vec![("recovery_target_name", name.clone())],
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Immediate => f.write_str("the moment the backup is consistent"),
            Target::Latest => f.write_str("the end of the stored WAL"),
            Target::Time(time) => write!(f, "the last commit at or before {time}"),
            Target::Lsn(lsn) => write!(f, "LSN {lsn}"),
            Target::RestorePoint(name) => write!(f, "restore point {name}"),
        }
    }
}

/// A moment with its zone: `2026-11-20T01:58:12Z`, `2026-11-20 02:58:12+01:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZonedTime(pub Timestamp);

impl FromStr for ZonedTime {
    type Err = Error;
    fn from_str(text: &str) -> Result<ZonedTime> {
        text.trim().parse().map(ZonedTime).map_err(|e: jiff::Error| {
            let now = clock::text(clock::now());
            Error::new(Kind::Usage, format!("{text:?} is not a time with its zone, such as {now}")).because(e)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_needs_its_zone_and_keeps_its_microseconds() {
        let time: ZonedTime = "2026-11-20 02:58:12.5+01".parse().unwrap();
        assert_eq!(time.0.to_string(), "2026-11-20T01:58:12.5Z");
        let settings = Target::Time(time.0).settings();
        assert_eq!(settings, [("recovery_target_time", "2026-11-20 01:58:12.500000+00".to_owned())]);
        for bad in ["2026-11-20T01:58:12", "01:58", "yesterday", ""] {
            assert!(bad.parse::<ZonedTime>().is_err(), "{bad}");
        }
    }
}
