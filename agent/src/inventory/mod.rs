//! What is stored, read once, and what follows from it: pure answers that every command shares.
//!
//! [`Inventory::take`] reads the repository; it needs no identity and no server. A [`take::Wanted`] says
//! which parts you need. Everything else here works on what it returned and reads nothing, except
//! [`needs::fetch`], which reads whole manifests. A restore, `status`, `list`, `window`, `verify` and the
//! drill say the same because one function answers:
//!
//! | question | function |
//! |---|---|
//! | What is stored, and what of it is believed? | [`Inventory::of_kind`], [`Inventory::named`], [`Look`] |
//! | Which dump or filestore does a restore take? | [`pick::choose`]; the newest: [`pick::newest`] |
//! | Which snapshots does this one need, and what is lost with it? | [`needs::Graph`] |
//! | Which base backup serves a time, a position or the latest state? | [`choice::choose`] |
//! | Is that the right timeline, and what is the plan of a restore? | [`decide`], [`plan`] |
//! | How far does recovery go from a base backup? | [`reach::reach`]; not to a target: [`reach::obstacle`] |
//! | Where is WAL missing? | [`gaps::missing`] |
//! | Do two servers write into this instance? | [`lives::lives`] |
//! | From when to when can it be restored? | [`window::instance`], [`window::tenants`] |
//! | What would be lost now? | [`standing::instance`], [`standing::tenants`] |
//!
//! Neither names nor the writer's clock give the order in time: the rule is at the top of [`pick`]. What
//! could not be read is not what is missing: [`Look::NotRead`], [`Part::CouldNotLook`].

pub mod choice;
pub mod configuration;
pub mod decide;
pub mod drills;
pub mod gaps;
pub mod lives;
#[cfg(test)]
pub(crate) mod made_up;
pub mod needs;
pub mod offered;
pub mod pick;
pub mod plan;
pub mod reach;
pub mod read_before;
pub mod standing;
pub mod take;
pub mod target;
pub mod window;

use std::collections::BTreeSet;

use crate::archive::manifest::{Facts, Manifest, SnapshotKind};
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::inventory::reach::StoredWal;
use crate::names::{InstanceName, SnapshotId, TenantName};

/// A snapshot that is believed.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its manifest without the lists of objects and files: the snapshots of years are kept in memory.
    pub manifest: Manifest,
    /// Size of its objects.
    pub stored_bytes: u64,
    /// Where a dump's missing files are held, as far as its manifest names them.
    pub held_in: BTreeSet<SnapshotId>,
    /// Whether a dump misses more files than it names.
    pub misses_unnamed: bool,
    /// When its manifest was stored, by the store's clock.
    pub stored_at: Timestamp,
}

impl Snapshot {
    /// Keeps the parts of a manifest that the answers need.
    pub fn new(mut manifest: Manifest, stored_at: Timestamp) -> Snapshot {
        let stored_bytes = manifest.stored_bytes();
        let (mut held_in, mut misses_unnamed) = (BTreeSet::new(), false);
        if let Some(link) = manifest.link() {
            held_in.extend(link.missing.iter().filter_map(|file| file.held_in.clone()));
            misses_unnamed = link.missing_files > link.missing.len() as u64;
        }
        manifest.objects = Vec::new();
        match &mut manifest.facts {
            Facts::Dump(dump) => dump.filestore.iter_mut().for_each(|link| link.missing = Vec::new()),
            Facts::Filestore(filestore) => filestore.problems = Vec::new(),
            Facts::Base(base) => base.bad_pages = Vec::new(),
            Facts::Config(config) => {
                (config.entries, config.left_out) = (Vec::new(), Vec::new());
            }
            Facts::Globals | Facts::Arrivals(_) => {}
        }
        Snapshot { manifest, stored_bytes, held_in, misses_unnamed, stored_at }
    }
}

/// What is known of a snapshot.
#[derive(Debug)]
pub enum Look {
    /// It exists, and its manifest is believed.
    Believed(Box<Snapshot>),
    /// No manifest: a backup is running, or one was cut short.
    Unfinished,
    /// There is a manifest, but it is not believed: unsigned, damaged, or of another repository.
    NotBelieved(Error),
    /// It could not be read: nothing is known of it.
    NotRead(Error),
}

