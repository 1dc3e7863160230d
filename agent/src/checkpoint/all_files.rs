//! The files of all tenants, looked at before the point and after it, and the gate that they are.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{Lookup, TenantFiles};
use super::gates::Finding;
use super::needs::{self, Place, add_snapshots};
use super::proof::Needed;
use super::tenant::{TenantLook, files};
use super::work::Work;
use crate::archive::evidence::predicate::TenantState;
use crate::error::{Kind, Result};
use crate::names::{SnapshotId, TenantName};

/// The files of all tenants, looked at twice.
#[derive(Default)]
pub(super) struct AllFiles {
    before: BTreeMap<TenantName, TenantFiles>,
    after: BTreeMap<TenantName, TenantFiles>,
    stored_now: BTreeMap<TenantName, u64>,
    broken: BTreeSet<SnapshotId>,
    failed: Option<Finding>,
    /// Whether nothing is stored, so that what is missing is no failure.
    dry_run: bool,
}

impl AllFiles {
    /// Nothing was looked at yet.
    pub(super) fn new(dry_run: bool) -> AllFiles {
        AllFiles { dry_run, ..AllFiles::default() }
    }

    /// Looks at each tenant, and stores what is missing. What fails blocks by the gate.
    pub(super) async fn look(
        &mut self,
        work: &Work<'_>,
        tenants: &[TenantName],
        place: &Place<'_>,
        needed: &mut Needed,
    ) -> Result<()> {
        let lookup = Lookup {
            config: work.config,
            state: &work.state,
            repository: work.repository.id(),
            postgres: &work.postgres,
        };
        for tenant in tenants {
            match self.look_at(&lookup, work, tenant, place, needed).await {
                Ok(()) => {}
                Err(e) if e.kind() == Kind::Interrupted => return Err(e),
                Err(e) => {
                    let e = e.context(format!("look for the files of {tenant}"));
                    self.failed.get_or_insert(Finding::of_error(&e));
                }
            }
        }
        Ok(())
    }

    async fn look_at(
        &mut self,
        lookup: &Lookup<'_>,
        work: &Work<'_>,
        tenant: &TenantName,
        place: &Place<'_>,
        needed: &mut Needed,
    ) -> Result<()> {
        let mut files = lookup.look(tenant, &self.broken).await?;
        // A snapshot that is gone or damaged holds nothing.
        let failed = add_snapshots(place, files.homes.iter(), needed).await?;
        if !failed.is_empty() {
            if let Some((_, e)) = failed.iter().find(|(_, e)| !e.is_damage()) {
                return Err(e.again());
            }
            self.broken.extend(failed.into_iter().map(|(id, _)| id));
            files = lookup.look(tenant, &self.broken).await?;
        }
        if !files.missing.is_empty() && work.no_point.is_none() {
            work.progress.stage(format!("storing files of {tenant}"));
            let stored =
                lookup.store_missing(tenant, &mut files, &self.broken, work.until, &work.cancel).await?;
            *self.stored_now.entry(tenant.clone()).or_default() += stored;
            let failed = add_snapshots(place, files.homes.iter(), needed).await?;
            failed.into_iter().filter(|(id, _)| !self.broken.contains(id)).try_for_each(|(_, e)| Err(e))?;
        }
        if !self.before.contains_key(tenant) {
            self.before.insert(tenant.clone(), files);
        } else {
            self.after.insert(tenant.clone(), files);
        }
        Ok(())
    }

    /// What the evidence says of a tenant.
    pub(super) fn state(&self, look: &TenantLook, needed: &Needed) -> Result<TenantState> {
        let nothing = TenantFiles::default();
        let before = self.before.get(&look.tenant).unwrap_or(&nothing);
        let after = self.after.get(&look.tenant).unwrap_or(&nothing);
        let homes: BTreeSet<&SnapshotId> = before.homes.iter().chain(&after.homes).collect();
        let held_in = needs::refs(homes, needed);
        let stored_now = self.stored_now.get(&look.tenant).copied().unwrap_or(0);
        look.state(files(before, after, stored_now, held_in), None)
    }

    /// The gate of the files.
    pub(super) fn finding(&self) -> Finding {
        if let Some(failed) = &self.failed {
            return failed.clone();
        }
        let (mut named, mut missing, mut stored) = (0, Vec::new(), 0);
        let mut more = false;
        for (tenant, after) in &self.after {
            named += after.named;
            stored += self.stored_now.get(tenant).copied().unwrap_or(0);
            let before = self.before.get(tenant);
            more |= after.more_missing || before.is_some_and(|files| files.more_missing);
            let all: BTreeSet<&String> =
                after.missing.iter().chain(before.into_iter().flat_map(|files| &files.missing)).collect();
            missing.extend(all.into_iter().map(|name| format!("{tenant}: {name}")));
        }
        if missing.is_empty() {
            let now = if stored > 0 { format!("; {stored} of them were stored now") } else { String::new() };
            return Finding::passed(format!("all {named} files that rows name are stored{now}"));
        }
        if self.dry_run {
            return Finding::not_required(format!(
                "{} of {named} files that rows name are not stored yet; a checkpoint stores those that are on disk",
                missing.len()
            ));
        }
        let damaged: Vec<String> = self.broken.iter().map(SnapshotId::to_string).collect();
        let damaged = match damaged.is_empty() {
            true => String::new(),
            false => format!("; damaged or gone: {}", damaged.join(", ")),
        };
        let count = if more { format!("more than {}", missing.len()) } else { missing.len().to_string() };
        let first = missing.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        Finding::failed(format!(
            "{count} of {named} files that rows name are neither stored nor on disk: {first}{damaged}"
        ))
    }
}
