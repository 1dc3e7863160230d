//! Packs into a staging directory: each pack read once, by whichever worker is free; every file
//! checked by size and SHA-256 (and SHA-1 where that is its name) before this ends well.

use std::collections::{HashMap, HashSet};
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
use crate::names::SnapshotId;
use crate::odoo::blob;
use crate::odoo::filestore::plain_mode;
use crate::progress::Progress;
use crate::recovery::FileOwner;
use crate::recovery::wanted::{File, Wanted};
use crate::recovery::workers::each_pack;
use crate::repository::Repository;

/// Files that an error names one by one.
const NAMED_MAX: usize = 5;

/// What to extract, from where, to where.
pub struct Extract<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// The runtime that fetches.
    pub runtime: &'a Handle,
    /// Manifests of every snapshot that is named.
    pub manifests: &'a HashMap<SnapshotId, Manifest>,
    /// What opens the packs.
    pub identities: &'a Identities,
    /// The files.
    pub wanted: &'a Wanted,
    /// The staging directory: ours, and may hold files of an earlier try. Everything is written through it.
    pub dir: &'a Dir,
    /// Mode of directories made in it.
    pub dir_mode: u32,
    /// Who shall own files and directories.
    pub owner: Option<FileOwner>,
    /// Packs read at once.
    pub workers: usize,
    /// Where bytes and files are counted.
    pub progress: &'a Progress,
    /// Ends the work.
    pub cancel: &'a CancellationToken,
}

struct Shared<'a> {
    extract: &'a Extract<'a>,
    /// Parts of each file that are still to come.
    left: Vec<AtomicU32>,
    dirs: Mutex<HashSet<PathBuf>>,
}

/// Extracts everything. Blocking. Nothing is durable until the caller syncs.
///
/// # Errors
/// `Integrity` naming files that did not come whole; what was extracted stays for the next try.
pub fn extract(extract: &Extract<'_>) -> Result<()> {
    let wanted = extract.wanted;
    let left = wanted.files().iter().map(|file| AtomicU32::new(file.parts)).collect();
    let shared = Shared { extract, left, dirs: Mutex::new(HashSet::new()) };
    keep_good_files(&shared)?;
    let mut packs = Vec::new();
    let open: HashSet<(u32, u32)> = still_needed(&shared);
    for (snapshot, pack) in wanted.packs() {
        if open.contains(&(snapshot, pack)) {
            packs.push((snapshot, pack));
        }
    }
    each_pack(extract.workers, packs, Vec::new, |(snapshot, pack), buffer| {
        stop_if_cancelled(extract.cancel)?;
        shared.read_pack(snapshot, pack, buffer)
    })?;
    shared.check_all_came()?;
    shared.check_cut_files()
}

fn stop_if_cancelled(cancel: &CancellationToken) -> Result<()> {
    if cancel.is_cancelled() {
        return Err(Error::new(Kind::Interrupted, "the restore was stopped")
            .effect("what was being made is left under a name that says that it is incomplete")
            .safe("running the same restore again continues where it can"));
    }
    Ok(())
}

/// Files of an earlier try that are whole are kept; others, and what is not wanted, are removed.
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

/// The file, open, where it is what is wanted. One with a second name is somebody else's, too.
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

fn still_needed(shared: &Shared<'_>) -> HashSet<(u32, u32)> {
    let wanted = shared.extract.wanted;
    let all = wanted.packs();
    if shared.left.iter().all(|left| left.load(Ordering::Relaxed) > 0) {
        return all.into_iter().collect();
    }
    let mut needed = HashSet::new();
    for (place, file) in wanted.files().iter().enumerate() {
        if shared.left[place].load(Ordering::Relaxed) > 0 {
            needed.extend(wanted.homes(place, file));
        }
    }
    needed
}

fn check_name(file: &File, path: &str, sha1: [u8; 20]) -> Result<()> {
    match blob::misnamed(path, file.flawed, sha1) {
        Some(what) => Err(Error::new(Kind::Integrity, what)),
        None => Ok(()),
    }
}

impl Shared<'_> {
    fn owner(&self) -> Option<(u32, u32)> {
        self.extract.owner.map(|owner| (owner.uid, owner.gid))
    }

    /// Its mode, time and owner. Whatever the backup says of its mode, nothing is executable, nothing changes who runs
    /// it, and nobody but its owner can write to it.
    fn settle(&self, out: &std::fs::File, path: &Path, file: &File) -> Result<()> {
        disk::set_attributes(out, path, plain_mode(u32::from(file.mode)), file.mtime_ns, self.owner())
    }

    fn read_pack(&self, snapshot: u32, pack: u32, buffer: &mut Vec<u8>) -> Result<()> {
        let Extract { repository, runtime, manifests, identities, wanted, cancel, .. } = self.extract;
        let id = wanted.snapshots.get(snapshot as usize);
        let manifest = id.and_then(|id| manifests.get(id)).ok_or_else(|| {
            Error::new(
                Kind::Integrity,
                "an index names a snapshot that its manifest does not name as a source",
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
            // A file that was read twice leaves an older member behind: only the right one counts.
            if Sha256::of(buffer).0 != file.sha256 || buffer.len() as u64 != file.bytes {
                return Ok(());
            }
            check_name(file, &member.path, sha1::Sha1::digest(buffer.as_slice()).into())?;
        }
        self.write(file, &member.path, member.offset, buffer)?;
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

    fn check_all_came(&self) -> Result<()> {
        let wanted = self.extract.wanted;
        let absent: Vec<&File> = wanted
            .files()
            .iter()
            .zip(&self.left)
            .filter(|(_, left)| left.load(Ordering::Relaxed) > 0)
            .map(|(file, _)| file)
            .collect();
        if absent.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = absent.iter().take(NAMED_MAX).map(|file| wanted.path(file)).collect();
        Err(Error::new(
            Kind::Integrity,
            format!(
                "{} files are not in the packs that their index names: {} …",
                absent.len(),
                names.join(", ")
            ),
        )
        .effect("the restore is not whole and was not published")
        .next("lifeboat verify --deep --identity FILE, then another snapshot"))
    }

    /// Files that came in extents are read once more as a whole.
    fn check_cut_files(&self) -> Result<()> {
        let wanted = self.extract.wanted;
        for file in wanted.files().iter().filter(|file| file.parts > 1) {
            stop_if_cancelled(self.extract.cancel)?;
            let escaped = wanted.path(file);
            let relative = PathBuf::from(std::ffi::OsString::from_vec(unescape(escaped)?));
            let path = self.extract.dir.path().join(&relative);
            let (mut input, _) =
                self.extract.dir.open_file(&relative).map_err(|e| Error::file("open", &path, e))?;
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
            if bytes != file.bytes || <[u8; 32]>::from(sha256.finalize()) != file.sha256 {
                return Err(Error::new(Kind::Integrity, format!("{escaped} is not what its index says"))
                    .effect("the restore is not whole and was not published"));
            }
            if blob {
                check_name(file, escaped, sha1.finalize().into())?;
            }
            self.settle(&input, &path, file)?;
            self.extract.progress.add_files(1);
        }
        Ok(())
    }
}
