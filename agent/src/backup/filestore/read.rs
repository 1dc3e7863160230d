//! The workers: new files into packs.

use std::sync::Arc;

use super::merge::Item;
use crate::archive::index::Entry;
use crate::backup::batches::Work;
use crate::backup::file_reader::{FileReader, ReadFile};
use crate::backup::pace::Pace;
use crate::disk::beneath::Dir;
use crate::error::Result;
use crate::progress::Progress;
use crate::repository::pack_worker::PackWorker;
use crate::repository::writer::SnapshotWriter;

/// What became of a name.
pub(super) enum Done {
    Keep(Entry),
    New(Entry),
    Removed(String),
    Nothing,
    Problem { text: String, removes: Option<String> },
}

/// One worker: reads the new files of its batches into its own packs.
pub(super) fn pack(
    work: Work<Vec<Item>, Result<Vec<Done>>>,
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
) -> Result<Done> {
    Ok(match item {
        Item::Keep(entry) => {
            progress.add_files(1);
            Done::Keep(entry)
        }
        Item::Removed(path) => Done::Removed(path),
        Item::Problem { text, removes } => Done::Problem { text, removes },
        Item::Read { relative, path, sha1, replaces } => {
            let read = match dir {
                Some(dir) => reader.read(dir, &relative, &path, sha1.as_deref())?,
                None => ReadFile::Vanished, // nothing is found where there is no directory
            };
            match read {
                ReadFile::Stored(entry) => {
                    progress.add_files(1);
                    progress.add_bytes(entry.bytes);
                    Done::New(entry)
                }
                ReadFile::Vanished if replaces => Done::Removed(path),
                ReadFile::Vanished => Done::Nothing,
                ReadFile::Unreadable(text) => Done::Problem { text, removes: replaces.then_some(path) },
            }
        }
    })
}
