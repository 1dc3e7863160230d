//! The upload rate limit, shared by everything that one store uploads.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// Spreads bytes over time: each taker books the next free span and sleeps until it begins.
pub(super) struct Pace {
    bytes_per_second: Option<u64>,
    free_from: Mutex<Option<Instant>>,
}

impl Pace {
    /// A limit; `None` or zero is none.
    pub(super) fn new(bytes_per_second: Option<u64>) -> Pace {
        Pace { bytes_per_second: bytes_per_second.filter(|n| *n > 0), free_from: Mutex::new(None) }
    }

    /// Waits until these bytes may leave. Idle time is not saved up.
    pub(super) async fn take(&self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else { return };
        let wait = self.book(bytes, rate, clock::instant());
        if !wait.is_zero() {
            clock::sleep(wait).await;
        }
    }

    fn book(&self, bytes: usize, rate: u64, now: Instant) -> Duration {
        let mut free_from = self.free_from.lock().unwrap_or_else(PoisonError::into_inner);
        let start = free_from.map_or(now, |t| t.max(now));
        *free_from = Some(start + Duration::from_secs_f64(bytes as f64 / rate as f64));
        start - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takers_queue_up_and_idle_time_is_lost() {
        let pace = Pace::new(Some(1000));
        let now = clock::instant();
        assert_eq!(pace.book(500, 1000, now), Duration::ZERO);
        assert_eq!(pace.book(1000, 1000, now), Duration::from_millis(500));
        assert_eq!(pace.book(1, 1000, now + Duration::from_secs(1)), Duration::from_millis(500));
        assert_eq!(pace.book(9000, 1000, now + Duration::from_secs(60)), Duration::ZERO);
    }
}
