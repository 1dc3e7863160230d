//! Whether the schedules, and what else is configured, can meet what a class promises.

use std::time::Duration;

use super::{Finding, Outcome, span};
use crate::clock::{Timestamp, span_text};
use crate::config::{Class, Config, Work};
use crate::crontab::Schedule;
use crate::repository::announced::GRACE_MIN;

/// How far ahead due times are looked at: a year, with its changes of clocks.
const AHEAD: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// How many due times are looked at: a year of hours, or two weeks of minutes.
const DUE_MAX: usize = 20_000;
/// How long it takes to store a piece of WAL.
const STORED_WITHIN: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The findings, in order. `has_base` and `has_wal` say what is stored.
pub fn findings(
    config: &Config,
    (name, class): (&str, &Class),
    (has_base, has_wal): (bool, bool),
    now: Timestamp,
) -> Vec<Finding> {
    let lines = Lines::of(config, (name, class));
    let mut all = Vec::new();
    all.extend(class.rpo.map(|rpo| rpo_finding(config, (name, rpo), &lines, (has_base, has_wal), now)));
    all.extend(class.rpo.and_then(|rpo| checks(config, rpo, now)));
    all.extend(too_few(class, &lines, now));
    all.extend(cold(config, class, &lines));
    all.extend(window(class, &lines, has_base, now));
    all.extend(region(config, (name, class)));
    if class.copies > 1 {
        let text =
            format!("{} are wanted; Lifeboat knows of one, in {}", class.copies, config.repository.url);
        let finding = Finding::new("copies", Outcome::Unknown, text);
        all.push(finding.next("check the replication of the bucket yourself; copies = 1 silences this"));
    }
    all
}

/// The schedules that concern a class.
struct Lines<'c> {
    /// Dumps and filestores of its tenants.
    dumps: Vec<&'c Schedule>,
    /// Base backups.
    bases: Vec<&'c Schedule>,
}

