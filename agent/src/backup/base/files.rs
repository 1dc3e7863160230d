//! A base backup on the server's host: we read its data directory, between `pg_backup_start` and
//! `pg_backup_stop` of one session.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::archive::base::CONTROL_FILE;
use crate::archive::index::Entry;
use crate::archive::wal_records::Copied as CopiedDatabase;
use crate::backup::base::chain::Chain;
use crate::backup::base::cluster_files::{self, ClusterFile, ClusterWalk, TablespaceLink};
use crate::backup::base::context::Context;
use crate::backup::base::copy::{self, Copy, Failure};
use crate::backup::base::finish::Taken;
use crate::backup::base::moved::WalWatch;
use crate::backup::base::reader::BaseReader;
use crate::backup::base::tally::Copied;
use crate::backup::base::times::{self, Times};
use crate::backup::job::on_blocking_thread;
use crate::catalog::known_base::{Begin, Clocks, FileIdentity};
use crate::clock;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::SegmentName;
use crate::postgres::base::{BaseSession, ServerFiles, wal_segments};
use crate::postgres::control::{self, ControlFile};
use crate::postgres::page::PAGE_BYTES;
use crate::postgres::session::Session;
use crate::postgres::summaries::{self, Written};

/// How often `pg_control` is read again when the server was writing it.
const CONTROL_TRIES: u32 = 20;
/// And the time between them.
const CONTROL_PAUSE: Duration = Duration::from_millis(50);

/// How much WAL is read at once.
const WAL_READ_BYTES: usize = 1 << 20;

/// Does the whole backup, up to the layout.
pub async fn take(context: &Arc<Context>, place: ServerFiles) -> Result<Taken> {
    let job = &context.job;
    job.progress.stage("waiting for a checkpoint");
    let mut session = BaseSession::start(&job.postgres, &context.label(), context.server.is_standby).await?;
    job.progress.expect_bytes(place.bytes);
    job.progress.stage("files");
    let start_lsn = session.start_lsn;
    let (used, data_dir) = (context.clone(), place.data_directory.clone());
    let ready = on_blocking_thread(move || prepare(&used, &data_dir, start_lsn)).await?;
    let (times, times_not_trusted_because) = known_or_why(ready.times.clone());
    let (written, no_summaries_because) = known_or_why(written_since(context, &ready).await);
    let (used, data_dir) = (context.clone(), place.data_directory.clone());
    let seen = on_blocking_thread(move || copy(&used, &data_dir, ready, (times, written.as_ref()))).await?;
    job.progress.stage("stop");
    let end = session.stop().await?;
    let mut notes = seen.copied.notes.clone();
    notes.extend(session.no_slot.as_ref().map(|why| {
        format!("the server gave no replication slot, so a long base backup can fail because its WAL is removed: {why}")
    }));
    let segments = wal_segments(end.timeline, start_lsn, end.stop_lsn, context.server.wal_segment_bytes);
    job.progress.stage("WAL");
    let mut taken = Taken {
        copied: seen.copied,
        chain: seen.chain.ids,
        full_because: seen.chain.full_because,
        read_all_because: no_summaries_because.filter(|_| times.is_none()),
        times_not_trusted_because,
        tablespaces: locations(&seen.links)?,
        system_identifier: seen.control.0.system_identifier,
        start_lsn,
        end,
        control: seen.control.1,
        copies: Vec::new(),
        extra_files: 0,
        extra_bytes: 0,
        notes,
    };
    let used = context.clone();
    let taken = on_blocking_thread(move || {
        let read = |reader: &mut BaseReader<'_>| {
            segments.iter().map(|segment| wal(&used, &place.data_directory, reader, segment)).collect()
        };
        taken.finish(&used, read)?;
        taken.copies = copies(&used, &place.data_directory, &segments, (start_lsn, taken.end.stop_lsn))?;
        Ok(taken)
    });
    let taken = taken.await?;
    session.close().await; // the slot goes now that the WAL is read
    Ok(taken)
}

/// What is known, or why it is not.
fn known_or_why<T>(known: Option<std::result::Result<T, String>>) -> (Option<T>, Option<String>) {
    known.map_or((None, None), |known| match known {
        Ok(known) => (Some(known), None),
        Err(why) => (None, Some(why)),
    })
}

