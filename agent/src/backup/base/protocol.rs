//! A base backup that the server sends over the replication protocol: Lifeboat opens none of its files, and
//! the role needs only REPLICATION.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::archive::index::Entry;
use crate::backup::base::chain::Chain;
use crate::backup::base::context::Context;
use crate::backup::base::finish::Taken;
use crate::backup::base::incoming::Incoming;
use crate::backup::base::stream_copy::{Copy, Sent, StreamCopy, WAL_DIR};
use crate::backup::base::tally::Copied;
use crate::backup::job::on_blocking_thread;
use crate::catalog::known_base::Begin;
use crate::catalog::known_scratch::KnownLookup;
use crate::error::{Error, Kind, Result};
use crate::names::wal::TimelineId;
use crate::names::{Lsn, random_hex};
use crate::postgres::base::{BaseEnd, read_label, server_time, wal_segments};
use crate::postgres::control;
use crate::postgres::replication::{BaseStart, Replication};
use crate::postgres::session::Session;

/// Does the whole backup, up to the layout. `why` says why the files are not read instead, where a person
/// should know it.
pub async fn take(context: &Arc<Context>, major: u32, why: Option<String>) -> Result<Taken> {
    let job = &context.job;
    job.progress.stage("waiting for a checkpoint");
    let replication = Replication::connect(&job.postgres, "lifeboat").await;
    let mut replication = replication.map_err(|e| match &why {
        Some(why) => {
            e.effect(format!("no base backup was stored: the files cannot be read here either ({why})"))
        }
        None => e,
    })?;
    let system = replication.system().await?;
    let mut notes: Vec<String> = why
        .map(|why| format!("the server sent its files because they cannot be read here: {why}"))
        .into_iter()
        .collect();
    if let Err(e) = replication.temporary_slot(&format!("lifeboat_base_{}", random_hex(6))).await {
        let why = e.causes().join("; ");
        notes.push(format!(
            "the server gave no replication slot, so a long base backup can fail because its WAL is removed: {why}"
        ));
    }
    let (start, stream) =
        replication.base_backup(&context.label(), major, !context.server.in_place.is_empty()).await?;
    job.progress.expect_bytes(start.bytes);
    job.progress.stage("files");
    let incoming = Incoming::new(Handle::current(), stream, job.cancel.clone(), context.pace());
    let (used, begun) = (context.clone(), start.clone());
    let received = on_blocking_thread(move || receive(&used, incoming, &begun, &system.identifier)).await?;
    // By the server's clock, after the stop: nothing earlier can be recovered from this backup.
    let mut session = Session::maintenance(&job.postgres).await?;
    let stopped = server_time(&mut session).await?;
    session.close().await;
    let Received { sent, copied, chain, wal, system_identifier, checkpoint_lsn, timeline } = received;
    if sent.corrupted && copied.bad_page_count == 0 {
        notes.push(
            "the server found wrong page checksums outside of tables and indexes: see its log".to_owned(),
        );
    }
    notes.extend(copied.notes.iter().cloned());
    let tablespace_map = match sent.tablespace_map.is_empty() {
        true => tablespace_map(&start.tablespaces),
        false => sent.tablespace_map,
    };
    let mut taken = Taken {
        copied,
        times_not_trusted_because: None,
        read_all_because: (chain.ids.len() > 1)
            .then(|| "over the replication protocol the server sends every file".to_owned()),
        chain: chain.ids,
        full_because: chain.full_because,
        tablespaces: start.tablespaces.into_iter().filter(is_outside).collect(),
        system_identifier,
        start_lsn: start.start_lsn,
        end: BaseEnd {
            stop_lsn: sent.stop_lsn,
            stopped,
            label: sent.label,
            tablespace_map,
            checkpoint_lsn,
            timeline,
        },
        control: sent.control,
        copies: sent.wal.between(start.start_lsn, sent.stop_lsn)?,
        extra_files: 0,
        extra_bytes: 0,
        notes,
    };
    let used = context.clone();
    on_blocking_thread(move || taken.finish(&used, |_| Ok(wal)).map(|()| taken)).await
}

/// Whether a tablespace is outside of the data directory: newer servers give a relative path for those inside
/// it.
fn is_outside((_, location): &(u32, String)) -> bool {
    location.starts_with('/')
}

/// The `tablespace_map`, where the server sent none (PostgreSQL manual, 26.3.4: recovery makes links from
/// it).
fn tablespace_map(tablespaces: &[(u32, String)]) -> String {
    let escaped = |path: &str| path.replace('\\', "\\\\").replace('\n', "\\\n").replace('\r', "\\\r");
    let outside = tablespaces.iter().filter(|tablespace| is_outside(tablespace));
    outside.map(|(oid, path)| format!("{oid} {}\n", escaped(path))).collect()
}

/// What was received, and checked.
struct Received {
    sent: Sent,
    copied: Copied,
    chain: Chain,
    wal: Vec<Entry>,
    system_identifier: u64,
    checkpoint_lsn: Lsn,
    timeline: u32,
}

/// Receives all that the server sends.
fn receive(
    context: &Context,
    incoming: Incoming,
    start: &BaseStart,
    system_identifier: &str,
) -> Result<Received> {
    let identifier: u64 = system_identifier.parse().map_err(|e| {
        Error::new(Kind::Postgres, format!("{system_identifier} is not a system identifier")).because(e)
    })?;
    let mut chain = Chain::open(context, identifier);
    let old = match chain.old.take().map(|old| KnownLookup::new(&context.job.state, old)).transpose() {
        Err(e) if e.kind() == Kind::Integrity => {
            chain = Chain::anew(context, Some(format!("{e:?}")));
            None
        }
        old => old?,
    };
    let copy = StreamCopy { context, old, own: chain.own(), pages: context.pages(start.start_lsn) };
    let Copy { sent, tally, sorter, mut wal } = copy.run(incoming)?;
    let incomplete = |what: &str| {
        Error::new(Kind::Postgres, format!("the base backup that the server sent is incomplete: {what}"))
            .effect("no base backup was stored")
            .safe("running again is safe")
    };
    let (checkpoint_lsn, timeline) = read_label(&sent.label)?;
    let control = control::parse(&sent.control).ok_or_else(|| incomplete("pg_control is damaged"))?;
    if control.system_identifier != identifier {
        return Err(incomplete(&format!("pg_control is of cluster {}", control.system_identifier)));
    }
    let segments = wal_segments(timeline, start.start_lsn, sent.stop_lsn, context.server.wal_segment_bytes);
    let wanted: HashSet<String> = segments.into_iter().map(|name| format!("{WAL_DIR}{name}")).collect();
    wal.retain(|entry| wanted.contains(&entry.path) && entry.bytes == context.server.wal_segment_bytes);
    if wal.len() != wanted.len() {
        return Err(incomplete("WAL is missing").next(
            "give the server a free slot (max_replication_slots), or raise wal_keep_size; then run again",
        ));
    }
    let begin = Begin {
        start_lsn: start.start_lsn,
        timeline: TimelineId(timeline),
        data_checksums: context.server.data_checksums,
    };
    let known = chain.known(context, identifier, begin, None);
    let staged = sorter.finish(&context.job.state.known_base_file(), &known)?;
    let copied = tally.finish(sent.listed.clone(), staged);
    Ok(Received { sent, copied, chain, wal, system_identifier: identifier, checkpoint_lsn, timeline })
}
