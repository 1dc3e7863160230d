//! Writes the members of packs into files: files of one piece, large files past the page cache, and files
//! whose pieces are in several snapshots.

use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::archive::base::{CONTROL_FILE, TABLESPACE_MAP_FILE};
use crate::archive::blake3::Blake3;
use crate::archive::pack::EXTENT_BYTES;
use crate::archive::unpack::MemberHeader;
use crate::error::{Error, Kind, Result};
use crate::recovery::instance::extract::Shared;
use crate::recovery::instance::large_files::{Lane, LargeFile, Pieces};
use crate::recovery::instance::wanted::{File, Piece};

impl Shared<'_> {
    /// Takes a member of a pack and writes its wanted parts to their files.
    pub(super) fn member(
        &self,
        snapshot: u32,
        pack: u32,
        member: &MemberHeader,
        content: &mut dyn Read,
        lane: &mut Lane,
    ) -> Result<()> {
        let wanted = self.extract.wanted;
        let Some(place) = wanted.find(&member.path) else { return Ok(()) };
        let file = &wanted.files()[place];
        if member.path == TABLESPACE_MAP_FILE {
            self.left[place].store(0, Ordering::Relaxed); // the links are made by us
            return Ok(());
        }
        let pieces = wanted.pieces(file);
        let end = member.offset.saturating_add(member.bytes);
        let first = pieces.partition_point(|piece| piece.offset < member.offset);
        let ours: Vec<_> = pieces[first..]
            .iter()
            .take_while(|piece| piece.offset + u64::from(piece.bytes) <= end)
            .filter(|piece| (piece.snapshot, piece.pack) == (snapshot, pack))
            .collect();
        if ours.is_empty() || self.left[place].load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let bytes = usize::try_from(member.bytes).unwrap_or(usize::MAX);
        if bytes > EXTENT_BYTES {
            return Err(Error::new(
                Kind::Integrity,
                format!("{} is a member longer than format 1 allows", member.path),
            ));
        }
        lane.buffer
            .fill(content, bytes)
            .map_err(|e| Error::carried(Kind::Integrity, format!("cannot read member {}", member.path), e))?;
        let range = |piece: &Piece| {
            let begin = (piece.offset - member.offset) as usize;
            begin..begin + piece.bytes as usize
        };
        if pieces.len() == 1 {
            return self.whole(place, file, &lane.buffer.data()[range(&pieces[0])]);
        }
        if let Some(large) = self.large_file(place, file, snapshot)? {
            return lane.write(place, large, ours.iter().map(|piece| (range(piece), piece.offset)));
        }
        // Blocks of an incremental backup are between older ones: the digest is checked at the end.
        let at = self.extract.at(file)?;
        let out = at.open_or_create()?;
        for piece in &ours {
            let data = &lane.buffer.data()[range(piece)];
            out.write_all_at(data, piece.offset).map_err(|e| Error::file("write", &at.shown(), e))?;
            self.extract.progress.add_bytes(data.len() as u64);
        }
        let came = ours.len() as u32;
        if self.left[place].fetch_sub(came, Ordering::AcqRel) == came {
            self.check(Blake3::of_file(&out, &at.shown())?, file)?;
            self.extract.settle(&out, &at, file)?;
            self.extract.progress.add_files(1);
        }
        Ok(())
    }

    /// The file, if all of it comes from this snapshot in suitable pieces.
    fn large_file(&self, place: usize, file: &File, snapshot: u32) -> Result<Option<Arc<LargeFile>>> {
        let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = large.get(&place) {
            return Ok(Some(known.clone()));
        }
        let pieces = self.extract.wanted.pieces(file);
        let lengths = pieces.iter().map(|piece| (piece.offset, u64::from(piece.bytes)));
        if pieces.iter().any(|piece| piece.snapshot != snapshot) || !LargeFile::is_for(lengths, file.bytes) {
            return Ok(None);
        }
        let made = Arc::new(LargeFile::create(self.extract.at(file)?.parts(), file.bytes)?);
        large.insert(place, made.clone());
        Ok(Some(made))
    }

    /// Called when pieces of a large file are written; with the last ones, the file is checked.
    pub(super) fn written(&self, pieces: &Pieces) -> Result<()> {
        let place = pieces.place;
        let file = &self.extract.wanted.files()[place];
        self.extract.progress.add_bytes(pieces.bytes());
        if self.left[place].fetch_sub(pieces.count(), Ordering::AcqRel) != pieces.count() {
            return Ok(());
        }
        self.check(pieces.file().digest(), file)?;
        self.extract.settle(pieces.file().file(), &self.extract.at(file)?, file)?;
        self.extract.progress.add_files(1);
        self.large.lock().unwrap_or_else(PoisonError::into_inner).remove(&place);
        Ok(())
    }

    /// Writes a file of one piece.
    fn whole(&self, place: usize, file: &File, data: &[u8]) -> Result<()> {
        self.check(Blake3::of(data), file)?;
        self.left[place].store(0, Ordering::Relaxed);
        self.extract.progress.add_bytes(file.bytes);
        self.extract.progress.add_files(1);
        if self.extract.wanted.path(file) == CONTROL_FILE {
            *self.control.lock().unwrap_or_else(PoisonError::into_inner) = Some(data.to_vec());
            return Ok(());
        }
        let at = self.extract.at(file)?;
        let mut out = at.create_new()?;
        out.write_all(data).map_err(|e| Error::file("write", &at.shown(), e))?;
        self.extract.settle(&out, &at, file)
    }
}