/// What is known before the copy.
struct Ready {
    control: ControlFile,
    chain: Chain,
    begin: Begin,
    clocks: Option<Clocks>,
    times: Option<std::result::Result<Times, String>>,
}

/// Checks whose data directory this is, and finds what to compare with.
fn prepare(context: &Context, data_dir: &Path, start_lsn: Lsn) -> Result<Ready> {
    let (first, _) = control(context.job.system_identifier.as_deref(), data_dir)?;
    if first.redo < start_lsn {
        let last = first.redo;
        let what = format!(
            "{} is not the data directory of this server: its last checkpoint is at {last}",
            data_dir.display()
        );
        return Err(Error::new(Kind::Postgres, what)
            .because(format!("the server has just made a checkpoint at {start_lsn}"))
            .effect("nothing was stored")
            .next("run lifeboat on the server's own host, or set backup.base_source = \"protocol\""));
    }
    let chain = Chain::open(context, first.system_identifier);
    let begin = Begin { start_lsn, timeline: first.timeline, data_checksums: context.server.data_checksums };
    let clocks = times::clocks();
    let parent = chain.old.as_ref().map(|old| &old.known);
    let times = times::trusted(context, parent, begin, clocks.as_ref());
    Ok(Ready { control: first, chain, begin, clocks, times })
}

/// What was written since the parent, or why that is not known; `None` for a full backup, or where an older
/// lifeboat made the parent.
async fn written_since(context: &Context, ready: &Ready) -> Option<std::result::Result<Written, String>> {
    let parent = ready.chain.old.as_ref().and_then(|old| old.known.begin);
    let parent = parent?;
    let Begin { start_lsn, timeline, data_checksums } = ready.begin;
    if parent.timeline != timeline {
        let why =
            format!("the last base backup is of timeline {}, the server is on {timeline}", parent.timeline);
        return Some(Err(why));
    }
    if parent.data_checksums != data_checksums {
        return Some(Err("page checksums were switched on or off since the last base backup".to_owned()));
    }
    if parent.start_lsn > start_lsn {
        let why =
            format!("the last base backup began at {}, the server is only at {start_lsn}", parent.start_lsn);
        return Some(Err(why));
    }
    context.job.progress.stage("WAL summaries");
    let asked = async {
        let mut session = Session::maintenance(&context.job.postgres).await?;
        let range = (parent.start_lsn, start_lsn);
        let written = summaries::written(&mut session, timeline, range, context.server.segment_blocks).await;
        session.close().await;
        written
    };
    // Whatever the reason is that there are none: reading everything is always right.
    let written =
        asked.await.unwrap_or_else(|e| Err([vec![e.what().to_owned()], e.causes()].concat().join(": ")));
    context.job.progress.stage("files");
    Some(written)
}

/// What the copy saw.
struct CopySeen {
    copied: Copied,
    chain: Chain,
    links: Vec<TablespaceLink>,
    /// Read after everything else.
    control: (ControlFile, Vec<u8>),
}

/// Everything between start and stop.
fn copy(
    context: &Context,
    data_dir: &Path,
    ready: Ready,
    (times, written): (Option<Times>, Option<&Written>),
) -> Result<CopySeen> {
    let Ready { control: first, mut chain, begin, clocks, .. } = ready;
    let links = cluster_files::tablespaces(data_dir)?;
    let known_file = context.job.state.known_base_file();
    let major = disk::read_text(&data_dir.join("PG_VERSION"), PAGE_BYTES as u64)?;
    let version_dir = format!("PG_{}_{}", major.lines().next().unwrap_or_default(), first.catalog_version);
    let copied = loop {
        let copied = copy::copy(
            &context.snapshot,
            Copy {
                walk: ClusterWalk { data_dir, tablespaces: &links, version_dir: version_dir.clone() },
                old: chain.old.take(),
                known_file: &known_file,
                known: &chain.known(context, first.system_identifier, begin, clocks.clone()),
                written,
                times,
                not_as_its_times: &context.not_as_its_times,
                pages: context.pages(begin.start_lsn),
                workers: context.job.backup.workers,
                pace: &context.pace(),
                progress: &context.job.progress,
            },
        );
        match copied {
            Ok(copied) => break copied,
            Err(Failure::KnownDamaged(e)) if chain.ids.len() > 1 => {
                chain = Chain::anew(context, Some(format!("{e:?}")));
            }
            Err(Failure::KnownDamaged(e) | Failure::Other(e)) => return Err(e),
        }
    };
    let control = control(context.job.system_identifier.as_deref(), data_dir)?;
    if control.0.system_identifier != first.system_identifier {
        return Err(Error::new(
            Kind::Postgres,
            "the data directory was replaced by another cluster's during the backup",
        ));
    }
    Ok(CopySeen { copied, chain, links, control })
}

