//! Decides which job is due: a pure function, so that a test can try every night of the year.

use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;

use crate::archive::digest::Sha256;
use crate::clock::Timestamp;
use crate::crontab::Schedule;

/// A job as configured.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name: `backup` for `schedule.backup`, `class.critical.backup` for that key.
    pub name: String,
    /// When.
    pub schedule: Schedule,
    /// The arguments of the program.
    pub arguments: Vec<String>,
    /// The program, where it is not `lifeboat`.
    pub drill_program: Option<PathBuf>,
}

/// The rules of runs, the same for every job.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The longest delay of a run; the delay is fixed for one moment of one job on one host.
    pub jitter_max: Duration,
    /// How many times a failed run is tried again.
    pub retries_max: u32,
    /// How long after its end a failed run is tried again.
    pub retry_delay: Duration,
}

/// The latest run of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct LastRun {
    /// When it was due.
    pub due: Timestamp,
    /// 1 for the first try.
    pub attempt: u32,
    /// When it ended.
    pub ended: Timestamp,
    /// Whether a new try could help.
    pub wants_retry: bool,
}

/// The next run.
#[derive(Clone, Debug, PartialEq)]
pub struct Next {
    /// When it is due.
    pub due: Timestamp,
    /// 1 for the first try.
    pub attempt: u32,
    /// When it may begin.
    pub begin: Timestamp,
}

/// The next run of a job. If runs were missed, one run makes up for all of them at once: the latest of
/// those missed. `known_since` is when the job was first seen with this schedule; earlier moments do not
/// count as missed.
pub fn next(
    job: &Job,
    rules: &Rules,
    known_since: Timestamp,
    last: Option<&LastRun>,
    now: Timestamp,
    salt: &str,
) -> Option<Next> {
    let missed = job.schedule.last_until(now).filter(|due| *due > known_since);
    let handled = last.map(|last| last.due);
    if let (Some(last), true) = (last, missed <= handled)
        && last.wants_retry
        && last.attempt <= rules.retries_max
    {
        return Some(Next {
            due: last.due,
            attempt: last.attempt + 1,
            begin: later(last.ended, rules.retry_delay),
        });
    }
    let due = match missed {
        Some(due) if handled.is_none_or(|handled| due > handled) => due,
        _ => job.schedule.next_after(now)?,
    };
    Some(Next { due, attempt: 1, begin: later(due, jitter(job, rules.jitter_max, due, salt)) })
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| time.checked_add(by).ok()).unwrap_or(time)
}

/// Spreads a hundred agents that share a server over the interval; `salt` differs per host.
fn jitter(job: &Job, max: Duration, due: Timestamp, salt: &str) -> Duration {
    let Sha256(digest) = Sha256::of(format!("{salt} {} {due}", job.name).as_bytes());
    let drawn = digest.iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    let max = u64::try_from(max.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(drawn.checked_rem(max).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules =
        Rules { jitter_max: Duration::ZERO, retries_max: 2, retry_delay: Duration::from_secs(300) };

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn nightly() -> Job {
        let schedule = Schedule::parse("30 1 * * *", jiff::tz::TimeZone::UTC).unwrap();
        Job { name: "backup".to_owned(), schedule, arguments: Vec::new(), drill_program: None }
    }

    fn asked(last: Option<&LastRun>, now: &str) -> (String, u32, String) {
        let next = next(&nightly(), &RULES, at("2026-11-01T00:00:00Z"), last, at(now), "host").unwrap();
        (next.due.to_string(), next.attempt, next.begin.to_string())
    }

    fn ran(due: &str, attempt: u32, wants_retry: bool) -> LastRun {
        let due = at(due);
        LastRun { due, attempt, ended: due + SignedDuration::from_mins(10), wants_retry }
    }

    #[test]
    fn after_a_good_run_the_next_is_the_next() {
        let last = ran("2026-11-20T01:30:00Z", 1, false);
        let expected = ("2026-11-21T01:30:00Z".to_owned(), 1, "2026-11-21T01:30:00Z".to_owned());
        assert_eq!(asked(Some(&last), "2026-11-20T12:00:00Z"), expected);
        assert_eq!(asked(Some(&last), "2026-11-21T01:30:00Z"), expected, "due now");
    }

    #[test]
    fn missed_runs_are_caught_up_by_one() {
        let last = ran("2026-11-17T01:30:00Z", 1, false);
        let (due, attempt, begin) = asked(Some(&last), "2026-11-20T12:00:00Z");
        assert_eq!((due.as_str(), attempt), ("2026-11-20T01:30:00Z", 1));
        assert!(at(&begin) <= at("2026-11-20T12:00:00Z"), "at once");
        let caught_up = ran("2026-11-20T01:30:00Z", 1, false);
        assert_eq!(asked(Some(&caught_up), "2026-11-20T13:00:00Z").0, "2026-11-21T01:30:00Z");
    }

    #[test]
    fn a_new_job_waits_for_its_time() {
        let now = at("2026-11-20T12:00:00Z");
        let next = next(&nightly(), &RULES, now, None, now, "host").unwrap();
        assert_eq!(next.due, at("2026-11-21T01:30:00Z"));
        // Known for weeks and never run: missed.
        assert_eq!(asked(None, "2026-11-20T12:00:00Z").0, "2026-11-20T01:30:00Z");
    }

    #[test]
    fn a_failed_run_is_tried_again_until_it_is_enough_or_the_next_one_is_due() {
        let failed = |attempt| ran("2026-11-20T01:30:00Z", attempt, true);
        let second = asked(Some(&failed(1)), "2026-11-20T01:41:00Z");
        assert_eq!(
            (second.0.as_str(), second.1, second.2.as_str()),
            ("2026-11-20T01:30:00Z", 2, "2026-11-20T01:45:00Z")
        );
        assert_eq!(asked(Some(&failed(2)), "2026-11-20T01:41:00Z").1, 3);
        assert_eq!(asked(Some(&failed(3)), "2026-11-20T01:41:00Z").0, "2026-11-21T01:30:00Z", "enough");
        let over = asked(Some(&failed(1)), "2026-11-21T02:00:00Z");
        assert_eq!((over.0.as_str(), over.1), ("2026-11-21T01:30:00Z", 1));
    }

    #[test]
    fn jitter_is_bounded_steady_and_differs_between_hosts() {
        let rules = Rules { jitter_max: Duration::from_secs(300), ..RULES };
        let begin = |host: &str| {
            let now = at("2026-11-20T12:00:00Z");
            next(&nightly(), &rules, now, None, now, host).unwrap().begin
        };
        let hosts: Vec<Timestamp> = (0..50).map(|host| begin(&host.to_string())).collect();
        let due = at("2026-11-21T01:30:00Z");
        assert!(hosts.iter().all(|begin| *begin >= due && *begin < due + SignedDuration::from_secs(300)));
        assert!(hosts.iter().collect::<std::collections::BTreeSet<_>>().len() > 40);
        assert_eq!(begin("7"), begin("7"));
    }
}
