//! Several threads over the packs of a restore: each pack by whichever is free.

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Kind, Result};

/// Runs `work` on so many threads; the first error of them.
///
/// # Errors
/// Those of the work.
pub fn in_parallel(workers: usize, work: impl Fn() -> Result<()> + Sync) -> Result<()> {
    let outcomes: Vec<Result<()>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers.max(1)).map(|_| scope.spawn(&work)).collect();
        let panicked = |_| Err(Error::new(Kind::Internal, "a thread of the restore panicked"));
        workers.into_iter().map(|w| w.join().unwrap_or_else(panicked)).collect()
    });
    outcomes.into_iter().collect()
}

/// Reads each pack once, whatever names it; each thread lends `read` what it made for itself. One bad
/// pack ends it all: the rest is not worth the time of the night.
///
/// # Errors
/// Those of `read`.
pub fn each_pack<T, L, P: Iterator<Item = T> + Send>(
    workers: usize,
    packs: impl IntoIterator<Item = T, IntoIter = P>,
    make: impl Fn() -> L + Sync,
    read: impl Fn(T, &mut L) -> Result<()> + Sync,
) -> Result<()> {
    let queue = Mutex::new(packs.into_iter());
    let locked = || queue.lock().unwrap_or_else(PoisonError::into_inner);
    in_parallel(workers, || {
        let mut lent = make();
        loop {
            let Some(pack) = ({ locked().next() }) else { return Ok(()) };
            read(pack, &mut lent).inspect_err(|_| locked().by_ref().for_each(drop))?;
        }
    })
}
