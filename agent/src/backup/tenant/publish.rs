//! Publishes the manifests that make a tenant's snapshots exist.

use std::sync::Arc;

use crate::archive::manifest::{BASELINE, ColdFacts, DumpFacts, Facts, FilestoreLink, Manifest};
use crate::backup::dump::Dumped;
use crate::backup::filestore::Synced;
use crate::backup::job::{Job, on_blocking_thread};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::names::TenantName;
use crate::odoo::baseline::Baseline;
use crate::postgres::tools::Tools;
use crate::repository::writer::SnapshotWriter;

/// Publishes the filestore, and then the known filestore.
pub(super) async fn publish_filestore(
    job: &Job,
    tenant: &TenantName,
    snapshot: &Arc<SnapshotWriter>,
    synced: Synced,
) -> Result<Manifest> {
    let mut manifest = snapshot.manifest(snapshot.begun(), Facts::Filestore(synced.facts));
    manifest.tenant = Some(tenant.clone());
    manifest.release = job.release.clone();
    manifest.parent = synced.parent;
    manifest.plain_bytes = synced.plain_bytes;
    job.publish(snapshot, &manifest).await?;
    // Only now: a known filestore must never name a snapshot that does not exist.
    synced.staged.publish(&synced.known)?;
    Ok(manifest)
}

/// What the dump's manifest says.
pub(super) fn dump_facts(
    job: &Job,
    tools: &Tools,
    dumped: Dumped,
    baseline: &Baseline,
    database_bytes: u64,
    filestore: Option<FilestoreLink>,
    cold: Option<ColdFacts>,
) -> DumpFacts {
    DumpFacts {
        server_major: tools.major,
        pg_dump: tools.version.clone(),
        odoo_version: baseline.odoo_version.clone(),
        bytes: dumped.streamed.bytes,
        sha256: dumped.streamed.sha256,
        read_back: job.backup.dump_readback,
        database_bytes,
        owner: baseline.properties.owner.clone(),
        warnings: dumped.warnings,
        filestore,
        cold,
    }
}

/// Publishes the dump, with its baseline.
pub(super) async fn publish_dump(
    job: &Job,
    tenant: &TenantName,
    snapshot: &Arc<SnapshotWriter>,
    facts: DumpFacts,
    baseline: Baseline,
    lsn: crate::names::Lsn,
    time: clock::Timestamp,
) -> Result<Manifest> {
    let text = serde_json::to_vec_pretty(&baseline)
        .map_err(|e| Error::new(Kind::Internal, "cannot write the baseline").because(e))?;
    let writer = snapshot.clone();
    on_blocking_thread(move || writer.put_sealed(BASELINE, &text)).await?;
    let plain_bytes = facts.bytes;
    let mut manifest = snapshot.manifest(time, Facts::Dump(facts));
    manifest.tenant = Some(tenant.clone());
    manifest.release = job.release.clone();
    manifest.lsn = Some(lsn);
    manifest.plain_bytes = plain_bytes;
    job.publish(snapshot, &manifest).await?;
    Ok(manifest)
}
