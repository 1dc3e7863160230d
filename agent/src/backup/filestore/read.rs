//! The workers: new files into packs.

use std::sync::Arc;

use super::item::{Handled, Item};
use crate::backup::batches::Work;
use crate::backup::file_reader::{FileReader, ReadFile};
use crate::backup::pace::Pace;
use crate::disk::beneath::Dir;
use crate::error::Result;
use crate::progress::Progress;
use crate::repository::pack_worker::PackWorker;
use crate::repository::writer::SnapshotWriter;

/// One worker: reads the new files of its batches into its own packs.
pub(super) fn pack(
    work: Work<Vec<Item>, Result<Vec<Handled>>>,
    snapshot: Arc<SnapshotWriter>,
    (dir, own): (Option<&Dir>, u32),
    pace: &Pace,
    progress: &Progress,
) -> Result<()> {
    let mut worker = PackWorker::new(snapshot)?;
    let mut reader = FileReader::new(&mut worker, pace, own);
    while let Some((items, done)) = work.take() {
        let result = items
            .into_iter()
            .map(|item| read_item(&mut reader, dir, item, progress))
            .collect::<Result<Vec<_>>>();
        let failed = result.is_err();
        if done.send(result).is_err() || failed {
            return Ok(()); // the writer has the error, or is gone with one of its own
        }
    }
    worker.finish()
}

fn read_item(
    reader: &mut FileReader<'_>,
    dir: Option<&Dir>,
    item: Item,
    progress: &Progress,
) -> Result<Handled> {
    Ok(match item {
        Item::Keep(entry) => {
            progress.add_files(1);
            Handled::Keep(entry)
        }
        Item::Again { relative, sha1, old } => {
            progress.add_files(1);
            let read = match dir {
                Some(dir) => reader.read(dir, &relative, &old.path, sha1.as_deref())?,
                None => ReadFile::Vanished,
            };
            match read {
                ReadFile::Stored(entry) if entry.flaw.is_none() => {
                    progress.add_bytes(entry.bytes);
                    Handled::Again(entry)
                }
                ReadFile::Vanished => Handled::Removed(old.path),
                // The file on disk is damaged, and the stored one is not.
                ReadFile::Stored(_) | ReadFile::Unreadable(_) => Handled::Keep(old),
            }
        }
        Item::Removed(path) => Handled::Removed(path),
        Item::Problem { text, removes } => Handled::Problem { text, removes },
        Item::Read { relative, path, sha1, replaces } => {
            let read = match dir {
                Some(dir) => reader.read(dir, &relative, &path, sha1.as_deref())?,
                None => ReadFile::Vanished, // without a directory there is no file
            };
            match read {
                ReadFile::Stored(entry) => {
                    progress.add_files(1);
                    progress.add_bytes(entry.bytes);
                    Handled::New(entry)
                }
                ReadFile::Vanished if replaces => Handled::Removed(path),
                ReadFile::Vanished => Handled::Nothing,
                ReadFile::Unreadable(text) => Handled::Problem { text, removes: replaces.then_some(path) },
            }
        }
    })
}
