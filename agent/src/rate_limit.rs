//! A rate limit, shared by all senders or readers: uploads of a store, what a backup reads, what a check
//! reads.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::clock;

/// Longest sleep before the cancellation is checked again.
const NAP_MAX: Duration = Duration::from_millis(100);
/// Idle time is saved up to this much: short pauses of a reader cost it nothing.
const BURST: Duration = Duration::from_millis(250);

/// Spreads bytes over time: each caller books the next free span and waits until it begins.
#[derive(Debug)]
pub struct RateLimit {
    bytes_per_second: Option<u64>,
    free_from: Mutex<Instant>,
}

impl RateLimit {
    /// A limit; `None` or zero means no limit.
    pub fn new(bytes_per_second: Option<u64>) -> RateLimit {
        let bytes_per_second = bytes_per_second.filter(|rate| *rate > 0);
        RateLimit { bytes_per_second, free_from: Mutex::new(clock::instant()) }
    }

    /// Whether nothing ever waits.
    pub fn is_unlimited(&self) -> bool {
        self.bytes_per_second.is_none()
    }

    /// Waits until these bytes may pass.
    pub async fn take(&self, bytes: u64) {
        let wait = self.book(bytes, clock::instant());
        if !wait.is_zero() {
            clock::sleep(wait).await;
        }
    }

    /// [`RateLimit::take`] on a plain thread; it returns early once `cancel` is cancelled.
    pub fn take_blocking(&self, bytes: u64, cancel: &CancellationToken) {
        let now = clock::instant();
        let due = now + self.book(bytes, now);
        loop {
            let left = due.saturating_duration_since(clock::instant());
            if left.is_zero() || cancel.is_cancelled() {
                return;
            }
            clock::sleep_blocking(left.min(NAP_MAX));
        }
    }

    /// How long to wait before they may pass.
    fn book(&self, bytes: u64, now: Instant) -> Duration {
        let Some(rate) = self.bytes_per_second else { return Duration::ZERO };
        let mut free_from = self.free_from.lock().unwrap_or_else(PoisonError::into_inner);
        let start = (*free_from).max(now.checked_sub(BURST).unwrap_or(now));
        *free_from = start + Duration::from_secs_f64(bytes as f64 / rate as f64);
        start.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takers_queue_up_and_little_idle_time_is_saved() {
        let limit = RateLimit::new(Some(1000));
        let now = clock::instant() + Duration::from_secs(1);
        assert_eq!(limit.book(500, now), Duration::ZERO);
        assert_eq!(limit.book(1000, now), Duration::from_millis(250));
        assert_eq!(limit.book(1, now + Duration::from_secs(1)), Duration::from_millis(250));
        let later = now + Duration::from_secs(60);
        assert_eq!(limit.book(9000, later), Duration::ZERO);
        assert_eq!(limit.book(1, later), Duration::from_secs(9) - BURST);
        for unlimited in [None, Some(0)] {
            let none = RateLimit::new(unlimited);
            assert_eq!((none.book(u64::MAX, now), none.book(1, now)), (Duration::ZERO, Duration::ZERO));
        }
    }

    #[test]
    fn the_rate_is_kept_and_a_cancelled_taker_does_not_wait() {
        let (limit, cancel) = (RateLimit::new(Some(10 << 20)), CancellationToken::new());
        let begun = clock::instant();
        for _ in 0..8 {
            limit.take_blocking(1 << 20, &cancel);
        }
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(350) && took < Duration::from_secs(3), "{took:?}");
        cancel.cancel();
        let begun = clock::instant();
        limit.take_blocking(100 << 20, &cancel);
        limit.take_blocking(1, &cancel);
        assert!(begun.elapsed() < Duration::from_secs(3));
    }
}
