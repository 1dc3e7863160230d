//! Stores one batch of files: a snapshot of its own that needs no other one.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::tree::{Name, Tree};
use super::waiting::WaitingFile;
use crate::archive::index::{self, Entry, Header, IndexWriter, Line};
use crate::archive::manifest::{ArrivalFacts, Facts, Origin, SnapshotKind};
use crate::archive::seal::Recipients;
use crate::archive::signature::SigningKey;
use crate::backup::file_reader::{FileReader, Outcome};
use crate::backup::last_step::LastSteps;
use crate::backup::pace::Pace;
use crate::catalog::held::{Held, holds};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::TenantName;
use crate::repository::Repository;
use crate::repository::pack_worker::PackWorker;
use crate::repository::writer::{PackSettings, SnapshotWriter};

/// Files of one batch.
pub const FILES_MAX: usize = 2_000;
/// A batch takes no further file when it has so much.
const BYTES_MAX: u64 = 64 << 20;

/// What batches are made with.
pub struct Storing {
    /// Where they go.
    pub repository: Repository,
    /// What manifests say about repository and instance.
    pub origin: Origin,
    /// Who can decrypt them.
    pub recipients: Recipients,
    /// Publishes batches.
    pub last_steps: LastSteps,
    /// Who signs.
    pub signing: SigningKey,
    /// How packs are made.
    pub packs: PackSettings,
    /// Where files come from.
    pub tree: Arc<Tree>,
    /// How fast they are read.
    pub bytes_per_second_max: Option<u64>,
    /// Whether production has priority.
    pub low_priority: bool,
    /// Stops it.
    pub cancel: CancellationToken,
}

/// What was done with a file.
#[derive(Debug)]
pub enum Fate {
    /// The repository holds it, as of this batch or since before.
    Held,
    /// It was deleted before it could be read.
    Vanished,
    /// The SHA-1 of its content is not the one in its name: it may still be written.
    NotYet,
    /// It cannot be read, and why.
    Unreadable(String),
}

/// A file with what was done; `None` where it must wait longer.
pub type Settled = (Name, WaitingFile, Option<Fate>);

/// Stores `files`, sorted by name. All of them are returned; after an error, those that are not held wait
/// longer.
pub async fn store(
    storing: Arc<Storing>,
    held: &mut Held,
    files: Vec<(Name, WaitingFile)>,
) -> (Vec<Settled>, Result<()>) {
    let mut files: Vec<Settled> = files.into_iter().map(|(name, seen)| (name, seen, None)).collect();
    let paths: Vec<&str> = files.iter().map(|(name, ..)| name.path.as_str()).collect();
    let known = match held.of(&paths).await {
        Ok(known) => known,
        Err(e) => return (files, Err(e)),
    };
    for (name, _, fate) in &mut files {
        *fate = holds(&known, &name.tenant, &name.path).then_some(Fate::Held);
    }
    let kind = SnapshotKind::Arrivals;
    let Storing { repository, origin, recipients, packs, .. } = &*storing;
    let snapshot = SnapshotWriter::begin(repository, origin, recipients, *packs, kind, None, None);
    let (reading, writer) = (storing.clone(), snapshot.clone());
    let (files, read) = on_own_thread(files, move |files| read(&reading, &writer, files)).await;
    let stored = match read {
        Ok(entries) => publish(&storing, &snapshot, &entries, held).await,
        Err(e) => Err(e),
    };
    match stored {
        Ok(()) => (files, Ok(())),
        // Nothing of this batch exists: the files that it had read wait longer, still open where they were.
        Err(e) => (files.into_iter().map(|(name, seen, _)| (name, seen, None)).collect(), Err(e)),
    }
}

