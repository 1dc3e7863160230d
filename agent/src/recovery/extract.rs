//! Extracts packs into a staging directory. Each pack is read once, by any free worker. A file counts as
//! complete only when its size and SHA-256 match (and its SHA-1, if that is its name).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use sha1::Digest as _;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::archive::digest::{Hashing, Sha256};
use crate::archive::manifest::Manifest;
use crate::archive::pack;
use crate::archive::path::unescape;
use crate::archive::seal::Identities;
use crate::archive::unpack::MemberHeader;
use crate::disk::{self, beneath::Dir};
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, counted};
use crate::odoo::blob;
use crate::odoo::filestore::plain_mode;
use crate::progress::Progress;
use crate::recovery::FileOwner;
use crate::recovery::early_sync::syncing_early;
use crate::recovery::wanted::{File, Home, Wanted};
use crate::recovery::workers::each_pack;
use crate::repository::Repository;

/// How many files an error names.
const NAMED_MAX: usize = 5;

/// What to extract, from where and to where.
pub struct Extract<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// The runtime that fetches.
    pub runtime: &'a Handle,
    /// The manifests of all named snapshots.
    pub manifests: &'a HashMap<SnapshotId, Manifest>,
    /// The identities that decrypt the packs.
    pub identities: &'a Identities,
    /// The files.
    pub wanted: &'a Wanted,
    /// The staging directory: it is ours and may contain files of an earlier try. Everything is written
    /// through it.
    pub dir: &'a Dir,
    /// Mode of directories made in it.
    pub dir_mode: u32,
    /// The owner of files and directories.
    pub owner: Option<FileOwner>,
    /// Packs read at once.
    pub workers: usize,
    /// Where bytes and files are counted.
    pub progress: &'a Progress,
    /// Ends the work.
    pub cancel: &'a CancellationToken,
}

/// The result of one pass.
pub struct Came {
    /// Indexes in [`Extract::wanted`] of the missing or damaged files; the directory contains nothing of
    /// them.
    pub absent: Vec<usize>,
    /// Packs that could not be read to their end, and why.
    pub bad: Vec<(Home, String)>,
}

struct Shared<'a> {
    extract: &'a Extract<'a>,
    /// Parts of each file that are still to come.
    left: Vec<AtomicU32>,
    dirs: Mutex<HashSet<PathBuf>>,
    /// Damaged packs, if damage does not end the extraction.
    bad: Option<Mutex<Vec<(Home, String)>>>,
}

/// Extracts everything. Blocking. Nothing is durable before the caller syncs.
///
/// # Errors
/// `Integrity`, naming missing or damaged files; extracted files stay for the next try.
pub fn extract(extract: &Extract<'_>) -> Result<()> {
    let came = Shared::new(extract, None).run(true)?;
    match came.absent.is_empty() {
        true => Ok(()),
        false => Err(not_whole(extract.wanted, &came.absent)),
    }
}

/// Extracts what it can: a damaged or missing pack affects only its own files. With `keep`, intact files
/// of an earlier try are kept and everything else in the directory is removed; without, everything stays.
/// Blocking.
///
/// # Errors
/// Everything except damage: if the repository cannot be read, or a file cannot be written.
pub fn extract_what_comes(extract: &Extract<'_>, keep: bool) -> Result<Came> {
    Shared::new(extract, Some(Mutex::default())).run(keep)
}

fn not_whole(wanted: &Wanted, absent: &[usize]) -> Error {
    let named = absent.iter().take(NAMED_MAX);
    let names: Vec<&str> = named.map(|place| wanted.path(&wanted.files()[*place])).collect();
    let what = format!("{} missing or damaged: {} …", counted(absent.len(), "file"), names.join(", "));
    Error::new(Kind::Integrity, what)
        .because("the packs do not contain them, or contain other content than the index says")
        .effect("the restore is incomplete and was not published")
        .next("run lifeboat verify --deep --identity FILE, then restore another snapshot")
}

