//! The files of a base backup to restore, from its single index: compact, sorted by path.

use tokio::runtime::Handle;

use crate::archive::blake3::Blake3;
use crate::archive::index::{self, Entry, IndexReader, Line};
use crate::archive::manifest::Manifest;
use crate::archive::pack::EXTENT_BYTES;
use crate::archive::seal::Identities;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::repository::Repository;

/// One file.
#[derive(Clone, Copy, Debug)]
pub struct File {
    path: (u32, u16),
    /// Permission bits.
    pub mode: u16,
    /// Size.
    pub bytes: u64,
    /// The digest of the content.
    pub digest: Blake3,
    pieces: (u32, u32),
}

/// The source of some bytes of a file.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// First byte in the file.
    pub offset: u64,
    /// The number of bytes.
    pub bytes: u32,
    /// Index of the snapshot in the chain.
    pub snapshot: u32,
    /// Pack of that snapshot.
    pub pack: u32,
    /// Frame of that pack.
    pub frame: u32,
}

/// All files.
#[derive(Default)]
pub struct Wanted {
    /// The chain to which the indexes of pieces refer.
    pub snapshots: Vec<SnapshotId>,
    paths: String,
    files: Vec<File>,
    pieces: Vec<Piece>,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Wanted {
    /// Reads the index of a base backup. Blocking.
    ///
    /// # Errors
    /// `Integrity` if it does not match its manifest.
    pub fn read(
        repository: &Repository,
        runtime: &Handle,
        manifest: &Manifest,
        identities: &Identities,
    ) -> Result<Wanted> {
        let facts = manifest.base_facts()?;
        let object = manifest.object(index::NAME)?;
        let wanted = repository.read_sealed(runtime, &manifest.id, object, identities, |input| {
            let lines = IndexReader::new(&format!("of snapshot {}", manifest.id), input)?;
            if !lines.header().complete || lines.header().snapshots != facts.chain {
                return Err(Error::new(Kind::Integrity, "the index is not that of its manifest's chain"));
            }
            let mut wanted = Wanted { snapshots: facts.chain.clone(), ..Wanted::default() };
            for line in lines {
                match line? {
                    Line::File(entry) => wanted.add(&entry)?,
                    Line::Removed(path) => {
                        return Err(Error::new(Kind::Integrity, format!("a complete index removes {path}")));
                    }
                }
            }
            Ok(wanted)
        })?;
        if wanted.files.len() as u64 != facts.files || wanted.bytes != facts.bytes {
            let what = format!(
                "the index of {} lists {} files, but its manifest says {}",
                manifest.id,
                wanted.files.len(),
                facts.files
            );
            return Err(Error::new(Kind::Integrity, what));
        }
        Ok(wanted)
    }

    fn add(&mut self, entry: &Entry) -> Result<()> {
        let too_many = |_| Error::new(Kind::Internal, "more files than a restore can count");
        let path = (u32::try_from(self.paths.len()).map_err(too_many)?, entry.path.len() as u16);
        let first = u32::try_from(self.pieces.len()).map_err(too_many)?;
        self.paths.push_str(&entry.path);
        for part in &entry.parts {
            if part.bytes > EXTENT_BYTES as u64 {
                return Err(Error::new(
                    Kind::Integrity,
                    format!("{} has a part that is longer than an extent", entry.path),
                ));
            }
            let Some(bytes) = u32::try_from(part.bytes).ok() else { continue };
            let index::Part { offset, snapshot, pack, frame, .. } = *part;
            self.pieces.push(Piece { offset, bytes, snapshot, pack, frame });
        }
        self.bytes += entry.bytes;
        self.files.push(File {
            path,
            mode: (entry.mode & 0o777) as u16,
            bytes: entry.bytes,
            digest: entry.digest.blake3()?,
            pieces: (first, entry.parts.len() as u32),
        });
        Ok(())
    }

    /// Removes the files for whose path `out` says so; [`Wanted::path`] still knows their paths.
    pub fn take_out(&mut self, out: impl Fn(&str) -> bool) -> Vec<File> {
        let files = std::mem::take(&mut self.files);
        let (taken, kept): (Vec<File>, _) = files.into_iter().partition(|file| out(self.path(file)));
        self.bytes -= taken.iter().map(|file| file.bytes).sum::<u64>();
        self.files = kept;
        taken
    }

    /// Puts removed files back.
    pub fn put_back(&mut self, files: Vec<File>) {
        self.bytes += files.iter().map(|file| file.bytes).sum::<u64>();
        self.files.extend(files);
        let paths = &self.paths;
        let path = |file: &File| &paths[file.path.0 as usize..][..usize::from(file.path.1)];
        self.files.sort_by(|a, b| path(a).cmp(path(b)));
    }

    /// All files, sorted by escaped path.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// The escaped path of a file.
    pub fn path(&self, file: &File) -> &str {
        let start = file.path.0 as usize;
        &self.paths[start..start + usize::from(file.path.1)]
    }

    /// The index of a file in [`Wanted::files`].
    pub fn find(&self, path: &str) -> Option<usize> {
        self.files.binary_search_by(|file| self.path(file).cmp(path)).ok()
    }

    /// The pieces of a file, ascending, at least one.
    pub fn pieces(&self, file: &File) -> &[Piece] {
        &self.pieces[file.pieces.0 as usize..(file.pieces.0 + file.pieces.1) as usize]
    }
}