/// `pg_control`, complete: the server writes it in one piece, but may be writing it right now. Where the
/// server reported its `identifier`, the file must have that one.
pub fn control(identifier: Option<&str>, data_dir: &Path) -> Result<(ControlFile, Vec<u8>)> {
    let path = data_dir.join(CONTROL_FILE);
    let elsewhere = "run lifeboat on the server's own host, as a user who may read the data directory, \
                     or set backup.base_source = \"protocol\"";
    for _ in 0..CONTROL_TRIES {
        let bytes = disk::read(&path, control::CONTROL_BYTES as u64)
            .map_err(|e| e.effect("no base backup was stored").next(elsewhere))?;
        if let Some(read) = control::parse(&bytes) {
            return match identifier {
                Some(known) if known != read.system_identifier.to_string() => {
                    let found = read.system_identifier;
                    let what = format!(
                        "{} belongs to the cluster with system identifier {found}; the server's is {known}",
                        path.display()
                    );
                    Err(Error::new(Kind::Postgres, what).effect("nothing was stored").next(elsewhere))
                }
                _ => Ok((read, bytes)),
            };
        }
        clock::sleep_blocking(CONTROL_PAUSE);
    }
    Err(Error::new(Kind::Postgres, format!("{} is damaged: its checksum is wrong", path.display()))
        .effect("a server could not start from it, so no base backup was stored"))
}

fn wal(context: &Context, data_dir: &Path, reader: &mut BaseReader<'_>, segment: &str) -> Result<Entry> {
    let location = data_dir.join("pg_wal").join(segment);
    let bytes = context.server.wal_segment_bytes;
    let (path, seen) = (format!("pg_wal/{segment}"), FileIdentity::default());
    let file = ClusterFile { path, location, bytes, mtime_ns: 0, seen, segment: None };
    match reader.read(&file, None)? {
        Some(read) if read.known.entry.bytes == bytes => Ok(read.known.entry),
        _ => Err(Error::new(Kind::Postgres, format!("{} was removed before it was read", file.location.display()))
            .effect("recovery would need it, so no base backup was stored")
            .next("give the agent's role REPLICATION and the server a free slot (max_replication_slots), or raise wal_keep_size; then run again")),
    }
}

/// Databases that were copied, as the WAL of the backup says; the slot still keeps that WAL.
fn copies(
    context: &Context,
    data_dir: &Path,
    segments: &[String],
    (start, stop): (Lsn, Lsn),
) -> Result<Vec<CopiedDatabase>> {
    let mut watch = WalWatch::new(context.server.wal_segment_bytes);
    let mut buffer = vec![0; WAL_READ_BYTES];
    for segment in segments {
        let name = segment.parse::<SegmentName>()?;
        let path = data_dir.join("pg_wal").join(segment);
        let mut input = disk::open(&path)?;
        let mut offset = 0;
        loop {
            let n = input.read(&mut buffer).map_err(|e| Error::file("read", &path, e))?;
            if n == 0 {
                break;
            }
            watch.feed(name, offset, &buffer[..n]);
            offset += n as u64;
        }
    }
    watch.between(start, stop)
}

fn locations(links: &[TablespaceLink]) -> Result<Vec<(u32, String)>> {
    let text = |link: &TablespaceLink| match link.location.to_str() {
        Some(text) => Ok((link.oid, text.to_owned())),
        None => {
            let what = format!("the path of the tablespace at {} is not UTF-8", link.location.display());
            Err(Error::new(Kind::Postgres, what))
        }
    };
    links.iter().map(text).collect()
}