fn stop_if_cancelled(cancel: &CancellationToken) -> Result<()> {
    if cancel.is_cancelled() {
        return Err(Error::new(Kind::Interrupted, "the restore was stopped")
            .effect("the unfinished result stays under a name that marks it as incomplete")
            .safe("running the same restore again continues where possible"));
    }
    Ok(())
}

/// Keeps intact files of an earlier try; removes other files, and files that are not wanted.
fn keep_good_files(shared: &Shared<'_>) -> Result<()> {
    let extract = shared.extract;
    let mut found = Vec::new();
    files_below(extract.dir, Path::new(""), &mut found)?;
    for relative in found {
        let escaped = crate::archive::path::escape(relative.as_os_str().as_encoded_bytes());
        let path = extract.dir.path().join(&relative);
        let place = extract.wanted.find(&escaped);
        let good = match place {
            Some(place) => whole(extract.dir, &relative, &extract.wanted.files()[place])?,
            None => None,
        };
        match (place, good) {
            (Some(place), Some(handle)) => {
                let file = &extract.wanted.files()[place];
                shared.left[place].store(0, Ordering::Relaxed);
                extract.progress.add_bytes(file.bytes);
                extract.progress.add_files(1);
                shared.settle(&handle, &path, file)?;
            }
            _ => extract.dir.remove_file(&relative).map_err(|e| Error::file("remove", &path, e))?,
        }
        stop_if_cancelled(extract.cancel)?;
    }
    Ok(())
}

/// The opened file, if it is the wanted one. A file with a second hard link is refused: somebody else has
/// it too.
fn whole(dir: &Dir, relative: &Path, file: &File) -> Result<Option<std::fs::File>> {
    let Ok((mut opened, meta)) = dir.open_file(relative) else { return Ok(None) };
    if meta.len() != file.bytes || meta.nlink() > 1 {
        return Ok(None);
    }
    let mut hashing = Hashing::new(&mut opened);
    std::io::copy(&mut hashing, &mut std::io::sink())
        .map_err(|e| Error::file("read", &dir.path().join(relative), e))?;
    let (_, digest, _) = hashing.finish();
    Ok((digest.0 == file.sha256).then_some(opened))
}

