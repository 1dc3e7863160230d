//! Freeze windows as sync windows of an Argo CD AppProject.
//!
//! Argo CD (`SyncWindows.active`) finds a window's beginning with robfig/cron on the wall clock of its time
//! zone, has no years, and calls a window active while the wall clock is less than `duration` after it.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::{clocks, fields};
use crate::clock::{self, Timestamp};
use crate::config::{Checkpoint as Settings, Freeze, Opens};
use crate::crontab::{self, Schedule};
use crate::error::shown::foreign;
use crate::error::{Error, Kind, Result};

const MINUTE: u64 = 60;
/// What is added on each side of a window that is open once while the clocks change.
const HOUR: Duration = Duration::from_secs(3_600);

/// One of `spec.syncWindows`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncWindow {
    /// `deny`.
    pub kind: &'static str,
    /// When it begins: minute hour day-of-month month day-of-week.
    pub schedule: String,
    /// How long it lasts, as Go writes it.
    pub duration: String,
    /// The zone of the schedule.
    pub time_zone: String,
    /// All.
    pub applications: [&'static str; 1],
    /// People do not sync, either.
    pub manual_sync: bool,
    /// What a reader must know; a comment in YAML.
    #[serde(skip)]
    pub comment: String,
}

/// The windows. A window that is over is left out.
///
/// # Errors
/// `Refused` where Argo CD cannot say one of them, and a longer one cannot be made either.
pub fn windows(settings: &Settings, now: Timestamp) -> Result<Vec<SyncWindow>> {
    let zone = crontab::zone(&settings.time_zone)
        .map_err(|why| Error::new(Kind::Config, format!("checkpoint.time_zone: {why}")))?;
    let name = zone.iana_name().unwrap_or(&settings.time_zone).to_owned();
    let mut all = Vec::new();
    for freeze in &settings.freezes {
        let made = match &freeze.opens {
            Opens::Once(from, to) => once(&zone, *from, *to, now),
            Opens::Again(schedule, lasts) => {
                again(schedule, *lasts, &zone, now).map_err(|why| refused(freeze, schedule, &why))?
            }
        };
        all.extend(made.into_iter().map(|(schedule, lasts, comment)| SyncWindow {
            kind: "deny",
            schedule,
            duration: duration(lasts),
            time_zone: name.clone(),
            applications: ["*"],
            manual_sync: false,
            comment: format!("{}{comment}", title(freeze)),
        }));
    }
    Ok(all)
}

/// Schedule, length, and what to say of them.
type Made = Vec<(String, Duration, String)>;

fn once(zone: &TimeZone, from: Timestamp, to: Timestamp, now: Timestamp) -> Made {
    if to <= now {
        return Vec::new();
    }
    let around =
        |at: Timestamp| (at.checked_sub(2 * HOUR).unwrap_or(at), at.checked_add(2 * HOUR).unwrap_or(at));
    let changes = clocks::change_within(zone, around(from).0, around(to).1);
    let margin = if changes { HOUR } else { Duration::ZERO };
    let begin = from.checked_sub(margin).unwrap_or(from).to_zoned(zone.clone());
    let lost = Duration::from_secs(begin.second().unsigned_abs().into());
    let real = Duration::try_from(to.duration_since(from)).unwrap_or_default();
    let schedule = format!("{} {} {} {} *", begin.minute(), begin.hour(), begin.day(), begin.month());
    let longer = if changes { "; an hour longer on both sides, because the clocks change" } else { "" };
    let comment = format!(
        ": once, until {}{longer}. Remove it then: Argo CD knows no years and would freeze each year",
        clock::text(to)
    );
    vec![(schedule, real + lost + 2 * margin, comment)]
}

fn again(
    schedule: &Schedule,
    lasts: Duration,
    zone: &TimeZone,
    now: Timestamp,
) -> std::result::Result<Made, String> {
    let (lines, more) =
        fields::plain(schedule.text()).map_err(|part| format!("Argo CD does not know {part}"))?;
    if let Some(at) = clocks::repeated(schedule, lasts, zone, now) {
        return Err(format!(
            "it begins in the hour that the clocks repeat at {}, when Argo CD would lift it",
            clock::text(at)
        ));
    }
    let longer = clocks::skipped(schedule, lasts, zone, now);
    let mut comment = format!(": \"{}\"", foreign(schedule.text()));
    if !longer.is_zero() {
        comment += &format!("; {} longer, because the clocks skip that in spring", duration(longer));
    }
    if let Some(more) = more {
        comment += &format!("; {more}");
    }
    Ok(lines.into_iter().map(|line| (line, lasts + longer, comment.clone())).collect())
}

fn title(freeze: &Freeze) -> String {
    let reason = freeze.reason.as_deref().map_or(String::new(), |reason| format!(" ({})", foreign(reason)));
    format!("{}{reason}", foreign(&freeze.name))
}

fn refused(freeze: &Freeze, schedule: &Schedule, why: &str) -> Error {
    Error::new(
        Kind::Refused,
        format!("freeze window {} (\"{}\") cannot be exported to Argo CD", freeze.name, schedule.text()),
    )
    .because(why.to_owned())
    .effect("nothing was exported: without this window Argo CD would sync while it is open")
    .next(format!(
        "change [freeze.{}] schedule to days of the month or of the week, or to another hour",
        freeze.name
    ))
    .safe("lifeboat checkpoint blocks releases in this window in any case")
}

/// As Go reads it, in full minutes, never less.
fn duration(lasts: Duration) -> String {
    let seconds = lasts.as_secs() + u64::from(lasts.subsec_nanos() > 0);
    let minutes = seconds.div_ceil(MINUTE);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes}m"),
        (hours, 0) => format!("{hours}h"),
        (hours, minutes) => format!("{hours}h{minutes}m"),
    }
}

/// The windows as a part of an AppProject's `spec`.
pub fn yaml(windows: &[SyncWindow]) -> String {
    let mut out =
        "# Freeze windows of Lifeboat's configuration: a part of an AppProject's spec.\n".to_owned();
    if windows.is_empty() {
        return out + "syncWindows: []\n";
    }
    out += "syncWindows:\n";
    for window in windows {
        let quoted = |text: &str| serde_json::Value::from(text).to_string(); // JSON is YAML
        out += &format!(
            "  # {}\n  - kind: {}\n    schedule: {}\n    duration: {}\n    timeZone: {}\n    applications: [\"*\"]\n    manualSync: false\n",
            window.comment,
            window.kind,
            quoted(&window.schedule),
            window.duration,
            quoted(&window.time_zone),
        );
    }
    out
}
