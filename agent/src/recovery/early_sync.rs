//! The disk begins to write while packs still arrive, so that little is left for the sync at the end.

use std::io;
use std::sync::mpsc::sync_channel;

use crate::disk::beneath::Dir;
use crate::error::{Error, Kind, Result};

/// Runs `work`, which calls what it is given whenever more was written below `dir`. Nothing is durable
/// before the caller syncs.
///
/// # Errors
/// Those of `work`; and those of the disk: the kernel tells of an error in writing once, so a sync at the end
/// would not see it again.
pub(super) fn syncing_early<T>(dir: &Dir, work: impl FnOnce(&(dyn Fn() + Sync)) -> Result<T>) -> Result<T> {
    let (done, synced) = beside(|| dir.sync_file_system(), work)?;
    synced.map_err(|e| Error::file("sync", dir.path(), e))?;
    Ok(done)
}

/// Runs `work`, and `sync` on another thread after each call; what both gave.
fn beside<T>(
    sync: impl Fn() -> io::Result<()> + Send,
    work: impl FnOnce(&(dyn Fn() + Sync)) -> Result<T>,
) -> Result<(T, io::Result<()>)> {
    let (more, signals) = sync_channel(1);
    let (done, synced) = std::thread::scope(|scope| {
        let syncing = scope.spawn(move || signals.into_iter().try_for_each(|()| sync()));
        let done = work(&|| {
            let _ = more.try_send(()); // full: another round follows anyway
        });
        drop(more);
        (done, syncing.join())
    });
    let synced = synced.map_err(|_| Error::new(Kind::Internal, "a thread of the restore panicked"))?;
    Ok((done?, synced))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn an_error_of_any_sync_is_kept_and_what_was_written_last_is_synced() {
        let syncs = AtomicU32::new(0);
        let (done, synced) = beside(
            || match syncs.fetch_add(1, Ordering::Relaxed) {
                0 => Err(io::Error::other("the disk")), // told once
                _ => Ok(()),
            },
            |more| {
                (0..9).for_each(|_| more());
                Ok(7)
            },
        )
        .unwrap();
        assert_eq!((done, synced.unwrap_err().to_string()), (7, "the disk".to_owned()));

        let (written, synced) = (AtomicU32::new(0), AtomicU32::new(0));
        let sync = || {
            synced.store(written.load(Ordering::SeqCst), Ordering::SeqCst);
            Ok(())
        };
        let work = |more: &(dyn Fn() + Sync)| {
            (0..1000).for_each(|_| {
                written.fetch_add(1, Ordering::SeqCst);
                more();
            });
            Ok(())
        };
        beside(sync, work).unwrap().1.unwrap();
        assert_eq!(synced.into_inner(), 1000);
    }
}
