//! Whether what is stored meets what a class promises: its newest states, and the window.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Finding, Outcome, drilled, span};
use crate::catalog::stream::StreamRecord;
use crate::clock::{self, Timestamp, span_text};
use crate::config::{Class, Config};
use crate::error::Result;
use crate::inventory::drills::{self, Recent};
use crate::inventory::standing::{self, InstanceStatus, TenantStatus};
use crate::inventory::take::Wanted;
use crate::inventory::window::{self, RecoveryWindow};
use crate::inventory::{Inventory, Look};
use crate::names::{TenantName, counted};
use crate::repository::snapshots::Trust;
use crate::repository::{Repository, layout};
use crate::status::remembered;

/// Tenants that a finding names.
const NAMED_MAX: usize = 3;
/// What to do where the window has no base backup, or ends before now.
const BASE_NEXT: &str = "run `lifeboat backup --kind base`; `lifeboat window` shows what can be restored";
/// What to do about a hole that a later base backup ended.
const HOLE_NEXT: &str = "`lifeboat window` shows the holes. A past hole cannot be filled: the window is whole \
                         again when it is older than the window";
/// What to do where the window has no hole, and begins too late.
const START_NEXT: &str = "`lifeboat window` shows where it begins. Nothing before that is stored: the window is \
                          whole when this beginning is older than the window";

/// What is stored, as far as classes promise something of it.
pub struct Measured {
    now: Timestamp,
    /// When the instance was first written to, by the store's clock.
    born: Timestamp,
    cluster: InstanceStatus,
    tenants: Vec<TenantStatus>,
    window: Result<RecoveryWindow>,
    /// Manifests that could not be read: what seems to be missing may be one of these.
    not_read: usize,
    /// What the checks of this host found, where that cannot be read.
    not_remembered: Option<String>,
    drills: Result<Recent>,
    stream: Result<Option<StreamRecord>>,
}

/// What is said of a tenant's newest state.
enum State {
    Met,
    Late(String),
    Unknown { text: String, next: Option<String> },
}

impl Measured {
    /// Reads what is stored.
    ///
    /// # Errors
    /// Those of the repository: then nothing is known of any class.
    pub async fn take(config: &Config, trust: &Trust, now: Timestamp) -> Result<Measured> {
        let repository = Repository::configured(config).await?;
        let wanted = Wanted { wal: true, ..Wanted::default() };
        let inventory = Inventory::take_to_show(config, &repository, trust, &wanted).await?;
        let meta = layout::instance_meta(repository.instance());
        let born = repository.store().head(&meta).await?.map_or(Timestamp::UNIX_EPOCH, |info| info.modified);
        let (verified, not_remembered) = remembered::recall(config, repository.id());
        let broken = remembered::broken(&inventory, &verified);
        let cluster = standing::instance(&inventory, &broken, now)?;
        let ages = (now, Duration::MAX);
        let not_read = |(_, look): &&(_, Look)| matches!(look, Look::NotRead(_));
        let tenants = standing::tenants(&inventory, &[], &cluster, &broken, ages);
        let names = tenants.iter().map(|one| one.tenant.clone()).collect();
        let reach = drills::reach(config.classes.values());
        Ok(Measured {
            now,
            born,
            tenants,
            cluster,
            window: window::instance(&inventory, &broken),
            not_read: inventory.snapshots.iter().filter(not_read).count(),
            not_remembered,
            drills: drills::recent(&repository, trust, &names, reach).await,
            stream: StreamRecord::read(config),
        })
    }

    /// The tenants of which something is stored.
    pub fn tenants(&self) -> BTreeSet<TenantName> {
        self.tenants.iter().map(|one| one.tenant.clone()).collect()
    }

    /// Whether a base backup is stored that can be restored.
    pub fn has_base(&self) -> bool {
        self.cluster.base.is_some() && !self.cluster.base_broken
    }

    /// Whether WAL is stored.
    pub fn has_wal(&self) -> bool {
        self.cluster.wal.is_some()
    }

