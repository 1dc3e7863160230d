//! One connection's stream into the repository: what the server sends goes into the pipeline. The server is
//! told that WAL is flushed only when the repository holds it and everything before it.

use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::observed::Observed;
use super::pipeline::Pipeline;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::TimelineId;
use crate::postgres::replication::{Replication, Streaming, WalMessage};

/// How often at least we report to the server: well within any sensible wal_sender_timeout.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// A server that is silent for this long counts as gone; after half of it, it is asked for an answer.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long an upload in progress may still take when we are told to stop.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// A server under load sends each commit by itself. When all that had arrived is read, and it was little,
/// nothing is read for this long, so that not every commit wakes us. Where commits wait for us, there is no
/// such pause.
const REST: Duration = Duration::from_millis(5);
const REST_BELOW_BYTES: u64 = 64 << 10;

/// How a stream ended without an error.
pub enum Ended {
    /// We were told to stop.
    Stopped,
    /// The timeline ended; where the next one begins.
    Timeline(Replication, Option<(TimelineId, Lsn)>),
}

/// See the module.
pub struct Feed {
    streaming: Streaming,
    pipeline: Pipeline,
    observed: Observed,
    ended: bool,
    heard: Instant,
    reported: Instant,
    /// What was last reported to the server as durable.
    told: Lsn,
    rest_until: Option<Instant>,
}

impl Feed {
    /// A feed for a stream that begins where the pipeline does.
    pub fn new(streaming: Streaming, pipeline: Pipeline, observed: Observed) -> Feed {
        let (heard, told) = (clock::instant(), pipeline.durable());
        Feed { streaming, pipeline, observed, ended: false, heard, reported: heard, told, rest_until: None }
    }

    /// Streams until the timeline ends, or `cancel`.
    ///
    /// # Errors
    /// Those of the server and of the store; `AlreadyExists` where the repository holds other WAL.
    pub async fn run(mut self, cancel: &CancellationToken) -> Result<Ended> {
        loop {
            self.pipeline.advance(self.ended)?;
            if self.pipeline.durable() > self.told {
                self.report(false).await?;
            }
            if self.ended && self.pipeline.is_settled() {
                let (replication, next) = self.streaming.next_timeline().await?;
                return Ok(Ended::Timeline(replication, next));
            }
            let pause = self.pipeline.due_in().map_or(REPORT_EVERY, |due| due.min(REPORT_EVERY));
            let readable = self.pipeline.wants_more() && !self.ended;
            let rest = self
                .rest_until
                .map_or(Duration::ZERO, |until| until.saturating_duration_since(clock::instant()));
            let pause = if rest.is_zero() { pause } else { pause.min(rest) };
            tokio::select! {
                biased;
                () = cancel.cancelled() => return self.stop().await,
                done = self.pipeline.settle_one(), if self.pipeline.is_busy() => done?,
                message = self.streaming.next(), if readable && rest.is_zero() => {
                    let before = self.pipeline.received();
                    self.received(message?).await?;
                    self.receive_what_is_there(before).await?;
                }
                () = clock::sleep(pause) => {}
            }
            self.keep_in_touch(readable).await?;
        }
    }

    async fn receive_what_is_there(&mut self, before: Lsn) -> Result<()> {
        while self.pipeline.wants_more() && !self.ended {
            let Some(message) = self.streaming.next().now_or_never() else {
                let little = self.pipeline.received().0 - before.0 < REST_BELOW_BYTES;
                let rests = little && !self.pipeline.is_waited_for();
                self.rest_until = rests.then(|| clock::instant() + REST);
                return Ok(());
            };
            self.received(message?).await?;
        }
        Ok(())
    }

    async fn received(&mut self, message: WalMessage) -> Result<()> {
        self.heard = clock::instant();
        match message {
            WalMessage::Wal { begin, end, wal } => {
                let due = self.pipeline.received();
                if begin != due {
                    let what =
                        format!("the server sent WAL from {begin}, but the next expected position is {due}");
                    return Err(Error::new(Kind::Postgres, what));
                }
                self.pipeline.append(wal, end);
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

    async fn report(&mut self, ask: bool) -> Result<()> {
        let durable = self.pipeline.durable();
        if durable > self.told {
            self.observed.stored(durable);
        }
        (self.reported, self.told) = (clock::instant(), durable);
        self.streaming.report(self.pipeline.received(), durable, ask).await
    }

    async fn keep_in_touch(&mut self, readable: bool) -> Result<()> {
        let now = clock::instant();
        if !readable {
            self.heard = now; // the silence is ours: we do not read
        }
        let silent = now - self.heard;
        if silent > SILENCE_MAX {
            let what = format!("the server sent nothing for {}", clock::span_text(silent));
            return Err(Error::new(Kind::Postgres, what));
        }
        if now - self.reported >= REPORT_EVERY {
            self.report(silent > SILENCE_MAX / 2).await?;
        }
        Ok(())
    }

    /// Finishes the upload in progress, and reports it to the server.
    async fn stop(mut self) -> Result<Ended> {
        let _ = tokio::time::timeout(STOP_WAIT, self.pipeline.settle_first()).await;
        let _ = self.report(false).await; // if this fails, the next connection reports it
        Ok(Ended::Stopped)
    }
}
