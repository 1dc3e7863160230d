//! Base backups: the files of a whole cluster, full, or only the blocks that changed since the parent. There
//! are two sources: Lifeboat reads the files of the running server between `pg_backup_start` and
//! `pg_backup_stop` (`files`), or the server sends them over the replication protocol (`protocol`). The
//! result is the same, so one can build on the other.
//!
//! Order: slot and start; the files; `pg_control`; stop; the WAL that replay needs; the index; the manifest.
//! A backup that is interrupted leaves no manifest, and no server in backup mode: backup mode ends with the
//! session.

mod chain;
mod cluster_files;
mod context;
mod copy;
mod files;
mod finish;
mod held;
mod incoming;
mod moved;
mod packed;
mod protocol;
mod reader;
mod relation_files;
mod slot;
mod source;
mod stream_copy;
mod tally;
mod tar;
mod times;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::archive::base::{BaseFacts, LeftOut, MadeOn, Tablespace};
use crate::archive::manifest::{Facts, Manifest, SnapshotKind};
use crate::backup::base::context::Context;
use crate::backup::base::finish::Taken;
use crate::backup::base::source::Source;
use crate::backup::job::{Begun, Job, on_blocking_thread};
use crate::catalog::doubt::Doubt;
use crate::clock;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::names::ReleaseId;
use crate::postgres::base::ask;
use crate::postgres::server::ServerInfo;
use crate::postgres::session::Session;
use crate::progress::Progress;
use crate::repository::layout;

/// No process takes so long to store a WAL object: an older file was left by one that was killed.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 3600);

/// A request for a base backup.
#[derive(Clone, Debug)]
pub struct BaseRequest {
    /// Whether to make a full backup although a parent is known.
    pub full: bool,
    /// The release that it is tied to.
    pub release: Option<ReleaseId>,
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The snapshot.
    pub manifest: Manifest,
    /// From begin to end.
    pub seconds: f64,
    /// How many bytes of the cluster were read.
    pub read_bytes: u64,
    /// How many were not, because the server's WAL summaries or the times of files say that they are
    /// unchanged.
    pub unread_bytes: u64,
    /// How many of these were not read because of the times of files.
    pub trusted_bytes: u64,
    /// How many bytes of such files were read as a sample and compared.
    pub compared_bytes: u64,
    /// Why the times were not trusted although `backup.base_trust` says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times_not_trusted_because: Option<String>,
    /// A file whose content changed although its times did not: then this backup read everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
    /// Why an incremental one read everything, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_all_because: Option<String>,
    /// What a person should know although nothing failed.
    pub notes: Vec<String>,
}

impl Report {
    /// The result: an error of kind `Incomplete` where something was left out, or bad pages were found.
    pub fn verdict(&self) -> Result<()> {
        let facts = self.manifest.base_facts()?;
        if let (Some(missing), [first, ..]) = (facts.missing(), facts.left_out.as_slice()) {
            let what = format!("missing in the base backup: {missing}");
            return Err(Error::new(Kind::Incomplete, what)
                .because(format!("{}: {}", first.what, first.why))
                .effect("the backup is stored, and its manifest names what is missing; everything else can be restored")
                .next("move data that a symbolic link points to back into the data directory, or make it a tablespace; then run again"));
        }
        if facts.bad_page_count == 0 {
            return self.doubt.as_ref().map_or(Ok(()), |doubt| Err(doubted(doubt)));
        }
        let first: Vec<String> =
            facts.bad_pages.iter().take(5).map(|bad| format!("{} block {}", bad.path, bad.block)).collect();
        Err(Error::new(
            Kind::Incomplete,
            format!("{} pages have a wrong checksum: {}", facts.bad_page_count, first.join(", ")),
        )
        .effect("the backup is stored and lists these pages; they are damaged in the database itself")
        .next("find the tables with pg_amcheck; restore them from a backup that is older than the damage"))
    }
}

fn doubted(doubt: &Doubt) -> Error {
    Error::new(Kind::Incomplete, doubt.text())
        .effect(
            "this base backup is correct: it read every file. The incremental ones before it, back to the last \
             full one, may hold an older content of files that they did not read",
        )
        .next(
            "look for errors of that disk in the kernel's log (a failing disk can look like this), then run \
             lifeboat backup --kind base --full: until then every file is read. If the file system does not \
             keep times reliably, set backup.base_trust = \"content\"",
        )
}

/// Takes a base backup.
///
/// # Errors
/// Whatever made it incomplete; there is no snapshot then.
pub async fn run(
    config: &Config,
    request: BaseRequest,
    progress: Progress,
    cancel: CancellationToken,
) -> Result<Report> {
    let begun = clock::instant();
    let Begun { job, server, lease, stops: _stops } =
        Job::begin(config, false, request.release.clone(), progress, cancel).await?;
    let wal = layout::wal(&config.instance);
    let removed = job.repository.store().clean_old_leftovers(&wal, LEFTOVER_AGE).await?;
    if removed > 0 {
        job.progress.note(format!("removed {removed} unfinished WAL files of processes that were killed"));
    }
    let job = Arc::new(job);
    let (mut was_torn, mut doubt) = (false, None);
    let outcome = loop {
        match back_up(job.clone(), &server, &request).await {
            Ok(Attempt::Whole(outcome)) => break Ok(*outcome),
            Ok(Attempt::Torn(databases)) if was_torn => break Err(moved::refused(&databases)),
            Ok(Attempt::Torn(databases)) => {
                was_torn = true;
                job.progress.note(format!(
                    "database {} was moved to another tablespace during the base backup: starting the base backup \
                     again",
                    databases.join(", ")
                ));
            }
            // It is recorded, so that the next attempt trusts no times.
            Ok(Attempt::Doubted(found)) => {
                job.progress
                    .note(format!("{}: starting the base backup again and reading every file", found.text()));
                doubt = Some(found);
            }
            Err(e) => break Err(e),
        }
    };
    lease.release().await;
    if let (Err(_), Some(e)) = (&outcome, job.lease.error()) {
        return Err(e);
    }
    let report = outcome?;
    Ok(Report { seconds: begun.elapsed().as_secs_f64(), doubt, ..report })
}