    /// The findings of a class with these tenants, in order.
    pub fn findings(&self, config: &Config, class: &Class, tenants: &[&TenantName]) -> Vec<Finding> {
        let mut all = Vec::new();
        all.extend(class.rpo.and_then(|rpo| self.states(config, rpo, tenants)));
        if !class.window.is_zero() && !tenants.is_empty() {
            all.push(self.window(class.window));
        }
        if !tenants.is_empty() {
            all.extend(drilled::findings(class, tenants, &self.drills, self.now));
        }
        all
    }

    /// The newest states of the tenants.
    fn states(&self, config: &Config, rpo: Duration, tenants: &[&TenantName]) -> Option<Finding> {
        const ABOUT: &str = "state";
        let promised = format!("rpo = {}", span(rpo));
        let (mut late, mut unknown, mut worst, mut not_known_next) = (Vec::new(), Vec::new(), None, None);
        for tenant in tenants {
            match self.state(config, rpo, tenant) {
                State::Met => worst = worst.max(self.age(tenant)),
                State::Late(text) => late.push(text),
                State::Unknown { text, next } => {
                    unknown.push(text);
                    not_known_next = not_known_next.or(next);
                }
            }
        }
        if !late.is_empty() {
            let text = format!("{promised}; {}", listed(&late));
            let next = "run `lifeboat status`; if WAL is late, run `lifeboat wal status` and see \
                        runbooks/wal-slot.md; otherwise run `lifeboat backup`";
            return Some(Finding::new(ABOUT, Outcome::Fail, text).next(next));
        }
        if !unknown.is_empty() {
            let finding = Finding::new(ABOUT, Outcome::Unknown, format!("{promised}; {}", listed(&unknown)));
            return Some(Finding { next: not_known_next, ..finding });
        }
        let worst = worst?;
        let text = format!("{promised}; every tenant can be restored to {} ago or later", span_text(worst));
        let finding = Finding::new(ABOUT, Outcome::Ok, text);
        Some(match &self.not_remembered {
            Some(why) => Finding { outcome: Outcome::Unknown, ..finding }.next(why),
            None => finding,
        })
    }

    /// The age of a tenant's newest state that can be restored.
    fn age(&self, tenant: &TenantName) -> Option<Duration> {
        let known = self.tenants.iter().find(|one| one.tenant == *tenant);
        match known {
            Some(known) => known.rpo_seconds.map(Duration::from_secs),
            // A base backup has every database, also those that have no dump.
            None => self.physical(),
        }
    }

    /// The age of the newest state of the whole cluster.
    fn physical(&self) -> Option<Duration> {
        let base = self.cluster.base.as_ref().filter(|_| self.has_base())?;
        let wal = self.cluster.wal.as_ref().filter(|wal| wal.broken.is_none());
        let age = wal.map_or(base.age_seconds, |wal| wal.age_seconds.min(base.age_seconds));
        Some(Duration::from_secs(age))
    }

    fn state(&self, config: &Config, rpo: Duration, tenant: &TenantName) -> State {
        let age = self.age(tenant);
        if age.is_some_and(|age| age <= rpo) {
            return State::Met;
        }
        if self.not_read > 0 {
            let what = counted(self.not_read as u64, "manifest");
            return State::Unknown { text: format!("{tenant}: {what} could not be read"), next: None };
        }
        let Some(age) = age else { return State::Late(format!("{tenant} was never backed up")) };
        let late = format!("{tenant}: the newest state is {} old", span_text(age));
        let reaches = self.cluster.wal.as_ref().is_some_and(|wal| wal.broken.is_none());
        if !(self.has_base() && reaches) {
            return State::Late(late);
        }
        // A server that changes nothing writes no WAL: only who streams it can say that it has all.
        match &self.stream {
            Ok(Some(record)) => match record.problems(config, self.now).first() {
                None => State::Met,
                Some(problem) => State::Late(format!("{late}: {problem}")),
            },
            Ok(None) => State::Unknown {
                text: format!(
                    "{tenant}: the newest stored WAL is {} old; this host cannot know whether the server wrote \
                     more",
                    span_text(age)
                ),
                // With archive_command alone there is no such host.
                next: config.wal.stream.then(|| {
                    "run `lifeboat policy check` on the host where the agent streams WAL".to_owned()
                }),
            },
            Err(e) => State::Unknown {
                text: format!("{tenant}: {}", e.line()),
                next: e.next_text().map(str::to_owned),
            },
        }
    }

