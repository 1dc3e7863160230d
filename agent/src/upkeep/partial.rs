//! Segments that are stored as whole but are not: by their names nothing is missing, and recovery ends in
//! them.
//!
//! **The rule.** Only an identity shows it. If other objects do not hold the rest, it is a problem (exit code
//! 3), like missing WAL. If they do, recovery uses those, and it is a warning. To find out, the whole segment
//! is read again.

use std::fs::File;
use std::io::Cursor;
use std::sync::PoisonError;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::archive::wal::WalName;
use crate::archive::wal_extent;
use crate::archive::wal_page::SegmentHeader;
use crate::error::{Error, Kind, Result};
use crate::inventory::gaps::Missing;
use crate::names::wal::WalFile;
use crate::repository::layout;
use crate::repository::wal::file::Extent;
use crate::upkeep::work::{Partial, Work};

impl Work {
    /// Looks how far the content of an object goes. Segments that are stored as several objects
    /// (`wal_segment_size` above 16 MB) are not looked at.
    pub fn note_partial(&self, name: WalName, content: &[u8]) {
        let WalFile::Segment(_) = name.file else { return };
        let is_whole = name.begin == 0
            && SegmentHeader::parse(content)
                .is_ok_and(|header| header.segment_bytes.get() == content.len() as u64);
        if !is_whole {
            return;
        }
        // what does not begin as a segment is found by its digest, or was stored like that
        if let Ok(Some(upto)) = wal_extent::partial_bytes(Cursor::new(content)) {
            let partial = Partial { name, holds: (upto, content.len()) };
            self.partial.lock().unwrap_or_else(PoisonError::into_inner).push(partial);
        }
    }

    /// Problems and warnings about the noted ones. Blocking.
    pub fn judge_partial(&self) -> Missing {
        let mut told = Missing::default();
        let mut partial = std::mem::take(&mut *self.partial.lock().unwrap_or_else(PoisonError::into_inner));
        partial.sort_by_key(|partial| partial.name);
        for Partial { name, holds: (upto, bytes) } in partial {
            if self.meter.stop_if_cancelled().is_err() {
                break;
            }
            let what = format!(
                "{} is stored as a whole segment, but {} holds only {upto} of {bytes} bytes",
                name.file,
                layout::wal_object(self.repository.instance(), &name)
            );
            match self.put_together(name.file) {
                Ok(Extent::Whole) => told.warnings.push(format!("{what}; other objects hold the rest")),
                Ok(Extent::Tail(end)) => told.problems.push(format!(
                    "{what}; recovery stops at byte {end} of it; if the server has finished it and still has it, store it \
                     with lifeboat wal push, otherwise take a base backup now"
                )),
                Err(e) => told.problems.push(format!("{what}: {}; take a base backup now", e.what())),
            }
        }
        told
    }

    fn put_together(&self, file: WalFile) -> Result<Extent> {
        let internal = || Error::new(Kind::Internal, "WAL was opened without an identity");
        let reader = self.wal_reader.as_ref().ok_or_else(internal)?;
        // in memory: what is decrypted here is written to no disk
        let mut out = memfd_create("wal", MemfdFlags::CLOEXEC)
            .map(File::from)
            .map_err(|e| Error::new(Kind::Io, "cannot make a file in memory").because(e))?;
        let look = async {
            let names = reader.names(file).await?;
            reader.write(file, &names, &mut out).await
        };
        let found = self.runtime.block_on(look)?;
        found.ok_or_else(|| Error::new(Kind::NotFound, format!("{file} is not stored any more")))
    }
}
