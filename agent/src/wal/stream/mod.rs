//! `lifeboat agent`: streams WAL through its own slot into the repository, as long as it runs.

mod block;
mod feed;
mod observed;
mod pipeline;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::archive::signature::TrustedKeys;
use crate::archive::wal_history::parse_history;
use crate::clock;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::{TimelineId, WalFile};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::replication::{Replication, System, code_of, slot_state};
use crate::postgres::session::Session;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::repository::lease::Lease;
use crate::repository::wal::WalWriter;
use crate::repository::wal::coverage::windows;
use feed::{Ended, Feed};
pub use observed::Observed;
use pipeline::Pipeline;
pub use watch::watch;

/// The wait before a new connection: doubled each time the last one achieved nothing.
const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A connection that lasted this long was a good one.
const GOOD_AFTER: Duration = Duration::from_secs(60);

/// Streams until `cancel`, and then returns without an error. Errors that can pass by themselves (the server
/// restarts, the store refuses for an hour) are retried: the slot keeps the WAL. `holder` names the state
/// directory whose lock the caller holds.
///
/// # Errors
/// Errors that do not pass by themselves: a wrong cluster, a lost slot, other WAL under our name, another
/// agent.
pub async fn run(
    config: &Config,
    holder: &str,
    progress: Progress,
    observed: &Observed,
    cancel: &CancellationToken,
) -> Result<()> {
    super::keys(config)?; // so that a wrong key is reported at once
    let agent = Agent { config, holder, progress, observed };
    let mut backoff = BACKOFF_MIN;
    loop {
        let begun = clock::instant();
        let outcome = agent.leased(cancel).await;
        observed.disconnected(outcome.as_ref().err());
        let error = match outcome {
            Ok(()) => return Ok(()),
            Err(_) if cancel.is_cancelled() => return Ok(()),
            Err(e) if !passes(&e) => return Err(e),
            Err(e) => e,
        };
        if clock::instant() - begun > GOOD_AFTER {
            backoff = BACKOFF_MIN;
        }
        let wait = clock::span_text(backoff);
        tracing::warn!("streaming stopped and starts again in {wait}; the slot keeps the WAL: {error:?}");
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = clock::sleep(backoff) => backoff = (backoff * 2).min(BACKOFF_MAX),
        }
    }
}

struct Agent<'a> {
    config: &'a Config,
    holder: &'a str,
    progress: Progress,
    observed: &'a Observed,
}

