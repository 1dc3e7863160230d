//! Puts a capture and what is attached into packs, and lists both in the index.

use std::sync::Arc;

use super::attach::{Attachment, refused};
use crate::archive::digest::{FileDigest, Sha256};
use crate::archive::index::{self, Entry, Header, IndexWriter, Line, Part};
use crate::archive::manifest::Attached;
use crate::archive::pack::Member;
use crate::backup::file_reader::{FileReader, ReadFile};
use crate::backup::pace::Pace;
use crate::capture::item::{ARTIFACTS, Captured, Item};
use crate::error::Result;
use crate::progress::Progress;
use crate::repository::pack_worker::{PackWorker, Stored};
use crate::repository::writer::SnapshotWriter;

/// What was written.
pub(super) struct Written {
    /// Of the attached files, sorted by name.
    pub(super) artifacts: Vec<Attached>,
    /// Bytes of everything, before compression.
    pub(super) bytes: u64,
}

/// Writes packs and index; the manifest is still to come. Attached files are streamed. Blocking.
pub(super) fn write(
    snapshot: &Arc<SnapshotWriter>,
    captured: &Captured,
    attached: &[Attachment],
    pace: &Pace,
    progress: &Progress,
) -> Result<Written> {
    let mut entries = Vec::with_capacity(captured.items.len() + attached.len());
    // Packs of their own: a comparison of captures then reads no attached file.
    let mut worker = PackWorker::new(snapshot.clone())?;
    for item in &captured.items {
        let seconds = item.mtime_ns.div_euclid(1_000_000_000);
        let stored = worker.append(Member::Whole(&item.path), item.mode, seconds, &item.content)?;
        progress.add_files(1);
        progress.add_bytes(item.content.len() as u64);
        entries.push(entry(item, stored));
    }
    worker.finish()?;
    if !attached.is_empty() {
        progress.stage("storing what is attached");
        entries.extend(attach(snapshot, attached, pace, progress)?);
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let header = Header::new(true, vec![snapshot.id().clone()]);
    let mut index = IndexWriter::new(snapshot.sealed_writer(index::NAME)?, &header)?;
    let (mut artifacts, mut bytes) = (Vec::new(), 0);
    for entry in entries {
        bytes += entry.bytes;
        if let Some(name) = entry.path.strip_prefix(ARTIFACTS).and_then(|rest| rest.strip_prefix('/')) {
            let sha256 = entry.digest.sha256()?;
            artifacts.push(Attached { name: name.to_owned(), bytes: entry.bytes, sha256 });
        }
        index.write(&Line::File(entry))?;
    }
    index.into_inner().finish()?;
    Ok(Written { artifacts, bytes })
}

fn attach(
    snapshot: &Arc<SnapshotWriter>,
    attached: &[Attachment],
    pace: &Pace,
    progress: &Progress,
) -> Result<Vec<Entry>> {
    let mut worker = PackWorker::new(snapshot.clone())?;
    let mut reader = FileReader::new(&mut worker, pace, 0);
    let mut entries = Vec::with_capacity(attached.len());
    for one in attached {
        match reader.read(&one.file.dir, &one.file.relative, &one.path, None)? {
            ReadFile::Stored(entry) => {
                progress.add_files(1);
                progress.add_bytes(entry.bytes);
                entries.push(entry);
            }
            ReadFile::Vanished => return Err(refused(&one.file.path, "it was deleted meanwhile".to_owned())),
            ReadFile::Unreadable(why) => return Err(refused(&one.file.path, why)),
        }
    }
    worker.finish()?;
    Ok(entries)
}

fn entry(item: &Item, stored: Stored) -> Entry {
    let Stored { pack, frame, at } = stored;
    let bytes = item.content.len() as u64;
    Entry {
        path: item.path.clone(),
        bytes,
        mode: item.mode,
        mtime_ns: item.mtime_ns,
        digest: FileDigest::Sha256(Sha256::of(&item.content)),
        flaw: None,
        tenants: Vec::new(),
        parts: vec![Part { snapshot: 0, pack, frame, at, offset: 0, bytes }],
    }
}
