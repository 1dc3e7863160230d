//! A bound on how fast production is read: many threads share one.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::error::{Error, Kind, Result};

/// Longest sleep before the cancellation is looked at again.
const NAP_MAX: Duration = Duration::from_millis(100);
/// Reading may run this far ahead of the rate.
const BURST: Duration = Duration::from_millis(250);

/// Shared by all readers of a run; also where they notice that they should stop.
pub struct Pace {
    bytes_per_second: Option<u64>,
    free_at: Mutex<Instant>,
    cancel: CancellationToken,
}

impl Pace {
    /// `None` is as fast as it goes.
    pub fn new(bytes_per_second: Option<u64>, cancel: CancellationToken) -> Pace {
        Pace { bytes_per_second, free_at: Mutex::new(clock::instant()), cancel }
    }

    /// Waits until `bytes` more may be read. Blocking.
    ///
    /// # Errors
    /// `Interrupted` once the run is cancelled.
    pub fn take(&self, bytes: u64) -> Result<()> {
        self.stop_if_cancelled()?;
        let Some(rate) = self.bytes_per_second else { return Ok(()) };
        let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let due = {
            let mut free_at = self.free_at.lock().unwrap_or_else(|e| e.into_inner());
            let now = clock::instant();
            let earliest = now.checked_sub(BURST).unwrap_or(now);
            let due = (*free_at).max(earliest);
            *free_at = due + cost;
            due
        };
        loop {
            let left = due.saturating_duration_since(clock::instant());
            if left.is_zero() {
                return Ok(());
            }
            clock::sleep_blocking(left.min(NAP_MAX));
            self.stop_if_cancelled()?;
        }
    }

    /// The error of a cancelled run.
    pub fn stop_if_cancelled(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(stopped()) } else { Ok(()) }
    }
}

/// The error of a cancelled run.
pub fn stopped() -> Error {
    Error::new(Kind::Interrupted, "the backup was stopped")
        .effect("the snapshot under way does not exist; what was stored before is untouched")
        .safe("running again is safe")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_and_a_cancelled_run_stops() {
        let cancel = CancellationToken::new();
        let pace = Pace::new(Some(10 << 20), cancel.clone());
        let begun = clock::instant();
        for _ in 0..8 {
            pace.take(1 << 20).unwrap();
        }
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(350) && took < Duration::from_secs(3), "{took:?}");
        cancel.cancel();
        assert_eq!(pace.take(1).unwrap_err().kind(), Kind::Interrupted);
    }
}