fn files_below(root: &Dir, relative: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = root.dir(relative).and_then(|dir| dir.entries());
    for entry in entries.map_err(|e| Error::file("list", &root.path().join(relative), e))? {
        let path = relative.join(&entry.name);
        let kind = entry.kind.map_err(|e| Error::file("look at", &root.path().join(&path), e))?;
        if kind.is_dir() {
            files_below(root, &path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// The packs of the files that are still missing, sorted.
fn still_needed(shared: &Shared<'_>) -> BTreeSet<(u32, u32)> {
    let wanted = shared.extract.wanted;
    if shared.left.iter().all(|left| left.load(Ordering::Relaxed) > 0) {
        return wanted.packs();
    }
    let mut needed = BTreeSet::new();
    for (place, file) in wanted.files().iter().enumerate() {
        if shared.left[place].load(Ordering::Relaxed) > 0 {
            needed.extend(wanted.homes(place, file));
        }
    }
    needed
}

impl<'a> Shared<'a> {
    fn new(extract: &'a Extract<'a>, bad: Option<Mutex<Vec<(Home, String)>>>) -> Shared<'a> {
        let left = extract.wanted.files().iter().map(|file| AtomicU32::new(file.parts)).collect();
        Shared { extract, left, dirs: Mutex::default(), bad }
    }

    fn run(self, keep: bool) -> Result<Came> {
        if keep {
            keep_good_files(&self)?;
        }
        self.make_empty_files()?;
        let packs = still_needed(&self);
        syncing_early(self.extract.dir, |more_came| {
            each_pack(self.extract.workers, packs, Vec::new, |(snapshot, pack), buffer| {
                stop_if_cancelled(self.extract.cancel)?;
                let read = self.read_pack(snapshot, pack, buffer);
                more_came();
                match (read, &self.bad) {
                    (Err(e), Some(bad)) if e.is_damage() => {
                        let id = self.extract.wanted.snapshots.get(snapshot as usize).cloned();
                        let mut bad = bad.lock().unwrap_or_else(PoisonError::into_inner);
                        bad.extend(id.map(|id| ((id, pack), e.line())));
                        Ok(())
                    }
                    (read, _) => read,
                }
            })
        })?;
        self.check_cut_files()?;
        let left = self.left.iter().enumerate();
        let absent = left.filter(|(_, left)| left.load(Ordering::Relaxed) > 0).map(|(n, _)| n).collect();
        let bad = self.bad.map(|bad| bad.into_inner().unwrap_or_else(PoisonError::into_inner));
        Ok(Came { absent, bad: bad.unwrap_or_default() })
    }

    /// An empty file needs no pack; most are marks of Odoo's garbage collector.
    fn make_empty_files(&self) -> Result<()> {
        let (wanted, nothing) = (self.extract.wanted, Sha256::of(b"").0);
        let is_empty = |file: &File| file.bytes == 0 && file.sha256 == nothing;
        for (place, file) in wanted.files().iter().enumerate().filter(|(_, file)| is_empty(file)) {
            if self.left[place].swap(0, Ordering::Relaxed) > 0 {
                self.write(file, wanted.path(file), 0, &[])?;
                self.extract.progress.add_files(1);
            }
        }
        Ok(())
    }

    fn owner(&self) -> Option<(u32, u32)> {
        self.extract.owner.map(|owner| (owner.uid, owner.gid))
    }

    /// Sets its mode, time and owner. Whatever mode the backup has, no file is executable, setuid or
    /// setgid, and only its owner can write to it.
    fn settle(&self, out: &std::fs::File, path: &Path, file: &File) -> Result<()> {
        disk::set_attributes(out, path, plain_mode(u32::from(file.mode)), file.mtime_ns, self.owner())
    }

    fn read_pack(&self, snapshot: u32, pack: u32, buffer: &mut Vec<u8>) -> Result<()> {
        let Extract { repository, runtime, manifests, identities, wanted, cancel, .. } = self.extract;
        let id = wanted.snapshots.get(snapshot as usize).ok_or_else(|| {
            Error::new(Kind::Integrity, "an index names a snapshot that is not in its table")
        })?;
        let manifest = manifests.get(id).ok_or_else(|| {
            Error::new(
                Kind::Integrity,
                format!("snapshot {id}, which the index names, is missing or not trusted"),
            )
        })?;
        let object = manifest.object(&pack::name(pack))?;
        repository.read_pack(runtime, &manifest.id, object, identities, |member, content| {
            stop_if_cancelled(cancel)?;
            self.member(snapshot, pack, &member, content, buffer)
        })
    }

    fn member(
        &self,
        snapshot: u32,
        pack: u32,
        member: &MemberHeader,
        content: &mut dyn Read,
        buffer: &mut Vec<u8>,
    ) -> Result<()> {
        let wanted = self.extract.wanted;
        let Some(place) = wanted.find(&member.path) else { return Ok(()) };
        if !wanted.comes_from(place, snapshot, pack, member.offset)
            || self.left[place].load(Ordering::Relaxed) == 0
        {
            return Ok(());
        }
        member.read(content, buffer)?;
        let file = &wanted.files()[place];
        if file.parts == 1 {
            // A file that was read twice has an older member in the pack: only the right one counts.
            if Sha256::of(buffer).0 != file.sha256 || buffer.len() as u64 != file.bytes {
                return Ok(());
            }
            let sha1 = sha1::Sha1::digest(buffer.as_slice()).into();
            if let Some(what) = blob::misnamed(&member.path, file.flawed, sha1) {
                return self.misnamed(what);
            }
        }
        // If a directory of ours is gone, the stored data is not damaged.
        self.write(file, &member.path, member.offset, buffer).map_err(|e| match e.kind() {
            Kind::NotFound => e.with_kind(Kind::Io),
            _ => e,
        })?;
        self.left[place].fetch_sub(1, Ordering::Relaxed);
        self.extract.progress.add_bytes(buffer.len() as u64);
        self.extract.progress.add_files(u64::from(file.parts == 1));
        Ok(())
    }

    fn write(&self, file: &File, escaped: &str, offset: u64, data: &[u8]) -> Result<()> {
        let relative = PathBuf::from(std::ffi::OsString::from_vec(unescape(escaped)?));
        let path = self.extract.dir.path().join(&relative);
        self.make_parents(&relative)?;
        let failed = |e| Error::file("create", &path, e);
        if file.parts == 1 {
            let mut out = self.extract.dir.create_new(&relative).map_err(failed)?;
            out.write_all(data).map_err(|e| Error::file("write", &path, e))?;
            return self.settle(&out, &path, file);
        }
        let out = self.extract.dir.open_or_create(&relative).map_err(failed)?;
        out.write_all_at(data, offset).map_err(|e| Error::file("write", &path, e))
    }

    fn make_parents(&self, relative: &Path) -> Result<()> {
        let Some(parent) = relative.parent().filter(|p| !p.as_os_str().is_empty()) else { return Ok(()) };
        let mut dirs = self.dirs.lock().unwrap_or_else(PoisonError::into_inner);
        if dirs.contains(parent) {
            return Ok(());
        }
        let Extract { dir, dir_mode, .. } = self.extract;
        dir.make_dirs(parent, *dir_mode, self.owner())
            .map_err(|e| Error::file("create directory", &dir.path().join(parent), e))?;
        dirs.insert(parent.to_owned());
        Ok(())
    }

    fn misnamed(&self, what: String) -> Result<()> {
        match self.bad {
            Some(_) => Ok(()), // it counts as missing, like a damaged one
            None => Err(Error::new(Kind::Integrity, what)),
        }
    }

    /// Files that arrived in extents are read once more as a whole. A damaged one is removed, so that
    /// nobody uses it.
    fn check_cut_files(&self) -> Result<()> {
        let Extract { wanted, dir, cancel, .. } = *self.extract;
        for (place, file) in wanted.files().iter().enumerate().filter(|(_, file)| file.parts > 1) {
            stop_if_cancelled(cancel)?;
            let escaped = wanted.path(file);
            let relative = PathBuf::from(std::ffi::OsString::from_vec(unescape(escaped)?));
            let path = dir.path().join(&relative);
            let came = self.left[place].load(Ordering::Relaxed) == 0;
            if came && let Some(opened) = whole_by_name(dir, &relative, escaped, file)? {
                self.settle(&opened, &path, file)?;
                self.extract.progress.add_files(1);
                continue;
            }
            self.left[place].store(file.parts, Ordering::Relaxed);
            match dir.remove_file(&relative) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::file("remove", &path, e));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The opened file that was put together, if it matches its index and its name.
fn whole_by_name(dir: &Dir, relative: &Path, escaped: &str, file: &File) -> Result<Option<std::fs::File>> {
    let path = dir.path().join(relative);
    let (mut input, _) = dir.open_file(relative).map_err(|e| Error::file("open", &path, e))?;
    let (mut sha256, mut sha1) = (sha2::Sha256::new(), sha1::Sha1::new());
    let blob = blob::is_blob_path(escaped.as_bytes());
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let n = input.read(&mut buffer).map_err(|e| Error::file("read", &path, e))?;
        if n == 0 {
            break;
        }
        sha256.update(&buffer[..n]);
        if blob {
            sha1.update(&buffer[..n]);
        }
        bytes += n as u64;
    }
    let right = bytes == file.bytes && <[u8; 32]>::from(sha256.finalize()) == file.sha256;
    let named = !blob || blob::misnamed(escaped, file.flawed, sha1.finalize().into()).is_none();
    Ok((right && named).then_some(input))
}
