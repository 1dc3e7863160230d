//! Reads the packs of a restore with several threads: any free thread takes the next pack.

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Kind, Result};

/// Runs `work` on several threads; returns the first error.
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

/// Reads each pack once; each thread passes `read` its own state. One bad pack ends all threads, because the
/// rest would be useless.
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
