//! Extracts the packs of a chain into a data directory. Each pack, or its wanted frames, is read once, by any
//! free worker. Every file is checked by its digest as soon as its last piece has arrived. `pg_control` is
//! held back.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::archive::base::{CONTROL_FILE, TABLESPACE_MAP_FILE};
use crate::archive::blake3::Blake3;
use crate::archive::manifest::Manifest;
use crate::archive::seal::Identities;
use crate::archive::unpack::MemberHeader;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::progress::Progress;
use crate::recovery::FileOwner;
use crate::recovery::early_sync::syncing_early;
use crate::recovery::instance::delta;
use crate::recovery::instance::large_files::{Lane, LargeFile, Pieces, each_pack_with_lane};
use crate::recovery::instance::packs::{PackRead, pack_reads};
use crate::recovery::instance::tree::file_mode;
use crate::recovery::instance::tree::{At, Tree};
use crate::recovery::instance::wanted::{File, Wanted};
use crate::recovery::workers::in_parallel;
use crate::repository::Repository;

/// How many files an error names.
const NAMED_MAX: usize = 5;

/// What to extract, from where and to where.
pub struct Extract<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// The runtime that fetches.
    pub runtime: &'a Handle,
    /// Manifests of the chain.
    pub manifests: &'a HashMap<SnapshotId, Manifest>,
    /// The identities that decrypt the packs.
    pub identities: &'a Identities,
    /// The files.
    pub wanted: &'a Wanted,
    /// Where they go: every directory exists, and there may be files of an earlier try.
    pub tree: &'a Tree,
    /// An old instance of the same cluster, whose unchanged files are copied.
    pub old: Option<&'a Tree>,
    /// The owner of the files.
    pub owner: Option<FileOwner>,
    /// Packs read at once.
    pub workers: usize,
    /// Where bytes and files are counted.
    pub progress: &'a Progress,
    /// Ends the work.
    pub cancel: &'a CancellationToken,
}

/// What all workers share.
pub(super) struct Shared<'a> {
    pub(super) extract: &'a Extract<'a>,
    /// The number of missing pieces of each file.
    pub(super) left: Vec<AtomicU32>,
    /// Files of many pieces that are being written, by index.
    pub(super) large: Mutex<HashMap<usize, Arc<LargeFile>>>,
    pub(super) control: Mutex<Option<Vec<u8>>>,
    fetched_bytes: AtomicU64,
    copied_files: AtomicU64,
    copied_bytes: AtomicU64,
}

/// What was extracted.
pub struct Extracted {
    /// `pg_control`.
    pub control: Vec<u8>,
    /// Fetched bytes, as stored.
    pub fetched_bytes: u64,
    /// Files that were copied from the old data directory.
    pub copied_files: u64,
    /// The sum of their sizes.
    pub copied_bytes: u64,
}

/// Extracts everything except `pg_control`, which is in the result. Blocking. Nothing is durable before the
/// caller syncs.
///
/// # Errors
/// `Integrity`, naming missing or damaged files; extracted files stay for the next try.
pub fn extract(extract: &Extract<'_>) -> Result<Extracted> {
    let wanted = extract.wanted;
    let left = wanted.files().iter().map(|file| AtomicU32::new(wanted.pieces(file).len() as u32)).collect();
    let zero = || AtomicU64::new(0);
    let (fetched_bytes, copied_files, copied_bytes) = (zero(), zero(), zero());
    let (large, control) = (Mutex::default(), Mutex::new(None));
    let shared = Shared { extract, left, large, control, fetched_bytes, copied_files, copied_bytes };
    let next = AtomicUsize::new(0);
    in_parallel(extract.workers, || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = wanted.files().get(place) else { return Ok(()) };
            extract.stop_if_cancelled()?;
            shared.keep_if_good(place, file)?;
        }
    })?;
    let needed = shared.needed()?;
    syncing_early(&extract.tree.data, |more_came| {
        let written = |pieces: &Pieces| shared.written(pieces);
        each_pack_with_lane(extract.workers, needed, written, |pack, lane| {
            extract.stop_if_cancelled()?;
            shared.read_pack(&pack, lane)?;
            more_came();
            Ok(())
        })
    })?;
    shared.check_all_came()?;
    let Shared { control, fetched_bytes, copied_files, copied_bytes, .. } = shared;
    let control = control.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Extracted {
        control: control
            .ok_or_else(|| Error::new(Kind::Integrity, format!("the backup has no {CONTROL_FILE}")))?,
        fetched_bytes: fetched_bytes.into_inner(),
        copied_files: copied_files.into_inner(),
        copied_bytes: copied_bytes.into_inner(),
    })
}