impl Look {
    /// The snapshot, where it is believed.
    pub fn believed(&self) -> Option<&Snapshot> {
        match self {
            Look::Believed(snapshot) => Some(snapshot),
            _ => None,
        }
    }

    /// Why it is not believed, or could not be read.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Look::NotBelieved(e) | Look::NotRead(e) => Some(e),
            _ => None,
        }
    }

    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Look::Believed(_) => "stored",
            Look::Unfinished => "unfinished",
            Look::NotBelieved(_) => "not believed",
            Look::NotRead(_) => "not read",
        }
    }

    fn failed(error: Error) -> Look {
        match error.kind() {
            Kind::NotFound => Look::Unfinished,
            Kind::Signature | Kind::Integrity | Kind::Repository => Look::NotBelieved(error),
            _ => Look::NotRead(error),
        }
    }
}

/// A part of an inventory.
#[derive(Debug, Default)]
pub enum Part<T> {
    /// It was not asked for.
    #[default]
    NotAsked,
    /// What there is.
    Found(T),
    /// It could not be read: nothing is known of it.
    CouldNotLook(Error),
}

impl<T> Part<T> {
    /// What was found.
    pub fn found(&self) -> Option<&T> {
        match self {
            Part::Found(found) => Some(found),
            _ => None,
        }
    }
}

/// What is stored of an instance.
#[derive(Debug)]
pub struct Inventory {
    /// Whose.
    pub instance: InstanceName,
    /// Where.
    pub repository: String,
    /// The snapshots that were asked for, by ID, which is no order of time.
    pub snapshots: Vec<(SnapshotId, Look)>,
    /// The WAL.
    pub wal: Part<StoredWal>,
}

impl Inventory {
    /// The snapshots that are believed.
    pub fn believed(&self) -> impl Iterator<Item = &Snapshot> + Clone {
        self.snapshots.iter().filter_map(|(_, look)| look.believed())
    }

    /// Those that are not believed, or could not be read, with the reason.
    pub fn not_believed(&self) -> Vec<(SnapshotId, Error)> {
        let with_error = |(id, look): &(SnapshotId, Look)| look.error().map(|e| (id.clone(), e.again()));
        self.snapshots.iter().filter_map(with_error).collect()
    }

    /// The believed ones of a kind; of all tenants where none is named.
    pub fn of_kind<'a>(
        &'a self,
        kind: SnapshotKind,
        tenant: Option<&'a TenantName>,
    ) -> impl Iterator<Item = &'a Snapshot> + Clone {
        let fits = move |manifest: &Manifest| {
            manifest.kind() == kind && tenant.is_none_or(|tenant| manifest.tenant.as_ref() == Some(tenant))
        };
        self.believed().filter(move |snapshot| fits(&snapshot.manifest))
    }

    /// The WAL.
    ///
    /// # Errors
    /// The store's error, if it could not be read.
    pub fn wal(&self) -> Result<&StoredWal> {
        match &self.wal {
            Part::Found(wal) => Ok(wal),
            Part::CouldNotLook(e) => Err(e.again()),
            Part::NotAsked => Err(Error::new(Kind::Internal, "the inventory was taken without WAL")),
        }
    }

    /// The snapshot of this name.
    ///
    /// # Errors
    /// `NotFound` if there is none; otherwise what is wrong with it.
    pub fn named(&self, id: &SnapshotId) -> Result<&Snapshot> {
        let at = self.snapshots.binary_search_by(|(known, _)| known.cmp(id)).ok();
        match at.map(|at| &self.snapshots[at].1) {
            Some(Look::Believed(snapshot)) => Ok(snapshot),
            Some(Look::NotBelieved(e) | Look::NotRead(e)) => Err(e.again()),
            Some(Look::Unfinished) | None => {
                Err(Error::new(Kind::NotFound, format!("there is no snapshot {id}"))
                    .next("lifeboat list shows what there is"))
            }
        }
    }

    /// A believed snapshot by its name.
    pub fn snapshot(&self, id: &SnapshotId) -> Option<&Snapshot> {
        let at = self.snapshots.binary_search_by(|(known, _)| known.cmp(id)).ok()?;
        self.snapshots[at].1.believed()
    }
}
