//! What is looked at in one tenant: its counters (the baseline at the point), modules and size.

use crate::archive::evidence::predicate::{Files, ModuleVersion, SnapshotRef, TenantState};
use crate::checkpoint::files::TenantFiles;
use crate::error::Result;
use crate::names::TenantName;
use crate::odoo::baseline::installed_modules;
use crate::odoo::counters::Counters;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::database::database_bytes;
use crate::postgres::look;
use crate::postgres::session::Session;

/// Missing files that the evidence names.
const NAMED_MAX: usize = 20;

/// One tenant.
#[derive(Debug)]
pub struct TenantLook {
    /// Which.
    pub tenant: TenantName,
    /// Its counters, and their document.
    pub counters: (Counters, Vec<u8>),
    /// Its installed modules.
    pub modules: Vec<ModuleVersion>,
    /// The size of its database.
    pub database_bytes: u64,
}

impl TenantLook {
    /// Looks, in time that does not grow with the content.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn take(postgres: &PostgresOptions, tenant: &TenantName) -> Result<TenantLook> {
        let mut session = Session::connect(postgres, tenant.as_str()).await?;
        let counters = Counters::take(&mut session).await?;
        look::begin(&mut session).await?;
        let modules = installed_modules(&mut session).await?;
        let database_bytes = database_bytes(&mut session).await?;
        look::end(&mut session).await?;
        session.close().await;
        let version = |module: crate::odoo::baseline::Versioned| ModuleVersion {
            name: module.name,
            version: module.version,
        };
        let document = counters.to_json()?;
        Ok(TenantLook {
            tenant: tenant.clone(),
            counters: (counters, document),
            modules: modules.into_iter().map(version).collect(),
            database_bytes,
        })
    }

    /// Odoo's version: that of module `base`.
    pub fn odoo_version(&self) -> Option<String> {
        self.modules.iter().find(|module| module.name == "base").and_then(|module| module.version.clone())
    }

    /// What the evidence says of it; changes of modules are added by the caller.
    ///
    /// # Errors
    /// `Internal` where the counters cannot be digested.
    pub fn state(&self, files: Files, dump: Option<SnapshotRef>) -> Result<TenantState> {
        Ok(TenantState {
            tenant: self.tenant.clone(),
            database_bytes: self.database_bytes,
            odoo_version: self.odoo_version(),
            dump,
            files,
            modules: self.modules.clone(),
            module_changes: Vec::new(),
            baseline_sha256: self.counters.0.digest()?,
        })
    }
}

/// What the evidence says of a tenant's files. `before` and `after` are the looks before the point and after
/// it.
pub fn files(before: &TenantFiles, after: &TenantFiles, stored_now: u64, held_in: Vec<SnapshotRef>) -> Files {
    let missing: std::collections::BTreeSet<&String> = before.missing.iter().chain(&after.missing).collect();
    Files {
        named: after.named,
        elsewhere: after.elsewhere,
        held: after.held,
        stored_now,
        missing: missing.len() as u64,
        missing_named: missing.into_iter().take(NAMED_MAX).cloned().collect(),
        held_in,
    }
}
