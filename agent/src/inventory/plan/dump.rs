//! The plan of a restore from a dump: which dump, the backup of the filestore that goes with it, and what is
//! gone of that.

use serde::Serialize;

use crate::archive::elsewhere::{self, Elsewhere};
use crate::archive::manifest::{ColdFacts, FilestoreLink, SnapshotKind};
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::inventory::pick::{self, Chosen, Pick};
use crate::inventory::{Inventory, Snapshot};
use crate::names::{InstanceName, ReleaseId, SnapshotId, TenantName};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct DumpAsked {
    /// Whose.
    pub tenant: TenantName,
    /// Which.
    pub pick: Pick,
    /// The database and no files.
    pub database_only: bool,
}

impl DumpAsked {
    /// The newest of a tenant, and all that belongs to it.
    pub fn newest(tenant: &TenantName) -> DumpAsked {
        DumpAsked { tenant: tenant.clone(), pick: Pick::Latest, database_only: false }
    }
}

/// From what a tenant is restored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DumpPlan {
    /// Whose.
    pub tenant: TenantName,
    /// The repository.
    pub repository: String,
    /// The instance.
    pub instance: InstanceName,
    /// The dump.
    pub snapshot: SnapshotId,
    /// The moment whose state is restored, UTC.
    pub point: Timestamp,
    /// How long ago that is: later changes are not in it.
    pub loss_seconds: i64,
    /// The release it is tied to.
    pub release: Option<ReleaseId>,
    /// Odoo's version.
    pub odoo_version: Option<String>,
    /// PostgreSQL's major version.
    pub server_major: u32,
    /// Size of the dump.
    pub dump_bytes: u64,
    /// The files that come with it.
    pub files: Option<HeldFiles>,
    /// Bytes that are fetched from the repository, at most.
    pub fetch_bytes: u64,
    /// Attachments that the backup does not hold because they lie in other storages.
    pub elsewhere: Vec<Elsewhere>,
    /// What a person should know. Whoever binds the plan adds what he finds.
    pub warnings: Vec<String>,
}

/// The files of a dump.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeldFiles {
    /// The backup of the filestore.
    pub snapshot: SnapshotId,
    /// The snapshots whose packs are read, without missing ones.
    pub sources: Vec<SnapshotId>,
    /// How many files; none where its list cannot be read.
    pub files: u64,
    /// Their sizes added up.
    pub bytes: u64,
    /// Files that the database names but that are not in this backup: they may be in others.
    pub missing_files: u64,
}

impl DumpPlan {
    /// Chooses the dump. Missing files are no reason to refuse: the restored rows name them, and the restore
    /// looks for them in other backups.
    ///
    /// # Errors
    /// As [`crate::inventory::pick::choose`]; the store's error, if a manifest of its files could not be
    /// read.
    pub fn new(inventory: &Inventory, asked: &DumpAsked, now: Timestamp) -> Result<DumpPlan> {
        let Chosen { snapshot: dump, skipped } =
            pick::choose(inventory, &asked.tenant, SnapshotKind::Dump, &asked.pick)?;
        let (manifest, facts) = (&dump.manifest, dump.manifest.dump_facts()?);
        let mut warnings: Vec<String> = skipped
            .iter()
            .map(|(id, why)| format!("snapshot {id}, which may be newer, was skipped: {why}"))
            .collect();
        warnings.extend(dump.clock_note().map(|note| format!("snapshot {} was {note}", manifest.id)));
        let mut fetch_bytes = dump.stored_bytes;
        let files = match facts.filestore.as_ref().filter(|_| !asked.database_only) {
            Some(link) => Some(held(inventory, link, &mut fetch_bytes, &mut warnings)?),
            None => None,
        };
        warnings.extend(facts.cold.as_ref().and_then(ColdFacts::wait));
        if facts.filestore.is_none() {
            warnings.push("this dump has no filestore: attachments will be missing".into());
        }
        let elsewhere = facts.filestore.as_ref().map(|link| link.elsewhere.clone()).unwrap_or_default();
        warnings.extend(elsewhere::shared(&elsewhere));
        Ok(DumpPlan {
            tenant: asked.tenant.clone(),
            repository: inventory.repository.clone(),
            instance: inventory.instance.clone(),
            snapshot: manifest.id.clone(),
            point: manifest.point,
            loss_seconds: now.as_second() - manifest.point.as_second(),
            release: manifest.release.clone(),
            odoo_version: facts.odoo_version.clone(),
            server_major: facts.server_major,
            dump_bytes: facts.bytes,
            files,
            fetch_bytes,
            elsewhere,
            warnings,
        })
    }
}

/// The filestore of a dump, as far as it is there.
fn held(
    inventory: &Inventory,
    link: &FilestoreLink,
    fetch_bytes: &mut u64,
    warnings: &mut Vec<String>,
) -> Result<HeldFiles> {
    let id = &link.snapshot;
    let mut held = HeldFiles {
        snapshot: id.clone(),
        sources: Vec::new(),
        files: 0,
        bytes: 0,
        missing_files: link.missing_files,
    };
    let own = match inventory.named(id) {
        Ok(own) => own,
        Err(e) if e.is_damage() => {
            warnings.push(list_unread(id, &why(id, &e)));
            return Ok(held);
        }
        Err(e) => return Err(e.context(format!("find the filestore {id}"))),
    };
    let facts = own.manifest.filestore_facts()?;
    let mut there: Vec<&Snapshot> = vec![own];
    for needed in facts.index_chain.iter().chain(&facts.sources) {
        if there.iter().any(|one| one.manifest.id == *needed) {
            continue;
        }
        match inventory.named(needed) {
            Ok(found) => there.push(found),
            Err(e) if e.is_damage() && facts.index_chain.contains(needed) => {
                warnings.push(list_unread(id, &why(needed, &e)));
                return Ok(held);
            }
            Err(e) if e.is_damage() => warnings.push(pack_gone(id, &why(needed, &e))),
            Err(e) => return Err(e.context(format!("find snapshot {needed}, which holds part of {id}"))),
        }
    }
    *fetch_bytes += there.iter().map(|one| one.stored_bytes).sum::<u64>();
    held.sources = there.into_iter().map(|one| one.manifest.id.clone()).collect();
    Ok(HeldFiles { files: facts.files, bytes: facts.bytes, ..held })
}

/// Why a snapshot that files come from cannot be used.
pub fn why(id: &SnapshotId, e: &Error) -> String {
    match e.kind() {
        Kind::NotFound => format!("there is no snapshot {id}"),
        _ => format!("snapshot {id} is not believed: {}", e.line()),
    }
}

/// The warning if the list of a filestore's backup cannot be read.
pub fn list_unread(id: &SnapshotId, why: &str) -> String {
    format!(
        "the list of {id} cannot be read ({why}): the restore looks in other backups for the files that the rows name"
    )
}

/// The warning if a snapshot is missing that holds some of its files.
pub fn pack_gone(id: &SnapshotId, why: &str) -> String {
    format!("{why}; it holds files of {id}: the restore looks for them in other backups")
}