impl Extract<'_> {
    fn stop_if_cancelled(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::new(Kind::Interrupted, "the restore was stopped")
                .effect(format!(
                    "{} is incomplete, and no server starts on it",
                    self.tree.data.path().display()
                ))
                .safe("running the same restore again continues there"));
        }
        Ok(())
    }

    pub(super) fn at(&self, file: &File) -> Result<At<'_>> {
        self.tree.at(self.wanted.path(file))
    }

    pub(super) fn settle(&self, out: &std::fs::File, at: &At<'_>, file: &File) -> Result<()> {
        let owner = self.owner.map(|owner| (owner.uid, owner.gid));
        disk::give(out, &at.shown(), file_mode(file.mode), owner)
    }
}

impl Shared<'_> {
    /// Keeps a file of an earlier try if it is intact, else removes it; copies a file of the old data
    /// directory if it is unchanged.
    fn keep_if_good(&self, place: usize, file: &File) -> Result<()> {
        let Extract { wanted, old, .. } = self.extract;
        let name = wanted.path(file);
        if [CONTROL_FILE, TABLESPACE_MAP_FILE].contains(&name) {
            return Ok(());
        }
        let at = self.extract.at(file)?;
        if at.look()?.is_some() {
            // Never a file with a second hard link: giving it away here would also give away the other name.
            let earlier = at.open().ok().filter(|(_, meta)| meta.nlink() == 1 && meta.len() == file.bytes);
            if let Some((earlier, _)) = earlier
                && Blake3::of_file(&earlier, &at.shown())? == file.digest
            {
                self.extract.settle(&earlier, &at, file)?;
                self.has_come(place, file);
                return Ok(());
            }
            at.remove_file()?;
        }
        let Some(old) = old else { return Ok(()) };
        let from = old.at(name)?;
        let Some(copy) = delta::copy_if_same(&from, &at, file.bytes, file.digest)? else { return Ok(()) };
        self.extract.settle(&copy, &at, file)?;
        self.copied_files.fetch_add(1, Ordering::Relaxed);
        self.copied_bytes.fetch_add(file.bytes, Ordering::Relaxed);
        self.has_come(place, file);
        Ok(())
    }

    fn has_come(&self, place: usize, file: &File) {
        self.left[place].store(0, Ordering::Relaxed);
        self.extract.progress.add_bytes(file.bytes);
        self.extract.progress.add_files(1);
    }

    /// What to read of the packs that contain missing pieces, in the order of the chain.
    fn needed(&self) -> Result<Vec<PackRead>> {
        let Extract { wanted, manifests, .. } = self.extract;
        let open = wanted.files().iter().zip(&self.left).filter(|(_, left)| left.load(Ordering::Relaxed) > 0);
        pack_reads(wanted, open.map(|(file, _)| file), manifests)
    }

    fn read_pack(&self, read: &PackRead, lane: &mut Lane) -> Result<()> {
        let Extract { repository, runtime, manifests, identities, wanted, .. } = self.extract;
        let PackRead { snapshot, pack, frames, .. } = read;
        let (id, object) = wanted.pack_object(*snapshot, *pack, manifests)?;
        let on_member = |member: MemberHeader, content: &mut dyn Read| {
            self.extract.stop_if_cancelled()?;
            self.member(*snapshot, *pack, &member, content, lane)
        };
        let fetched = match frames.is_empty() {
            true => {
                repository.read_pack(runtime, id, object, identities, on_member).map(|()| object.bytes)?
            }
            // The pack as a whole is not compared with the manifest: each file has its own digest.
            false => repository.read_frames(runtime, id, object, identities, frames, on_member)?,
        };
        self.fetched_bytes.fetch_add(fetched, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn check(&self, digest: Blake3, file: &File) -> Result<()> {
        if digest == file.digest {
            return Ok(());
        }
        let path = self.extract.wanted.path(file);
        Err(Error::new(Kind::Integrity, format!("{path} does not match its index"))
            .effect("no server starts on what was restored so far")
            .next("run lifeboat verify --deep --identity FILE, then restore an older base backup with --snapshot"))
    }

    fn check_all_came(&self) -> Result<()> {
        let wanted = self.extract.wanted;
        let files = wanted.files().iter().zip(&self.left);
        let absent: Vec<&str> = files
            .filter(|(_, left)| left.load(Ordering::Relaxed) > 0)
            .map(|(file, _)| wanted.path(file))
            .collect();
        if absent.is_empty() {
            return Ok(());
        }
        let names = absent.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
        Err(Error::new(Kind::Integrity, format!("{} files are not in their packs: {names} …", absent.len()))
            .effect("no server starts on what was restored so far")
            .next("run lifeboat verify --deep --identity FILE, then restore an older base backup with --snapshot"))
    }
}
