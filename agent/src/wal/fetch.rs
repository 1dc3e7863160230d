//! `restore_command`: a WAL file out of the repository to where PostgreSQL wants it.
//!
//! PostgreSQL takes "not there" for the end of the archive: it ends recovery, or promotes. So that
//! is said only when the store said so, and never where WAL lies beyond.
//!
//! The end of the stored WAL is a segment that is not whole. PostgreSQL refuses an archived file that is shorter than a segment
//! (`RestoreArchivedFile()`), so it gets zeros behind the last stored byte, where it sees the end. Such a file claims to be
//! more than it is: whoever archives it again stores the WAL in it as a range (`archive::wal_extent`). What is stored as whole
//! and is not (older versions of this program took such a file for a segment) is treated as what it holds.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ahead;
use super::fetched::Fetched;
use crate::archive::seal::Identities;
use crate::archive::wal::{WalName, WalOpener};
use crate::archive::wal_extent;
use crate::archive::wal_page::SegmentHeader;
use crate::clock;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::wal::{SegmentBytes, SegmentName, WalFile};
use crate::repository::Repository;
use crate::repository::snapshots::Trust;
use crate::repository::wal::WalReader;
use crate::repository::wal::coverage::{assemble, contradiction, segment_bytes};

/// Segments may be stored by several at once and so appear out of order: how often a missing one
/// is looked for again when a later one is there, and how long apart.
const GAP_TRIES: u32 = 10;
const GAP_WAIT: Duration = Duration::from_millis(500);

/// How long one waits for a segment that another process is fetching, and how often one looks.
const COMING_MAX: Duration = Duration::from_secs(60);
const COMING_WAIT: Duration = Duration::from_millis(2);

/// What was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The whole file.
    Whole,
    /// The end of its timeline: so many bytes of WAL, and zeros behind them.
    Tail(u64),
    /// The store says that there is no such file, and nothing behind it.
    NotThere,
}

