//! Exports are compared with the configuration minute by minute: never shorter.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::argo::{self, SyncWindow};
use super::azure;
use super::openings::openings;
use crate::clock::Timestamp;
use crate::config::{Checkpoint as Settings, Config, Inputs};
use crate::crontab::{self, Schedule};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn settings(zone: &str, freezes: &str) -> Settings {
    let text = format!(
        "instance = \"prod\"\nrepository.url = \"/r\"\n[checkpoint]\ntime_zone = \"{zone}\"\n{freezes}"
    );
    Config::parse("lifeboat.toml".as_ref(), &text, &Inputs::default()).unwrap().checkpoint
}

fn again(schedule: &str, lasts: &str) -> String {
    format!("[freeze.one]\nschedule = \"{schedule}\"\nlasts = \"{lasts}\"\n")
}

/// Whether Argo CD denies a sync now, by its own rule.
fn denies(windows: &[(Schedule, Duration)], zone: &TimeZone, now: Timestamp) -> bool {
    let wall =
        now.checked_add(Duration::ZERO).unwrap().as_second() + i64::from(zone.to_offset(now).seconds());
    let wall = Timestamp::from_second(wall).unwrap();
    windows.iter().any(|(schedule, lasts)| {
        schedule.next_after(wall.checked_sub(*lasts).unwrap()).is_some_and(|begin| begin < wall)
    })
}

fn go_duration(text: &str) -> Duration {
    let (hours, minutes) = match text.split_once('h') {
        Some((hours, rest)) => (hours.parse().unwrap(), rest.trim_end_matches('m').parse().unwrap_or(0)),
        None => (0, text.trim_end_matches('m').parse::<u64>().unwrap()),
    };
    Duration::from_secs(hours * 3600 + minutes * 60)
}

fn parsed(windows: &[SyncWindow]) -> Vec<(Schedule, Duration)> {
    let one = |window: &SyncWindow| {
        (Schedule::parse(&window.schedule, TimeZone::UTC).unwrap(), go_duration(&window.duration))
    };
    windows.iter().map(one).collect()
}

/// How many of the looked-at moments are frozen in the configuration, and in the export.
fn compared(settings: &Settings, from: &str, days: i64) -> (u32, u32) {
    let zone = crontab::zone(&settings.time_zone).unwrap();
    let windows = parsed(&argo::windows(settings, at(from)).unwrap());
    let (mut ours, mut theirs) = (0, 0);
    for step in 0..days * 24 * 4 {
        // One second after: Argo's windows do not have their first second.
        let now = at(from).checked_add(jiff::SignedDuration::from_secs(step * 900 + 1)).unwrap();
        let open = settings.freezes.iter().any(|freeze| freeze.open_at(now).is_some());
        let denied = denies(&windows, &zone, now);
        assert!(denied || !open, "{now} is frozen, and Argo CD would sync: {windows:?}");
        ours += u32::from(open);
        theirs += u32::from(denied);
    }
    (ours, theirs)
}

#[test]
fn argo_is_never_less_frozen_than_the_configuration() {
    // Around both changes of the clocks: 28 March and 31 October 2027.
    for (schedule, lasts) in
        [("0 18 L * *", "36h"), ("0 20 * * 5-7", "30h"), ("30 1 1,15 * 0", "90s"), ("0 2 * * *", "45min")]
    {
        for zone in ["Europe/Berlin", "UTC", "America/New_York"] {
            let settings = settings(zone, &again(schedule, lasts));
            if argo::windows(&settings, at("2027-01-01T00:00:00Z")).is_err() {
                assert_eq!((schedule, zone), ("30 1 1,15 * 0", "America/New_York"));
                continue;
            }
            let (spring, autumn) = (
                compared(&settings, "2027-03-20T00:00:00Z", 15),
                compared(&settings, "2027-10-25T00:00:00Z", 15),
            );
            let (ours, theirs) = (spring.0 + autumn.0, spring.1 + autumn.1);
            assert!(theirs <= ours * 2 + 100, "{schedule} {lasts} {zone}: {ours} and {theirs}");
        }
    }
    let leap = settings("Europe/Berlin", &again("0 18 L * *", "12h"));
    let (ours, theirs) = compared(&leap, "2028-02-02T00:00:00Z", 39);
    assert_eq!((ours, theirs > ours), (12 * 4, true), "the 28th and the 29th of February");
}

