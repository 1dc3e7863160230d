//! Feeds a recovering server: this process fetches the WAL that the server asks for, and some ahead, into
//! a spool (`spool.rs`). Replayed WAL is removed, so that it needs little disk space.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::clock;
use crate::disk;
use crate::error::{Error, Result};
use crate::names::wal::{SegmentBytes, SegmentName, WalFile};
use crate::recovery::instance::spool::{self, Spool};
use crate::repository::wal::WalReader;
use crate::repository::wal::file::Extent;

/// How often PostgreSQL's requests are checked.
const LOOK: Duration = Duration::from_millis(10);
/// How often the spool's sign of life is renewed.
const BEAT: Duration = Duration::from_secs(1);
/// WAL that is fetched ahead takes at most this much disk space, and at most a quarter of the free space.
const AHEAD_BYTES_MAX: u64 = 1 << 30;

/// How WAL is fetched, and how much.
#[derive(Clone)]
pub struct Feed {
    /// The fetcher.
    pub(in crate::recovery) reader: WalReader,
    /// The cluster's segment size.
    pub(super) segment_bytes: SegmentBytes,
    /// The most segments that are fetched ahead.
    pub(super) batch: usize,
    /// How many are fetched at the same time.
    pub(super) workers: usize,
    /// The `restore_command` after this process has ended; `None` if the server ends with it.
    pub(super) afterwards: Option<String>,
}

/// A requested file, or one that will be requested.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is being fetched.
    Coming,
    /// It is there, or marked as not stored.
    Answered,
}

impl Feed {
    /// The `restore_command` of a server on `data_dir` while it is fed.
    pub fn command(data_dir: &Path, afterwards: Option<&str>) -> Result<String> {
        spool::command(data_dir, &afterwards.map_or(spool::NOBODY_FETCHES.to_owned(), exec))
    }

    /// Creates the spool of a server on `data_dir`; `server` is its user, if that is another one.
    pub fn spool(&self, data_dir: &Path, server: Option<(u32, u32)>) -> Result<Spool> {
        // PostgreSQL inserts the names.
        let in_script = |command: &str| {
            exec(&command.replace("\"%p\"", "\"$to\"").replace(" %f ", " \"$name\" ").replace("%%", "%"))
        };
        let afterwards = self.afterwards.as_deref().map_or(spool::NOBODY_FETCHES.to_owned(), in_script);
        Spool::make(data_dir, server, &afterwards)
    }

    /// Answers requests until an answer cannot be found out; returns the reason.
    pub async fn serve(&self, spool: &Spool) -> Error {
        let Err(e) = self.answer(spool).await;
        e.effect("recovery cannot continue without this file; it is unknown whether the WAL ends here")
            .safe("running the same restore again is safe")
    }

    async fn answer(&self, spool: &Spool) -> Result<Infallible> {
        let room = AHEAD_BYTES_MAX.min(disk::free_bytes(spool.path())? / 4) / self.segment_bytes.get();
        let ahead_max = if self.batch > 1 { self.batch.min(room as usize) } else { 0 };
        let mut asked = Asked { spool, ahead_max, known: BTreeMap::new(), newest: None, missing: None };
        let mut fetching = FuturesUnordered::new();
        let (mut before, mut beaten) = (Vec::new(), clock::instant());
        loop {
            if beaten.elapsed() >= BEAT {
                spool.beat()?;
                beaten = clock::instant();
            }
            let (open, done) = spool.requests()?;
            for file in done {
                asked.settle(file)?;
                asked.note(file, &open)?;
            }
            for file in &open {
                // Requests from before a restart of the server stay there: nobody waits for them.
                if !before.contains(file) {
                    asked.note(*file, &open)?;
                }
                if asked.is_new(*file) {
                    fetching.push(self.fetch(spool, *file, false));
                }
            }
            before = open;
            while fetching.len() < self.workers
                && let Some(file) = asked.next_ahead(self.segment_bytes)
            {
                fetching.push(self.fetch(spool, file, true));
            }
            tokio::select! {
                Some((file, is_ahead, fetched)) = fetching.next() => asked.fetched(file, is_ahead, fetched)?,
                () = clock::sleep(LOOK) => {}
            }
        }
    }

