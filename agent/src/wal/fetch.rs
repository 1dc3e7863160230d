//! `restore_command`: a WAL file out of the repository to where PostgreSQL wants it.
//!
//! PostgreSQL takes "not there" for the end of the archive: it ends recovery, or promotes. So that
//! is said only when the store said so, and never where WAL lies beyond.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ahead;
use super::fetched::Fetched;
use crate::archive::seal::Identities;
use crate::archive::wal::{WalName, WalOpener};
use crate::archive::wal_page::{HEADER_BYTES, SegmentHeader};
use crate::clock;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::wal::{SegmentBytes, SegmentName, WalFile};
use crate::repository::Repository;
use crate::repository::snapshots::Trust;
use crate::repository::wal::WalReader;
use crate::repository::wal::coverage::{assemble, segment_bytes};

/// Segments may be stored by several at once and so appear out of order: how often a missing one
/// is looked for again when a later one is there, and how long apart.
const GAP_TRIES: u32 = 10;
const GAP_WAIT: Duration = Duration::from_millis(500);

/// How long one waits for a segment that another process is fetching, and how often one looks.
const COMING_MAX: Duration = Duration::from_secs(60);
const COMING_WAIT: Duration = Duration::from_millis(2);

/// Objects of one file without a signed name that are opened and found not to be ours, before all others of them
/// are taken for that, too: whoever can write to the store can make any number.
const NOT_OURS_MAX: u32 = 100;

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
    Ok(WalReader::new(repository, WalOpener { origin, identities, trusted: trust.trusted() }))
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
        return match put_together(reader, file, &names, out).await? {
            Some(_) => Ok(Report::Whole),
            None => not_there(),
        };
    };
    let names = match list(reader, file).await? {
        names if names.is_empty() && is_brought(segment, target) => names,
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
    let Some(written) = put_together(reader, file, &names, out).await? else {
        reader.check_end(file).await?;
        return not_there();
    };
    let size = written.segment_bytes.get();
    if written.bytes == size {
        return Ok(Report::Whole);
    }
    let next = segment.next(written.segment_bytes).map(WalFile::Segment);
    if let Some(next) = next
        && reader.is_stored(next).await?
    {
        return Err(Error::new(Kind::Integrity, format!("only {} of {size} bytes of {segment} are stored, and WAL behind it is", written.bytes))
            .next("lifeboat wal status shows every gap; restore to a time before it, or from a base backup behind it"));
    }
    out.set_len(size).map_err(|e| Error::new(Kind::Io, format!("cannot write {segment}")).because(e))?;
    Ok(Report::Tail(written.bytes))
}

pub(super) async fn list(reader: &WalReader, file: WalFile) -> Result<Vec<WalName>> {
    reader.names(file).await
}

/// Whether the segment itself lies in the `pg_wal` that it is wanted for: a base backup brought it, perhaps
/// from before anything was archived. PostgreSQL takes it from there when it is not in the archive.
fn is_brought(segment: SegmentName, target: &Path) -> bool {
    let mut header = [0; HEADER_BYTES];
    let file = disk::open(&target.with_file_name(segment.to_string())).ok();
    let read = file.and_then(|mut file| file.read_exact(&mut header).ok());
    read.is_some() && SegmentHeader::parse(&header).and_then(|header| header.check_name(segment)).is_ok()
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
        if reader.is_stored(WalFile::Segment(successor)).await? {
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

/// Writes a file from its objects, as far as they go; `None` where none of them is ours. A damaged object is passed
/// over where others hold the same bytes, and one that is not ours as if it were not there.
pub(super) async fn put_together(
    reader: &WalReader,
    file: WalFile,
    names: &[WalName],
    out: &mut File,
) -> Result<Option<Written>> {
    let mut usable = names.to_vec();
    let reach = |usable: &[WalName]| assemble(usable).last().map_or(0, |name| name.end);
    let (mut all, mut not_ours) = (reach(&usable), 0);
    loop {
        let Some(first) = usable.first() else { return Ok(None) };
        if all == 0 {
            if first.signature.is_none() && !reader.counts(first).await? {
                usable.remove(0);
                continue;
            }
            let what = format!("of {file} only bytes from {} on are stored", first.begin);
            return Err(Error::new(Kind::Integrity, what)
                .next("lifeboat wal status shows every gap; restore to a time before it"));
        }
        empty(out)?;
        let failed = match try_write(reader, file, &assemble(&usable), out).await {
            Ok(written) => return Ok(Some(written)),
            Err((name, e)) => (name, e),
        };
        let (name, error) = failed;
        usable.retain(|usable| *usable != name);
        if reader.is_foreign(&name, &error).await? {
            tracing::warn!("{name} is not ours and counts for nothing: {error:?}");
            not_ours += 1;
            if not_ours == NOT_OURS_MAX {
                usable.retain(|name| name.signature.is_some());
            }
            all = reach(&usable);
            continue;
        }
        let reach = reach(&usable);
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

fn empty(out: &mut File) -> Result<()> {
    out.set_len(0)
        .and_then(|()| out.rewind())
        .map_err(|e| Error::new(Kind::Io, "cannot empty a file that is being fetched").because(e))
}
