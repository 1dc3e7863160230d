//! `restore_command`: copies a WAL file from the repository to where PostgreSQL wants it.
//!
//! For PostgreSQL, "not there" means the end of the archive: it ends recovery, or promotes. So this is
//! reported only when the store said so, and never where later WAL is stored.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ahead;
use super::fetched::Fetched;
use super::reader::reader;
use crate::archive::seal::Identities;
use crate::clock;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::wal::{SegmentBytes, WalFile};
use crate::repository::snapshots::Trust;
use crate::repository::wal::WalReader;
use crate::repository::wal::file::Extent;

/// How long a call waits for a segment that another process is fetching, and how often it checks.
const COMING_MAX: Duration = Duration::from_secs(60);
const COMING_WAIT: Duration = Duration::from_millis(2);

/// What was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The file.
    Fetched(Extent),
    /// The store says that there is no such file, and no later one.
    NotThere,
}

/// Moves the file called `name` to `target` where it was fetched ahead; `false` where it was not. Needs
/// neither the store nor a key, and waits for a process that is fetching it. Blocking.
///
/// # Errors
/// Where the name is not that of a WAL file. Problems with files that were fetched ahead are only logged: the
/// store has them all the same.
pub fn fetch_kept(config: &Config, name: &str, target: &Path) -> Result<bool> {
    let WalFile::Segment(segment) = name.parse()? else { return Ok(false) };
    let kept = Fetched::open(config, target);
    let deadline = clock::instant() + COMING_MAX;
    loop {
        // Checked before it is taken: it may arrive in between.
        let is_coming = kept.is_coming(segment);
        match kept.take(segment, target) {
            Ok(true) => break,
            Ok(false) if is_coming && clock::instant() < deadline => clock::sleep_blocking(COMING_WAIT),
            Ok(false) => return Ok(false),
            // such as a state directory of another user
            Err(e) => {
                tracing::info!("segments that were fetched ahead cannot be used: {e:?}");
                return Ok(false);
            }
        }
    }
    let bytes = disk::metadata(target)?.map_or(0, |meta| meta.len());
    if let Ok(size) = SegmentBytes::try_from(bytes) {
        ahead::begin(config, &kept, segment, size);
    }
    Ok(true)
}

/// Fetches the file called `name` to `target`: it appears completely or not at all, and only after all of it
/// was checked. Starts to fetch the next ones.
///
/// # Errors
/// Whatever prevents an answer, and `Integrity` for a gap: none of them means "not there".
pub async fn fetch(
    config: &Config,
    identities: Identities,
    trust: &Trust,
    name: &str,
    target: &Path,
    cancel: &CancellationToken,
) -> Result<Report> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::new(Kind::Interrupted, format!("stopped while fetching {name}"))),
        done = run(config, identities, trust, name, target) => done.map_err(|e| {
            e.effect("recovery cannot continue without this file; it is not known whether the WAL ends here")
                .safe("running again is safe")
        }),
    }
}

async fn run(
    config: &Config,
    identities: Identities,
    trust: &Trust,
    name: &str,
    target: &Path,
) -> Result<Report> {
    let file: WalFile = name.parse()?;
    let reader = reader(config, identities, trust).await?;
    let staged = disk::staged_path(target);
    let mut out = disk::open_or_create(&staged)?;
    let fetched = write(config, &reader, file, target, &mut out).await;
    match fetched {
        Ok(Report::NotThere) => disk::remove_file(&staged).map(|()| Report::NotThere),
        // Not synced: PostgreSQL renames each restored file into place with durable_rename() (in
        // KeepFileRestoredFromArchive(), before it reads a record of it), which syncs the content first, and
        // then file and directory. So after a crash the file is complete under its own name, or PostgreSQL
        // asks for it again.
        Ok(report) => disk::rename(&staged, target).map(|()| report),
        Err(e) => {
            let _ = disk::remove_file(&staged); // the first error is the one to report
            Err(e)
        }
    }
}

async fn write(
    config: &Config,
    reader: &WalReader,
    file: WalFile,
    target: &Path,
    out: &mut File,
) -> Result<Report> {
    let kept = Fetched::open(config, target);
    // A base backup may contain it, perhaps from before anything was archived: PostgreSQL takes it from
    // pg_wal.
    let is_in_pg_wal =
        || matches!(file, WalFile::Segment(segment) if super::is_begun_beside(target, segment));
    let names = reader.objects(file, is_in_pg_wal).await?;
    // Most likely the end of a recovery: of the stored WAL, or, where PostgreSQL looks for a timeline that
    // does not exist, at its target.
    let not_there = || {
        if let Err(e) = kept.clean_up() {
            tracing::info!("segments that were fetched ahead could not be removed: {e:?}");
        }
        Ok(Report::NotThere)
    };
    if names.is_empty() {
        return not_there();
    }
    if let WalFile::Segment(segment) = file
        && let Some(size) = WalReader::looks_whole(&names)
    {
        ahead::begin(config, &kept, segment, size);
    }
    match reader.write(file, &names, out).await? {
        Some(extent) => Ok(Report::Fetched(extent)),
        None => not_there(),
    }
}
