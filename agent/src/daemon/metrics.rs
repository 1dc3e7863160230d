//! The metrics for monitoring: timestamps, not ages, so that a stopped agent cannot look fresh.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::catalog::last_checkpoint::LastCheckpoint;
use crate::catalog::last_expire::LastExpire;
use crate::catalog::last_verify::LastVerify;
use crate::clock::{self, Timestamp};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfJob {
    job: String,
}

impl From<&str> for OfJob {
    fn from(job: &str) -> OfJob {
        OfJob { job: job.to_owned() }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfResult {
    job: String,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfTenant {
    tenant: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfGate {
    gate: String,
    outcome: String,
}

/// Without labels: what is not known is not on the page.
type Nothing = [(&'static str, &'static str); 0];

type Seconds = Family<OfJob, Gauge<f64, AtomicU64>>;

/// All metrics; each part of the agent keeps its own up to date.
pub struct Metrics {
    registry: Registry,
    alive: Gauge<f64, AtomicU64>,
    last_alive: Mutex<Option<Instant>>,
    ready: Gauge,
    scheduled: Gauge,
    doubted: Gauge,
    suspicious: Family<OfTenant, Gauge>,
    locks_read: Family<Nothing, Gauge<f64, AtomicU64>>,
    locks_short: Family<Nothing, Gauge>,
    checkpoint: Family<Nothing, Gauge<f64, AtomicU64>>,
    blocked: Family<Nothing, Gauge<f64, AtomicU64>>,
    checkpoint_took: Family<Nothing, Gauge<f64, AtomicU64>>,
    gates: Family<OfGate, Gauge>,
    expire: Expiry,
    verify: Checked,
    next: Seconds,
    began: Seconds,
    running: Family<OfJob, Gauge>,
    good: Seconds,
    duration: Seconds,
    exit_code: Family<OfJob, Gauge>,
    runs: Family<OfResult, Counter>,
    followed: Family<OfTenant, Gauge<f64, AtomicU64>>,
    waiting: Family<OfTenant, Gauge>,
    /// The tenants that have metrics now.
    tenants: Mutex<HashSet<OfTenant>>,
}

impl Metrics {
    /// Adds the metrics of schedules to a page that may have others already.
    pub fn on(mut registry: Registry) -> Metrics {
        let (alive, next, began) = (Gauge::default(), Seconds::default(), Seconds::default());
        let (good, duration) = (Seconds::default(), Seconds::default());
        let (exit_code, runs) = (Family::default(), Family::default());
        let time = |registry: &mut Registry, name, help, metric: &Seconds| {
            registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
        };
        registry.register_with_unit(
            "alive_timestamp",
            "When the scheduler's loop last ran",
            Unit::Seconds,
            alive.clone(),
        );
        time(&mut registry, "job_next_timestamp", "When the job runs next", &next);
        time(&mut registry, "job_began_timestamp", "When the job's latest run began", &began);
        time(
            &mut registry,
            "job_success_timestamp",
            "When the job's latest run with exit code 0 ended",
            &good,
        );
        time(&mut registry, "job_duration", "How long the job's latest run took", &duration);
        registry.register(
            "job_exit_code",
            "Exit code of the job's latest run; 0 is success, -1 means that a signal ended it",
            exit_code.clone(),
        );
        let running = Family::default();
        registry.register("job_running", "1 while a run of the job goes on", Family::clone(&running));
        registry.register("job_runs", "Runs of the job since the agent started", runs.clone());
        let (followed, waiting) = (Family::default(), Family::default());
        registry.register_with_unit(
            "filestore_followed_timestamp",
            "Every file that the tenant's filestore held at this time is stored",
            Unit::Seconds,
            Family::clone(&followed),
        );
        registry.register(
            "filestore_waiting_files",
            "New files of the tenant that are not stored yet",
            Family::clone(&waiting),
        );
        let (ready, scheduled) = (Gauge::default(), Gauge::default());
        registry.register("ready", "1 while the agent can do its work: /readyz answers 200", ready.clone());
        registry.register(
            "backups_scheduled",
            "How many schedules of this agent back up databases; with 0 it never backs one up",
            scheduled.clone(),
        );
        let doubted = Gauge::default();
        registry.register(
            "base_backup_times_doubted",
            "1 if a file changed but its times did not, until a full base backup; lifeboat status names it",
            doubted.clone(),
        );
        let suspicious = Family::default();
        registry.register(
            "suspicious_backups",
            "Backups of the tenant that differ from the one before as no normal work explains, and that nobody \
             accepted; lifeboat status says how",
            Family::clone(&suspicious),
        );
        let (locks_read, locks_short) = (Family::default(), Family::default());
        registry.register_with_unit(
            "locks_read_timestamp",
            "When lifeboat expire last read the locks of this repository back, on this host",
            Unit::Seconds,
            Family::clone(&locks_read),
        );
        registry.register(
            "locks_short",
            "Objects whose lock the last lifeboat expire found missing or too short, or could not make longer",
            Family::clone(&locks_short),
        );
        let (checkpoint, blocked) = (Family::default(), Family::default());
        let (checkpoint_took, gates) = (Family::default(), Family::default());
        for (name, help, metric) in [
            (
                "checkpoint_timestamp",
                "When a release checkpoint was last stored: the release could go on",
                &checkpoint,
            ),
            ("checkpoint_blocked_timestamp", "When a gate last blocked a release", &blocked),
            ("checkpoint_duration", "How long the last release checkpoint took", &checkpoint_took),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, Family::clone(metric));
        }
        registry.register(
            "checkpoint_gate",
            "1 for the outcome of each gate of the last release checkpoint",
            Family::clone(&gates),
        );
        let last_alive = Mutex::new(None);
        let expire = Expiry::on(&mut registry);
        let verify = Checked::on(&mut registry);
        Metrics {
            expire,
            verify,
            ready,
            scheduled,
            doubted,
            suspicious,
            locks_read,
            locks_short,
            checkpoint,
            blocked,
            checkpoint_took,
            gates,
            followed,
            waiting,
            tenants: Mutex::default(),
            registry,
            alive,
            last_alive,
            next,
            began,
            running,
            good,
            duration,
            exit_code,
            runs,
        }
    }
}

/// What is known of the last run of expire.
struct Expiry {
    ended: Family<Nothing, Gauge<f64, AtomicU64>>,
    numbers: [Family<Nothing, Gauge>; 5],
    refused: Family<Nothing, Gauge>,
}

impl Expiry {
    fn on(registry: &mut Registry) -> Expiry {
        let ended = Family::default();
        registry.register_with_unit(
            "expire_timestamp",
            "When lifeboat expire last came to its end on this host",
            Unit::Seconds,
            Family::clone(&ended),
        );
        let numbers = [
            ("expire_freed_bytes", "Bytes that this run deleted"),
            ("expire_announced_bytes", "Bytes that this run announced: a later run deletes them"),
            ("expire_failed_objects", "Objects that this run could not delete"),
            ("expire_pending_tombstones", "Tombstones whose grace was not over"),
            ("expire_holds", "Holds in force"),
        ];
        let numbers = numbers.map(|(name, help)| {
            let family = Family::default();
            registry.register(name, help, Family::clone(&family));
            family
        });
        let refused = Family::default();
        registry.register(
            "expire_refused",
            "1 if the last run of lifeboat expire was refused or failed: it deleted nothing; lifeboat status says why",
            Family::clone(&refused),
        );
        Expiry { ended, numbers, refused }
    }

    fn set(&self, last: &LastExpire) {
        if let Some(run) = &last.done {
            self.ended.get_or_create(&[]).set(seconds(run.at));
            let counts = [run.failed, run.pending, run.holds].map(|count| count as u64);
            let [failed, pending, holds] = counts;
            let all = [run.freed_bytes, run.announced_bytes, failed, pending, holds];
            for (family, number) in self.numbers.iter().zip(all) {
                family.get_or_create(&[]).set(i64::try_from(number).unwrap_or(i64::MAX));
            }
        }
        if last.done.is_some() || last.failed.is_some() {
            self.refused.get_or_create(&[]).set(last.failed.is_some().into());
        }
    }
}

/// What is known of the last check of the repository.
struct Checked {
    ended: Family<Nothing, Gauge<f64, AtomicU64>>,
    numbers: [Family<Nothing, Gauge>; 5],
    failed: Family<Nothing, Gauge>,
    broken: Family<Nothing, Gauge>,
}

impl Checked {
    fn on(registry: &mut Registry) -> Checked {
        let ended = Family::default();
        registry.register_with_unit(
            "verify_timestamp",
            "When lifeboat verify last checked the whole repository, on this host",
            Unit::Seconds,
            Family::clone(&ended),
        );
        let numbers = [
            ("verify_findings", "Things that this check found not to be as they were stored"),
            ("verify_unknown", "Things that this check could not look at"),
            ("verify_problems", "Problems that this check found, such as objects that were written again"),
            ("verify_warnings", "Warnings of this check, such as a backup whose time is not the store's"),
            ("verify_foreign_objects", "Objects that Lifeboat did not write, as far as this check can tell"),
        ];
        let mut family = |name, help| {
            let family = Family::default();
            registry.register(name, help, Family::clone(&family));
            family
        };
        let numbers = numbers.map(|(name, help)| family(name, help));
        let failed = family(
            "verify_failed",
            "1 if the last lifeboat verify came to no result; lifeboat status says why",
        );
        let broken = family(
            "verify_broken",
            "Snapshots and WAL objects that any check found damaged, and that no later one found whole",
        );
        Checked { ended, numbers, failed, broken }
    }

    fn set(&self, last: &LastVerify) {
        let set = |family: &Family<Nothing, Gauge>, number: u64| {
            family.get_or_create(&[]).set(i64::try_from(number).unwrap_or(i64::MAX));
        };
        if let Some(run) = &last.done {
            self.ended.get_or_create(&[]).set(seconds(run.at));
            let all = [run.findings, run.unasked, run.problems, run.warnings, run.foreign];
            self.numbers.iter().zip(all).for_each(|(family, number)| set(family, number));
        }
        if last.done.is_some() || last.failed.is_some() {
            set(&self.failed, last.failed.is_some().into());
            set(&self.broken, last.broken);
        }
    }
}

/// An empty page, to which the parts of the agent add their metrics.
pub fn page() -> Registry {
    Registry::with_prefix("lifeboat")
}

fn seconds(time: Timestamp) -> f64 {
    time.as_microsecond() as f64 / 1e6
}

impl Metrics {
    /// Notes that the scheduler's loop ran.
    pub fn alive(&self, now: Timestamp) {
        self.alive.set(seconds(now));
        *self.last_alive.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock::instant());
    }

    /// How long ago the loop last ran, independent of the wall clock.
    pub fn quiet(&self) -> Option<Duration> {
        let last = *self.last_alive.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|last| clock::instant().saturating_duration_since(last))
    }

    /// Sets whether the agent can do its work.
    pub fn ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    /// Sets how many schedules back up databases.
    pub fn scheduled(&self, count: usize) {
        self.scheduled.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Sets whether base backups distrust file times because a file changed although its times did not.
    pub fn doubted(&self, doubted: bool) {
        self.doubted.set(doubted.into());
    }

    /// Sets how many backups of each tenant are suspicious. A tenant that is not listed loses its metric.
    pub fn suspicious<'a>(&self, tenants: impl Iterator<Item = (&'a str, usize)>) {
        self.suspicious.clear();
        for (tenant, count) in tenants {
            let label = OfTenant { tenant: tenant.to_owned() };
            self.suspicious.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Sets the outcome of the last release checkpoint of this host.
    pub fn checkpoint(&self, last: &LastCheckpoint) {
        for (family, time) in [(&self.checkpoint, last.passed), (&self.blocked, last.blocked)] {
            if let Some(time) = time {
                family.get_or_create(&[]).set(seconds(time));
            }
        }
        if !last.gates.is_empty() {
            self.checkpoint_took.get_or_create(&[]).set(last.seconds);
        }
        self.gates.clear();
        for (gate, outcome) in &last.gates {
            let label = OfGate { gate: gate.clone(), outcome: outcome.clone() };
            self.gates.get_or_create(&label).set(1);
        }
    }

    /// Sets what the last runs of expire on this host came to.
    pub fn expire(&self, last: &LastExpire) {
        self.expire.set(last);
        if let Some(locks) = &last.locks {
            self.locks_read.get_or_create(&[]).set(seconds(locks.at));
            let short = i64::try_from(locks.too_short.saturating_add(locks.failed)).unwrap_or(i64::MAX);
            self.locks_short.get_or_create(&[]).set(short);
        }
    }

    /// Sets what the last check of the repository by this host found.
    pub fn verify(&self, last: &LastVerify) {
        self.verify.set(last);
    }

    /// Sets when a job runs next.
    pub fn next(&self, job: &str, begin: Timestamp) {
        self.next.get_or_create(&job.into()).set(seconds(begin));
    }

    /// Notes that a run began.
    pub fn begun(&self, job: &str, now: Timestamp) {
        self.began.get_or_create(&job.into()).set(seconds(now));
        self.running.get_or_create(&job.into()).set(1);
    }

    /// Notes that a run ended with exit code 0, just now or earlier.
    pub fn succeeded(&self, job: &str, ended: Timestamp) {
        self.good.get_or_create(&job.into()).set(seconds(ended));
    }

    /// Notes that a run ended.
    pub fn ended(&self, job: &str, now: Timestamp, took: Duration, exit_code: Option<i32>) {
        if exit_code == Some(0) {
            self.succeeded(job, now);
        }
        let result = if exit_code == Some(0) { "success" } else { "failure" };
        self.runs.get_or_create(&OfResult { job: job.to_owned(), result }).inc();
        self.duration.get_or_create(&job.into()).set(took.as_secs_f64());
        self.exit_code.get_or_create(&job.into()).set(exit_code.unwrap_or(-1).into());
        self.running.get_or_create(&job.into()).set(0);
    }

    /// Sets for each tenant's filestore up to which time it is stored and how many files wait. A tenant that
    /// is not listed loses its metrics.
    pub fn followed<'a>(&self, tenants: impl Iterator<Item = (&'a str, Timestamp, u64)>) {
        let mut told = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = std::mem::take(&mut *told);
        for (tenant, until, waiting) in tenants {
            let label = OfTenant { tenant: tenant.to_owned() };
            self.followed.get_or_create(&label).set(seconds(until));
            self.waiting.get_or_create(&label).set(i64::try_from(waiting).unwrap_or(i64::MAX));
            gone.remove(&label);
            told.insert(label);
        }
        for label in gone {
            self.followed.remove(&label);
            self.waiting.remove(&label);
        }
    }

