//! What the packs must hold, by the indexes: gathered while indexes are read, crossed off while packs are
//! read.
//!
//! Memory: some 150 bytes for each file of the filestores; each pack's share is freed once the
//! pack was read.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::archive::digest::FileDigest;
use crate::archive::index::Entry;
use crate::archive::pack;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;

/// Files of one pack that a finding names.
const NAMED_MAX: usize = 5;

/// What a member must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Member {
    bytes: u64,
    /// Of whole files; parts are hashed together.
    digest: Option<FileDigest>,
    /// Whether it was damaged already where it came from.
    pub flawed: bool,
}

/// What a pack holds of a file of a base backup: first byte and length of each piece, which is a
/// member or lies in one; with its digest where it is the whole file.
type Pieces = BTreeMap<(u64, u64), Option<FileDigest>>;

/// The members of one pack that some index names, by path and offset.
#[derive(Default)]
pub struct Members {
    whole: HashMap<(Box<str>, u64), Member>,
    pieces: HashMap<Box<str>, Pieces>,
}

impl Members {
    /// Crosses off a member that is what it must be; returns it if it is a whole file. A file that was read
    /// twice also has an older member, which no index names: `None`.
    pub fn cross_off(&mut self, path: &str, offset: u64, data: &[u8]) -> Option<Member> {
        let key = (Box::from(path), offset);
        let wanted = *self.whole.get(&key)?;
        if data.len() as u64 != wanted.bytes || wanted.digest.is_some_and(|digest| !digest.is_of(data)) {
            return None;
        }
        self.whole.remove(&key);
        wanted.digest.map(|_| wanted)
    }

    /// Crosses off the pieces that lie in a member of a base backup; how many of them are whole
    /// files.
    pub fn cross_off_pieces(&mut self, path: &str, offset: u64, data: &[u8]) -> u64 {
        let Some(pieces) = self.pieces.get_mut(path) else { return 0 };
        let end = offset + data.len() as u64;
        let inside = pieces.range((offset, 0)..=(end, u64::MAX)).filter(|((at, bytes), _)| at + bytes <= end);
        let inside: Vec<_> = inside.map(|(piece, digest)| (*piece, *digest)).collect();
        let mut whole = 0;
        for (piece, digest) in inside {
            let from = (piece.0 - offset) as usize;
            let content = &data[from..from + piece.1 as usize];
            if digest.is_none_or(|digest| digest.is_of(content)) {
                pieces.remove(&piece);
                whole += u64::from(digest.is_some());
            }
        }
        if pieces.is_empty() {
            self.pieces.remove(path);
        }
        whole
    }

    /// The first names of those that were not found, if any.
    pub fn left(&self) -> Option<String> {
        let mut names: Vec<&str> = self.whole.keys().map(|(path, _)| &**path).collect();
        names.extend(self.pieces.keys().map(|path| &**path));
        names.sort_unstable();
        names.dedup();
        let named = names.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
        match names.len() {
            0 => None,
            n if n > NAMED_MAX => Some(format!("{named} and {} more", n - NAMED_MAX)),
            _ => Some(named),
        }
    }
}

/// A file in several parts.
pub struct Cut {
    /// Whose index names it.
    pub index_of: SnapshotId,
    /// What that says.
    pub entry: Entry,
    /// The table that its parts count in.
    pub table: Vec<SnapshotId>,
}

/// Everything that is expected.
#[derive(Default)]
pub struct Expected {
    packs: HashMap<(SnapshotId, u32), Members>,
    /// Files in parts, each content once.
    pub cut: Vec<Cut>,
    cut_seen: HashSet<(String, FileDigest, SnapshotId, u32)>,
}

impl Expected {
    /// Notes a file of the index of a snapshot.
    ///
    /// # Errors
    /// `Integrity` where another index says other things of the same member: one of them is wrong.
    pub fn add(&mut self, index_of: &SnapshotId, entry: Entry, table: &[SnapshotId]) -> Result<()> {
        let whole = entry.parts.len() == 1;
        for part in &entry.parts {
            let Some(home) = table.get(part.snapshot as usize) else { continue };
            let digest = whole.then_some(entry.digest);
            let member = Member { bytes: part.bytes, digest, flawed: entry.flaw.is_some() };
            let members = self.packs.entry((home.clone(), part.pack)).or_default();
            let before = members.whole.insert((entry.path.as_str().into(), part.offset), member);
            if before.is_some_and(|before| (before.bytes, before.digest) != (part.bytes, digest)) {
                let (path, pack) = (&entry.path, pack::name(part.pack));
                let what = format!("it contradicts another index about {path} in {pack} of snapshot {home}");
                return Err(Error::new(Kind::Integrity, what));
            }
        }
        if !whole {
            self.add_cut(index_of, entry, table);
        }
        Ok(())
    }

    /// Notes a file of the index of a base backup.
    pub fn add_pieces(&mut self, index_of: &SnapshotId, entry: Entry, table: &[SnapshotId]) {
        let whole = entry.parts.len() == 1;
        for part in &entry.parts {
            let Some(home) = table.get(part.snapshot as usize) else { continue };
            let members = self.packs.entry((home.clone(), part.pack)).or_default();
            let pieces = members.pieces.entry(entry.path.as_str().into()).or_default();
            pieces.insert((part.offset, part.bytes), whole.then_some(entry.digest));
        }
        if !whole {
            self.add_cut(index_of, entry, table);
        }
    }

    fn add_cut(&mut self, index_of: &SnapshotId, entry: Entry, table: &[SnapshotId]) {
        if let Some(first) = entry.parts.first()
            && let Some(home) = table.get(first.snapshot as usize)
            && self.cut_seen.insert((entry.path.clone(), entry.digest, home.clone(), first.pack))
        {
            self.cut.push(Cut { index_of: index_of.clone(), entry, table: table.to_vec() });
        }
    }

    /// What a pack must hold; asked once a pack.
    pub fn of_pack(&mut self, snapshot: &SnapshotId, pack: u32) -> Members {
        self.packs.remove(&(snapshot.clone(), pack)).unwrap_or_default()
    }
}