#[test]
fn argo_is_refused_what_it_would_lift_or_does_not_know() {
    let why = |schedule: &str, lasts: &str| {
        let settings = settings("Europe/Berlin", &again(schedule, lasts));
        argo::windows(&settings, at("2026-11-20T00:00:00Z")).unwrap_err().causes().join("; ")
    };
    assert!(
        why("30 2 * * *", "2h").contains("the hour that the clocks repeat at"),
        "{}",
        why("30 2 * * *", "2h")
    );
    assert_eq!(why("0 18 * * 5L", "2h"), "Argo CD does not know 5L");
    // The window of the day before still lasts: nothing would be lifted.
    compared(&settings("Europe/Berlin", &again("30 2 * * *", "25h")), "2027-10-29T00:00:00Z", 4);
}

#[test]
fn a_window_that_is_open_once_says_that_it_must_be_removed() {
    let text = "[freeze.peak]\nfrom = \"2026-11-27T00:00\"\nto = \"2026-11-30T06:00\"\nreason = \"sales\\n- kind: allow\"\n\
        [freeze.old]\nfrom = \"2026-01-01T00:00\"\nto = \"2026-01-02T00:00\"\n";
    let settings = settings("Europe/Berlin", text);
    let windows = argo::windows(&settings, at("2026-11-20T00:00:00Z")).unwrap();
    assert_eq!(windows.len(), 1, "what is over is left out");
    let yaml = argo::yaml(&windows);
    assert!(
        yaml.contains("schedule: \"0 0 27 11 *\"\n    duration: 78h\n    timeZone: \"Europe/Berlin\"\n"),
        "{yaml}"
    );
    assert!(yaml.contains("peak (sales\\u{a}- kind: allow): once, until 2026-11-30"), "{yaml}");
    assert!(!yaml.lines().any(|line| line.trim_start() == "- kind: allow"), "a reason stays in its comment");
    compared(&settings, "2026-11-25T00:00:00Z", 8);
    // With a change of the clocks in it.
    for (from, to) in [("2027-03-27T12:00", "2027-03-29T12:00"), ("2027-10-31T02:30", "2027-10-31T05:00")] {
        let text = format!("[freeze.one]\nfrom = \"{from}\"\nto = \"{to}\"\n");
        let settings = super::tests::settings("Europe/Berlin", &text);
        compared(&settings, &format!("{}T00:00:00Z", &from[..10]), 4);
    }
}

#[test]
fn business_hours_allow_only_what_is_free_on_each_of_these_days() {
    let hours = |freezes: &str, days: i64| {
        let (from, to) = (at("2026-11-23T00:00:00Z"), at("2026-11-23T00:00:00Z")); // a Monday
        let to = to.checked_add(jiff::SignedDuration::from_hours(24 * days)).unwrap();
        let settings = settings("Europe/Berlin", freezes);
        let open = openings(&settings.freezes, from, to).unwrap();
        azure::hours(open, from, to).map(|hours| hours.check["settings"]["inputs"].clone())
    };
    let inputs = |days: &str, start: &str, end: &str| serde_json::json!({ "businessDays": days, "timeZone": "UTC", "startTime": start, "endTime": end });
    let all = "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday";
    assert_eq!(hours("", 7).unwrap(), inputs(all, "00:00", "23:59"));
    // Each night from 18:00 to 06:00 in Berlin: 17:00 to 05:00 in UTC.
    assert_eq!(hours(&again("0 18 * * *", "12h"), 7).unwrap(), inputs(all, "05:00", "16:59"));
    let weekend = again("0 18 * * 5", "60h");
    assert_eq!(hours(&weekend, 7).unwrap(), inputs("Monday, Tuesday, Wednesday, Thursday", "05:00", "23:59"));
    assert_eq!(
        hours("", 2).unwrap(),
        inputs("Monday, Tuesday", "00:00", "23:59"),
        "other days are not known"
    );
    assert!(hours(&again("* * * * *", "2min"), 7).unwrap_err().what().contains("no time free"));
}
