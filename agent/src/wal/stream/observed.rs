//! What the stream does: numbers for `/metrics`, and whether it works. Positions are bytes and moments are
//! timestamps, so that a stopped agent cannot look current.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::clock::{self, Timestamp};
use crate::error::Error;
use crate::names::Lsn;
use crate::postgres::replication::SlotState;
use crate::wal::room::{Level, Room};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfStatus {
    status: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfAlarm {
    alarm: &'static str,
}

/// Families without labels: a number that is not known yet is not on the page.
type Nothing = [(&'static str, &'static str); 0];
type Bytes = Family<Nothing, Gauge<u64, AtomicU64>>;
type Seconds = Family<Nothing, Gauge<f64, AtomicU64>>;

/// A handle; cheap to clone.
#[derive(Clone)]
pub struct Observed(Arc<Inner>);

struct Inner {
    numbers: Numbers,
    facts: Mutex<Facts>,
}

#[derive(Default)]
struct Numbers {
    stored_lsn: Bytes,
    stored_at: Seconds,
    server_lsn: Bytes,
    server_at: Seconds,
    complete_at: Seconds,
    lag: Bytes,
    slot_restart: Bytes,
    slot_kept: Bytes,
    slot_safe: Bytes,
    slot_limit: Bytes,
    disk_free: Bytes,
    slot_at: Seconds,
    slot_status: Family<OfStatus, Gauge>,
    streaming: Gauge,
    waited_for: Gauge,
    alarm: Family<OfAlarm, Gauge>,
    connections: Counter,
    uploads: Counter,
    foreign: Counter,
    uploaded: Counter,
    failures: Family<OfKind, Counter>,
}

/// What is kept between two calls.
struct Facts {
    /// When something was last stored, or nothing was left to store; at the earliest the start.
    progress: Instant,
    stored: Option<(Lsn, Timestamp)>,
    server: Option<Lsn>,
    problem: Option<String>,
}

impl Default for Observed {
    fn default() -> Observed {
        let facts = Facts { progress: clock::instant(), stored: None, server: None, problem: None };
        Observed(Arc::new(Inner { numbers: Numbers::default(), facts: Mutex::new(facts) }))
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.as_microsecond() as f64 / 1e6
}

impl Observed {
    /// One whose numbers are in `registry`.
    pub fn on(registry: &mut Registry) -> Observed {
        let observed = Observed::default();
        let numbers = &observed.0.numbers;
        let bytes = [
            ("wal_stored_lsn", "Position up to which WAL is stored", &numbers.stored_lsn),
            (
                "wal_server_lsn",
                "Position up to which the server had written when last asked",
                &numbers.server_lsn,
            ),
            ("wal_lag", "WAL that the server has written and the repository does not hold yet", &numbers.lag),
            ("wal_slot_restart_lsn", "Position from which the slot keeps WAL", &numbers.slot_restart),
            ("wal_slot_kept", "WAL that the slot keeps on the server's disk", &numbers.slot_kept),
            (
                "wal_slot_safe",
                "WAL that can still be written before the slot may be lost",
                &numbers.slot_safe,
            ),
            ("wal_slot_limit", "max_slot_wal_keep_size; absent where it is unlimited", &numbers.slot_limit),
            (
                "wal_disk_free",
                "Free space on the file system of pg_wal; absent where it cannot be seen",
                &numbers.disk_free,
            ),
        ];
        for (name, help, metric) in bytes {
            registry.register_with_unit(name, help, Unit::Bytes, metric.clone());
        }
        let seconds = [
            ("wal_stored_timestamp", "When WAL was last stored", &numbers.stored_at),
            ("wal_server_timestamp", "When the server was last heard from", &numbers.server_at),
            (
                "wal_complete_timestamp",
                "When everything that the server had written was last stored",
                &numbers.complete_at,
            ),
            ("wal_slot_timestamp", "When the slot was last looked at", &numbers.slot_at),
        ];
        for (name, help, metric) in seconds {
            registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
        }
        registry.register("wal_slot_status", "1 for the slot's wal_status", numbers.slot_status.clone());
        registry.register("wal_streaming", "1 while WAL is streamed", numbers.streaming.clone());
        let help = "1 while the server lets commits wait until their WAL is stored";
        registry.register("wal_commits_wait", help, numbers.waited_for.clone());
        let help = "0 fine, 1 look at it, 2 act now, 3 too late";
        registry.register("wal_alarm", help, numbers.alarm.clone());
        registry.register(
            "wal_connections",
            "Streams started since the agent started",
            numbers.connections.clone(),
        );
        registry.register("wal_uploads", "Objects stored since the agent started", numbers.uploads.clone());
        let help = "Objects without a valid signature that were found among the stored WAL";
        registry.register("wal_foreign_objects", help, numbers.foreign.clone());
        let help = "WAL in these objects, before compression";
        registry.register_with_unit("wal_uploaded", help, Unit::Bytes, numbers.uploaded.clone());
        registry.register("wal_failures", "Streams that failed, by kind of error", numbers.failures.clone());
        observed
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn numbers(&self) -> &Numbers {
        &self.0.numbers
    }

    /// A stream started.
    pub(super) fn connected(&self) {
        self.numbers().connections.inc();
        self.numbers().streaming.set(1);
    }

    /// A stream ended, with or without an error.
    pub(super) fn disconnected(&self, error: Option<&Error>) {
        self.numbers().streaming.set(0);
        if let Some(error) = error {
            self.numbers().failures.get_or_create(&OfKind { kind: error.kind().slug() }).inc();
            self.facts().problem = Some(error.what().to_owned());
        }
    }

    /// An object with so many bytes of WAL was stored.
    pub(super) fn uploaded(&self, bytes: u64) {
        self.numbers().uploads.inc();
        self.numbers().uploaded.inc_by(bytes);
    }

    /// So many objects without a valid signature were found where WAL is stored.
    pub(super) fn found_foreign(&self, count: u64) {
        self.numbers().foreign.inc_by(count);
    }

    /// The server has written up to here.
    pub(super) fn server_at(&self, end: Lsn) {
        let mut facts = self.facts();
        facts.server = Some(end.max(facts.server.unwrap_or(end)));
        self.numbers().server_at.get_or_create(&[]).set(seconds(clock::now()));
        self.compare(&mut facts);
    }

    /// WAL is durable up to here.
    pub(super) fn stored(&self, end: Lsn) {
        let now = clock::now();
        let mut facts = self.facts();
        (facts.stored, facts.progress, facts.problem) = (Some((end, now)), clock::instant(), None);
        self.numbers().stored_lsn.get_or_create(&[]).set(end.0);
        self.numbers().stored_at.get_or_create(&[]).set(seconds(now));
        self.compare(&mut facts);
    }

    /// A stream begins at this position: everything before it is stored.
    pub(super) fn begins_at(&self, lsn: Lsn) {
        let mut facts = self.facts();
        let (stored, at) = facts.stored.unwrap_or((lsn, clock::now()));
        facts.stored = Some((stored.max(lsn), at));
        self.compare(&mut facts);
    }

    fn compare(&self, facts: &mut Facts) {
        let (Some((stored, _)), Some(server)) = (facts.stored, facts.server) else { return };
        self.numbers().server_lsn.get_or_create(&[]).set(server.0);
        self.numbers().lag.get_or_create(&[]).set(server.0.saturating_sub(stored.0));
        if stored >= server {
            facts.progress = clock::instant();
            self.numbers().complete_at.get_or_create(&[]).set(seconds(clock::now()));
        }
    }

    /// The state of the slot was read.
    pub(super) fn slot(&self, slot: &SlotState, room: &Room) {
        let numbers = self.numbers();
        let known = |metric: &Bytes, value: Option<u64>| match value {
            Some(value) => drop(metric.get_or_create(&[]).set(value)),
            None => metric.clear(),
        };
        known(&numbers.slot_restart, slot.restart.map(|lsn| lsn.0));
        known(&numbers.slot_kept, Some(room.kept_bytes));
        known(&numbers.slot_safe, room.safe_bytes);
        known(&numbers.slot_limit, room.limit_bytes);
        known(&numbers.disk_free, room.free_bytes);
        numbers.slot_status.clear();
        if let Some(status) = &slot.status {
            numbers.slot_status.get_or_create(&OfStatus { status: status.clone() }).set(1);
        }
        numbers.slot_at.get_or_create(&[]).set(seconds(clock::now()));
        numbers.waited_for.set(slot.waited_for.into());
        self.server_at(slot.server);
    }

    /// Whether the server lets commits wait for us, as of the last check.
    pub(super) fn is_waited_for(&self) -> bool {
        self.numbers().waited_for.get() != 0
    }

    /// Sets the level of an alarm: `slot` or `stalled`.
    pub(super) fn alarm(&self, alarm: &'static str, level: Level) {
        self.numbers().alarm.get_or_create(&OfAlarm { alarm }).set(level as i64);
    }

    /// What was stored last, and when.
    pub(super) fn last_stored(&self) -> Option<(Lsn, Timestamp)> {
        self.facts().stored
    }

    /// Why the stream does not work: nothing was stored for longer than `most` although there may be
    /// something to store. `None` while it works.
    pub fn stalled(&self, most: Duration) -> Option<String> {
        let facts = self.facts();
        let quiet = clock::instant().saturating_duration_since(facts.progress);
        if quiet <= most {
            return None;
        }
        let stored =
            facts.stored.map_or("no WAL was".to_owned(), |(lsn, _)| format!("no WAL after {lsn} was"));
        let why = facts.problem.as_ref().map_or(String::new(), |problem| format!(": {problem}"));
        Some(format!("{stored} stored for {}{why}", clock::span_text(quiet)))
    }
}

/// The kinds of alarm.
pub(super) const SLOT: &str = "slot";
/// See [`Observed::stalled`].
pub(super) const STALLED: &str = "stalled";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use prometheus_client::encoding::text::encode;

    #[test]
    fn what_is_not_known_is_not_on_the_page_and_what_is_is() {
        let mut registry = Registry::with_prefix("lifeboat");
        let observed = Observed::on(&mut registry);
        let page = || {
            let mut page = String::new();
            encode(&mut page, &registry).unwrap();
            page
        };
        assert!(!page().contains("lifeboat_wal_lag_bytes{"), "{}", page());
        observed.begins_at(Lsn(100));
        observed.server_at(Lsn(160));
        assert!(page().contains("lifeboat_wal_lag_bytes{} 60\n"), "{}", page());
        assert!(!page().contains("lifeboat_wal_complete_timestamp_seconds{"));
        observed.stored(Lsn(160));
        assert!(page().contains("lifeboat_wal_lag_bytes{} 0\n"));
        assert!(page().contains("lifeboat_wal_stored_lsn_bytes{} 160\n"));
        assert!(page().contains("lifeboat_wal_complete_timestamp_seconds{} 1"));
    }

    #[test]
    fn it_is_stalled_until_something_is_stored_or_nothing_is_left() {
        let observed = Observed::default();
        observed.begins_at(Lsn(100));
        observed.server_at(Lsn(160));
        clock::sleep_blocking(Duration::from_millis(5));
        observed.disconnected(Some(&Error::new(Kind::Denied, "refused")));
        let told = observed.stalled(Duration::from_millis(1)).unwrap();
        assert!(told.contains("after 0/64") && told.ends_with("refused"), "{told}");
        assert_eq!(observed.stalled(Duration::from_secs(60)), None);
        observed.stored(Lsn(160));
        clock::sleep_blocking(Duration::from_millis(5));
        observed.server_at(Lsn(160));
        assert_eq!(observed.stalled(Duration::from_millis(4)), None, "nothing is left");
    }
}