    /// Whether every second of the window can be restored.
    fn window(&self, wanted: Duration) -> Finding {
        const ABOUT: &str = "window";
        let promised = format!("window = {}", span(wanted));
        let window = match &self.window {
            Ok(window) => window,
            Err(e) => return Finding::unknown(ABOUT, &promised, e),
        };
        let fail = |text: String, next: &str| {
            Finding::new(ABOUT, Outcome::Fail, format!("{promised}; {text}")).next(next)
        };
        let finding = match window.spans.last() {
            _ if self.cluster.base.is_none() => fail("there is no base backup".to_owned(), BASE_NEXT),
            None => fail("no base backup can be restored".to_owned(), BASE_NEXT),
            Some(last) => {
                let from = self.now.checked_sub(wanted).unwrap_or(Timestamp::UNIX_EPOCH);
                let since = format!("any second since {} can be restored", clock::text(last.from));
                let open = window.holes.iter().find(|hole| hole.to.is_none());
                match open {
                    Some(hole) => {
                        fail(format!("it ends at {}: {}", clock::text(hole.from), hole.why), BASE_NEXT)
                    }
                    None if last.from <= from => {
                        Finding::new(ABOUT, Outcome::Ok, format!("{promised}; {since}"))
                    }
                    // Nothing was stored before the instance was: the window grows to what is promised.
                    None if self.born > from && window.holes.is_empty() => Finding::new(
                        ABOUT,
                        Outcome::Note,
                        format!("{promised}; {since}; the instance is younger than the window"),
                    ),
                    None => match window.holes.last() {
                        Some(hole) => fail(format!("{since}; before that {}", hole.why), HOLE_NEXT),
                        None => fail(since, START_NEXT),
                    },
                }
            }
        };
        match finding.outcome {
            Outcome::Fail if self.not_read > 0 => {
                let what = counted(self.not_read as u64, "manifest");
                Finding::new(ABOUT, Outcome::Unknown, format!("{promised}; {what} could not be read"))
            }
            _ => finding,
        }
    }
}

/// What is not known of a class if the repository cannot be read.
pub fn unknown(class: &Class) -> Vec<Finding> {
    let not_known =
        |about| Finding::new(about, Outcome::Unknown, "not known: the repository could not be read");
    let promised = [
        ("state", class.rpo.is_some()),
        ("window", !class.window.is_zero()),
        ("drill", class.drill_every.is_some()),
        ("recovery", class.rto.is_some()),
    ];
    promised.into_iter().filter(|(_, promised)| *promised).map(|(about, _)| not_known(about)).collect()
}

