//! Hashes a file in several parts, from its first byte to its last, without a temporary file. A dump is in as
//! many packs as workers wrote it, so these are read at the same time.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use sha1::Digest as _;

use crate::archive::index::{self, Part};
use crate::archive::manifest::Manifest;
use crate::archive::pack::{self, EXTENT_BYTES};
use crate::archive::seal::Identities;
use crate::archive::unpack;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::odoo::blob;
use crate::repository::layout;
use crate::upkeep::expected::Cut;
use crate::upkeep::meter::Metered;
use crate::upkeep::work::Work;

/// Extents of one pack that wait for their turn; a pack holds one more while it waits.
const EXTENTS_WAITING_MAX: usize = 1;

/// Where a file comes from.
struct Source<'a> {
    work: &'a Work,
    /// The table that its parts count in.
    table: &'a [SnapshotId],
    identities: &'a Identities,
}

/// Hashes a file that is in several parts. Packs in `bad` were reported already.
pub fn check(work: &Work, cut: &Cut, identities: &Identities, bad: &HashSet<(SnapshotId, u32)>) {
    let Cut { index_of, entry, table } = cut;
    let home = |part: &Part| table.get(part.snapshot as usize).map(|id| (id.clone(), part.pack));
    let out_of_reach = |home| bad.contains(&home) || !work.scope.chosen.contains(&home.0);
    if entry.parts.iter().filter_map(home).any(out_of_reach) {
        work.meter.progress().add_bytes(entry.bytes);
        return; // what is wrong there was reported; what was not chosen is not checked
    }
    let (mut digest, mut sha1) = (entry.digest.hasher(), sha1::Sha1::new());
    let source = Source { work, table, identities };
    let outcome = assemble(&source, &entry.path, &entry.parts, &mut |data| {
        work.meter.progress().add_bytes(data.len() as u64);
        digest.update(data);
        sha1.update(data);
        Ok(())
    });
    let key = layout::object(work.repository.instance(), index_of, index::NAME);
    let found = |error| work.findings.sort(&key, error, work.scope.graph.lost_with(index_of, index::NAME));
    match outcome {
        Ok(()) if digest.finish() != entry.digest => {
            let what = format!("{}, put together from its packs, is not what the index says", entry.path);
            found(Error::new(Kind::Integrity, what));
        }
        Ok(()) => {
            work.files.fetch_add(1, Relaxed);
            let misnamed = blob::misnamed(&entry.path, entry.flaw.is_some(), sha1.finalize().into());
            misnamed.into_iter().for_each(|what| found(Error::new(Kind::Integrity, what)));
        }
        Err(e) if e.kind() == Kind::Interrupted => {}
        Err(e) => found(e.context(format!("cannot put {} together", entry.path))),
    }
}

type Piece = Result<(u64, Vec<u8>)>;

/// Hands the content of `path` to `sink`, in order. Blocking; holds a few extents of each pack
/// that is open. Whether the content is right is for the caller to find out by its digest: the
/// packs are not read further than needed.
///
/// # Errors
/// `Integrity` naming the pack where a part is not in it, and whatever reading it or `sink` said.
fn assemble(
    source: &Source<'_>,
    path: &str,
    parts: &[Part],
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut wanted: HashMap<(u32, u32), BTreeSet<(u64, u64)>> = HashMap::new();
    for part in parts {
        wanted.entry((part.snapshot, part.pack)).or_default().insert((part.offset, part.bytes));
    }
    std::thread::scope(|scope| {
        let mut open: HashMap<(u32, u32), Receiver<Piece>> = HashMap::new();
        for part in parts {
            source.work.meter.stop_if_cancelled()?;
            let home = (part.snapshot, part.pack);
            if let Some(ranges) = wanted.remove(&home) {
                let (sender, pieces) = sync_channel(EXTENTS_WAITING_MAX);
                scope.spawn(move || source.read(home, path, ranges, &sender));
                open.insert(home, pieces);
            }
            let data = match open.get(&home).map(Receiver::recv) {
                Some(Ok(piece)) => piece?,
                _ => (u64::MAX, Vec::new()),
            };
            if data.0 != part.offset || data.1.len() as u64 != part.bytes {
                return Err(Error::new(
                    Kind::Integrity,
                    format!(
                        "byte {} of {path} is not where its index says it is in {}",
                        part.offset,
                        pack::name(part.pack)
                    ),
                ));
            }
            sink(&data.1)?;
        }
        Ok(())
    })
}

impl Source<'_> {
    /// Sends the wanted ranges (first byte, how many) of one pack, then stops. A part is a member or,
    /// of a base backup, a piece of one.
    fn read(
        &self,
        (snapshot, number): (u32, u32),
        path: &str,
        mut ranges: BTreeSet<(u64, u64)>,
        out: &SyncSender<Piece>,
    ) {
        let mut gone = false;
        let outcome = self.manifest(snapshot).and_then(|manifest| {
            let object = manifest.object(&pack::name(number))?;
            let inner = self.work.repository.open_object(&self.work.runtime, &manifest.id, &object.name);
            let input = Metered { inner, meter: &self.work.meter, counts: false };
            unpack::read_pack(object, input, self.identities, |member, content| {
                let end = member.offset.saturating_add(member.bytes);
                let inside = ranges.range((member.offset, 0)..=(end, u64::MAX));
                let inside: Vec<(u64, u64)> =
                    inside.copied().filter(|(at, bytes)| at + bytes <= end).collect();
                if member.path != path || inside.is_empty() {
                    return Ok(());
                }
                let mut data = Vec::with_capacity(EXTENT_BYTES);
                member.read(content, &mut data)?;
                for (at, bytes) in inside {
                    ranges.remove(&(at, bytes));
                    let from = (at - member.offset) as usize;
                    let piece = data.get(from..from + bytes as usize).unwrap_or_default().to_vec();
                    gone |= out.send(Ok((at, piece))).is_err();
                }
                gone |= ranges.is_empty();
                // All that is wanted was had: any error ends the reading, and nobody sees it.
                if gone { Err(Error::new(Kind::Interrupted, "enough was read")) } else { Ok(()) }
            })
            .map_err(|e| e.context(format!("read {} of snapshot {}", object.name, manifest.id)))
        });
        if let (Err(e), false) = (outcome, gone) {
            let _ = out.send(Err(e)); // nobody waits any more: fine
        }
    }

    fn manifest(&self, snapshot: u32) -> Result<&Manifest> {
        let id = self.table.get(snapshot as usize);
        id.and_then(|id| self.work.scope.manifests.get(id)).ok_or_else(|| {
            let id = id.map_or_else(|| "unknown".to_owned(), ToString::to_string);
            Error::new(
                Kind::Integrity,
                format!("the index names snapshot {id}, which is missing or not believed"),
            )
        })
    }
}
