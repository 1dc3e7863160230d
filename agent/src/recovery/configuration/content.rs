//! The content of captured files, in memory, for a comparison.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::archive::manifest::Manifest;
use crate::archive::path::unescape;
use crate::archive::seal::Identities;
use crate::capture::item::{ARTIFACTS, folder};
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::progress::Progress;
use crate::recovery::extract::{Extract, extract};
use crate::recovery::wanted::Wanted;
use crate::recovery::workplace::passing;
use crate::repository::Repository;

/// The most that a capture can be, so that a forged snapshot takes no more memory either.
const CONTENT_BYTES_MAX: u64 = 64 << 20;

/// Fetches and checks these paths of a configuration; attached files are never among them. They lie in a
/// private directory meanwhile, without secrets in them.
///
/// # Errors
/// `Identity`, `Integrity`; those of the store and the work directory.
pub async fn contents(
    (config, repository): (&Config, &Repository),
    manifest: &Manifest,
    paths: &BTreeSet<String>,
    identities: &Arc<Identities>,
    cancel: &CancellationToken,
) -> Result<BTreeMap<String, Vec<u8>>> {
    if paths.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (dir, used) = passing(config, "config")?;
    let (repository, manifest, paths) = (repository.clone(), manifest.clone(), paths.clone());
    let (identities, cancel, workers) = (identities.clone(), cancel.clone(), config.restore.workers);
    let read = tokio::task::spawn_blocking(move || {
        let runtime = Handle::current();
        let take = |entry: &crate::archive::index::Entry| {
            folder(&entry.path) != ARTIFACTS && paths.contains(&entry.path)
        };
        let wanted = Wanted::of_index(&repository, &runtime, &manifest, &identities, take)?;
        if wanted.bytes > CONTENT_BYTES_MAX {
            let what = format!("snapshot {} has more content than a configuration can have", manifest.id);
            return Err(Error::new(Kind::Integrity, what)
                .next(format!("lifeboat config restore --snapshot {} DIR", manifest.id)));
        }
        let manifests = HashMap::from([(manifest.id.clone(), manifest.clone())]);
        extract(&Extract {
            repository: &repository,
            runtime: &runtime,
            manifests: &manifests,
            identities: &identities,
            wanted: &wanted,
            dir: &used,
            dir_mode: 0o700,
            owner: None,
            workers,
            progress: &Progress::unseen(),
            cancel: &cancel,
        })?;
        let mut contents = BTreeMap::new();
        for file in wanted.files() {
            let path = wanted.path(file);
            let relative: OsString = OsStringExt::from_vec(unescape(path)?);
            contents.insert(path.to_owned(), used.read(Path::new(&relative), CONTENT_BYTES_MAX)?);
        }
        Ok(contents)
    })
    .await
    .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "fetching the content panicked").because(e)));
    disk::remove_tree(&dir)?;
    read
}
