//! Everything decoded with the identity: every index read, every member of every pack compared
//! with the indexes that name it, every file in parts put together and hashed.
//!
//! Memory: some 150 bytes for each file of the filestores; each pack's share is freed once the
//! pack was read.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha1::Digest as _;

use crate::archive::digest::{Sha256, hex};
use crate::archive::index::{self, Entry, IndexReader, Line, Part};
use crate::archive::pack;
use crate::archive::seal::Identities;
use crate::archive::unpack;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::odoo::baseline::Baseline;
use crate::odoo::blob::BlobName;
use crate::upkeep::BASELINE;
use crate::upkeep::assemble::{self, Source};
use crate::upkeep::meter::Metered;
use crate::upkeep::verify::{Task, Work, each};

/// Files of one pack that a finding names.
const NAMED_MAX: usize = 5;
/// Largest baseline that is decoded.
const BASELINE_BYTES_MAX: u64 = 256 << 20;

/// What a member must be.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Expected {
    bytes: u64,
    /// Of whole files; parts are hashed together.
    sha256: Option<Sha256>,
    flawed: bool,
}

/// A file in several parts.
struct Cut {
    /// Whose index names it.
    index_of: SnapshotId,
    entry: Entry,
    table: Vec<SnapshotId>,
}

type Members = HashMap<(Box<str>, u64), Expected>;

#[derive(Default)]
struct Plan {
    /// By snapshot and pack.
    packs: HashMap<(SnapshotId, u32), Members>,
    cut: Vec<Cut>,
    cut_seen: HashSet<(String, Sha256, SnapshotId, u32)>,
    bad: HashSet<(SnapshotId, u32)>,
}

fn lock(plan: &Mutex<Plan>) -> MutexGuard<'_, Plan> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks all tasks. Blocking.
pub fn check(work: &Work, tasks: Vec<Task>, identities: &Identities, workers: usize) {
    let plan = Mutex::new(Plan::default());
    let (indexes, rest): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|t| t.object.name == index::NAME);
    let (packs, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|t| pack_number(t).is_some());
    let progress = work.meter.progress();
    progress.stage("indexes");
    each(work, indexes, workers, |task| work.settle(task, read_index(work, task, identities, &plan)));
    each(work, others, workers, |task| work.settle(task, read_baseline(work, task, identities)));
    progress.stage("packs");
    each(work, packs, workers, |task| {
        let outcome = read_pack(work, task, identities, &plan);
        if let (Err(_), Some(number)) = (&outcome, pack_number(task)) {
            lock(&plan).bad.insert((task.snapshot.clone(), number));
        }
        work.settle(task, outcome);
    });
    progress.stage("files in parts");
    let cut = std::mem::take(&mut lock(&plan).cut);
    let bytes: u64 = cut.iter().map(|cut| cut.entry.bytes).sum();
    progress.set_bytes_total(progress.snapshot().bytes + bytes);
    each(work, cut, workers, |cut| put_together(work, cut, identities, &lock(&plan).bad.clone()));
}

fn pack_number(task: &Task) -> Option<u32> {
    let digits = task.object.name.strip_prefix("packs/")?.strip_suffix(".tar.zst.age")?;
    let number = digits.parse().ok()?;
    (pack::name(number) == task.object.name).then_some(number)
}

fn read_sealed<T>(
    work: &Work,
    task: &Task,
    identities: &Identities,
    read: impl FnOnce(&mut dyn std::io::BufRead) -> Result<T>,
) -> Result<T> {
    let inner = work.repository.open_object(&work.runtime, &task.snapshot, &task.object.name);
    unpack::read_sealed(&task.object, Metered { inner, meter: &work.meter }, identities, read)
}