impl<'c> Lines<'c> {
    fn of(config: &'c Config, (name, class): (&str, &Class)) -> Lines<'c> {
        let mut lines = Lines { dumps: Vec::new(), bases: Vec::new() };
        for one in config.scheduled() {
            match one.work {
                Work::Class(other) if other == name => lines.dumps.push(one.schedule),
                Work::Backup if class.backup.is_none() => lines.dumps.push(one.schedule),
                Work::Base | Work::BaseFull => lines.bases.push(one.schedule),
                _ => {}
            }
        }
        lines
    }
}

/// The longest time between two moments at which one of these is due; `None` without any.
fn longest_gap(schedules: &[&Schedule], now: Timestamp) -> Option<Duration> {
    let mut due: Vec<(Timestamp, &Schedule)> =
        schedules.iter().filter_map(|one| Some((one.next_after(now)?, *one))).collect();
    let end = now.checked_add(AHEAD).ok()?;
    let (mut last, mut longest) = (None, None);
    for _ in 0..DUE_MAX {
        let Some(first) = due.iter_mut().min_by_key(|(at, _)| *at) else { break };
        let at = first.0;
        if let Some(last) = last {
            let gap = Duration::try_from(at.duration_since(last)).unwrap_or_default();
            longest = longest.max(Some(gap));
        }
        if at > end {
            break;
        }
        last = Some(at);
        let Some(next) = first.1.next_after(at) else { break };
        first.0 = next;
    }
    longest
}

fn rpo_finding(
    config: &Config,
    (name, rpo): (&str, Duration),
    lines: &Lines<'_>,
    (has_base, has_wal): (bool, bool),
    now: Timestamp,
) -> Finding {
    let finding = |outcome, text| Finding::new("schedule", outcome, text);
    let promised = format!("rpo = {}", span(rpo));
    if config.wal.stream && (has_base || !lines.bases.is_empty()) {
        let late = config.wal.piece_interval + STORED_WITHIN;
        let text = format!("{promised}; WAL is streamed and stored within about {}", span_text(late));
        if late <= rpo {
            return finding(Outcome::Ok, text);
        }
        return finding(Outcome::Fail, text).next(
            "set wal.piece_interval lower, or let commits wait for the repository (docs/synchronous-commits.md)",
        );
    }
    let all: Vec<&Schedule> = lines.dumps.iter().chain(&lines.bases).copied().collect();
    let Some(gap) = longest_gap(&all, now) else {
        let text = format!("{promised}; no backup of these tenants is scheduled in this configuration");
        return finding(Outcome::Unknown, text)
            .next(format!("set class.{name}.backup or schedule.backup; with WAL, set schedule.base"));
    };
    let late = gap + config.schedule.jitter_max;
    let text = format!("{promised}; backups are up to {} apart", span_text(late));
    if late <= rpo {
        return finding(Outcome::Ok, text);
    }
    if !config.wal.stream && has_wal && (has_base || !lines.bases.is_empty()) {
        let text = format!("{text}; how late WAL of archive_command arrives is not known");
        return finding(Outcome::Unknown, text)
            .next("set wal.stream = true, or set rpo above archive_timeout");
    }
    let missing = if config.wal.stream { "; WAL is streamed, but there is no base backup" } else { "" };
    finding(Outcome::Fail, text + missing).next(format!(
        "set class.{name}.backup to run more often, or set wal.stream = true and schedule.base"
    ))
}

/// Checks of the repository that are further apart than what may be lost, or than it takes until a tombstone
/// excuses what is gone: what a thief does may be reported later than that, or not at all.
fn checks(config: &Config, rpo: Duration, now: Timestamp) -> Option<Finding> {
    let gap = longest_gap(&[config.schedule.verify.as_ref()?], now)?;
    let apart = format!("the checks of schedule.verify are up to {} apart", span_text(gap));
    let text = match (gap > rpo, gap > GRACE_MIN) {
        (true, _) => format!("rpo = {}, but {apart}: an attack may be reported later", span(rpo)),
        (false, true) => format!("{apart}: above {}, an attack may be missed", span(GRACE_MIN)),
        (false, false) => return None,
    };
    Some(
        Finding::new("checks", Outcome::Note, text)
            .next("see docs/immutability.md, \"An attack is reported\""),
    )
}

/// Counts that the schedule cannot fill.
fn too_few(class: &Class, lines: &Lines<'_>, now: Timestamp) -> Option<Finding> {
    // A day may have 25 hours.
    let day = 25 * HOUR;
    let counts = [
        ("hourly", class.hourly, HOUR),
        ("daily", class.daily, day),
        ("weekly", class.weekly, 7 * 24 * HOUR + HOUR),
        ("monthly", class.monthly, 31 * 24 * HOUR + HOUR),
    ];
    let gap = longest_gap(&lines.dumps, now)?;
    let (key, count, _) = counts.into_iter().find(|(_, count, most)| *count > 0 && gap > *most)?;
    let text = format!("{key} = {count}, but dumps are up to {} apart: some are missing", span_text(gap));
    Some(Finding::new("keep", Outcome::Note, text))
}

/// The newest dump may be in a storage class that is read too slowly.
fn cold(config: &Config, class: &Class, lines: &Lines<'_>) -> Vec<Finding> {
    let of_class = config.cold.iter().filter(|(period, _)| class.count(**period) > 0);
    let slow = of_class.filter_map(|(period, cold)| Some((period.word(), cold, class.rto?)));
    let slow = slow.filter(|(_, cold, rto)| cold.ready_after > *rto);
    let told = slow.map(|(word, cold, rto)| {
        let text = format!(
            "rto = {}, but the {word} dump is in {} and can be read only {} after a request; until the next \
             backup it is the newest",
            span(rto),
            cold.storage_class,
            span(cold.ready_after)
        );
        let next = format!(
            "choose a storage class that can be read at once, and remove cold.{word}.ready_after; or set a longer rto"
        );
        Finding::new("storage", Outcome::Fail, text).next(next)
    });
    let idle = config.cold.iter().find(|(period, _)| class.count(**period) > 0 && lines.dumps.is_empty());
    let idle = idle.map(|(period, _)| {
        let word = period.word();
        let text = format!(
            "[cold.{word}] does nothing: no backup of these tenants is scheduled in this configuration"
        );
        Finding::new("storage", Outcome::Note, text)
    });
    told.chain(idle).collect()
}

/// The window beside drills and base backups.
fn window(class: &Class, lines: &Lines<'_>, has_base: bool, now: Timestamp) -> Vec<Finding> {
    let mut all = Vec::new();
    let window = span(class.window);
    if class.window.is_zero() {
        return all;
    }
    if let Some(every) = class.drill_every.filter(|every| class.window < *every) {
        let text = format!(
            "window = {window} is shorter than drill_every = {}: damage may be older than the window before a \
             drill finds it",
            span(every)
        );
        let finding = Finding::new("cadence", Outcome::Fail, text);
        all.push(finding.next("drill more often, or set a longer window"));
    }
    if lines.bases.is_empty() && !has_base {
        let text = format!("window = {window}, but no base backup is scheduled, and none is stored");
        let finding = Finding::new("base", Outcome::Fail, text);
        all.push(finding.next("set schedule.base; with dumps only, set window = \"0s\""));
    }
    let gap = longest_gap(&lines.bases, now).filter(|gap| *gap > class.window);
    if let Some(gap) = gap {
        let text = format!(
            "window = {window} is shorter than the time between base backups (up to {}): more than the window is kept",
            span_text(gap)
        );
        all.push(Finding::new("base", Outcome::Note, text));
    }
    all
}

/// Where the repository is.
fn region(config: &Config, (name, class): (&str, &Class)) -> Option<Finding> {
    if class.regions.is_empty() {
        return None;
    }
    let allowed = class.regions.join(", ");
    Some(match &config.repository.region {
        None => Finding::new(
            "region",
            Outcome::Unknown,
            format!("repository.region is not set; allowed: {allowed}"),
        )
        .next("set repository.region"),
        Some(region) if class.regions.contains(region) => {
            Finding::new("region", Outcome::Ok, format!("the repository is in {region}"))
        }
        Some(region) => {
            let text = format!("the repository is in {region}; allowed: {allowed}");
            Finding::new("region", Outcome::Fail, text)
                .next(format!("move the repository, or correct class.{name}.regions"))
        }
    })
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::config::Inputs;
    use crate::crontab::zone;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIk1CVy8M+xF/CBN7ZjbiaNJ0vGBx/XBr7cZSxSZJepu";

    fn now() -> Timestamp {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn gap(lines: &[&str]) -> Option<Duration> {
        let berlin = zone("Europe/Berlin").unwrap();
        let all: Vec<Schedule> =
            lines.iter().map(|line| Schedule::parse(line, berlin.clone()).unwrap()).collect();
        longest_gap(&all.iter().collect::<Vec<_>>(), now())
    }

    #[test]
    fn the_longest_gap_is_that_of_the_whole_year() {
        assert_eq!(gap(&[]), None);
        assert_eq!(gap(&["30 1 * * *"]), Some(25 * HOUR), "the night on which the clocks go back");
        assert_eq!(gap(&["0 2 * * 1-5"]), Some(73 * HOUR), "the weekend of that night");
        assert_eq!(gap(&["0 */6 * * *"]), Some(7 * HOUR), "the same night");
        assert_eq!(gap(&["0 0 1 * *"]), Some((31 * 24 + 1) * HOUR), "October");
        assert_eq!(gap(&["0 3 1 1 *"]), Some(365 * 24 * HOUR));
        assert_eq!(gap(&["*/5 * * * *"]), Some(Duration::from_secs(300)));
        assert_eq!(gap(&["0 2 * * 1-5", "0 2 * * 0,6"]), Some(25 * HOUR), "together, each day");
        assert_eq!(gap(&["0 2 * * *", "0 2 * * *"]), Some(25 * HOUR));
    }

    #[test]
    fn a_year_of_minutes_is_quick() {
        let minutes = Schedule::parse("* * * * *", TimeZone::UTC).unwrap();
        assert_eq!(longest_gap(&[&minutes], now()), Some(Duration::from_secs(60)));
    }

    fn found(text: &str, stored: (bool, bool)) -> Vec<(Outcome, String)> {
        let text = format!("instance = 'prod'\nrepository.url = '/r'\n{text}");
        let config = Config::parse("lifeboat.toml".as_ref(), &text, &Inputs::default()).unwrap();
        let found = findings(&config, ("x", &config.classes["x"]), stored, now());
        found.into_iter().map(|one| (one.outcome, format!("{}: {}", one.about, one.text))).collect()
    }

    fn first(text: &str, stored: (bool, bool)) -> (Outcome, String) {
        found(text, stored).remove(0)
    }

    #[test]
    fn checks_that_are_further_apart_than_the_rpo_are_named() {
        let told = |every: &str, rpo: &str| {
            let text = format!(
                "schedule.backup = '30 1 * * *'\nschedule.verify = '{every}'\n\
                 signing.trusted_keys = ['{KEY}']\n[class.x]\ntenants = ['*']\nwindow = '0s'\nrpo = '{rpo}'\n"
            );
            found(&text, (false, false)).into_iter().find(|(_, text)| text.starts_with("checks: "))
        };
        let (outcome, text) = told("*/15 * * * *", "14min").unwrap();
        assert_eq!(outcome, Outcome::Note);
        assert!(text.contains("rpo = 14min, but the checks of schedule.verify are up to 15 min"), "{text}");
        assert_eq!(told("*/15 * * * *", "15min"), None);
        assert_eq!(told("*/30 * * * *", "26h"), None);
        assert!(told("0 3 * * *", "26h").unwrap().1.contains("above 45min, an attack may be missed"));
    }

    #[test]
    fn a_schedule_meets_its_rpo_or_does_not() {
        let class = |more: &str| format!("[class.x]\ntenants = ['*']\nwindow = '0s'\n{more}");
        let nightly = "schedule.backup = '30 1 * * *'\n";
        let (outcome, text) = first(&format!("{nightly}{}", class("rpo = '26h'")), (false, false));
        assert_eq!(
            (outcome, text.as_str()),
            (Outcome::Ok, "schedule: rpo = 26h; backups are up to 24 h 2 min apart")
        );
        let (outcome, _) = first(&format!("{nightly}{}", class("rpo = '24h'")), (false, false));
        assert_eq!(outcome, Outcome::Fail, "the delay of a run counts");
        let (outcome, _) =
            first(&format!("{nightly}{}", class("rpo = '2h'\nbackup = '0 * * * *'")), (false, false));
        assert_eq!(outcome, Outcome::Ok, "its own schedule wins");
        let (outcome, _) =
            first(&format!("{nightly}{}", class("rpo = '26h'\nbackup = '0 3 * * 6'")), (false, false));
        assert_eq!(outcome, Outcome::Fail, "its own schedule wins");
        let (outcome, text) = first(&class("rpo = '1h'"), (false, false));
        assert_eq!(outcome, Outcome::Unknown, "cron may run it: {text}");
    }

    #[test]
    fn streamed_wal_is_worth_seconds_with_a_base_backup_only() {
        let text = |more: &str| format!("wal.stream = true\n{more}[class.x]\ntenants = ['*']\nrpo = '10s'\n");
        let base = "schedule.base = '0 2 * * *'\n";
        let (outcome, told) = first(&text(base), (false, false));
        assert_eq!(
            (outcome, told.as_str()),
            (Outcome::Ok, "schedule: rpo = 10s; WAL is streamed and stored within about 2 s")
        );
        assert_eq!(first(&text(""), (true, false)).0, Outcome::Ok, "stored is as good as scheduled");
        let (outcome, told) = first(&text("schedule.backup = '0 2 * * *'\n"), (false, false));
        assert!(outcome == Outcome::Fail && told.contains("there is no base backup"), "{told}");
        let slow = "wal.piece_interval = '10s'\n";
        assert_eq!(first(&text(&format!("{base}{slow}")), (true, true)).0, Outcome::Fail);
        let pushed = text(base).replace("stream = true", "stream = false");
        let (outcome, told) = first(&pushed, (true, true));
        assert!(outcome == Outcome::Unknown && told.contains("archive_command"), "{told}");
        assert_eq!(first(&pushed, (true, false)).0, Outcome::Fail, "base backups alone are a day apart");
    }

    #[test]
    fn window_counts_regions_and_copies_are_looked_at() {
        let has = |text: &str, outcome: Outcome, part: &str| {
            let found = found(text, (false, false));
            assert!(found.iter().any(|(o, told)| *o == outcome && told.contains(part)), "{part}: {found:#?}");
        };
        has(
            "schedule.base = '0 2 * * *'\n[class.x]\ntenants = ['*']\nwindow = '7d'\ndrill_every = '30d'\n",
            Outcome::Fail,
            "cadence: window = 7d is shorter than drill_every = 30d",
        );
        has(
            "schedule.base_full = '0 2 * * 0'\n[class.x]\ntenants = ['*']\nwindow = '1d'\n",
            Outcome::Note,
            "base: window = 1d is shorter than the time between base backups (up to 7 d 0 h)",
        );
        has(
            "[class.x]\ntenants = ['*']\n",
            Outcome::Fail,
            "base: window = 7d, but no base backup is scheduled",
        );
        has(
            "schedule.backup = '0 2 * * *'\n[class.x]\ntenants = ['*']\nwindow = '0s'\nhourly = 24\n",
            Outcome::Note,
            "keep: hourly = 24, but dumps are up to 24 h 0 min apart",
        );
        let regions = "[class.x]\ntenants = ['*']\nregions = ['eu-central-1', 'eu-west-1']\ncopies = 2\n";
        has(regions, Outcome::Unknown, "region: repository.region is not set");
        has(regions, Outcome::Unknown, "copies: 2 are wanted");
        has(
            &format!("repository.region = 'us-east-1'\n{regions}"),
            Outcome::Fail,
            "region: the repository is in us",
        );
        has(
            &format!("repository.region = 'eu-west-1'\n{regions}"),
            Outcome::Ok,
            "region: the repository is in eu",
        );
        let well = found(
            "schedule.base = '0 2 * * *'\n[class.x]\ntenants = ['*']\nrpo = '26h'\ndrill_every = '7d'\n",
            (false, false),
        );
        assert!(well.iter().all(|(outcome, _)| *outcome == Outcome::Ok), "{well:#?}");
        let dumps_only = "[class.x]\ntenants = ['*']\nwindow = '0s'\ndrill_every = '30d'\n";
        assert_eq!(found(dumps_only, (false, false)), [], "no window, so none that is too short");
    }
}