    /// The page `/metrics`.
    pub fn page(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text.replace("{} ", " ") // families without labels: allowed, but unusual
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::last_expire::LocksRead;

    #[test]
    fn the_page_has_timestamps_by_job() {
        let metrics = Metrics::on(page());
        let at = Timestamp::from_microsecond(1_800_000_000_250_000).unwrap();
        metrics.ended("backup", at, Duration::from_millis(1500), Some(0));
        metrics.ended("filestore", at, Duration::from_millis(20), None);
        metrics.begun("drill", at);
        metrics.followed([("gone", at, 1)].into_iter());
        metrics.followed([("shop", at, 3)].into_iter());
        metrics.suspicious([("gone", 1)].into_iter());
        metrics.suspicious([("shop", 2)].into_iter());
        assert!(!metrics.page().contains("lifeboat_locks_"), "no expire ran on this host");
        let locks = Some(LocksRead { at, too_short: 2, failed: 1, not_lifted: 4 });
        metrics.expire(&LastExpire { locks, ..LastExpire::default() });
        let page = metrics.page();
        assert!(!page.contains("gone"), "{page}");
        for line in [
            "lifeboat_locks_read_timestamp_seconds 1800000000.25",
            "lifeboat_locks_short 3",
            "lifeboat_job_success_timestamp_seconds{job=\"backup\"} 1800000000.25",
            "lifeboat_job_duration_seconds{job=\"backup\"} 1.5",
            "lifeboat_job_exit_code{job=\"filestore\"} -1",
            "lifeboat_job_running{job=\"filestore\"} 0",
            "lifeboat_job_running{job=\"drill\"} 1",
            "lifeboat_filestore_followed_timestamp_seconds{tenant=\"shop\"} 1800000000.25",
            "lifeboat_filestore_waiting_files{tenant=\"shop\"} 3",
            "lifeboat_suspicious_backups{tenant=\"shop\"} 2",
            "lifeboat_job_runs_total{job=\"filestore\",result=\"failure\"} 1",
        ] {
            assert!(page.lines().any(|other| other == line), "{line} is not in\n{page}");
        }
        assert!(!page.contains("success_timestamp_seconds{job=\"filestore\"}"), "it never succeeded");
    }
}