/// Moves the file called `name` to `target` out of what was fetched ahead; `false` where it is not there. Asks
/// neither the store nor for any key, and waits for a process that is fetching it. Blocking.
///
/// # Errors
/// Where the name is none. What goes wrong with what was fetched ahead is logged: the store has it all the same.
pub fn fetch_kept(config: &Config, name: &str, target: &Path) -> Result<bool> {
    let WalFile::Segment(segment) = name.parse()? else { return Ok(false) };
    let kept = Fetched::open(config, target);
    let deadline = clock::instant() + COMING_MAX;
    loop {
        // Looked at before it is taken: it may arrive in between.
        let is_coming = kept.is_coming(segment);
        match kept.take(segment, target) {
            Ok(true) => break,
            Ok(false) if is_coming && clock::instant() < deadline => clock::sleep_blocking(COMING_WAIT),
            Ok(false) => return Ok(false),
            // a state directory of another user, say
            Err(e) => {
                tracing::info!("what was fetched ahead cannot be used: {e:?}");
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

/// Fetches the file called `name` to `target`: it appears whole or not at all, and only after all of it
/// was checked. Begins to fetch what comes behind it.
///
/// # Errors
/// Whatever keeps the answer from being known, `Integrity` for a gap: none of them means "not
/// there".
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
            e.effect("recovery cannot go on past this file; it is not known to be the end of the WAL")
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
        // Not synced: PostgreSQL renames each file that it is brought into place by durable_rename() (in
        // KeepFileRestoredFromArchive(), before it reads a record of it), which syncs the content first and file
        // and directory again. So after a crash the file is whole under its own name, or asked for once more.
        Ok(report) => disk::rename(&staged, target).map(|()| report),
        Err(e) => {
            let _ = disk::remove_file(&staged); // the error that came first is the one to tell
            Err(e)
        }
    }
}

/// Who reads the configured repository's WAL.
pub(super) async fn reader(config: &Config, identities: Identities, trust: &Trust) -> Result<WalReader> {
    let repository = Repository::configured(config).await?;
    let origin = repository.origin().await?;
    let trusted = match trust {
        Trust::Keys(keys) => Some(keys.clone()),
        Trust::Anyone => None,
    };
    Ok(WalReader::new(repository, WalOpener { origin, identities, trusted }))
}

async fn write(
    config: &Config,
    reader: &WalReader,
    file: WalFile,
    target: &Path,
    out: &mut File,
) -> Result<Report> {
    let kept = Fetched::open(config, target);
    // Most likely the end of a recovery: of the WAL that there is, or, where it looks for a timeline that
    // nobody has, at its target.
    let not_there = || {
        if let Err(e) = kept.clean_up() {
            tracing::info!("what was fetched ahead stays: {e:?}");
        }
        Ok(Report::NotThere)
    };
    let WalFile::Segment(segment) = file else {
        let names = list(reader, file).await?;
        if names.is_empty() {
            return not_there();
        }
        return put_together(reader, file, &names, out).await.map(|_| Report::Whole);
    };
    let names = match list(reader, file).await? {
        // A base backup brought it, perhaps from before anything was archived: PostgreSQL takes it from there.
        names if names.is_empty() && super::is_begun_beside(target, segment) => names,
        names if names.is_empty() => after_a_gap(reader, segment).await?,
        names => names,
    };
    if names.is_empty() {
        return not_there();
    }
    let size = segment_bytes(&names);
    if assemble(&names).last().is_some_and(|name| u64::from(name.end) == size.get()) {
        ahead::begin(config, &kept, segment, size);
    }
    let written = put_together(reader, file, &names, out).await?;
    let Some(bytes) = partial_bytes(&written, out)? else { return Ok(Report::Whole) };
    let size = written.segment_bytes.get();
    let next = segment.next(written.segment_bytes).map(WalFile::Segment);
    if let Some(next) = next
        && !list(reader, next).await?.is_empty()
    {
        return Err(Error::new(Kind::Integrity, format!("{segment} is incomplete ({bytes} of {size} bytes) although later WAL is stored"))
            .next("lifeboat wal status shows every gap; restore to a time before it, or from a base backup after it"));
    }
    out.set_len(size).map_err(|e| Error::new(Kind::Io, format!("cannot write {segment}")).because(e))?;
    Ok(Report::Tail(bytes))
}

pub(super) async fn list(reader: &WalReader, file: WalFile) -> Result<Vec<WalName>> {
    let list = reader.repository().wal_of_file(file).await?;
    let names: Vec<WalName> = list.objects.into_iter().map(|object| object.name).collect();
    contradiction(&names)?;
    Ok(names)
}

/// A missing segment whose successor is there: it may be on its way, else it is a gap.
async fn after_a_gap(reader: &WalReader, segment: SegmentName) -> Result<Vec<WalName>> {
    // Without a segment the size is not known: any size's successor counts.
    let sizes = (20..=30).filter_map(|shift| SegmentBytes::try_from(1 << shift).ok());
    let mut successors: Vec<SegmentName> = sizes.filter_map(|size| segment.next(size)).collect();
    successors.sort();
    successors.dedup();
    let mut behind = None;
    for successor in successors {
        if !list(reader, WalFile::Segment(successor)).await?.is_empty() {
            behind = Some(successor);
        }
    }
    let Some(behind) = behind else { return Ok(Vec::new()) };
    for _ in 0..GAP_TRIES {
        let names = list(reader, WalFile::Segment(segment)).await?;
        if !names.is_empty() {
            return Ok(names);
        }
        clock::sleep(GAP_WAIT).await;
    }
    Err(Error::new(Kind::Integrity, format!("{segment} is not stored, and {behind} behind it is")).next(
        "lifeboat wal status shows every gap; restore to a time before it, or from a base backup behind it",
    ))
}

pub(super) struct Written {
    bytes: u64,
    /// Of segments; the usual one for other files.
    segment_bytes: SegmentBytes,
}

/// Writes a file from its objects, as far as they go. A damaged object is passed over where
/// others hold the same bytes.
pub(super) async fn put_together(
    reader: &WalReader,
    file: WalFile,
    names: &[WalName],
    out: &mut File,
) -> Result<Written> {
    let mut usable = names.to_vec();
    let all = assemble(&usable).last().map_or(0, |name| name.end);
    if all == 0 {
        let what = format!("of {file} only bytes from {} on are stored", names[0].begin);
        return Err(Error::new(Kind::Integrity, what)
            .next("lifeboat wal status shows every gap; restore to a time before it"));
    }
    loop {
        empty(out)?;
        let failed = match try_write(reader, file, &assemble(&usable), out).await {
            Ok(written) => return Ok(written),
            Err((name, e)) => (name, e),
        };
        let (name, error) = failed;
        usable.retain(|usable| *usable != name);
        let reach = assemble(&usable).last().map_or(0, |name| name.end);
        // gone since it was listed: that is damage, and not the end of the WAL
        let damage = matches!(error.kind(), Kind::Integrity | Kind::Signature | Kind::NotFound);
        if !damage || reach < all {
            return Err(if error.kind() == Kind::NotFound {
                error.with_kind(Kind::Integrity)
            } else {
                error
            });
        }
        tracing::warn!("{name} is damaged, and its bytes are taken from other objects: {error:?}");
    }
}

async fn try_write(
    reader: &WalReader,
    file: WalFile,
    names: &[WalName],
    out: &mut File,
) -> Result<Written, (WalName, Error)> {
    let mut bytes = 0;
    let mut segment_bytes = SegmentBytes::USUAL;
    for name in names {
        let at = bytes;
        let step = async {
            let content = reader.get(*name).await?;
            if at == 0
                && let WalFile::Segment(segment) = file
            {
                let header = SegmentHeader::parse(&content)?;
                header.check_name(segment)?;
                segment_bytes = header.segment_bytes;
            }
            let new = &content[(at - u64::from(name.begin)) as usize..];
            tokio::task::block_in_place(|| out.write_all(new))
                .map_err(|e| Error::new(Kind::Io, format!("cannot write {file}")).because(e))?;
            bytes += new.len() as u64;
            Ok(())
        };
        step.await.map_err(|e| (*name, e))?;
    }
    Ok(Written { bytes, segment_bytes })
}

/// How many bytes of a segment that was put together are WAL; `None` where it is whole.
pub(super) fn partial_bytes(written: &Written, out: &mut File) -> Result<Option<u64>> {
    if written.bytes < written.segment_bytes.get() {
        return Ok(Some(written.bytes));
    }
    let found = tokio::task::block_in_place(|| wal_extent::partial_bytes(out));
    Ok(found?.map(u64::from))
}

fn empty(out: &mut File) -> Result<()> {
    out.set_len(0)
        .and_then(|()| out.rewind())
        .map_err(|e| Error::new(Kind::Io, "cannot empty a file that is being fetched").because(e))
}
