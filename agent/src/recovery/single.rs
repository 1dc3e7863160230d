//! Fetches and checks one file of a snapshot: `globals.sql`, a dump, an attachment.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::archive::manifest::SnapshotKind;
use crate::archive::path::unescape;
use crate::archive::seal::Identities;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::progress::Progress;
use crate::recovery::extract::{Extract, extract};
use crate::recovery::wanted::Wanted;
use crate::recovery::workplace::passing;
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// Writes the file `path` (a path in the index) of a snapshot to `out`. The file is first unpacked in the
/// work directory and checked to its end, so that damaged content is never written to `out`.
///
/// # Errors
/// `NotFound` for an unknown snapshot or path; `Integrity` if the stored data is damaged.
pub async fn write_file(
    config: &Config,
    id: &SnapshotId,
    path: &str,
    identities: Identities,
    trust: &Trust,
    cancel: &CancellationToken,
    mut out: impl Write + Send + 'static,
) -> Result<u64> {
    let repository = Repository::configured(config).await?;
    let origin = repository.origin().await?;
    let manifest = repository.manifest(id, &origin, trust).await?;
    if manifest.kind() == SnapshotKind::Base {
        return Err(Error::new(
            Kind::Usage,
            format!("{id} is a base backup: its files are only useful together"),
        )
        .next("to restore all of them, run lifeboat restore --instance-to DIR --to immediate"));
    }
    let mut manifests = HashMap::from([(id.clone(), manifest.clone())]);
    if let Some(facts) = manifest.filestore() {
        for needed in facts.index_chain.iter().chain(&facts.sources) {
            if !manifests.contains_key(needed) {
                manifests.insert(needed.clone(), repository.manifest(needed, &origin, trust).await?);
            }
        }
    }
    let (dir, dir_used) = passing(config, "cat")?;
    let (path, workers, cancel) = (path.to_owned(), config.restore.workers, cancel.clone());
    let identities = Arc::new(identities);
    let written = tokio::task::spawn_blocking(move || {
        let runtime = Handle::current();
        let mut wanted = match manifest.kind() {
            SnapshotKind::Filestore => {
                let facts = manifest.filestore_facts()?;
                Wanted::filestore(&repository, &runtime, facts, &manifests, &identities)?
            }
            _ => Wanted::single(&repository, &runtime, &manifest, &identities)?,
        };
        let Some(place) = wanted.find(&path) else {
            let first: Vec<&str> = wanted.files().iter().take(3).map(|file| wanted.path(file)).collect();
            return Err(Error::new(Kind::NotFound, format!("snapshot {} has no file {path:?}", manifest.id))
                .next(format!("its files are named like {}", first.join(", "))));
        };
        wanted.keep_only(place);
        extract(&Extract {
            repository: &repository,
            runtime: &runtime,
            manifests: &manifests,
            identities: &identities,
            wanted: &wanted,
            dir: &dir_used,
            dir_mode: 0o700,
            owner: None,
            workers,
            progress: &Progress::unseen(),
            cancel: &cancel,
        })?;
        let relative: OsString = OsStringExt::from_vec(unescape(&path)?);
        let opened = dir_used.open_file(Path::new(&relative));
        let (mut file, _) = opened.map_err(|e| Error::file("open", &dir_used.path().join(&relative), e))?;
        let copied = std::io::copy(&mut file, &mut out).and_then(|n| out.flush().map(|()| n));
        copied.map_err(|e| Error::new(Kind::Io, "cannot write to standard output").because(e))
    })
    .await
    .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "fetching the file panicked").because(e)));
    disk::remove_tree(&dir)?;
    written
}
