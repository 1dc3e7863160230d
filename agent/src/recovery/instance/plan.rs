//! The plan of a restore of a whole instance: which base backup, how far its WAL goes, where
//! everything will lie. Looking only.

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
use crate::repository::Repository;

/// What will be done; `Display` is what a person is asked to confirm.
#[derive(Clone, Debug, Serialize)]
pub struct InstancePlan {
    /// From what: the plan that was bound to this host. Its warnings are all that there are.
    #[serde(flatten)]
    pub source: PointPlan,
    /// What PostgreSQL is told: the last commit that is stored where nothing comes behind the target.
    pub stops_at: Target,
    /// The new data directory.
    pub data_dir: PathBuf,
    /// The old one, where one is replaced.
    pub replaced: Option<Replaced>,
    /// Whether it holds what an earlier try left.
    pub goes_on: bool,
    /// Directories outside.
    pub tablespaces: Vec<TablespacePlan>,
    /// Who will own the files: user and group, where we may give them away.
    pub owner: Option<(u32, u32)>,
    /// How many files.
    pub files: u64,
    /// Their sizes added up.
    pub bytes: u64,
    /// Bytes that are fetched from the repository for them.
    pub fetch_bytes: u64,
    /// Bytes that are free at the data directory.
    pub free_bytes: u64,
    /// A rough estimate.
    pub estimate_seconds: u64,
    /// `restore_command` of its configuration.
    pub restore_command: String,
    /// Whether we start it and fetch WAL for it meanwhile.
    pub is_fed: bool,
    /// Whether WAL is archived, as production does it.
    pub archives: bool,
    /// Libraries without which its WAL cannot be replayed.
    pub preload: Vec<String>,
    /// Whether it is thrown away in the end.
    pub is_scratch: bool,
    /// What of production's configuration a server on it does not obey until it is the real thing.
    pub switched_off: Vec<SwitchedOff>,
    /// What it connects to and takes over in the end, where it is to be the real thing.
    pub takeover: Option<Takeover>,
    /// Why indexes may be in another order than that of this machine.
    pub sorts_otherwise: Vec<String>,
    /// Its databases, as the backup knows them.
    #[serde(skip)]
    pub databases: Vec<Database>,
}

/// A plan and all that was found out on the way.
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
    /// Who fetches WAL for the server, where we start it and it has no command of the user's.
    pub feed: Option<Feed>,
}

impl InstancePlan {
    /// Where files are written: beside an old data directory until the end.
    pub fn making_dir(&self) -> &Path {
        self.replaced.as_ref().map_or(&self.data_dir, |replaced| &replaced.old_state)
    }
}

impl Prepared {
    /// The same plan with other databases: base backup, target and WAL stay as they were confirmed.
    ///
    /// # Errors
    /// `NoSpace` where there is too little for them.
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

/// Whether it fits.
///
/// # Errors
/// `NoSpace`.
pub(super) fn check_space(plan: &InstancePlan, scratch: bool) -> Result<()> {
    // Blocks are filled up to 4 KiB, on average by half; replay fills what was left empty.
    let needed = plan.bytes + plan.files * 2048 + if scratch { plan.source.wal_bytes } else { 0 };
    if plan.free_bytes >= needed || plan.goes_on {
        return Ok(());
    }
    let (needed, free) = (bytes_text(needed), bytes_text(plan.free_bytes));
    let what =
        format!("the instance needs {needed} in {}, and {free} are free there", plan.data_dir.display());
    let error = Error::new(Kind::NoSpace, what).effect("nothing was changed");
    Err(match plan.replaced {
        Some(_) => {
            error.next("both the old state and the new one have to fit: restore elsewhere, without --delta")
        }
        None => error,
    })
}
