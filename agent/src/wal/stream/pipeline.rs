//! From received WAL to objects, in order: while one block is uploaded, the next is hashed, compressed and
//! encrypted, and the one after that is received. An object is put into the store only when everything before
//! it is durable there, so a crash at any moment leaves a window without a gap.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::block::{Block, Work};
use super::observed::Observed;
use crate::archive::wal::WalName;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::{SegmentBytes, TimelineId};
use crate::progress::Progress;
use crate::repository::wal::{Sealed, Stored, WalWriter};

/// Blocks in memory: one uploaded, one encrypted, one received.
const BLOCKS_MAX: usize = 3;

/// The largest piece that is stored on the stream's own thread while commits wait.
const HERE_BYTES_MAX: usize = 256 << 10;

enum JobResult {
    Looked(Stored),
    Sealed(Sealed),
    Stored(WalName),
    /// A block that was stored in pieces, as one object.
    Whole(Result<WalName>),
}

/// A block, and the work in progress for it.
struct Lane {
    block: Block,
    busy: bool,
    /// All of it, waiting for its turn.
    sealed: Option<Sealed>,
}

/// See the module.
pub struct Pipeline {
    writer: WalWriter,
    timeline: TimelineId,
    segment_bytes: SegmentBytes,
    piece_interval: Duration,
    progress: Progress,
    observed: Observed,
    /// In order, never empty; the last one receives, those before it are complete.
    lanes: VecDeque<Lane>,
    /// Already received, but of the next block.
    pending: Bytes,
    /// The work in progress, by the block that it is for. Aborted when this is dropped.
    jobs: JoinSet<(Lsn, Result<JobResult>)>,
    /// Whether a block stored in pieces is being stored as one object.
    whole: bool,
    piece_begun: Option<Instant>,
    /// How far the server's WAL goes, as last reported.
    server: Lsn,
}

impl Pipeline {
    /// One that begins at `begin`, the beginning of a segment.
    pub fn new(
        writer: WalWriter,
        (timeline, begin): (TimelineId, Lsn),
        segment_bytes: SegmentBytes,
        piece_interval: Duration,
        (progress, observed): (Progress, Observed),
    ) -> Pipeline {
        let mut pipeline = Pipeline {
            writer,
            timeline,
            segment_bytes,
            piece_interval,
            progress,
            observed,
            lanes: VecDeque::with_capacity(BLOCKS_MAX),
            pending: Bytes::new(),
            jobs: JoinSet::new(),
            whole: false,
            piece_begun: None,
            server: begin,
        };
        pipeline.lanes.push_back(pipeline.lane(begin));
        pipeline
    }

    fn lane(&self, begin: Lsn) -> Lane {
        Lane { block: Block::at(self.timeline, begin, self.segment_bytes), busy: false, sealed: None }
    }

    /// Whether commits wait for us, so that no piece waits until it is larger.
    pub fn is_waited_for(&self) -> bool {
        self.piece_interval.is_zero() || self.observed.is_waited_for()
    }

    /// Whether there is room for more.
    pub fn wants_more(&self) -> bool {
        self.pending.is_empty()
    }

    /// Takes WAL from [`Pipeline::received`] on; `server` is how far the server's WAL goes.
    pub fn append(&mut self, wal: Bytes, server: Lsn) {
        self.server = server;
        if let Some(last) = self.lanes.back_mut() {
            self.pending = last.block.append(wal);
        }
    }

    /// The position after what was received.
    pub fn received(&self) -> Lsn {
        let last = self.lanes.back().map_or(Lsn(0), |lane| lane.block.received());
        Lsn(last.0 + self.pending.len() as u64)
    }

    /// The position after what is durable, with everything before it.
    pub fn durable(&self) -> Lsn {
        let open = self.lanes.iter().find(|lane| !lane.block.is_complete() || !lane.block.is_durable());
        open.or(self.lanes.back()).map_or(Lsn(0), |lane| lane.block.durable())
    }

    /// Whether all that was received is durable, and no work is in progress.
    pub fn is_settled(&self) -> bool {
        self.durable() == self.received() && self.jobs.is_empty()
    }

    /// Starts all work that can be started. With `hurry`, no piece waits until it is larger.
    ///
    /// # Errors
    /// `AlreadyExists` where the repository holds other WAL.
    pub fn advance(&mut self, hurry: bool) -> Result<()> {
        loop {
            self.drop_done();
            let full = self.lanes.back().is_some_and(|lane| lane.block.is_complete());
            if !full || self.lanes.len() == BLOCKS_MAX {
                break;
            }
            let mut lane = self.lane(self.lanes.back().map_or(Lsn(0), |lane| lane.block.end()));
            self.pending = lane.block.append(std::mem::take(&mut self.pending));
            self.lanes.push_back(lane);
        }
        for at in 0..self.lanes.len() {
            self.begin(at, hurry)?;
        }
        self.drop_done();
        Ok(())
    }

