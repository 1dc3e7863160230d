//! Base backups: the files of a whole cluster, read beside the running server between
//! `pg_backup_start` and `pg_backup_stop`. Full, or only the blocks that changed since the parent.
//!
//! Order: slot and start; the files; `pg_control`; stop; the WAL that replay needs; the index; the
//! manifest. A backup that is cut short leaves no manifest, and no backup mode: that goes with the
//! session.

mod cluster_files;
mod copy;
mod reader;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::archive::base::{
    BaseFacts, CONTROL_FILE, ClusterLayout, Database, LABEL_FILE, LAYOUT_NAME, TABLESPACE_MAP_FILE,
    Tablespace,
};
use crate::archive::index::{self, Entry, Header, IndexWriter, Line};
use crate::archive::manifest::{Manifest, SnapshotKind};
use crate::backup::base::cluster_files::{ClusterFile, ClusterWalk, TablespaceLink};
use crate::backup::base::copy::{Copied, Copy, Failure};
use crate::backup::base::reader::{BaseReader, PageCheck};
use crate::backup::job::{Begun, Job, on_blocking_thread};
use crate::backup::pace::Pace;
use crate::catalog::known_base::{self, KnownBase, KnownBaseReader, StagedKnownBase};
use crate::clock;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{ReleaseId, SnapshotId};
use crate::postgres::base::{BaseEnd, BaseServer, BaseSession, wal_segments};
use crate::postgres::control::{self, ControlFile};
use crate::postgres::page::PAGE_BYTES;
use crate::postgres::server::ServerInfo;
use crate::progress::Progress;
use crate::repository::pack_worker::PackWorker;
use crate::repository::writer::SnapshotWriter;

/// Tries of reading `pg_control` between two of the server's writes of it.
const CONTROL_TRIES: u32 = 20;
/// And the time between them.
const CONTROL_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whether all is stored anew, although a parent is known.
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
    /// What a person should know although nothing failed.
    pub notes: Vec<String>,
}

impl Report {
    /// How it went: an error of kind `Incomplete` where bad pages were found.
    pub fn verdict(&self) -> Result<()> {
        let facts = self.manifest.base_facts()?;
        if facts.bad_page_count == 0 {
            return Ok(());
        }
        let first: Vec<String> =
            facts.bad_pages.iter().take(5).map(|bad| format!("{} block {}", bad.path, bad.block)).collect();
        Err(Error::new(
            Kind::Incomplete,
            format!("{} pages have a wrong checksum: {}", facts.bad_page_count, first.join(", ")),
        )
        .effect(
            "the backup is stored and says so; what stood in those pages is damaged in the database itself",
        )
        .next("pg_amcheck names the tables; restore them from a backup before the damage"))
    }
}

/// Takes a base backup.
///
/// # Errors
/// Whatever kept it from being whole; there is no snapshot then.
pub async fn run(
    config: &Config,
    request: Request,
    progress: Progress,
    cancel: CancellationToken,
) -> Result<Report> {
    let begun = clock::instant();
    let Begun { job, server, lease, stops: _stops } =
        Job::begin(config, false, request.release.clone(), progress, cancel).await?;
    let job = Arc::new(job);
    let outcome = back_up(job.clone(), &server, &request).await;
    lease.release().await;
    if let (Err(_), Some(e)) = (&outcome, job.lease.error()) {
        return Err(e);
    }
    let (manifest, notes) = outcome?;
    Ok(Report { manifest, seconds: begun.elapsed().as_secs_f64(), notes })
}