/// A thread of its own, so that its priority is its own.
async fn on_own_thread<T: Send + 'static>(
    mut files: Vec<Settled>,
    work: impl FnOnce(&mut Vec<Settled>) -> Result<T> + Send + 'static,
) -> (Vec<Settled>, Result<T>) {
    let (sender, done) = tokio::sync::oneshot::channel();
    let spawned = std::thread::Builder::new().name("follow".to_owned()).spawn(move || {
        let outcome = work(&mut files);
        let _ = sender.send((files, outcome)); // that nobody waits any more is no error
    });
    let failed = |e: Error| (Vec::new(), Err(e));
    match spawned {
        Ok(_) => done.await.unwrap_or_else(|e| {
            failed(Error::new(Kind::Internal, "a thread that stores files panicked").because(e))
        }),
        Err(e) => failed(Error::new(Kind::Io, "cannot start a thread").because(e)),
    }
}

/// Reads and packs. Blocking. Where no file was stored, there will be no snapshot.
fn read(storing: &Storing, snapshot: &Arc<SnapshotWriter>, files: &mut [Settled]) -> Result<Vec<Entry>> {
    if storing.low_priority {
        disk::lower_priority_of_thread();
    }
    let pace = Pace::new(storing.bytes_per_second_max, storing.cancel.clone());
    let mut worker = PackWorker::new(snapshot.clone())?;
    let mut reader = FileReader::new(&mut worker, &pace, 0);
    let (mut entries, mut bytes): (Vec<Entry>, u64) = (Vec::new(), 0);
    for (name, seen, fate) in files.iter_mut().filter(|(_, _, fate)| fate.is_none()) {
        if bytes >= BYTES_MAX {
            break;
        }
        let sha1 = &name.path[name.path.len() - 40..];
        let shown = || storing.tree.location(name).display().to_string();
        let input = match &seen.opened {
            Some(opened) => storing.tree.again(opened),
            None => storing.tree.open(name),
        };
        // One copy serves each tenant that has the content, and no other tenant: the name alone proves
        // nothing, because whoever knows a digest can make a file or a row of that name.
        let same = entries.last_mut().filter(|last| last.path == name.path);
        let read = match same {
            Some(entry) => reader.compare(input, &shown, sha1)?.map(|()| entry.tenants.push(tenant(name))),
            None => reader.read_fitting(input, &shown, &name.path, sha1)?.map(|entry| {
                bytes += entry.bytes;
                entries.push(Entry { tenants: vec![tenant(name)], ..entry });
            }),
        };
        *fate = Some(match read {
            Ok(()) => Fate::Held,
            Err(Outcome::Vanished) => Fate::Vanished,
            Err(Outcome::DoesNotFit) => Fate::NotYet,
            Err(Outcome::Unreadable(why)) => Fate::Unreadable(why),
        });
    }
    if !entries.is_empty() {
        worker.finish()?;
        let header = Header::new(true, vec![snapshot.id().clone()]);
        let mut writer = IndexWriter::new(snapshot.sealed_writer(index::NAME)?, &header)?;
        for entry in &entries {
            writer.write(&Line::File(entry.clone()))?;
        }
        writer.into_inner().finish()?;
    }
    Ok(entries)
}

fn tenant(name: &Name) -> TenantName {
    name.tenant.as_ref().clone()
}

async fn publish(
    storing: &Storing,
    snapshot: &SnapshotWriter,
    entries: &[Entry],
    held: &mut Held,
) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let bytes = entries.iter().map(|entry| entry.bytes).sum();
    let facts = Facts::Arrivals(ArrivalFacts { files: entries.len() as u64, bytes });
    let mut manifest = snapshot.manifest(snapshot.begun(), facts);
    manifest.plain_bytes = bytes;
    storing.last_steps.publish(snapshot, &manifest, &storing.signing).await?;
    let mut of: BTreeMap<&TenantName, Vec<&str>> = BTreeMap::new();
    for entry in entries {
        entry.tenants.iter().for_each(|tenant| of.entry(tenant).or_default().push(&entry.path));
    }
    // Only now: what is recorded as held must be stored.
    for (tenant, paths) in of {
        held.add(tenant, snapshot.id(), &paths).await?;
    }
    tracing::debug!(snapshot = %snapshot.id(), files = entries.len(), bytes = manifest.plain_bytes, "stored as they came");
    Ok(())
}