    /// Drops blocks that are complete and durable; one that is stored in pieces is then stored as one object,
    /// too.
    fn drop_done(&mut self) {
        while self.lanes.len() > 1
            && let Some(first) = self.lanes.front()
            && first.block.is_complete()
            && first.block.is_durable()
            && !first.busy
            && !self.whole
        {
            let Some(whole) = self.lanes.pop_front().and_then(|lane| lane.block.whole()) else { continue };
            self.whole = true;
            let writer = self.writer.clone();
            self.jobs.spawn(async move {
                (
                    Lsn(0),
                    Ok(JobResult::Whole(writer.put_range(whole.file, whole.offset, whole.content).await)),
                )
            });
        }
    }

    fn begin(&mut self, at: usize, hurry: bool) -> Result<()> {
        // Only the first may be put: everything before it is durable.
        let durable_before =
            self.lanes.iter().take(at).all(|lane| lane.block.is_complete() && lane.block.is_durable());
        let wait = self.wait(at, hurry) > Duration::ZERO;
        let (server, waited_for) = (self.server, self.is_waited_for());
        let lane = &mut self.lanes[at];
        if lane.busy {
            return Ok(());
        }
        let (writer, file, begin) = (self.writer.clone(), lane.block.file, lane.block.begin);
        if lane.sealed.is_some() {
            if let Some(sealed) = lane.sealed.take_if(|_| durable_before) {
                lane.busy = true;
                self.jobs
                    .spawn(async move { (begin, writer.put_sealed(sealed).await.map(JobResult::Stored)) });
            }
            return Ok(());
        }
        if wait || !(durable_before || lane.block.is_complete()) {
            return Ok(());
        }
        let is_coming = !hurry && server >= lane.block.end();
        let here = durable_before && waited_for;
        match lane.block.work(is_coming)? {
            Work::Nothing => return Ok(()),
            Work::Look => {
                self.jobs.spawn(async move { (begin, writer.stored(file).await.map(JobResult::Looked)) });
            }
            Work::Store(offset, content) => {
                self.piece_begun = Some(clock::instant());
                self.progress.add_bytes(content.len() as u64);
                let here = (here && content.len() <= HERE_BYTES_MAX)
                    .then(|| tokio::task::block_in_place(|| writer.put_range_here(file, offset, &content)));
                if let Some(put) = here.flatten() {
                    let name = put?;
                    self.observed.uploaded(u64::from(name.end - name.begin));
                    lane.block.stored(name.end);
                    return Ok(());
                }
                self.jobs.spawn(async move {
                    (begin, writer.seal_range(file, offset, content).await.map(JobResult::Sealed))
                });
            }
        }
        lane.busy = true;
        Ok(())
    }

    /// How long the next piece must still wait. A complete block is stored at once; a growing one now and
    /// then; and a block that the server has already written completely, when all of it is received.
    fn wait(&self, at: usize, hurry: bool) -> Duration {
        let block = &self.lanes[at].block;
        if block.is_complete() || hurry || self.is_waited_for() {
            return Duration::ZERO;
        }
        if self.server >= block.end() {
            return Duration::MAX;
        }
        let since = self.piece_begun.map(|begun| clock::instant() - begun);
        since.map_or(Duration::ZERO, |since| self.piece_interval.saturating_sub(since))
    }

    /// How long until [`Pipeline::advance`] may have something to do without new WAL; `None` where it has
    /// not.
    pub fn due_in(&self) -> Option<Duration> {
        let last = self.lanes.len().checked_sub(1)?;
        let lane = &self.lanes[last];
        let waits = !lane.busy && self.durable() >= lane.block.begin && !lane.block.is_durable();
        Some(self.wait(last, false)).filter(|wait| waits && *wait > Duration::ZERO)
    }

    /// Whether work is in progress that [`Pipeline::settle_one`] would wait for.
    pub fn is_busy(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Waits until one piece of work is done. Cancel-safe. With no work in progress it waits for ever.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn settle_one(&mut self) -> Result<()> {
        let Some(done) = self.jobs.join_next().await else { return std::future::pending().await };
        let (begin, done) = done.map_err(|e| Error::new(Kind::Internal, "a task was stopped").because(e))?;
        let uploaded = |name: &WalName| self.observed.uploaded(u64::from(name.end - name.begin));
        let lane = self.lanes.iter_mut().find(|lane| lane.block.begin == begin);
        let done = match done? {
            JobResult::Whole(result) => {
                self.whole = false;
                match result {
                    Ok(name) => uploaded(&name),
                    Err(e) => tracing::warn!("a segment is stored only in pieces: {e:?}"),
                }
                return Ok(());
            }
            done => done,
        };
        let Some(lane) = lane else { return Ok(()) };
        lane.busy = false;
        match done {
            JobResult::Looked(stored) => {
                if let Some(text) = stored.foreign.text() {
                    tracing::warn!("{text}; lifeboat verify lists all such objects");
                    self.observed.found_foreign(stored.foreign.count());
                }
                lane.block.found(stored.names);
            }
            JobResult::Sealed(sealed) => lane.sealed = Some(sealed),
            JobResult::Stored(name) => {
                uploaded(&name);
                lane.block.stored(name.end);
            }
            JobResult::Whole(_) => {}
        }
        Ok(())
    }

    /// Waits until the upload of the first block has ended.
    pub async fn settle_first(&mut self) -> Result<()> {
        while self.lanes.front().is_some_and(|lane| lane.busy) {
            self.settle_one().await?;
        }
        Ok(())
    }
}