impl Agent<'_> {
    /// One connection under one lease: while the store does not answer, the lease expires as well.
    async fn leased(&self, cancel: &CancellationToken) -> Result<()> {
        let repository = Repository::configured(self.config).await?;
        let lease = Lease::take_for_wal(&repository, self.holder).await?;
        let (watch, stop) = (lease.watch(), cancel.child_token());
        let (lost, stopped) = (watch.lost().clone(), stop.clone());
        let _watch = AbortOnDropHandle::new(tokio::spawn(async move {
            lost.cancelled().await;
            stopped.cancel();
        }));
        let outcome = self.connected(&repository, &stop).await;
        let lost = watch.error();
        lease.release().await;
        match lost {
            Some(e) => Err(e),
            None => outcome,
        }
    }

    /// One connection, over all timelines that it passes.
    async fn connected(&self, repository: &Repository, cancel: &CancellationToken) -> Result<()> {
        let options = PostgresOptions::from(&self.config.postgres);
        let slot = &self.config.wal.slot;
        let mut replication = Replication::connect(&options, slot.as_str()).await?;
        let system = replication.system().await?;
        let (recipients, signing) = super::keys(self.config)?;
        let trusted = TrustedKeys::parse(&self.config.signing.trusted_keys)?.with(&signing);
        let origin = repository.bind_unaltered(Some(&system.identifier), trusted).await?;
        let writer = super::writer(self.config, repository.clone(), origin, (recipients, signing))?;
        let mut place = self.place(&options, &mut replication, &system, &writer).await?;
        loop {
            let (timeline, lsn) = place;
            let begin = Lsn(lsn.0 - lsn.0 % system.segment_bytes.get());
            let streaming =
                replication.stream(slot, begin, timeline).await.map_err(|e| lost_slot(e, slot.as_str()))?;
            self.progress.stage(format!("streaming timeline {timeline} from {begin}"));
            self.progress.note(format!("streaming timeline {timeline} from {begin} through slot {slot}"));
            let pipeline = Pipeline::new(
                writer.clone(),
                (timeline, begin),
                system.segment_bytes,
                self.config.wal.piece_interval,
                (self.progress.clone(), self.observed.clone()),
            );
            let feed = Feed::new(streaming, pipeline, self.observed.clone());
            self.observed.begins_at(begin);
            self.observed.connected();
            let next;
            (replication, next) = match feed.run(cancel).await? {
                Ended::Stopped => return Ok(()),
                Ended::Timeline(replication, next) => (replication, next),
            };
            place = next.ok_or_else(|| {
                Error::new(
                    Kind::Postgres,
                    format!("timeline {timeline} ended but the server names no next timeline"),
                )
            })?;
            self.progress
                .note(format!("timeline {timeline} ends at {}; timeline {} follows", place.1, place.0));
            store_history(&mut replication, &writer, place.0).await?;
        }
    }

    /// Where to stream from: the slot's oldest WAL, on the timeline of that WAL.
    async fn place(
        &self,
        options: &PostgresOptions,
        replication: &mut Replication,
        system: &System,
        writer: &WalWriter,
    ) -> Result<(TimelineId, Lsn)> {
        let slot = &self.config.wal.slot;
        let mut session = Session::maintenance(options).await?;
        let mut state = slot_state(&mut session, slot).await?;
        if state.is_none() {
            replication.create_slot(slot).await?;
            state = slot_state(&mut session, slot).await?;
            self.progress.note(format!("created replication slot {slot}"));
            let from = state.as_ref().and_then(|state| state.restart).unwrap_or(system.flushed);
            self.warn_of_gap(writer, system, from).await?;
        }
        session.close().await;
        let lsn = match &state {
            Some(state) if !state.physical => {
                return Err(Error::new(Kind::Config, format!("replication slot {slot} is a logical slot"))
                    .next("set wal.slot to a name that no other slot has: the agent creates its own"));
            }
            Some(state) if state.status.as_deref() == Some("lost") => {
                return Err(lost_slot_error(slot.as_str()));
            }
            Some(state) => state.restart.unwrap_or(system.flushed),
            None => system.flushed,
        };
        let mut timeline = system.timeline;
        if timeline.0 > 1 {
            let text = store_history(replication, writer, timeline).await?;
            for ancestor in parse_history(timeline, &text)?.into_iter().rev() {
                if ancestor.until > lsn {
                    timeline = ancestor.timeline;
                }
            }
        }
        Ok((timeline, lsn))
    }

    /// A new slot begins now: WAL that was written between the end of the repository's WAL and now is not in
    /// it.
    async fn warn_of_gap(&self, writer: &WalWriter, system: &System, from: Lsn) -> Result<()> {
        let list = writer.repository().wal(writer.trust(), false).await?;
        let stored = windows(list.objects.iter().map(|object| &object.name), system.segment_bytes);
        let own = stored.iter().find(|stored| stored.timeline == system.timeline);
        let end = own.and_then(|timeline| timeline.ranges.last()).map(|range| range.end);
        let begin = Lsn(from.0 - from.0 % system.segment_bytes.get());
        if let Some(end) = end.filter(|end| *end < begin) {
            let text = format!(
                "WAL from {end} to {begin} is missing: recovery stops at {end}; take a base backup now"
            );
            tracing::warn!("{text}");
        }
        Ok(())
    }
}

/// Stores a timeline's history, before any WAL of it.
async fn store_history(
    replication: &mut Replication,
    writer: &WalWriter,
    timeline: TimelineId,
) -> Result<String> {
    let text = replication.history(timeline).await?;
    let content = bytes::Bytes::from(text.clone().into_bytes());
    writer.put_file(WalFile::History(timeline), Arc::new(content)).await?;
    Ok(text)
}

/// Whether an error may pass by itself.
fn passes(error: &Error) -> bool {
    matches!(
        error.kind(),
        Kind::Postgres | Kind::Unreachable | Kind::Denied | Kind::NoSpace | Kind::Io | Kind::NotFound
    ) && !matches!(code_of(error), Some("58P01" | "55000"))
}

fn lost_slot(error: Error, slot: &str) -> Error {
    match code_of(&error) {
        Some("58P01" | "55000") => lost_slot_error(slot).because(error).with_kind(Kind::Incomplete),
        _ => error,
    }
}

fn lost_slot_error(slot: &str) -> Error {
    Error::new(Kind::Incomplete, format!("replication slot {slot} is lost: the server removed WAL that was not stored"))
        .effect("the recovery window ends with the last stored WAL; later changes cannot be recovered from this repository")
        .next(format!("SELECT pg_drop_replication_slot('{slot}'), raise max_slot_wal_keep_size, start the agent again and take a base backup now: runbooks/wal-slot.md"))
        .safe("nothing that is stored was changed")
}
