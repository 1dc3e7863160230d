//! One connection's stream into the repository.
//!
//! One upload is in flight; while it is, what arrives is gathered, and the next upload takes all
//! of it. The server is told that WAL is flushed only when the repository holds it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::block::{Block, Work};
use super::observed::Observed;
use crate::archive::wal::WalName;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::{SegmentBytes, TimelineId};
use crate::postgres::replication::{Replication, Streaming, WalMessage};
use crate::progress::Progress;
use crate::repository::wal::WalWriter;

/// How often the server hears from us, at least: well within any sensible wal_sender_timeout.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// A server that is silent for this long is gone; half of it before, it is asked.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long an upload that is under way may still take when we are asked to stop.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// How a stream ended that did not fail.
pub enum Ended {
    /// We were asked to stop.
    Stopped,
    /// The timeline ended; where the next one begins.
    Timeline(Replication, Option<(TimelineId, Lsn)>),
}

enum Done {
    Looked(Vec<WalName>),
    Stored(WalName),
}

type Upload<T> = Option<AbortOnDropHandle<Result<T>>>;

/// See the module.
pub struct Feed {
    streaming: Streaming,
    writer: WalWriter,
    timeline: TimelineId,
    segment_bytes: SegmentBytes,
    piece_interval: Duration,
    progress: Progress,
    observed: Observed,
    block: Block,
    /// Received already, and of the next block.
    pending: Bytes,
    upload: Upload<Done>,
    whole: Upload<WalName>,
    ended: bool,
    heard: Instant,
    reported: Instant,
    /// What the server knows to be durable.
    told: Lsn,
    piece_begun: Option<Instant>,
}

impl Feed {
    /// A feed whose stream begins at `begin`, which begins a segment.
    pub fn new(
        streaming: Streaming,
        writer: WalWriter,
        (timeline, begin): (TimelineId, Lsn),
        segment_bytes: SegmentBytes,
        piece_interval: Duration,
        (progress, observed): (Progress, Observed),
    ) -> Feed {
        Feed {
            streaming,
            writer,
            timeline,
            segment_bytes,
            piece_interval,
            progress,
            observed,
            block: Block::at(timeline, begin, segment_bytes),
            pending: Bytes::new(),
            upload: None,
            whole: None,
            ended: false,
            heard: clock::instant(),
            reported: clock::instant(),
            told: begin,
            piece_begun: None,
        }
    }

    /// Streams until the timeline ends, or `cancel`.
    ///
    /// # Errors
    /// Those of the server and of the store; `AlreadyExists` where the repository holds other WAL.
    pub async fn run(mut self, cancel: &CancellationToken) -> Result<Ended> {
        loop {
            self.advance()?;
            if self.block.durable() > self.told {
                self.report(false).await?;
            }
            if self.ended && self.block.is_durable() && self.pending.is_empty() && self.upload.is_none() {
                settle(&mut self.whole).await;
                let (replication, next) = self.streaming.next_timeline().await?;
                return Ok(Ended::Timeline(replication, next));
            }
            let pause = self.pause();
            let readable = self.pending.is_empty() && !self.ended;
            tokio::select! {
                biased;
                () = cancel.cancelled() => return self.stop().await,
                done = arrived(&mut self.upload) => self.uploaded(done?),
                done = arrived(&mut self.whole) => self.whole_stored(done),
                message = self.streaming.next(), if readable => self.received(message?).await?,
                () = clock::sleep(pause) => {}
            }
            self.keep_in_touch(readable).await?;
        }
    }