async fn back_up(job: Arc<Job>, server: &ServerInfo, request: &Request) -> Result<(Manifest, Vec<String>)> {
    let (snapshots, _) = job.repository.snapshot_ids().await?;
    let kind = SnapshotKind::Base;
    let snapshot =
        SnapshotWriter::begin(&job.repository, &job.origin, &job.recipients, job.pack_settings(), kind);
    job.progress.stage("waiting for a checkpoint");
    let mut session = BaseSession::start(&job.postgres, &format!("lifeboat {}", snapshot.id())).await?;
    job.progress.set_bytes_total(session.server.bytes);
    job.progress.stage("files");
    let context = Context {
        job: job.clone(),
        snapshot: snapshot.clone(),
        server: session.server.clone(),
        pages: session.server.data_checksums.then_some(PageCheck {
            start_lsn: session.start_lsn,
            segment_blocks: session.server.segment_blocks,
        }),
    };
    let context = Arc::new(context);
    let (used, full) = (context.clone(), request.full);
    let copied = on_blocking_thread(move || used.copy(full, &snapshots)).await?;
    job.progress.stage("stop");
    let end = session.stop().await?;
    let mut notes = copied.copied.notes.clone();
    notes.extend(session.no_slot.as_ref().map(|why| {
        format!("the server would not keep WAL back for this backup, a longer one may fail for it: {why}")
    }));
    let start_lsn = session.start_lsn;
    let segments = wal_segments(end.timeline, start_lsn, end.stop_lsn, context.server.wal_segment_bytes);
    job.progress.stage("WAL");
    let used = context.clone();
    let (ended, map) = (end.clone(), copied);
    let Finished { copied, files, bytes, stored } =
        on_blocking_thread(move || used.finish(map, &ended, &segments)).await?;
    session.close().await; // the slot goes now that the WAL is read
    let mut manifest = snapshot.manifest(end.stopped);
    manifest.release = job.release.clone();
    manifest.lsn = Some(end.stop_lsn);
    manifest.plain_bytes = stored;
    let chain = copied.chain.clone();
    manifest.parent = chain.len().checked_sub(2).map(|parent| chain[parent].clone());
    manifest.base = Some(BaseFacts {
        system_identifier: copied.control.system_identifier.to_string(),
        server_version: server.version.clone(),
        server_major: server.major,
        timeline: end.timeline,
        start_lsn,
        checkpoint_lsn: end.checkpoint_lsn,
        stop_lsn: end.stop_lsn,
        wal_segment_bytes: context.server.wal_segment_bytes,
        from_standby: context.server.is_standby,
        data_checksums: context.server.data_checksums,
        tablespaces: tablespaces(&copied.links, &context.server)?,
        chain,
        full_because: copied.full_because,
        files,
        bytes,
        bad_page_count: copied.copied.bad_page_count,
        bad_pages: copied.copied.bad_pages,
    });
    job.publish(&snapshot, &manifest).await?;
    let staged = copied.copied.staged;
    on_blocking_thread(move || staged.publish()).await?;
    Ok((manifest, notes))
}

fn tablespaces(links: &[TablespaceLink], server: &BaseServer) -> Result<Vec<Tablespace>> {
    let named =
        |oid| server.tablespaces.iter().find(|(known, _)| *known == oid).map(|(_, name)| name.clone());
    let text = |link: &TablespaceLink| {
        link.location.to_str().map(str::to_owned).ok_or_else(|| {
            Error::new(
                Kind::Postgres,
                format!("the tablespace at {} has no UTF-8 name", link.location.display()),
            )
        })
    };
    let of = |link: &TablespaceLink| {
        let name = named(link.oid).unwrap_or_else(|| "dropped meanwhile".to_owned());
        Ok(Tablespace { oid: link.oid, name, location: text(link)? })
    };
    links.iter().map(of).collect()
}

/// What the blocking parts work with.
struct Context {
    job: Arc<Job>,
    snapshot: Arc<SnapshotWriter>,
    server: BaseServer,
    pages: Option<PageCheck>,
}

/// The copy and all that came of it.
struct Taken {
    copied: Copied,
    links: Vec<TablespaceLink>,
    chain: Vec<SnapshotId>,
    full_because: Option<String>,
    control: ControlFile,
    /// `pg_control`, read after everything else.
    control_bytes: Vec<u8>,
}

struct Finished {
    copied: Taken,
    files: u64,
    bytes: u64,
    stored: u64,
}

impl Context {
    fn pace(&self) -> Pace {
        Pace::new(self.job.backup.read_bytes_per_second_max, self.job.cancel.clone())
    }

    fn data_dir(&self) -> &Path {
        &self.server.data_directory
    }

