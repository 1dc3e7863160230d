//! Everything decoded with the identity: every index read, every member of every pack compared
//! with the indexes that name it, every file in parts put together and hashed.

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha1::Digest as _;

use crate::archive::digest::FileDigest;
use crate::archive::index::{self, IndexReader, Line};
use crate::archive::manifest;
use crate::archive::pack;
use crate::archive::seal::Identities;
use crate::archive::unpack;
use crate::error::{Error, Kind, Result};
use crate::odoo::baseline::Baseline;
use crate::odoo::blob;
use crate::upkeep::assemble;
use crate::upkeep::described::Described;
use crate::upkeep::expected::Expected;
use crate::upkeep::meter::Metered;
use crate::upkeep::work::{Task, Work, each};

fn lock(expected: &Mutex<Expected>) -> MutexGuard<'_, Expected> {
    expected.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks all tasks. `bytes` is what there is to read, of these and of what comes after them. Files in
/// several parts are read once more; the indexes say which, so the total is known only then. Blocking.
pub fn check(work: &Work, tasks: Vec<Task>, identities: &Identities, workers: usize, bytes: u64) {
    let expected = Mutex::new(Expected::default());
    let bad = Mutex::new(HashSet::new());
    let (indexes, rest): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|t| t.object.name == index::NAME);
    let (packs, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|t| pack_number(t).is_some());
    let progress = work.meter.progress();
    progress.stage("indexes");
    each(work, indexes, workers, |task| work.settle(task, read_index(work, task, identities, &expected)));
    let again: u64 = lock(&expected).cut.iter().map(|cut| cut.entry.bytes).sum();
    progress.expect_bytes(bytes + again);
    each(work, others, workers, |task| work.settle(task, read_baseline(work, task, identities)));
    progress.stage("packs");
    each(work, packs, workers, |task| {
        let outcome = read_pack(work, task, identities, &expected);
        if let (Err(_), Some(number)) = (&outcome, pack_number(task)) {
            bad.lock().unwrap_or_else(PoisonError::into_inner).insert((task.snapshot.clone(), number));
        }
        work.settle(task, outcome);
    });
    progress.stage("files in parts");
    let mut cut = std::mem::take(&mut lock(&expected).cut);
    cut.retain(|cut| work.scope.cold(&cut.index_of).is_none());
    let bad = bad.into_inner().unwrap_or_else(PoisonError::into_inner);
    each(work, cut, workers, |cut| assemble::check(work, cut, identities, &bad));
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
    unpack::read_sealed(&task.object, Metered { inner, meter: &work.meter, counts: true }, identities, read)
}

fn read_baseline(work: &Work, task: &Task, identities: &Identities) -> Result<()> {
    read_sealed(work, task, identities, |input| match task.object.name.as_str() {
        manifest::BASELINE => Baseline::read(input).map(drop),
        _ => Ok(()),
    })
}

/// Reads an index whole and notes what the packs must hold.
fn read_index(work: &Work, task: &Task, identities: &Identities, expected: &Mutex<Expected>) -> Result<()> {
    let manifest = work.scope.manifests.get(&task.snapshot);
    let facts = manifest.and_then(|manifest| manifest.filestore());
    let base = manifest.and_then(|manifest| manifest.base());
    let complete = facts.is_none_or(|facts| facts.complete);
    let mut named = HashSet::new();
    let mut dump = None;
    let mut described = manifest.and_then(|manifest| manifest.config()).map(Described::new);
    read_sealed(work, task, identities, |input| {
        let lines = IndexReader::new(&format!("of snapshot {}", task.snapshot), input)?;
        let table = lines.header().snapshots.clone();
        if lines.header().complete != complete {
            return Err(Error::new(Kind::Integrity, "the index is not of the kind that its manifest names"));
        }
        for line in lines {
            work.meter.stop_if_cancelled()?;
            let Line::File(entry) = line? else { continue };
            named.extend(entry.parts.iter().map(|part| part.snapshot));
            if let Some(described) = &mut described {
                described.add(&entry);
            }
            if manifest.is_some_and(|m| m.dump().is_some()) {
                dump = Some((entry.bytes, entry.digest));
            }
            match base {
                Some(_) => lock(expected).add_pieces(&task.snapshot, entry, &table),
                None => lock(expected).add(&task.snapshot, entry, &table)?,
            }
        }
        for id in named.iter().filter_map(|place| table.get(*place as usize)) {
            let known = *id == task.snapshot
                || facts.is_some_and(|facts| !complete || facts.sources.contains(id))
                || base.is_some_and(|base| base.chain.contains(id));
            if !known {
                let what =
                    format!("the index names snapshot {id}, which its manifest does not name as a source");
                return Err(Error::new(Kind::Integrity, what));
            }
        }
        Ok(())
    })?;
    described.map_or(Ok(()), Described::finish)?;
    match manifest.and_then(|manifest| manifest.dump()) {
        Some(facts) if dump != Some((facts.bytes, FileDigest::Sha256(facts.sha256))) => {
            Err(Error::new(Kind::Integrity, "the index describes another dump than the manifest does"))
        }
        _ => Ok(()),
    }
}

/// Reads one pack to its end and crosses off what was expected of it.
fn read_pack(work: &Work, task: &Task, identities: &Identities, expected: &Mutex<Expected>) -> Result<()> {
    let number = pack_number(task).unwrap_or(u32::MAX);
    let mut members = lock(expected).of_pack(&task.snapshot, number);
    let inner = work.repository.open_object(&work.runtime, &task.snapshot, &task.object.name);
    let (mut data, mut misnamed, mut whole) = (Vec::new(), Vec::new(), 0);
    unpack::read_pack(
        &task.object,
        Metered { inner, meter: &work.meter, counts: true },
        identities,
        |member, content| {
            member.read(content, &mut data)?;
            if let Some(file) = members.cross_off(&member.path, member.offset, &data) {
                whole += 1;
                misnamed.extend(blob::misnamed(&member.path, file.flawed, sha1::Sha1::digest(&data).into()));
            }
            whole += members.cross_off_pieces(&member.path, member.offset, &data);
            Ok(())
        },
    )?;
    work.files.fetch_add(whole, Relaxed);
    misnamed.into_iter().for_each(|what| work.wrong(task, what));
    if let Some(names) = members.left() {
        let what =
            format!("its bytes are the signed ones, but the content is not what the index says: {names}");
        work.wrong(task, what);
    }
    Ok(())
}
