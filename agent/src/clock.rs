//! The door to time: nothing else reads the clock or sleeps.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A point in time, UTC.
pub use jiff::Timestamp;

/// Since when time passes faster in this process, and by what factor.
static FASTER: OnceLock<(Timestamp, Instant, u32)> = OnceLock::new();

/// Makes time in this process pass so many times as fast from now on, for everything that uses this door: for
/// tests of work that takes hours. Only the first call counts.
#[allow(clippy::disallowed_methods)] // this is the door
pub fn run_faster(times: u32) {
    FASTER.get_or_init(|| (Timestamp::now(), Instant::now(), times.max(1)));
}

/// Now, UTC, to the microsecond (the precision of PostgreSQL's own timestamps).
#[allow(clippy::disallowed_methods)] // this is the door
pub fn now() -> Timestamp {
    let now = match FASTER.get() {
        None => Timestamp::now(),
        Some((begun, since, times)) => *begun + since.elapsed() * *times,
    };
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// A monotonic reading, for durations.
#[allow(clippy::disallowed_methods)] // this is the door
pub fn instant() -> Instant {
    match FASTER.get() {
        None => Instant::now(),
        Some((_, since, times)) => *since + since.elapsed() * *times,
    }
}

/// The real time to wait for a wait of this length.
fn real(duration: Duration) -> Duration {
    FASTER.get().map_or(duration, |(_, _, times)| duration / *times)
}

/// Sleeps; cancel-safe.
#[allow(clippy::disallowed_methods)] // this is the door
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(real(duration)).await;
}

/// Sleeps on a plain thread; never call it on an async one.
#[allow(clippy::disallowed_methods)] // this is the door
pub fn sleep_blocking(duration: Duration) {
    std::thread::sleep(real(duration));
}

/// So much before, within the limits of time.
pub fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// So much after, within the limits of time.
pub fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// `2026-11-20T01:58:12Z`: the form of all times, with whole seconds and the zone.
pub fn text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A span of seconds for people: `850 ms`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn span_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min {} s", seconds / 60, seconds % 60),
        7_200..=172_799 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}
