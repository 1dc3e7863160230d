//! The disk begins to write while packs still arrive, so that little is left for the sync at the end.

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
    let (more, signals) = sync_channel(1);
    let (done, synced) = std::thread::scope(|scope| {
        let syncing = scope.spawn(move || signals.into_iter().try_for_each(|()| dir.sync_file_system()));
        let done = work(&|| {
            let _ = more.try_send(()); // full: another round follows anyway
        });
        drop(more);
        (done, syncing.join())
    });
    let done = done?;
    let synced = synced.map_err(|_| Error::new(Kind::Internal, "a thread of the restore panicked"))?;
    synced.map_err(|e| Error::file("sync", dir.path(), e))?;
    Ok(done)
}