    /// Everything between start and stop.
    fn copy(&self, full: bool, snapshots: &[SnapshotId]) -> Result<Taken> {
        let (first, _) = self.control()?;
        let links = cluster_files::tablespaces(self.data_dir())?;
        let known_file = self.job.state.known_base_file();
        let mut old = match full {
            true => Err(Some("it was asked for".to_owned())),
            false => self.open_known(&known_file, &first, snapshots),
        };
        let (copied, chain, full_because) = loop {
            let (reader, full_because) = match old {
                Ok(reader) => (Some(reader), None),
                Err(why) => (None, why),
            };
            let mut chain = reader.as_ref().map_or_else(Vec::new, |reader| reader.known.chain.clone());
            chain.push(self.snapshot.id().clone());
            let known = KnownBase::new(
                self.job.repository.id().to_owned(),
                first.system_identifier.to_string(),
                chain.clone(),
            );
            let major = first_line(&self.data_dir().join("PG_VERSION"))?;
            let copied = copy::copy(
                &self.snapshot,
                Copy {
                    walk: ClusterWalk {
                        data_dir: self.data_dir(),
                        tablespaces: &links,
                        version_dir: format!("PG_{major}_{}", first.catalog_version),
                    },
                    old: reader,
                    known_file: &known_file,
                    known: &known,
                    pages: self.pages,
                    workers: self.job.backup.workers,
                    pace: &self.pace(),
                    progress: &self.job.progress,
                },
            );
            match copied {
                Ok(copied) => break (copied, chain, full_because),
                Err(Failure::Other(e)) => return Err(e),
                Err(Failure::KnownDamaged(e)) if chain.len() > 1 => old = Err(Some(format!("{e:?}"))),
                Err(Failure::KnownDamaged(e)) => return Err(e),
            }
        };
        let (control, control_bytes) = self.control()?;
        if control.system_identifier != first.system_identifier {
            return Err(Error::new(
                Kind::Postgres,
                "the data directory became another cluster's during the backup",
            ));
        }
        Ok(Taken { copied, links, chain, full_because, control, control_bytes })
    }

    /// `pg_control`, whole: the server writes it in one piece, but may be at it just now.
    fn control(&self) -> Result<(ControlFile, Vec<u8>)> {
        let path = self.data_dir().join(CONTROL_FILE);
        for _ in 0..CONTROL_TRIES {
            let bytes = disk::read(&path, control::CONTROL_BYTES as u64).map_err(|e| {
                e.effect("there is no base backup without it")
                    .next("run lifeboat on the server's own host, as a user who may read the data directory")
            })?;
            if let Some(read) = control::parse(&bytes) {
                return match self.job.system_identifier.as_deref() {
                    Some(known) if known != read.system_identifier.to_string() => Err(Error::new(
                        Kind::Postgres,
                        format!(
                            "{} is the cluster {}, the server is {known}",
                            path.display(),
                            read.system_identifier
                        ),
                    )
                    .effect("nothing was stored")
                    .next("run lifeboat on the server's own host")),
                    _ => Ok((read, bytes)),
                };
            }
            clock::sleep_blocking(CONTROL_PAUSE);
        }
        Err(Error::new(Kind::Postgres, format!("{} is damaged: its checksum is wrong", path.display()))
            .effect("the server could not start from it: there is no backup"))
    }

    /// The chain to build upon; or why everything is stored anew (`None`: the first time).
    fn open_known(
        &self,
        file: &Path,
        control: &ControlFile,
        snapshots: &[SnapshotId],
    ) -> std::result::Result<KnownBaseReader, Option<String>> {
        let reader = match known_base::open(file) {
            Ok(Some(reader)) => reader,
            Ok(None) => {
                let any = snapshots.iter().any(|id| id.as_str().contains("-base-"));
                return Err(any.then(|| "this host's state directory knows nothing of the last one".into()));
            }
            Err(e) => return Err(Some(format!("{e:?}"))),
        };
        let known = &reader.known;
        if known.repository != self.job.repository.id() {
            return Err(Some(format!("the state directory speaks of repository {}", known.repository)));
        }
        if known.system_identifier != control.system_identifier.to_string() {
            return Err(Some(format!("the state directory speaks of cluster {}", known.system_identifier)));
        }
        if let Some(gone) = known.chain.iter().find(|id| snapshots.binary_search(id).is_err()) {
            return Err(Some(format!("snapshot {gone}, which it would build upon, is no longer there")));
        }
        if known.chain.len() as u32 >= self.job.backup.base_chain_max {
            return Err(Some(format!(
                "the chain has {} snapshots (backup.base_chain_max)",
                known.chain.len()
            )));
        }
        Ok(reader)
    }