/// How a copy of everything ended.
enum Attempt {
    /// It is stored.
    Whole(Box<Report>),
    /// Files of these databases are missing, so it is not stored.
    Torn(Vec<String>),
    /// It trusted the times of files, and the content of this one had changed although they had not.
    Doubted(Doubt),
}

async fn back_up(job: Arc<Job>, server: &ServerInfo, request: &BaseRequest) -> Result<Attempt> {
    let (snapshots, _) = job.repository.snapshot_ids().await?;
    let snapshot = job.begin_snapshot(SnapshotKind::Base, None);
    let mut session = Session::maintenance(&job.postgres).await?;
    let source = source::choose(&job, &mut session).await?;
    let cluster = ask(&mut session).await?;
    let kept = slot::ask(&mut session).await?;
    session.close().await;
    let context = Arc::new(Context {
        job,
        snapshot,
        server: cluster,
        full: request.full,
        snapshots,
        not_as_its_times: OnceLock::new(),
    });
    let taken = match source {
        Source::Files(place) => files::take(&context, place).await,
        Source::Protocol { why } => protocol::take(&context, server.major, why).await,
    };
    if let Some(path) = context.not_as_its_times.get() {
        return Ok(Attempt::Doubted(times::doubt(&context, path)?));
    }
    let taken = match taken {
        Ok(taken) => taken,
        Err(e) => return Err(slot::explained(&context, kept, e).await),
    };
    let torn = moved::torn(&context, &taken.copies).await?;
    if !torn.is_empty() {
        return Ok(Attempt::Torn(torn));
    }
    let left_out = left_out(&context, &taken).await?;
    let manifest = manifest(&context, server, &taken, left_out);
    context.job.publish(&context.snapshot, &manifest).await?;
    let Taken { copied, chain, notes, read_all_because, times_not_trusted_because, .. } = taken;
    let (trusted_bytes, compared_bytes) = (copied.trusted, copied.compared);
    let facts = manifest.base_facts()?;
    let (unread_bytes, read_bytes) = (facts.unread_bytes, facts.bytes - facts.unread_bytes);
    on_blocking_thread(move || {
        copied.staged.publish()?;
        if chain.len() == 1 { times::no_doubt(&context) } else { Ok(()) }
    })
    .await?;
    Ok(Attempt::Whole(Box::new(Report {
        manifest,
        seconds: 0.0, // whoever looked at the clock knows
        read_bytes,
        unread_bytes,
        trusted_bytes,
        compared_bytes,
        read_all_because,
        times_not_trusted_because,
        doubt: None,
        notes,
    })))
}

/// What the server has and the copy lacks.
async fn left_out(context: &Context, taken: &Taken) -> Result<Vec<LeftOut>> {
    let mut session = Session::maintenance(&context.job.postgres).await?;
    let after = ask(&mut session).await?;
    session.close().await;
    Ok(held::left_out(&context.server, &after, &taken.copied.directories, &taken.copied.odd))
}

fn manifest(context: &Context, server: &ServerInfo, taken: &Taken, left_out: Vec<LeftOut>) -> Manifest {
    let (end, chain) = (&taken.end, taken.chain.clone());
    let parent = chain.len().checked_sub(2).map(|parent| chain[parent].clone());
    let name = |oid| context.server.tablespaces.iter().find(|(known, _)| *known == oid);
    let tablespace = |(oid, location): &(u32, String)| Tablespace {
        oid: *oid,
        name: name(*oid).map_or_else(|| "dropped during the backup".to_owned(), |(_, name)| name.clone()),
        location: location.clone(),
    };
    let sorting = &context.server.sorting;
    let facts = BaseFacts {
        system_identifier: taken.system_identifier.to_string(),
        server_version: server.version.clone(),
        server_major: server.major,
        timeline: end.timeline,
        start_lsn: taken.start_lsn,
        checkpoint_lsn: end.checkpoint_lsn,
        stop_lsn: end.stop_lsn,
        wal_segment_bytes: context.server.wal_segment_bytes,
        from_standby: context.server.is_standby,
        data_checksums: context.server.data_checksums,
        tablespaces: taken.tablespaces.iter().map(tablespace).collect(),
        chain,
        full_because: taken.full_because.clone(),
        files: taken.copied.files + taken.extra_files,
        bytes: taken.copied.bytes + taken.extra_bytes,
        unread_bytes: taken.copied.unread,
        bad_page_count: taken.copied.bad_page_count,
        bad_pages: taken.copied.bad_pages.clone(),
        left_out,
        made_on: Some(MadeOn {
            platform: sorting.platform.clone(),
            libc: sorting.libc.clone(),
            icu: sorting.icu.clone(),
        }),
    };
    let mut manifest = context.snapshot.manifest(end.stopped, Facts::Base(facts));
    manifest.release = context.job.release.clone();
    manifest.lsn = Some(end.stop_lsn);
    manifest.plain_bytes = taken.copied.stored + taken.extra_bytes;
    manifest.parent = parent;
    manifest
}