fn listed(all: &[String]) -> String {
    let named = all.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join("; ");
    match all.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::super::drilled::PASSED;
    use super::*;
    use crate::config::Inputs;
    use crate::error::{Error, Kind};
    use crate::inventory::drills::StoredDrill;
    use crate::inventory::made_up::id;
    use crate::inventory::standing::{Latest, Standing, WalStatus};
    use crate::inventory::window::{Hole, Span};
    use crate::names::Lsn;
    use crate::names::wal::TimelineId;

    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;

    fn now() -> Timestamp {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn before(seconds: u64) -> Timestamp {
        now() - SignedDuration::from_secs(seconds.cast_signed())
    }

    fn latest(age: u64) -> Latest {
        Latest { snapshot: id("b1"), point: before(age), age_seconds: age, release: None }
    }

    fn shop() -> TenantName {
        "shop".parse().unwrap()
    }

    /// A base backup of two days ago, streamed WAL of three hours ago, and a dump of a day ago of one tenant.
    fn measured() -> Measured {
        let (timeline, end) = (TimelineId(1), Lsn(0x300_0000));
        let stored_at = before(3 * HOUR);
        let wal = WalStatus { timeline, end, stored_at, age_seconds: 3 * HOUR, broken: None };
        let span = Span {
            base: id("b1"),
            from: before(2 * DAY),
            from_lsn: end,
            to: stored_at,
            to_lsn: end,
            timeline,
        };
        let tenant = TenantStatus {
            tenant: shop(),
            standing: Standing::Ok,
            rpo_seconds: Some(3 * HOUR),
            dump: Some(latest(DAY)),
            filestore: None,
            missing_files: 0,
            elsewhere: Vec::new(),
            dumps: 1,
            broken_dumps: 0,
        };
        Measured {
            now: now(),
            born: before(30 * DAY),
            cluster: InstanceStatus {
                base: Some(latest(2 * DAY)),
                wal: Some(wal),
                ..InstanceStatus::default()
            },
            tenants: vec![tenant],
            window: Ok(RecoveryWindow { spans: vec![span], holes: Vec::new() }),
            not_read: 0,
            not_remembered: None,
            drills: Ok(Recent { drills: Vec::new(), is_all: true }),
            stream: Ok(None),
        }
    }

    fn record(age: u64, problems: &[&str]) -> StreamRecord {
        let problems = problems.iter().map(|text| (*text).to_owned()).collect();
        StreamRecord { at: before(age), stored: None, stored_at: None, problems }
    }

    fn drill(tenant: &str, age: u64, verdict: &str, rto: Option<f64>) -> StoredDrill {
        StoredDrill {
            reason: None,
            id: "d".to_owned(),
            tenant: tenant.parse().unwrap(),
            whole_instance: false,
            stored_at: before(age),
            ended: before(age),
            verdict: verdict.to_owned(),
            rpo_seconds: None,
            rto_seconds: rto,
            state: None,
        }
    }

    /// The findings for tenant shop under this class.
    fn all(measured: &Measured, class: &Class) -> Vec<Finding> {
        let text = "instance = 'prod'\nrepository.url = '/r'\n";
        let config = Config::parse("lifeboat.toml".as_ref(), text, &Inputs::default()).unwrap();
        measured.findings(&config, class, &[&shop()])
    }

    fn found(measured: &Measured, class: &Class) -> Vec<(Outcome, String)> {
        all(measured, class).into_iter().map(|one| (one.outcome, one.text)).collect()
    }

    /// The next step of the first finding.
    fn next(measured: &Measured, class: &Class) -> String {
        all(measured, class).remove(0).next.unwrap_or_default()
    }

    fn first(measured: &Measured, class: &Class) -> Outcome {
        found(measured, class)[0].0
    }

    #[test]
    fn old_wal_is_late_idle_or_unknown_and_only_who_streams_it_knows() {
        let class = |seconds| Class {
            rpo: Some(Duration::from_secs(seconds)),
            window: Duration::ZERO,
            ..Class::default()
        };
        let minute = class(60);
        assert_eq!(first(&measured(), &class(4 * HOUR)), Outcome::Ok);
        assert_eq!(first(&measured(), &minute), Outcome::Unknown, "an idle server, or no agent");
        assert!(next(&measured(), &minute).contains("on the host where the agent streams WAL"));
        let with = |stream| Measured { stream, ..measured() };
        assert_eq!(first(&with(Ok(Some(record(5, &[])))), &minute), Outcome::Ok, "an idle server");
        assert_eq!(first(&with(Ok(Some(record(5, &["the slot is lost"])))), &minute), Outcome::Fail);
        assert_eq!(first(&with(Ok(Some(record(HOUR, &[])))), &minute), Outcome::Fail, "no agent any more");
        let unreadable = Err(Error::new(Kind::Io, "stream.json cannot be read"));
        assert_eq!(first(&with(unreadable), &minute), Outcome::Unknown);
        let mut gap = with(Ok(Some(record(5, &[]))));
        gap.cluster.wal.as_mut().unwrap().broken = Some("a gap".to_owned());
        assert_eq!(first(&gap, &minute), Outcome::Fail, "recovery does not reach its end");
        let unread = Measured { not_read: 1, ..gap };
        assert_eq!(first(&unread, &minute), Outcome::Unknown, "the newest may be what was not read");
        let never = Measured { tenants: Vec::new(), cluster: InstanceStatus::default(), ..measured() };
        let (outcome, text) = found(&never, &minute).remove(0);
        assert!(outcome == Outcome::Fail && text.ends_with("shop was never backed up"), "{text}");
        let base_only = Measured { tenants: Vec::new(), ..measured() };
        assert_eq!(first(&base_only, &class(4 * HOUR)), Outcome::Ok, "a base backup has it too");
        let forgot = Measured { not_remembered: Some("cannot be read".to_owned()), ..measured() };
        assert_eq!(first(&forgot, &class(4 * HOUR)), Outcome::Unknown, "it may be damaged");
    }

    #[test]
    fn a_window_is_whole_growing_short_or_unknown() {
        let class = |days: u64| Class { window: Duration::from_secs(days * DAY), ..Class::default() };
        assert_eq!(first(&measured(), &class(1)), Outcome::Ok);
        assert_eq!(first(&measured(), &class(2)), Outcome::Ok, "the first second counts");
        assert_eq!(first(&measured(), &class(3)), Outcome::Fail);
        assert!(next(&measured(), &class(3)).contains("where it begins"), "there is no hole");
        let young = Measured { born: before(2 * DAY + 60), ..measured() };
        assert_eq!(first(&young, &class(3)), Outcome::Note);
        let hole = |to| {
            let mut found = measured();
            let hole = Hole { from: before(3 * DAY), to, why: "WAL is missing".to_owned() };
            found.window.as_mut().unwrap().holes.push(hole);
            found
        };
        assert_eq!(
            first(&hole(Some(before(2 * DAY))), &class(1)),
            Outcome::Ok,
            "it is older than the window"
        );
        assert_eq!(first(&hole(Some(before(2 * DAY))), &class(3)), Outcome::Fail);
        assert!(next(&hole(Some(before(2 * DAY))), &class(3)).contains("cannot be filled"));
        assert_eq!(first(&hole(None), &class(1)), Outcome::Fail, "it lasts until now");
        assert!(next(&hole(None), &class(1)).contains("--kind base"), "a base backup ends it");
        assert_eq!(first(&Measured { not_read: 2, ..hole(None) }, &class(1)), Outcome::Unknown);
        let unreadable = Measured { window: Err(Error::new(Kind::Denied, "HTTP 403")), ..measured() };
        assert_eq!(first(&unreadable, &class(1)), Outcome::Unknown);
        let nothing = Measured {
            cluster: InstanceStatus::default(),
            window: Ok(RecoveryWindow::default()),
            ..measured()
        };
        assert_eq!(first(&nothing, &class(1)), Outcome::Fail);
    }

    #[test]
    fn the_newest_drill_of_the_class_counts_however_it_ended() {
        let class = Class {
            window: Duration::ZERO,
            drill_every: Some(Duration::from_secs(7 * DAY)),
            rto: Some(Duration::from_secs(HOUR)),
            ..Class::default()
        };
        let with = |drills: Vec<StoredDrill>, is_all| {
            let measured = Measured { drills: Ok(Recent { drills, is_all }), ..measured() };
            found(&measured, &class).into_iter().map(|(outcome, _)| outcome).collect::<Vec<_>>()
        };
        let passed = |age| drill("shop", age, PASSED, Some(600.0));
        assert_eq!(with(vec![passed(DAY)], true), [Outcome::Ok, Outcome::Ok]);
        assert_eq!(with(vec![passed(8 * DAY)], true), [Outcome::Fail, Outcome::Ok], "too old");
        let slow = drill("shop", DAY, "missed-objective", Some(7200.0));
        assert_eq!(with(vec![slow, passed(2 * DAY)], true), [Outcome::Fail, Outcome::Fail]);
        let not_run = drill("shop", DAY, "could-not-run", None);
        assert_eq!(with(vec![not_run], true), [Outcome::Fail, Outcome::Unknown]);
        let other = |age| drill("books", age, PASSED, Some(1.0));
        assert_eq!(with(vec![other(DAY)], true), [Outcome::Fail, Outcome::Unknown], "of another class");
        assert_eq!(
            with(vec![other(DAY)], false),
            [Outcome::Unknown, Outcome::Unknown],
            "older ones are not read"
        );
        assert_eq!(
            with(vec![other(9 * DAY)], false),
            [Outcome::Fail, Outcome::Unknown],
            "they would be too old"
        );
        let unreadable = Measured { drills: Err(Error::new(Kind::Denied, "HTTP 403")), ..measured() };
        assert_eq!(found(&unreadable, &class)[0].0, Outcome::Unknown);
    }
}