    /// Everything after stop: WAL, label, index, layout.
    fn finish(&self, mut taken: Taken, end: &BaseEnd, segments: &[String]) -> Result<Finished> {
        let own = taken.chain.len() as u32 - 1;
        let pace = self.pace();
        let mut reader = BaseReader::new(PackWorker::new(self.snapshot.clone())?, &pace, own, None);
        let now = end.stopped.as_nanosecond() as i64;
        let mut extra = vec![
            reader.text(LABEL_FILE, now, end.label.as_bytes())?,
            reader.text(CONTROL_FILE, now, &taken.control_bytes)?,
        ];
        if !end.tablespace_map.is_empty() {
            extra.push(reader.text(TABLESPACE_MAP_FILE, now, end.tablespace_map.as_bytes())?);
        }
        for segment in segments {
            extra.push(self.wal(&mut reader, segment)?);
        }
        reader.finish()?;
        extra.sort_by(|a, b| a.path.cmp(&b.path));
        let (files, bytes) = (extra.len() as u64, extra.iter().map(|entry| entry.bytes).sum::<u64>());
        let header = Header::new(true, taken.chain.clone());
        let mut index = IndexWriter::new(self.snapshot.sealed_writer(index::NAME)?, &header)?;
        merge(&taken.copied.staged, extra, &mut |entry| index.write(&Line::File(entry)))?;
        index.into_inner().finish()?;
        self.layout(&mut taken)?;
        let (files, stored) = (files + taken.copied.files, bytes + taken.copied.stored);
        Ok(Finished { files, bytes: bytes + taken.copied.bytes, stored, copied: taken })
    }

    fn wal(&self, reader: &mut BaseReader<'_>, segment: &str) -> Result<Entry> {
        let location = self.data_dir().join("pg_wal").join(segment);
        let path = format!("pg_wal/{segment}");
        let file = ClusterFile { path, location, bytes: self.server.wal_segment_bytes, segment: None };
        let read = reader.read(&file, None)?;
        match read {
            Some(read) if read.known.entry.bytes == self.server.wal_segment_bytes => Ok(read.known.entry),
            _ => Err(Error::new(Kind::Postgres, format!("{} is no longer there", file.location.display()))
                .effect("replay would need it: there is no backup")
                .next("raise wal_keep_size, or give the agent's role REPLICATION and the server a free slot (max_replication_slots); then run again")),
        }
    }

    fn layout(&self, taken: &mut Taken) -> Result<()> {
        let sizes = &taken.copied.database_bytes;
        let database = |(oid, name, tablespace): &(u32, String, u32)| Database {
            oid: *oid,
            name: name.clone(),
            tablespace: *tablespace,
            bytes: sizes.get(oid).copied().unwrap_or(0),
        };
        let layout = ClusterLayout {
            directories: std::mem::take(&mut taken.copied.directories),
            databases: self.server.databases.iter().map(database).collect(),
            settings: self.server.settings.clone(),
        };
        let text = serde_json::to_vec_pretty(&layout)
            .map_err(|e| Error::new(Kind::Internal, "cannot write the layout").because(e))?;
        self.snapshot.put_sealed(LAYOUT_NAME, &text)
    }
}

/// The copied files and the extra ones, in order.
fn merge(
    staged: &StagedKnownBase,
    extra: Vec<Entry>,
    write: &mut dyn FnMut(Entry) -> Result<()>,
) -> Result<()> {
    let mut extra = extra.into_iter().peekable();
    for file in staged.read()? {
        let entry = file?.entry;
        while let Some(before) = extra.next_if(|extra| extra.path < entry.path) {
            write(before)?;
        }
        write(entry)?;
    }
    extra.try_for_each(write)
}

fn first_line(file: &Path) -> Result<String> {
    Ok(disk::read_text(file, PAGE_BYTES as u64)?.lines().next().unwrap_or_default().to_owned())
}
