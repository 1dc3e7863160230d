//! One file out of its packs, from its first byte to its last, without a temporary file: a dump
//! lies in as many packs as workers wrote it, so these are read side by side.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::runtime::Handle;

use crate::archive::index::Part;
use crate::archive::manifest::Manifest;
use crate::archive::pack::{self, EXTENT_BYTES};
use crate::archive::seal::Identities;
use crate::archive::unpack::{self, MemberHeader};
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::repository::Repository;
use crate::upkeep::meter::{Meter, Metered};

/// Extents of one pack that wait for their turn; a pack holds one more while it waits.
const EXTENTS_WAITING_MAX: usize = 1;

/// Where a file comes from.
pub struct Source<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// The runtime that fetches.
    pub runtime: &'a Handle,
    /// Manifests of the snapshots that its parts name.
    pub manifests: &'a BTreeMap<SnapshotId, Manifest>,
    /// The table that parts count in.
    pub table: &'a [SnapshotId],
    /// What opens the packs.
    pub identities: &'a Identities,
    /// What all reading passes through.
    pub meter: &'a Meter,
}

type Piece = Result<(u64, Vec<u8>)>;

/// Hands the content of `path` to `sink`, in order. Blocking; holds a few extents of each pack
/// that is open. Whether the content is right is for the caller to find out by its digest: the
/// packs are not read further than needed.
///
/// # Errors
/// `Integrity` naming the pack where a part is not in it, and whatever reading it or `sink` said.
pub fn assemble(
    source: &Source<'_>,
    path: &str,
    parts: &[Part],
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut wanted: HashMap<(u32, u32), BTreeSet<u64>> = HashMap::new();
    for part in parts {
        wanted.entry((part.snapshot, part.pack)).or_default().insert(part.offset);
    }
    std::thread::scope(|scope| {
        let mut open: HashMap<(u32, u32), Receiver<Piece>> = HashMap::new();
        for part in parts {
            source.meter.stop_if_cancelled()?;
            let home = (part.snapshot, part.pack);
            if let Some(offsets) = wanted.remove(&home) {
                let (sender, pieces) = sync_channel(EXTENTS_WAITING_MAX);
                scope.spawn(move || source.read(home, path, offsets, &sender));
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
                        "byte {} of {path} is not where its index says, in {}",
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
    /// Sends the wanted extents of one pack, then stops.
    fn read(
        &self,
        (snapshot, number): (u32, u32),
        path: &str,
        mut offsets: BTreeSet<u64>,
        out: &SyncSender<Piece>,
    ) {
        let mut gone = false;
        let outcome = self.manifest(snapshot).and_then(|manifest| {
            let object = manifest.object(&pack::name(number))?;
            let inner = self.repository.open_object(self.runtime, &manifest.id, &object.name);
            let input = Metered { inner, meter: self.meter };
            unpack::read_pack(object, input, self.identities, |member, content| {
                if member.path != path || !offsets.contains(&member.offset) {
                    return Ok(());
                }
                let data = read_member(&member, content)?;
                offsets.remove(&member.offset);
                gone = out.send(Ok((member.offset, data))).is_err() || offsets.is_empty();
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
        id.and_then(|id| self.manifests.get(id)).ok_or_else(|| {
            let id = id.map_or_else(|| "unknown".to_owned(), ToString::to_string);
            Error::new(
                Kind::Integrity,
                format!("snapshot {id}, which the index names, is not there or not believed"),
            )
        })
    }
}

/// The content of one member, which format 1 bounds.
///
/// # Errors
/// `Integrity` where it is larger, or cannot be read.
pub fn read_member(member: &MemberHeader, content: &mut dyn Read) -> Result<Vec<u8>> {
    if member.bytes > EXTENT_BYTES as u64 {
        let what = format!("member {} has {} bytes, more than format 1 allows", member.path, member.bytes);
        return Err(Error::new(Kind::Integrity, what));
    }
    let mut data = Vec::with_capacity(member.bytes as usize);
    content
        .read_to_end(&mut data)
        .map_err(|e| Error::carried(Kind::Integrity, format!("cannot read member {}", member.path), e))?;
    Ok(data)
}
