//! Limits how fast production is read: many threads share one limit.

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result};
use crate::rate_limit::RateLimit;

/// Shared by all readers of a run; readers also notice here that they should stop.
pub struct Pace {
    limit: RateLimit,
    cancel: CancellationToken,
}

impl Pace {
    /// `None` means without a limit.
    pub fn new(bytes_per_second: Option<u64>, cancel: CancellationToken) -> Pace {
        Pace { limit: RateLimit::new(bytes_per_second), cancel }
    }

    /// Waits until `bytes` more may be read. Blocking.
    ///
    /// # Errors
    /// `Interrupted` once the run is cancelled.
    pub fn take(&self, bytes: u64) -> Result<()> {
        self.limit.take_blocking(bytes, &self.cancel);
        self.stop_if_cancelled()
    }

    /// The error of a cancelled run.
    pub fn stop_if_cancelled(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(stopped()) } else { Ok(()) }
    }
}

/// The error of a cancelled run.
pub fn stopped() -> Error {
    Error::new(Kind::Interrupted, "the backup was stopped")
        .effect("the snapshot that was being made is not stored; earlier ones are untouched")
        .safe("running again is safe")
}
