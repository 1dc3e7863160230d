//! Storing ahead: while PostgreSQL asks for one segment after the other, a separate process stores the next
//! ones that are ready, so that PostgreSQL's next calls find them stored. The process outlives the call that
//! started it and ends by itself; there is one per repository.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::pushed::{Pushed, Stamp, is_ready};
use super::source::{Segment, Source};
use crate::clock;
use crate::config::Config;
use crate::disk::FileLock;
use crate::environment;
use crate::error::{Error, Kind, Result};
use crate::names::wal::{SegmentBytes, SegmentName, WalFile};
use crate::repository::Repository;
use crate::repository::wal::WalWriter;

/// The flag that makes `lifeboat wal push` store the files that are ready after the one that it names.
pub const FLAG: &str = "--along";
/// How long such a process starts to store files.
const LIMIT: Duration = Duration::from_secs(600);
/// How long it waits until PostgreSQL asks for the stored files, and how often it checks.
const IDLE_MAX: Duration = Duration::from_secs(2);
const IDLE_WAIT: Duration = Duration::from_millis(10);
/// Files that are written and synced while others are read and encrypted.
const STORING: usize = 2;

/// Starts to store the files that are ready after the segment at `path`, if there are any, with this command
/// line and [`FLAG`]. A failure is only logged: every file is stored when PostgreSQL asks for it.
pub fn begin(config: &Config, path: &Path, segment: SegmentName, size: SegmentBytes) {
    let next = segment.next(size).map(|next| path.with_file_name(next.to_string()));
    if config.wal.batch < 2 || !next.is_some_and(|next| is_ready(&next)) {
        return;
    }
    let begun = Pushed::open(config).lock(segment).and_then(|lock| lock.map_or(Ok(()), |lock| spawn(&lock)));
    if let Err(e) = begun {
        tracing::info!("the next segments are not stored ahead of archive_command: {e:?}");
    }
}

/// The process inherits the lock as its standard input: so the lock is held all the time.
fn spawn(lock: &FileLock) -> Result<()> {
    let failed = |e| {
        Error::new(Kind::Io, "cannot start the process that stores segments ahead of archive_command")
            .because(e)
    };
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(std::env::args_os().skip(1)).arg(FLAG);
    environment::clean(&mut command, environment::Child::Lifeboat);
    // PostgreSQL waits until its pipes are closed, and signals the process group of the command.
    command.stdin(lock.hand_on()?).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.spawn().map(drop).map_err(failed)
}

/// Stores the segments after the one at `path`, as long as the next one is ready. The first one that cannot
/// be stored ends it; PostgreSQL's own call for that one reports why.
///
/// # Errors
/// Those that prevent it from starting.
pub async fn along(config: &Config, path: &Path, cancel: &CancellationToken) -> Result<()> {
    let keys = super::keys(config)?;
    let first = Source::open_beside(path.to_owned()).await?;
    let Some(Segment { name: segment, bytes: size, .. }) = first.segment else { return Ok(()) };
    let repository = Repository::configured(config).await?;
    let origin = super::bind(config, &repository, first.system_identifier.as_deref(), &keys.1).await?;
    let workers = config.wal.workers;
    let writer = super::writer(config, repository, origin, keys)?.sealing_at_once(workers);
    let pushed = Pushed::open(config);
    pushed.clean_up()?;
    let work = Along { writer, pushed, path, system_identifier: first.system_identifier, size };
    tokio::select! {
        () = work.run(segment, workers + STORING, config.wal.batch) => {}
        () = cancel.cancelled() => {}
    }
    Ok(())
}

struct Along<'a> {
    writer: WalWriter,
    pushed: Pushed,
    path: &'a Path,
    system_identifier: Option<String>,
    size: SegmentBytes,
}

impl Along<'_> {
    /// Stores at most `at_once` files at the same time, and at most `batch` that PostgreSQL has not asked for
    /// yet.
    async fn run(&self, after: SegmentName, at_once: usize, batch: usize) {
        let (begun, mut moved) = (clock::instant(), clock::instant());
        let mut under_way = FuturesUnordered::new();
        let mut noted: Vec<SegmentName> = Vec::new();
        let (mut last, mut failed) = (after, false);
        loop {
            let waiting = noted.len();
            noted.retain(|segment| self.pushed.is_noted(WalFile::Segment(*segment)));
            if noted.len() < waiting {
                moved = clock::instant();
            }
            while !failed
                && begun.elapsed() < LIMIT
                && under_way.len() < at_once
                && under_way.len() + noted.len() < batch
                && let Some((next, stamp)) = self.next(last)
            {
                last = next;
                under_way.push(async move { (next, self.store(next, stamp).await) });
            }
            match under_way.next().await {
                Some((segment, Ok(()))) => noted.push(segment),
                Some((segment, Err(e))) => {
                    tracing::info!("{segment} was not stored ahead of archive_command: {e:?}");
                    failed = true;
                }
                // As many are stored ahead as allowed: the next ones follow when PostgreSQL has asked for
                // these.
                None if !failed && noted.len() >= batch && moved.elapsed() < IDLE_MAX => {
                    clock::sleep(IDLE_WAIT).await;
                }
                None => return,
            }
        }
    }

    /// The next segment, where it is ready and no longer changes.
    fn next(&self, last: SegmentName) -> Option<(SegmentName, Stamp)> {
        let next = last.next(self.size)?;
        let path = self.path.with_file_name(next.to_string());
        let stamp = is_ready(&path).then(|| Stamp::of(&path).ok().flatten()).flatten()?;
        Some((next, stamp))
    }

    async fn store(&self, segment: SegmentName, stamp: Stamp) -> Result<()> {
        let (file, path) = (WalFile::Segment(segment), self.path.with_file_name(segment.to_string()));
        if self.pushed.holds(file, &path) {
            return Ok(());
        }
        let source = Source::open_beside(path.clone()).await?;
        if source.system_identifier != self.system_identifier {
            return Err(Error::new(
                Kind::Repository,
                format!("{} belongs to another cluster", path.display()),
            ));
        }
        source.put(&self.writer).await?;
        self.pushed.remember(file, &path, &stamp)
    }
}
