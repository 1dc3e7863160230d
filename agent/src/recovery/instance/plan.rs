//! The plan for restoring a whole instance: which base backup, how far its WAL goes, where everything
//! goes. It changes nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::archive::base::{BaseFacts, ClusterLayout, Database};
use crate::archive::manifest::Manifest;
use crate::archive::seal::Identities;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::inventory::plan::PointPlan;
use crate::inventory::target::Target;
use crate::names::{SnapshotId, bytes_text};
use crate::recovery::FileOwner;
use crate::recovery::instance::delta::Replaced;
use crate::recovery::instance::feed::Feed;
use crate::recovery::instance::narrow::{Narrowed, Only};
use crate::recovery::instance::packs::pack_reads;
use crate::recovery::instance::settings::Recovery;
use crate::recovery::instance::switched_off::SwitchedOff;
use crate::recovery::instance::takeover::Takeover;
use crate::recovery::instance::tree::TablespacePlan;
use crate::recovery::instance::wanted::Wanted;
use crate::recovery::timing::Estimate;
use crate::repository::Repository;

/// What will be done; `Display` gives the text that a person confirms.
#[derive(Clone, Debug, Serialize)]
pub struct InstancePlan {
    /// The source: the plan that was bound to this host. It has all warnings.
    #[serde(flatten)]
    pub source: PointPlan,
    /// The target for PostgreSQL: the last stored commit, if the stored WAL has nothing after the
    /// requested target.
    pub stops_at: Target,
    /// The new data directory.
    pub data_dir: PathBuf,
    /// The old data directory, if one is replaced.
    pub replaced: Option<Replaced>,
    /// Whether it continues an earlier try.
    pub goes_on: bool,
    /// Directories outside the data directory.
    pub tablespaces: Vec<TablespacePlan>,
    /// The owner of the files (user and group), if we may give files away.
    pub owner: Option<(u32, u32)>,
    /// The number of files.
    pub files: u64,
    /// The sum of their sizes.
    pub bytes: u64,
    /// Bytes that are fetched for them from the repository.
    pub fetch_bytes: u64,
    /// Free bytes at the data directory.
    pub free_bytes: u64,
    /// How long it will take.
    pub estimate: Estimate,
    /// The `restore_command` of its configuration.
    pub restore_command: String,
    /// Whether we start it and fetch WAL for it.
    pub is_fed: bool,
    /// Whether its WAL is archived as production's is.
    pub archives: bool,
    /// Libraries that replay of its WAL needs.
    pub preload: Vec<String>,
    /// Whether it is removed at the end.
    pub is_scratch: bool,
    /// Settings of production that a server on it ignores until it becomes production.
    pub switched_off: Vec<SwitchedOff>,
    /// What it connects to and takes over at the end, if it becomes production.
    pub takeover: Option<Takeover>,
    /// Why indexes may be sorted differently than on this machine.
    pub sorts_otherwise: Vec<String>,
    /// Its databases, from the backup.
    #[serde(skip)]
    pub databases: Vec<Database>,
}

/// A plan, and everything that was found out for it.
pub struct Prepared {
    /// The plan.
    pub plan: InstancePlan,
    pub(in crate::recovery) repository: Repository,
    pub(in crate::recovery) manifests: HashMap<SnapshotId, Manifest>,
    pub(in crate::recovery) identities: Arc<Identities>,
    pub(super) wanted: Wanted,
    pub(in crate::recovery) layout: ClusterLayout,
    pub(in crate::recovery) narrowed: Option<Narrowed>,
    pub(super) recovery: Recovery,
    pub(super) workers: usize,
    pub(super) bin_dir: Option<PathBuf>,
    pub(super) owner: Option<FileOwner>,
    /// Fetches WAL for the server, if we start it and the user gave no command.
    pub feed: Option<Feed>,
}

impl InstancePlan {
    /// Where files are written: with an old data directory, beside it until the end.
    pub fn making_dir(&self) -> &Path {
        self.replaced.as_ref().map_or(&self.data_dir, |replaced| &replaced.old_state)
    }
}

impl Prepared {
    /// The same plan with other databases: base backup, target and WAL stay as confirmed.
    ///
    /// # Errors
    /// `NoSpace` if there is too little space for them.
    pub(in crate::recovery) fn narrow_again(&mut self, only: &Only, maintenance: &str) -> Result<()> {
        if let Some(narrowed) = self.narrowed.take() {
            self.wanted.put_back(narrowed.sparse);
        }
        self.narrowed = Some(only.narrow(&mut self.wanted, &self.layout, maintenance));
        let reads = pack_reads(&self.wanted, self.wanted.files().iter(), &self.manifests)?;
        let plan = &mut self.plan;
        plan.fetch_bytes = reads.iter().map(|pack| pack.bytes).sum();
        (plan.files, plan.bytes) = (self.wanted.files().len() as u64, self.wanted.bytes);
        plan.free_bytes = disk::free_bytes(&plan.data_dir)?;
        check_space(plan, true)
    }

    /// The base backup's own facts.
    pub fn facts(&self) -> Result<&BaseFacts> {
        let manifest = self.manifests.get(&self.plan.source.snapshot);
        manifest.map_or_else(
            || Err(Error::new(Kind::Integrity, "a base backup that does not name itself in its chain")),
            Manifest::base_facts,
        )
    }
}

/// Checks that it fits.
///
/// # Errors
/// `NoSpace`.
pub(super) fn check_space(plan: &InstancePlan, scratch: bool) -> Result<()> {
    // Each file uses whole blocks of 4 KiB: on average half a block more. Replay fills files that are empty.
    let needed = plan.bytes + plan.files * 2048 + if scratch { plan.source.wal_bytes } else { 0 };
    if plan.free_bytes >= needed || plan.goes_on {
        return Ok(());
    }
    let (needed, free) = (bytes_text(needed), bytes_text(plan.free_bytes));
    let what =
        format!("the instance needs {needed} in {}, but only {free} are free there", plan.data_dir.display());
    let error = Error::new(Kind::NoSpace, what).effect("nothing was changed");
    Err(match plan.replaced {
        Some(_) => {
            error.next("the old and the new state must both fit: restore to another place, without --delta")
        }
        None => error,
    })
}