fn read_baseline(work: &Work, task: &Task, identities: &Identities) -> Result<()> {
    let text = read_sealed(work, task, identities, |input| {
        let mut text = Vec::new();
        input
            .take(BASELINE_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(|e| Error::carried(Kind::Integrity, format!("cannot read {}", task.object.name), e))?;
        Ok(text)
    })?;
    if task.object.name == BASELINE {
        serde_json::from_slice::<Baseline>(&text)
            .map_err(|e| Error::new(Kind::Integrity, "the baseline cannot be read").because(e))?;
    }
    Ok(())
}

/// Reads an index whole and notes what the packs must hold.
fn read_index(work: &Work, task: &Task, identities: &Identities, plan: &Mutex<Plan>) -> Result<()> {
    let manifest = work.scope.manifests.get(&task.snapshot);
    let facts = manifest.and_then(|manifest| manifest.filestore.as_ref());
    let complete = facts.is_none_or(|facts| facts.complete);
    let mut named = HashSet::new();
    let mut dump = None;
    read_sealed(work, task, identities, |input| {
        let lines = IndexReader::new(&format!("of snapshot {}", task.snapshot), input)?;
        let table = lines.header().snapshots.clone();
        if lines.header().complete != complete {
            return Err(Error::new(Kind::Integrity, "the index is not of the kind that its manifest says"));
        }
        for line in lines {
            work.meter.stop_if_cancelled()?;
            let Line::File(entry) = line? else { continue };
            named.extend(entry.parts.iter().map(|part| part.snapshot));
            if manifest.is_some_and(|m| m.dump.is_some()) {
                dump = Some((entry.bytes, entry.sha256));
            }
            lock(plan).add(&task.snapshot, entry, &table);
        }
        for id in named.iter().filter_map(|place| table.get(*place as usize)) {
            let known =
                *id == task.snapshot || facts.is_some_and(|facts| !complete || facts.sources.contains(id));
            if !known {
                let what =
                    format!("the index names snapshot {id}, which its manifest does not name as a source");
                return Err(Error::new(Kind::Integrity, what));
            }
        }
        Ok(())
    })?;
    match manifest.and_then(|manifest| manifest.dump.as_ref()) {
        Some(facts) if dump != Some((facts.bytes, facts.sha256)) => {
            Err(Error::new(Kind::Integrity, "the index tells of another dump than the manifest does"))
        }
        _ => Ok(()),
    }
}

impl Plan {
    fn add(&mut self, index_of: &SnapshotId, entry: Entry, table: &[SnapshotId]) {
        let whole = entry.parts.len() == 1;
        for part in &entry.parts {
            let Some(home) = table.get(part.snapshot as usize) else { continue };
            let expected = Expected {
                bytes: part.bytes,
                sha256: whole.then_some(entry.sha256),
                flawed: entry.flaw.is_some(),
            };
            let members = self.packs.entry((home.clone(), part.pack)).or_default();
            members.insert((entry.path.as_str().into(), part.offset), expected);
        }
        if let (false, Some(first)) = (whole, entry.parts.first())
            && let Some(home) = table.get(first.snapshot as usize)
            && self.cut_seen.insert((entry.path.clone(), entry.sha256, home.clone(), first.pack))
        {
            self.cut.push(Cut { index_of: index_of.clone(), entry, table: table.to_vec() });
        }
    }
}

/// Reads one pack to its end and crosses off what was expected of it.
fn read_pack(work: &Work, task: &Task, identities: &Identities, plan: &Mutex<Plan>) -> Result<()> {
    let number = pack_number(task).unwrap_or(u32::MAX);
    let mut expected = lock(plan).packs.remove(&(task.snapshot.clone(), number)).unwrap_or_default();
    let inner = work.repository.open_object(&work.runtime, &task.snapshot, &task.object.name);
    let mut misnamed = Vec::new();
    let mut whole = 0;
    unpack::read_pack(&task.object, Metered { inner, meter: &work.meter }, identities, |member, content| {
        let data = assemble::read_member(&member, content)?;
        let key = (Box::from(member.path.as_str()), member.offset);
        // A file that was read twice leaves an older member behind, which no index names.
        let Some(wanted) = expected.get(&key).copied() else { return Ok(()) };
        if data.len() as u64 != wanted.bytes
            || wanted.sha256.is_some_and(|sha256| sha256 != Sha256::of(&data))
        {
            return Ok(());
        }
        expected.remove(&key);
        if wanted.sha256.is_some() {
            whole += 1;
            let sha1 = <[u8; 20]>::from(sha1::Sha1::digest(&data));
            misnamed.extend(wrong_name(&member.path, wanted.flawed, sha1));
        }
        Ok(())
    })?;
    work.files.fetch_add(whole, Relaxed);
    misnamed.into_iter().for_each(|what| work.wrong(task, what));
    if !expected.is_empty() {
        let mut names: Vec<&str> = expected.keys().map(|(path, _)| &**path).collect();
        names.sort_unstable();
        let named = names.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
        let more = if names.len() > NAMED_MAX {
            format!(" and {} more", names.len() - NAMED_MAX)
        } else {
            String::new()
        };
        work.wrong(
            task,
            format!(
                "its bytes are the signed ones, but the content is not what the index says: {named}{more}"
            ),
        );
    }
    Ok(())
}

fn wrong_name(path: &str, flawed: bool, sha1: [u8; 20]) -> Option<String> {
    let blob = BlobName::parse(path.as_bytes())?;
    (!flawed && blob.sha1() != sha1).then(|| {
        format!("{path} has SHA-1 {}, which is not its name, and the index says nothing of it", hex(&sha1))
    })
}

/// Hashes a file that lies in several parts.
fn put_together(work: &Work, cut: &Cut, identities: &Identities, bad: &HashSet<(SnapshotId, u32)>) {
    let Cut { index_of, entry, table } = cut;
    let home = |part: &Part| table.get(part.snapshot as usize).map(|id| (id.clone(), part.pack));
    if entry
        .parts
        .iter()
        .filter_map(home)
        .any(|home| bad.contains(&home) || !work.scope.chosen.contains(&home.0))
    {
        return; // what is wrong there was said; what was not chosen is not checked
    }
    let source = Source {
        repository: &work.repository,
        runtime: &work.runtime,
        manifests: &work.scope.manifests,
        table,
        identities,
        meter: &work.meter,
    };
    let (mut sha256, mut sha1) = (sha2::Sha256::new(), sha1::Sha1::new());
    let outcome = assemble::assemble(&source, &entry.path, &entry.parts, &mut |data| {
        sha256.update(data);
        sha1.update(data);
        Ok(())
    });
    let Some(manifest) = work.scope.manifests.get(index_of) else { return };
    let Ok(object) = manifest.object(index::NAME) else { return };
    let task = Task { snapshot: index_of.clone(), object: object.clone() };
    match outcome {
        Ok(()) if <[u8; 32]>::from(sha256.finalize()) != entry.sha256.0 => {
            work.wrong(
                &task,
                format!("{} put together from its packs is not what the index says", entry.path),
            );
        }
        Ok(()) => {
            work.files.fetch_add(1, Relaxed);
            let misnamed = wrong_name(&entry.path, entry.flaw.is_some(), sha1.finalize().into());
            misnamed.into_iter().for_each(|what| work.wrong(&task, what));
        }
        Err(e) if e.kind() == Kind::Interrupted => {}
        Err(e) => {
            let lost = work.scope.lost_with(index_of, index::NAME);
            work.findings.sort(&format!("{} of snapshot {index_of}", entry.path), e, lost);
        }
    }
}
