//! The files to restore, from an index chain: compact, sorted by path, about 130 bytes per file, so that a
//! million files fit into the memory bound.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::runtime::Handle;

use crate::archive::index::{self, Entry, IndexReader, Line};
use crate::archive::manifest::{FilestoreFacts, Manifest};
use crate::archive::seal::Identities;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::repository::Repository;

/// A pack with bytes of a file: the snapshot, and the pack's number in it.
pub type Home = (SnapshotId, u32);

/// One file.
#[derive(Clone, Copy, Debug)]
pub struct File {
    path: (u32, u16),
    /// Permission bits.
    pub mode: u16,
    /// Whether the source was already damaged: then its SHA-1 cannot match.
    pub flawed: bool,
    /// Size.
    pub bytes: u64,
    /// Modification time.
    pub mtime_ns: i64,
    /// Content.
    pub sha256: [u8; 32],
    /// For files in one part: snapshot (in the set's table) and pack. For files in several, see `parts`.
    pub home: (u32, u32),
    /// The number of parts, at least 1.
    pub parts: u32,
}

/// All files to restore.
#[derive(Clone, Default)]
pub struct Wanted {
    /// The snapshots that contain the files.
    pub snapshots: Vec<SnapshotId>,
    paths: Vec<u8>,
    files: Vec<File>,
    /// The packs of each file in several parts, by its index.
    cut: HashMap<u32, Vec<(u32, u32, u64)>>,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Wanted {
    /// Reads the indexes of a filestore snapshot and merges them.
    pub fn filestore(
        repository: &Repository,
        runtime: &Handle,
        facts: &FilestoreFacts,
        manifests: &HashMap<SnapshotId, Manifest>,
        identities: &Identities,
    ) -> Result<Wanted> {
        let Some((base, changes)) = facts.index_chain.split_first() else {
            return Err(Error::new(Kind::Integrity, "a filestore snapshot names no index"));
        };
        let mut wanted = Wanted::default();
        let mut overlay: BTreeMap<String, Option<Entry>> = BTreeMap::new();
        for id in changes {
            read(repository, runtime, id, manifests, identities, false, &mut wanted.snapshots, |line| {
                match line {
                    Line::File(entry) => overlay.insert(entry.path.clone(), Some(entry)),
                    Line::Removed(path) => overlay.insert(path, None),
                };
                Ok(())
            })?;
        }
        let mut snapshots = std::mem::take(&mut wanted.snapshots);
        let mut overlay = overlay.into_iter().peekable();
        read(repository, runtime, base, manifests, identities, true, &mut snapshots, |line| {
            while let Some((_, change)) = overlay.next_if(|(path, _)| path.as_str() < line.path()) {
                change.map_or(Ok(()), |entry| wanted.add(entry))?;
            }
            let change = overlay.next_if(|(path, _)| path.as_str() == line.path());
            match (change, line) {
                (Some((_, Some(entry))), _) => wanted.add(entry),
                (Some((_, None)), _) | (None, Line::Removed(_)) => Ok(()),
                (None, Line::File(entry)) => wanted.add(entry),
            }
        })?;
        for entry in overlay.filter_map(|(_, change)| change) {
            wanted.add(entry)?;
        }
        wanted.snapshots = snapshots;
        Ok(wanted)
    }

    /// Reads the index of a snapshot that stands alone (a dump, globals).
    pub fn single(
        repository: &Repository,
        runtime: &Handle,
        manifest: &Manifest,
        identities: &Identities,
    ) -> Result<Wanted> {
        Wanted::of_index(repository, runtime, manifest, identities, |_| true)
    }

    /// Reads one index without the ones before it in its chain, and keeps the files that `take` wants.
    pub fn of_index(
        repository: &Repository,
        runtime: &Handle,
        manifest: &Manifest,
        identities: &Identities,
        take: impl Fn(&Entry) -> bool,
    ) -> Result<Wanted> {
        let manifests = HashMap::from([(manifest.id.clone(), manifest.clone())]);
        let complete = manifest.filestore().is_none_or(|facts| facts.complete);
        let mut wanted = Wanted::default();
        let mut snapshots = Vec::new();
        read(repository, runtime, &manifest.id, &manifests, identities, complete, &mut snapshots, |line| {
            match line {
                Line::File(entry) if take(&entry) => wanted.add(entry),
                Line::File(_) | Line::Removed(_) => Ok(()),
            }
        })?;
        wanted.snapshots = snapshots;
        Ok(wanted)
    }

    fn add(&mut self, entry: Entry) -> Result<()> {
        let too_many = || Error::new(Kind::Internal, "more than 4 GiB of paths in one filestore");
        let place = u32::try_from(self.files.len()).map_err(|_| too_many())?;
        let start = u32::try_from(self.paths.len()).map_err(|_| too_many())?;
        let length = u16::try_from(entry.path.len()).map_err(|_| too_many())?;
        self.paths.extend_from_slice(entry.path.as_bytes());
        let first = entry.parts.first().map_or((0, 0), |part| (part.snapshot, part.pack));
        if entry.parts.len() > 1 {
            let homes = entry.parts.iter().map(|p| (p.snapshot, p.pack, p.offset)).collect();
            self.cut.insert(place, homes);
        }
        self.bytes += entry.bytes;
        self.files.push(File {
            path: (start, length),
            mode: (entry.mode & 0o7777) as u16,
            flawed: entry.flaw.is_some(),
            bytes: entry.bytes,
            mtime_ns: entry.mtime_ns,
            sha256: entry.digest.sha256()?.0,
            home: first,
            parts: entry.parts.len() as u32,
        });
        Ok(())
    }

    /// All files, sorted by escaped path.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// The escaped path of a file.
    pub fn path(&self, file: &File) -> &str {
        let start = file.path.0 as usize;
        std::str::from_utf8(&self.paths[start..start + usize::from(file.path.1)]).unwrap_or_default()
    }

    /// The index of a file in [`Wanted::files`].
    pub fn find(&self, path: &str) -> Option<usize> {
        self.files.binary_search_by(|file| self.path(file).cmp(path)).ok()
    }

    /// Removes the files for which `keep`, called with path and packs, returns false.
    pub fn keep(&mut self, mut keep: impl FnMut(&str, &[Home]) -> bool) -> Result<()> {
        let mut kept = Wanted { snapshots: self.snapshots.clone(), ..Wanted::default() };
        let same: Vec<u32> = (0..self.snapshots.len() as u32).collect();
        for (place, file) in self.files.iter().enumerate() {
            if keep(self.path(file), &self.named_homes(place)) {
                kept.copy(self, place, &same)?;
            }
        }
        *self = kept;
        Ok(())
    }

    /// The files of all sets; if several sets have a path, the first one wins.
    pub fn union(sets: &[Wanted]) -> Result<Wanted> {
        let mut union = Wanted::default();
        let mut renumber = Vec::new();
        for set in sets {
            renumber
                .push(set.snapshots.iter().map(|id| place_of(&mut union.snapshots, id)).collect::<Vec<_>>());
        }
        let mut all: Vec<(usize, usize)> =
            sets.iter().enumerate().flat_map(|(n, set)| (0..set.files.len()).map(move |f| (n, f))).collect();
        all.sort_by_key(|(n, file)| sets[*n].path(&sets[*n].files[*file])); // stable: the first set first
        all.dedup_by_key(|(n, file)| sets[*n].path(&sets[*n].files[*file]));
        for (n, file) in all {
            union.copy(&sets[n], file, &renumber[n])?;
        }
        Ok(union)
    }

    fn copy(&mut self, from: &Wanted, place: usize, renumber: &[u32]) -> Result<()> {
        let too_many = |_| Error::new(Kind::Internal, "more than 4 GiB of paths in one filestore");
        let number = |old: u32| renumber.get(old as usize).copied().unwrap_or(u32::MAX);
        let file = from.files[place];
        if let Some(homes) = from.cut.get(&(place as u32)) {
            let homes = homes.iter().map(|(s, pack, offset)| (number(*s), *pack, *offset)).collect();
            self.cut.insert(u32::try_from(self.files.len()).map_err(too_many)?, homes);
        }
        let start = u32::try_from(self.paths.len()).map_err(too_many)?;
        self.paths.extend_from_slice(from.path(&file).as_bytes());
        self.bytes += file.bytes;
        let home = (number(file.home.0), file.home.1);
        self.files.push(File { path: (start, file.path.1), home, ..file });
        Ok(())
    }

    /// Removes all files except the one at `place`.
    pub fn keep_only(&mut self, place: usize) {
        let cut = self.cut.remove(&(place as u32));
        self.files = vec![self.files[place]];
        self.cut = cut.into_iter().map(|homes| (0, homes)).collect();
        self.bytes = self.files[0].bytes;
    }

    /// Whether the bytes at `offset` of the file at `place` come from this pack.
    pub fn comes_from(&self, place: usize, snapshot: u32, pack: u32, offset: u64) -> bool {
        match self.cut.get(&(place as u32)) {
            Some(homes) => homes.contains(&(snapshot, pack, offset)),
            None => offset == 0 && self.files[place].home == (snapshot, pack),
        }
    }

    /// The packs of one file.
    pub fn homes(&self, place: usize, file: &File) -> Vec<(u32, u32)> {
        match self.cut.get(&(place as u32)) {
            Some(homes) => homes.iter().map(|(snapshot, pack, _)| (*snapshot, *pack)).collect(),
            None => vec![file.home],
        }
    }

    /// The same, each with the snapshot's name.
    pub fn named_homes(&self, place: usize) -> Vec<Home> {
        let homes = self.homes(place, &self.files[place]).into_iter();
        homes.filter_map(|(s, pack)| Some((self.snapshots.get(s as usize)?.clone(), pack))).collect()
    }

    /// Every pack with wanted content, as (index in `snapshots`, number), sorted.
    pub fn packs(&self) -> BTreeSet<(u32, u32)> {
        let whole = self.files.iter().filter(|f| f.parts == 1).map(|f| f.home);
        let cut = self.cut.values().flatten().map(|(snapshot, pack, _)| (*snapshot, *pack));
        whole.chain(cut).collect()
    }
}

/// The index of a snapshot in a table; it is added if it is missing.
fn place_of(table: &mut Vec<SnapshotId>, id: &SnapshotId) -> u32 {
    let place = table.iter().position(|known| known == id).unwrap_or_else(|| {
        table.push(id.clone());
        table.len() - 1
    });
    place as u32
}

/// Reads one index; `table` becomes the union of the tables, and parts refer to it.
#[allow(clippy::too_many_arguments)] // one call, many places
fn read(
    repository: &Repository,
    runtime: &Handle,
    id: &SnapshotId,
    manifests: &HashMap<SnapshotId, Manifest>,
    identities: &Identities,
    complete: bool,
    table: &mut Vec<SnapshotId>,
    mut each: impl FnMut(Line) -> Result<()>,
) -> Result<()> {
    let manifest = manifests.get(id).ok_or_else(|| {
        Error::new(Kind::Integrity, format!("snapshot {id} is needed but is not named as a source"))
    })?;
    let object = manifest.object(index::NAME)?;
    repository.read_sealed(runtime, id, object, identities, |input| {
        let mut lines = IndexReader::new(&format!("of snapshot {id}"), input)?;
        if lines.header().complete != complete {
            return Err(Error::new(
                Kind::Integrity,
                format!("the index of snapshot {id} does not have the kind that its chain requires"),
            ));
        }
        let renumber: Vec<u32> = lines.header().snapshots.iter().map(|id| place_of(table, id)).collect();
        lines.try_for_each(|line| {
            let mut line = line?;
            if let Line::File(entry) = &mut line {
                for part in &mut entry.parts {
                    part.snapshot = renumber.get(part.snapshot as usize).copied().unwrap_or(u32::MAX);
                }
            }
            each(line)
        })
    })
}
