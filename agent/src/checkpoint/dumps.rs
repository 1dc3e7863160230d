//! Dumps instead of a restore point, where there is no physical backup (managed PostgreSQL). Going back to
//! one loses everything that was written after it began, and it takes time that grows with the databases.

use std::collections::BTreeMap;

use super::gates::Finding;
use super::needs::{Place, add_snapshots, refs};
use super::proof::Needed;
use super::work::Work;
use crate::archive::evidence::predicate::{Files, SnapshotRef};
use crate::archive::manifest::{Manifest, SnapshotKind};
use crate::backup::{self, BackupRequest, Kinds, OfClasses};
use crate::error::Result;
use crate::inventory::Inventory;
use crate::inventory::needs::Graph;
use crate::inventory::take::{Wanted, Which};
use crate::names::{SnapshotId, TenantName, counted};
use crate::postgres::session::Session;
use crate::wal::archiver::archiver;

/// Why there is no restore point then.
pub(super) const INSTEAD: &str = "dumps are taken instead of a restore point";

/// The dumps of a checkpoint.
pub(super) struct Dumps {
    of: BTreeMap<TenantName, Manifest>,
    /// Tenants that could not be dumped, and why.
    failed: Vec<String>,
}

/// Whether this instance has no physical backup, nor anything that could make one reach a point.
///
/// # Errors
/// Those of the store and of the server.
pub(super) async fn are_all_there_is(work: &Work<'_>, session: &mut Session) -> Result<bool> {
    if work.config.wal.stream || archiver(session).await?.is_some() {
        return Ok(false);
    }
    let wanted = Wanted { snapshots: Which::Kind(SnapshotKind::Base), ..Wanted::default() };
    let inventory = Inventory::take(&work.repository, &work.trust, &wanted).await?;
    Ok(inventory.snapshots.is_empty())
}

impl Dumps {
    /// Takes them.
    ///
    /// # Errors
    /// What prevented that any could be taken.
    pub(super) async fn take(work: &Work<'_>, tenants: &[TenantName]) -> Result<Dumps> {
        let request = BackupRequest {
            tenants: tenants.to_vec(),
            classes: OfClasses::All,
            kinds: Kinds { dump: true, filestore: work.config.odoo.data_dir.is_some(), full: false },
            release: Some(work.request.release.id.clone()),
        };
        let report = backup::run(work.config, request, work.progress.clone(), work.cancel.clone()).await?;
        let failed = report.failures.iter().map(|(name, e)| format!("{name}: {}", e.line())).collect();
        let of = report.tenants.into_iter().filter_map(|one| Some((one.tenant, one.dump?))).collect();
        Ok(Dumps { of, failed })
    }

    /// Adds all that restoring them needs.
    ///
    /// # Errors
    /// Those of the store, and of manifests.
    pub(super) async fn add(&self, place: &Place<'_>, needed: &mut Needed) -> Result<()> {
        let mut ids: Vec<SnapshotId> = self.of.values().map(|dump| dump.id.clone()).collect();
        let filestores: Vec<SnapshotId> =
            self.of.values().filter_map(|dump| Some(dump.link()?.snapshot.clone())).collect();
        for id in &filestores {
            let manifest = place.repository.manifest(id, place.origin, place.trust).await?;
            ids.extend(Graph::of([&manifest]).needs(id));
        }
        add_snapshots(place, ids.iter(), needed).await?.into_iter().try_for_each(|(_, e)| Err(e))
    }

    /// The dump of a tenant.
    pub(super) fn of(&self, tenant: &TenantName, needed: &Needed) -> Option<SnapshotRef> {
        refs([&self.of.get(tenant)?.id], needed).pop()
    }

    /// What the evidence says of a tenant's files.
    pub(super) fn files(&self, tenant: &TenantName, needed: &Needed) -> Files {
        let Some(link) = self.of.get(tenant).and_then(Manifest::link) else { return Files::default() };
        let elsewhere: u64 = link.elsewhere.iter().map(|one| one.files).sum();
        let missing = link.missing_count();
        Files {
            named: link.referenced,
            elsewhere,
            held: link.referenced.saturating_sub(missing + elsewhere),
            stored_now: 0,
            missing,
            missing_named: link.missing_named().take(20).map(|file| file.store_fname.clone()).collect(),
            held_in: refs([&link.snapshot], needed),
        }
    }

    /// The gate of the files.
    pub(super) fn finding(&self, tenants: &[TenantName]) -> Finding {
        if let Some(first) = self.failed.first() {
            return Finding::failed(format!("not every tenant could be dumped: {first}"));
        }
        if let Some(tenant) = tenants.iter().find(|tenant| !self.of.contains_key(*tenant)) {
            return Finding::failed(format!("{tenant} was not dumped"));
        }
        let links = || self.of.values().filter_map(Manifest::link);
        if let Some(without) = self.of.iter().find(|(_, dump)| dump.link().is_none()) {
            return Finding::failed(format!(
                "{}: odoo.data_dir is not set, so its files are not stored",
                without.0
            ));
        }
        match links().map(|link| link.missing_count()).sum::<u64>() {
            0 => {
                let named: u64 = links().map(|link| link.referenced).sum();
                Finding::passed(format!("all {named} files that rows name are stored"))
            }
            missing => Finding::failed(format!("{} that rows name are not stored", counted(missing, "file"))),
        }
    }

    /// What a person must know of going back to them.
    pub(super) fn note(&self) -> String {
        format!(
            "there is no physical backup: the checkpoint took {}. Going back loses what is written after each began; \
             base backups and WAL would lose nothing before the release, and take seconds",
            counted(self.of.len(), "dump")
        )
    }
}
