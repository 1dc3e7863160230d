//! Restores a configuration into a new directory. It gets its name when everything is in it, so it is never
//! half of one; nothing that exists is replaced.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::readme::{self, ByHand};
use crate::archive::manifest::Manifest;
use crate::archive::path::unescape;
use crate::archive::seal::Identities;
use crate::capture::item::{ARTIFACTS, folder};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::disk;
use crate::disk::beneath::Dir;
use crate::error::{Error, Kind, Result};
use crate::names::{ReleaseId, SnapshotId, random_hex, shell_path};
use crate::progress::Progress;
use crate::recovery::extract::{Extract, extract};
use crate::recovery::wanted::Wanted;
use crate::repository::Repository;

/// The page that says what to do.
const README: &str = "README.txt";
/// Captured files are at most this large; only these can have digests in place of secrets.
const CAPTURED_BYTES_MAX: u64 = 4 << 20;

/// What was restored.
#[derive(Debug, Serialize)]
pub struct Restored {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its release.
    pub release: Option<ReleaseId>,
    /// When it was captured, UTC.
    pub point: Timestamp,
    /// The new directory.
    pub dir: PathBuf,
    /// Files in it, without README.txt.
    pub files: u64,
    /// Their sizes added up.
    pub bytes: u64,
    /// Where secrets must be filled in.
    pub by_hand: Vec<ByHand>,
}

/// Writes everything of the snapshot into `dir`, which must not exist, or be empty. Every file is checked.
///
/// # Errors
/// `Refused` where `dir` has content; `Identity`, `Integrity`; those of the store and the file system.
/// Nothing is left then.
pub async fn restore(
    (config, repository): (&Config, &Repository),
    manifest: Manifest,
    dir: &Path,
    identities: Identities,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Restored> {
    let target = std::path::absolute(dir).map_err(|e| Error::file("find", dir, e))?;
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(
            Error::new(Kind::Usage, "the root of the file system is no target").safe("nothing was changed")
        );
    };
    check_empty(&target)?;
    let mut staged = name.to_owned();
    staged.push(format!(".lifeboat-incomplete-{}", random_hex(4)));
    let above = Dir::open(parent).map_err(|e| Error::file("open", parent, e))?;
    let failed = |e| Error::file("create directory", &parent.join(&staged), e);
    let used = above.make_dir(&staged).map_err(failed)?;
    let work = Work {
        repository: repository.clone(),
        manifest,
        identities,
        dir: used,
        workers: config.restore.workers,
        progress: progress.clone(),
        cancel: cancel.clone(),
    };
    let written = tokio::task::spawn_blocking(move || work.write()).await.unwrap_or_else(|e| {
        Err(Error::new(Kind::Internal, "restoring the configuration panicked").because(e))
    });
    let placed = written.and_then(|restored| {
        check_empty(&target)?;
        let renamed = above.rename(&staged, name).and_then(|()| above.sync());
        renamed.map(|()| restored).map_err(|e| Error::file("rename to", &target, e))
    });
    match placed {
        Ok(restored) => Ok(Restored { dir: target, ..restored }),
        Err(e) => {
            if let Err(left) = above.remove_tree(&staged) {
                tracing::warn!("{} could not be removed: {left}", parent.join(&staged).display());
            }
            Err(e)
        }
    }
}

fn check_empty(target: &Path) -> Result<()> {
    let why = match disk::metadata(target)? {
        None => return Ok(()),
        Some(meta) if !meta.is_dir() => "it is no directory",
        Some(_) if disk::read_dir(target)?.is_none_or(|entries| entries.is_empty()) => return Ok(()),
        Some(_) => "it is not empty",
    };
    Err(Error::new(Kind::Refused, format!("{} cannot be the target of a restore", target.display()))
        .because(why)
        .effect("nothing was changed")
        .next(format!("name a new directory instead of {}", shell_path(target))))
}

/// The blocking part.
struct Work {
    repository: Repository,
    manifest: Manifest,
    identities: Identities,
    dir: Dir,
    workers: usize,
    progress: Progress,
    cancel: CancellationToken,
}

impl Work {
    fn write(self) -> Result<Restored> {
        let runtime = Handle::current();
        let Work { repository, manifest, identities, dir, .. } = &self;
        let wanted = Wanted::single(repository, &runtime, manifest, identities)?;
        self.progress.expect_bytes(wanted.bytes);
        let manifests = HashMap::from([(manifest.id.clone(), manifest.clone())]);
        extract(&Extract {
            repository,
            runtime: &runtime,
            manifests: &manifests,
            identities,
            wanted: &wanted,
            dir,
            dir_mode: 0o700,
            owner: None,
            workers: self.workers,
            progress: &self.progress,
            cancel: &self.cancel,
        })?;
        let mut by_hand = Vec::new();
        for file in wanted.files() {
            let path = wanted.path(file);
            if folder(path) != ARTIFACTS && file.bytes <= CAPTURED_BYTES_MAX {
                let relative: OsString = OsStringExt::from_vec(unescape(path)?);
                by_hand.extend(readme::by_hand(path, &dir.read(Path::new(&relative), CAPTURED_BYTES_MAX)?));
            }
        }
        let shown = dir.path().join(README);
        let written = dir.create_new(Path::new(README)).and_then(|mut file| {
            file.write_all(readme::text(manifest, &by_hand).as_bytes())?;
            dir.sync_file_system()
        });
        written.map_err(|e| Error::file("write", &shown, e))?;
        Ok(Restored {
            snapshot: manifest.id.clone(),
            release: manifest.release.clone(),
            point: manifest.point,
            dir: dir.path().to_owned(),
            files: wanted.files().len() as u64,
            bytes: wanted.bytes,
            by_hand,
        })
    }
}
