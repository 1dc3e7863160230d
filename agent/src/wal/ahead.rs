//! Fetching ahead: while PostgreSQL replays a segment, a separate process fetches the next ones, so that
//! PostgreSQL's next calls find them. The process outlives the call that started it and ends by itself; there
//! is one per target directory.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use std::os::unix::process::CommandExt;

use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::fetched::Fetched;
use crate::archive::seal::Identities;
use crate::config::Config;
use crate::disk;
use crate::environment;
use crate::error::{Error, Kind, Result};
use crate::names::wal::{SegmentBytes, SegmentName, WalFile};
use crate::repository::snapshots::Trust;
use crate::repository::wal::WalReader;
use crate::repository::wal::file::Extent;

/// The flag that makes `lifeboat wal fetch` fetch the segments after the one that it names.
pub const FLAG: &str = "--ahead";
/// Most disk space for segments that are fetched ahead, however large segments are.
const KEPT_BYTES_MAX: u64 = 1 << 30;
/// How long such a process may live.
const LIMIT: Duration = Duration::from_secs(600);

/// Starts to fetch the segments after `segment`, where too few of them are kept, with this command line and
/// [`FLAG`]. A failure is only logged: every segment is fetched when PostgreSQL asks for it.
pub fn begin(config: &Config, kept: &Fetched, segment: SegmentName, size: SegmentBytes) {
    let next = following(config, segment, size);
    let there = next.iter().take_while(|segment| kept.holds(**segment)).count();
    if next.is_empty() || there * 2 >= next.len() {
        return;
    }
    // Where the lock is taken, another process is fetching; it checks again by itself which segments come
    // next.
    let begun = kept.lock().and_then(|lock| match lock {
        None => Ok(()),
        Some(lock) => {
            drop(lock);
            spawn()
        }
    });
    if let Err(e) = begun {
        tracing::info!("the next segments are not fetched ahead: {e:?}");
    }
}

fn spawn() -> Result<()> {
    let failed = |e| Error::new(Kind::Io, "cannot start the process that fetches ahead").because(e);
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(std::env::args_os().skip(1)).arg(FLAG);
    environment::clean(&mut command, environment::Child::LifeboatThatOpens);
    // PostgreSQL waits until its pipes are closed, and signals the process group of the command.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.spawn().map(drop).map_err(failed)
}

/// The segments after this one that should be kept.
fn following(config: &Config, segment: SegmentName, size: SegmentBytes) -> Vec<SegmentName> {
    let most = (KEPT_BYTES_MAX / size.get()).clamp(1, config.wal.batch as u64) as usize;
    let most = if config.wal.batch > 1 { most } else { 0 };
    std::iter::successors(segment.next(size), |segment| segment.next(size)).take(most).collect()
}

/// Fetches the complete ones of the segments after `name`; does nothing where another process fetches them.
///
/// # Errors
/// Those of the store before anything is fetched; afterwards they are logged.
pub async fn ahead(
    config: &Config,
    identities: Identities,
    trust: &Trust,
    name: &str,
    target: &Path,
    cancel: &CancellationToken,
) -> Result<()> {
    let kept = Fetched::open(config, target);
    let Some(_lock) = kept.lock()? else { return Ok(()) };
    let fetching = async {
        let segment: SegmentName = name.parse()?;
        let reader = super::reader::reader(config, identities, trust).await?;
        let names = reader.objects(WalFile::Segment(segment), || true).await?;
        let Some(size) = WalReader::looks_whole(&names) else { return Ok(()) };
        let next = following(config, segment, size);
        kept.retain(&next)?;
        let missing = next.into_iter().filter(|segment| !kept.holds(*segment));
        stream::iter(missing)
            .for_each_concurrent(config.wal.workers, |segment| {
                let (reader, kept) = (&reader, &kept);
                async move {
                    if let Err(e) = one(reader, kept, segment).await {
                        tracing::info!("{segment} was not fetched ahead: {e:?}");
                    }
                }
            })
            .await;
        Ok(())
    };
    tokio::select! {
        done = tokio::time::timeout(LIMIT, fetching) => done.unwrap_or(Ok(())),
        () = cancel.cancelled() => Ok(()),
    }
}

async fn one(reader: &WalReader, kept: &Fetched, segment: SegmentName) -> Result<()> {
    let file = WalFile::Segment(segment);
    let staged = kept.staged(segment);
    let mut out = disk::open_or_create(&staged)?;
    let fetched = async {
        let names = reader.objects(file, || true).await?;
        match WalReader::looks_whole(&names) {
            None => Ok(None), // PostgreSQL's own call looks again
            Some(_) => reader.write(file, &names, &mut out).await,
        }
    };
    match fetched.await {
        Ok(Some(Extent::Whole)) => {
            drop(out);
            kept.keep(segment, &staged)
        }
        done => {
            disk::remove_file(&staged)?;
            done.map(drop)
        }
    }
}
