//! Feeding a server that recovers: this process fetches the WAL that the server asks for, and some ahead, into a
//! spool (`spool.rs`). What was replayed is removed, so that little of the disk is taken.

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

/// How often it is looked what PostgreSQL asks for.
const LOOK: Duration = Duration::from_millis(10);
/// How often the spool says that we are alive.
const BEAT: Duration = Duration::from_secs(1);
/// What is fetched ahead takes at most so much of the disk, and at most a quarter of what is free.
const AHEAD_BYTES_MAX: u64 = 1 << 30;

/// Who fetches, and how much.
#[derive(Clone)]
pub struct Feed {
    /// Who fetches.
    pub(in crate::recovery) reader: WalReader,
    /// Of the cluster.
    pub(super) segment_bytes: SegmentBytes,
    /// Segments that are fetched ahead, at most.
    pub(super) batch: usize,
    /// At the same time.
    pub(super) workers: usize,
    /// The `restore_command` for when this process has ended; none where the server ends with it.
    pub(super) afterwards: Option<String>,
}

/// A file that was asked for, or will be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is being fetched.
    Coming,
    /// It is there, or it is said that it is not stored.
    Answered,
}

impl Feed {
    /// The `restore_command` of a server on `data_dir` while it is fed.
    pub fn command(data_dir: &Path, afterwards: Option<&str>) -> Result<String> {
        spool::command(data_dir, &afterwards.map_or(spool::NOBODY_FETCHES.to_owned(), exec))
    }

    /// Makes the spool of a server on `data_dir`; `server` is its user, where that is another one.
    pub fn spool(&self, data_dir: &Path, server: Option<(u32, u32)>) -> Result<Spool> {
        // As PostgreSQL puts the names in.
        let in_script = |command: &str| {
            exec(&command.replace("\"%p\"", "\"$to\"").replace(" %f ", " \"$name\" ").replace("%%", "%"))
        };
        let afterwards = self.afterwards.as_deref().map_or(spool::NOBODY_FETCHES.to_owned(), in_script);
        Spool::make(data_dir, server, &afterwards)
    }

    /// Answers requests until something keeps an answer from being known: why.
    pub async fn serve(&self, spool: &Spool) -> Error {
        let Err(e) = self.answer(spool).await;
        e.effect("recovery cannot continue without this file; whether the WAL ends here is not known")
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
                // What nobody waits for any more, after a restart of the server, lies there all the time.
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

    /// Fetches a file into the spool; false where it is not stored. Ahead, only what is whole.
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

/// What PostgreSQL asked for.
struct Asked<'a> {
    spool: &'a Spool,
    ahead_max: usize,
    known: BTreeMap<WalFile, State>,
    /// The segment that it asked for last.
    newest: Option<SegmentName>,
    /// The first one after it that could not be fetched ahead.
    missing: Option<SegmentName>,
}

impl Asked<'_> {
    /// It has its answer.
    fn settle(&mut self, file: WalFile) -> Result<()> {
        if self.known.get(&file) == Some(&State::Answered) {
            self.known.remove(&file);
            self.spool.forget(file)?;
        }
        self.spool.forget_request(file)
    }

    /// It asks for this file: what is there for another place goes.
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

    /// Whether nobody fetches it yet; from now on somebody does.
    fn is_new(&mut self, file: WalFile) -> bool {
        let is_new = !self.known.contains_key(&file);
        if is_new {
            self.known.insert(file, State::Coming);
        }
        is_new
    }

    /// The next segment that is worth being fetched ahead.
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
            // Whoever asks for it looks again.
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

/// A shell's last command.
fn exec(command: &str) -> String {
    format!("exec {command}")
}