    /// Fetches a file into the spool; false if it is not stored. Ahead, it fetches complete files only.
    async fn fetch(&self, spool: &Spool, file: WalFile, is_ahead: bool) -> (WalFile, bool, Result<bool>) {
        let fetch = async {
            let names = self.reader.objects(file, || is_ahead || spool.is_brought(file)).await?;
            if names.is_empty() || (is_ahead && WalReader::looks_whole(&names).is_none()) {
                return Ok(false);
            }
            let mut out = spool.stage(file)?;
            match self.reader.write(file, &names, &mut out).await? {
                None => Ok(false),
                Some(Extent::Tail(_)) if is_ahead => Ok(false),
                Some(_) => spool.publish(file).map(|()| true),
            }
        };
        (file, is_ahead, fetch.await)
    }
}

/// PostgreSQL's requests.
struct Asked<'a> {
    spool: &'a Spool,
    ahead_max: usize,
    known: BTreeMap<WalFile, State>,
    /// The last requested segment.
    newest: Option<SegmentName>,
    /// The first one after it that could not be fetched ahead.
    missing: Option<SegmentName>,
}

impl Asked<'_> {
    /// A request was answered.
    fn settle(&mut self, file: WalFile) -> Result<()> {
        if self.known.get(&file) == Some(&State::Answered) {
            self.known.remove(&file);
            self.spool.forget(file)?;
        }
        self.spool.forget_request(file)
    }

    /// PostgreSQL requests this file: files that were fetched ahead for another position are removed.
    fn note(&mut self, file: WalFile, open: &[WalFile]) -> Result<()> {
        let WalFile::Segment(segment) = file else { return Ok(()) };
        if self.newest == Some(segment) {
            return Ok(());
        }
        if self.missing == Some(segment) {
            self.missing = None;
        }
        self.newest = Some(segment);
        let passed = |other: &WalFile| match other {
            WalFile::Segment(other) => other.timeline != segment.timeline || *other < segment,
            _ => false,
        };
        let is_passed = |(file, state): (&WalFile, &State)| {
            *state == State::Answered && passed(file) && !open.contains(file)
        };
        let gone: Vec<WalFile> =
            self.known.iter().filter(|entry| is_passed(*entry)).map(|(file, _)| *file).collect();
        for file in gone {
            self.known.remove(&file);
            self.spool.forget(file)?;
        }
        Ok(())
    }

    /// Whether nobody fetches it yet; marks it as being fetched.
    fn is_new(&mut self, file: WalFile) -> bool {
        let is_new = !self.known.contains_key(&file);
        if is_new {
            self.known.insert(file, State::Coming);
        }
        is_new
    }

    /// The next segment to fetch ahead.
    fn next_ahead(&mut self, size: SegmentBytes) -> Option<WalFile> {
        let next = self.newest?.next(size);
        let after = std::iter::successors(next, |segment| segment.next(size)).take(self.ahead_max);
        let mut worth = after.take_while(|segment| self.missing != Some(*segment)).map(WalFile::Segment);
        let next = worth.find(|file| !self.known.contains_key(file))?;
        self.known.insert(next, State::Coming);
        Some(next)
    }

    fn fetched(&mut self, file: WalFile, is_ahead: bool, fetched: Result<bool>) -> Result<()> {
        let is_there = match fetched {
            Err(e) if is_ahead => {
                tracing::info!("{file} was not fetched ahead: {e:?}");
                false
            }
            fetched => fetched?,
        };
        match (file, is_ahead && !is_there) {
            // A request for it will try again.
            (WalFile::Segment(segment), true) => {
                self.known.remove(&file);
                let still = self
                    .missing
                    .filter(|missing| missing.timeline == segment.timeline && Some(*missing) > self.newest);
                self.missing = Some(still.map_or(segment, |missing| missing.min(segment)));
                return self.spool.forget(file);
            }
            _ if !is_there => self.spool.publish_none(file)?,
            _ => {}
        }
        self.known.insert(file, State::Answered);
        Ok(())
    }
}

/// The last command of a shell.
fn exec(command: &str) -> String {
    format!("exec {command}")
}