    /// Begins what can be begun.
    fn advance(&mut self) -> Result<()> {
        if self.upload.is_none()
            && self.block.is_complete()
            && self.block.is_durable()
            && self.whole.is_none()
        {
            let next = Block::at(self.timeline, self.block.received(), self.segment_bytes);
            let full = std::mem::replace(&mut self.block, next);
            let (next, whole) = full.next(self.timeline, self.segment_bytes)?;
            self.block = next;
            if let Some(whole) = whole {
                let writer = self.writer.clone();
                self.whole = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                    writer.put_range(whole.file, whole.offset, whole.content).await
                })));
            }
            let pending = std::mem::take(&mut self.pending);
            self.pending = self.block.append(pending);
        }
        if self.upload.is_some() || self.wait() > Duration::ZERO {
            return Ok(());
        }
        let (writer, file) = (self.writer.clone(), self.block.file);
        let upload = match self.block.work()? {
            Work::Nothing => return Ok(()),
            Work::Look => tokio::spawn(async move {
                let list = writer.repository().wal_of_file(file).await?;
                Ok(Done::Looked(list.objects.into_iter().map(|object| object.name).collect()))
            }),
            Work::Store(offset, content) => {
                self.piece_begun = Some(clock::instant());
                self.progress.add_bytes(content.len() as u64);
                tokio::spawn(async move { writer.put_range(file, offset, content).await.map(Done::Stored) })
            }
        };
        self.upload = Some(AbortOnDropHandle::new(upload));
        Ok(())
    }

    /// How long the next piece must still wait: an incomplete block is stored now and then, what
    /// is complete at once.
    fn wait(&self) -> Duration {
        let hurry = self.block.is_complete() || self.ended;
        let since = self.piece_begun.map(|begun| begun.elapsed());
        match since {
            Some(since) if !hurry => self.piece_interval.saturating_sub(since),
            _ => Duration::ZERO,
        }
    }

    fn pause(&self) -> Duration {
        let wait = self.wait();
        if wait > Duration::ZERO && !self.block.is_durable() { wait.min(REPORT_EVERY) } else { REPORT_EVERY }
    }

    async fn received(&mut self, message: WalMessage) -> Result<()> {
        self.heard = clock::instant();
        match message {
            WalMessage::Wal { begin, end, wal } => {
                if begin != self.block.received() {
                    let what =
                        format!("the server sent WAL from {begin} where {} was due", self.block.received());
                    return Err(Error::new(Kind::Postgres, what));
                }
                self.pending = self.block.append(wal);
                self.observed.server_at(end);
            }
            WalMessage::Keepalive { end, answer } => {
                self.observed.server_at(end);
                if answer {
                    self.report(false).await?;
                }
            }
            WalMessage::End => self.ended = true,
        }
        Ok(())
    }

    fn uploaded(&mut self, done: Done) {
        match done {
            Done::Looked(names) => self.block.found(names),
            Done::Stored(name) => {
                self.observed.uploaded(u64::from(name.end - name.begin));
                self.block.stored(name.end);
            }
        }
    }

    fn whole_stored(&mut self, done: Result<WalName>) {
        match done {
            Ok(name) => self.observed.uploaded(u64::from(name.end - name.begin)),
            Err(e) => tracing::warn!("a segment is stored in pieces only: {e:?}"),
        }
    }

    async fn report(&mut self, ask: bool) -> Result<()> {
        self.reported = clock::instant();
        if self.block.durable() > self.told {
            self.observed.stored(self.block.durable());
        }
        self.told = self.block.durable();
        self.streaming.report(self.block.received(), self.block.durable(), ask).await
    }

    async fn keep_in_touch(&mut self, readable: bool) -> Result<()> {
        if !readable {
            self.heard = clock::instant(); // it is we who do not listen
        }
        let silent = self.heard.elapsed();
        if silent > SILENCE_MAX {
            let what = format!("the server said nothing for {}", clock::span_text(silent));
            return Err(Error::new(Kind::Postgres, what));
        }
        if self.reported.elapsed() >= REPORT_EVERY {
            self.report(silent > SILENCE_MAX / 2).await?;
        }
        Ok(())
    }

    /// Lets what is under way end, and tells the server of it.
    async fn stop(mut self) -> Result<Ended> {
        let last = tokio::time::timeout(STOP_WAIT, arrived(&mut self.upload)).await;
        if let (true, Ok(Ok(Done::Stored(name)))) = (self.upload.is_none(), last) {
            self.block.stored(name.end);
            let _ = self.report(false).await; // it will hear of it when we come back
        }
        Ok(Ended::Stopped)
    }
}

/// The outcome of what is in flight; never, where nothing is. Cancel-safe.
async fn arrived<T>(upload: &mut Upload<T>) -> Result<T> {
    let Some(handle) = upload else { return std::future::pending().await };
    let done = handle.await;
    *upload = None;
    done.unwrap_or_else(|e| Err(Error::new(Kind::Internal, "a task ended early").because(e)))
}

async fn settle<T>(upload: &mut Upload<T>) {
    if upload.is_some()
        && let Err(e) = arrived(upload).await
    {
        tracing::warn!("a segment is stored in pieces only: {e:?}");
    }
}
