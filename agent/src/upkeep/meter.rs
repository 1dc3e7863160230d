//! What all reading passes through: counted, kept to a rate, and ended when a person stops it.

use std::io::Read;

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result};
use crate::progress::Progress;
use crate::rate_limit::RateLimit;

/// Shared by all readers of a run.
pub struct Meter {
    limit: RateLimit,
    progress: Progress,
    cancel: CancellationToken,
}

impl Meter {
    /// `None` is as fast as it goes.
    pub fn new(bytes_per_second: Option<u64>, progress: Progress, cancel: CancellationToken) -> Meter {
        Meter { limit: RateLimit::new(bytes_per_second), progress, cancel }
    }

    /// Where work is counted.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Counts bytes, then waits as long as the rate limit demands; not after the run was stopped. Blocking.
    pub fn passed(&self, bytes: u64) {
        self.progress.add_bytes(bytes);
        self.wait_for(bytes);
    }

    /// Waits alone: for bytes that are read again, and are no progress.
    fn wait_for(&self, bytes: u64) {
        self.limit.take_blocking(bytes, &self.cancel);
    }

    /// The error of a run that was stopped.
    pub fn stop_if_cancelled(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::new(Kind::Interrupted, "the check was stopped")
                .effect("what was not read yet is not checked")
                .safe("running again is safe: nothing is written"));
        }
        Ok(())
    }
}

/// A reader that passes through a [`Meter`].
pub struct Metered<'a, R> {
    /// What is read.
    pub inner: R,
    /// What counts.
    pub meter: &'a Meter,
    /// Whether its bytes are among those that were expected.
    pub counts: bool,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.meter.stop_if_cancelled().map_err(std::io::Error::other)?;
        let n = self.inner.read(buffer)?;
        match self.counts {
            true => self.meter.passed(n as u64),
            false => self.meter.wait_for(n as u64),
        }
        Ok(n)
    }
}
