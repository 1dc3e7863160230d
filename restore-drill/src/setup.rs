//! The input of a drill: plan, checks, program, and the chosen state.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use lifeboat::clock::Timestamp;
use lifeboat::names::{SnapshotId, TenantName};
use lifeboat::odoo::counters::Counters;
use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::plan::Plan;
use crate::snapshot::Snapshot;

/// The validated input of a drill.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The plan.
    pub plan: Plan,
    /// The tenant, one of the plan's; `None` for the whole instance.
    pub tenant: Option<TenantName>,
    /// The identities that the restore uses; if empty, those of the configuration.
    pub identities: Vec<PathBuf>,
    /// The counters of the point, with which the restored database is compared.
    pub counters: Option<Box<Counters>>,
    /// The checks.
    pub catalogue: Catalogue,
    /// The program `lifeboat`.
    pub program: PathBuf,
}

/// The state to restore, and what was noticed when it was chosen.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The snapshot, and the point to which it is replayed.
    pub snapshot: Snapshot,
    /// The tenant's dumps of older states, the oldest first.
    pub older: Vec<OlderDump>,
    /// The number that a random choice follows from.
    pub seed: Option<u64>,
    /// How old the newest state was that could have been restored instead of production when it was chosen;
    /// `None` if that is not known.
    pub age: Option<Duration>,
    /// The longest time without a new state of the tenant's dumps.
    pub worst: Option<Worst>,
    /// Snapshots that were skipped, and why; also a note about the writer's clock.
    pub skipped: Vec<Skipped>,
    /// What is stored of the tenants, if the whole instance is restored.
    pub whole: Option<Whole>,
}

impl Chosen {
    /// This snapshot, and nothing else known.
    pub fn of(snapshot: Snapshot) -> Chosen {
        Chosen {
            snapshot,
            older: Vec::new(),
            seed: None,
            age: None,
            worst: None,
            skipped: Vec::new(),
            whole: None,
        }
    }
}

/// What the repository has of an instance, besides the base backup that is restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// The tenants that must be in the restored instance, because they have a dump of an older state; and
    /// those of which only a filestore is stored.
    pub tenants: BTreeMap<TenantName, OfTenant>,
    /// The directories of the tablespaces, as production has them.
    pub tablespaces: Vec<String>,
}

/// What is stored of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfTenant {
    /// Its dumps before the restored state, the oldest first.
    pub older: Vec<OlderDump>,
    /// The backup of its filestore that is restored, and its moment: the newest before the restored state;
    /// where there is none, the first.
    pub filestore: Option<(SnapshotId, Timestamp)>,
}

/// A dump of a state before the one that is drilled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OlderDump {
    /// Its name.
    pub id: SnapshotId,
    /// The moment whose state it has.
    pub point: Timestamp,
}

impl OlderDump {
    /// This dump.
    pub fn of(dump: &lifeboat::inventory::Snapshot) -> OlderDump {
        OlderDump { id: dump.manifest.id.clone(), point: dump.manifest.point }
    }
}

/// Something that the choice did not look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// What.
    pub what: String,
    /// The reason.
    pub why: String,
}

/// The longest time after which a newer dump of a tenant was stored: what would have been lost if production
/// had failed just before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worst {
    /// How long it was.
    pub ms: u64,
    /// The state that was the newest then.
    pub from: Timestamp,
    /// When the next one was stored, or now.
    pub to: Timestamp,
}
