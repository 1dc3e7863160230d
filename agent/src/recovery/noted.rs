//! Notes a neutralized copy beside its tenant before it is visible, so that no backup mistakes it for a
//! tenant and the agent does not follow its files; see [`crate::catalog::copies`].

use std::path::Path;

use crate::catalog::copies::{Copies, CopyKind, CopyRecord};
use crate::clock;
use crate::disk::neighbours::Neighbours;
use crate::error::Result;
use crate::names::{InstanceName, TenantName};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::rename::facts;
use crate::postgres::session::Session;
use crate::recovery::place::FilestorePlan;

/// What will be published.
pub(super) struct Noted<'a> {
    pub(super) state_dir: &'a Path,
    pub(super) instance: &'a InstanceName,
    pub(super) tenant: &'a TenantName,
    pub(super) database: &'a TenantName,
    /// Its name before that.
    pub(super) incomplete: &'a str,
    pub(super) filestore: Option<&'a FilestorePlan>,
    pub(super) neutralize: bool,
}

impl Noted<'_> {
    /// Notes it if it is a neutralized copy under another name; a failure is a warning. A live database under
    /// another name may be a tenant that moved: it is backed up.
    pub(super) async fn note(&self, postgres: &PostgresOptions) -> Vec<String> {
        if self.database == self.tenant {
            return Vec::new();
        }
        if !self.neutralize {
            return vec![format!(
                "{} is live: lifeboat backup stores it as a separate tenant (to leave it out, use \
                odoo.exclude)",
                self.database
            )];
        }
        match self.try_note(postgres).await {
            Ok(()) => Vec::new(),
            Err(e) => vec![format!(
                "cannot record in {} that {} is a copy; only its comment says so: {}",
                self.state_dir.display(),
                self.database,
                e.what()
            )],
        }
    }

    async fn try_note(&self, postgres: &PostgresOptions) -> Result<()> {
        let mut session = Session::maintenance(postgres).await?;
        let found = facts(&mut session, self.incomplete).await?;
        session.close().await;
        let Some(found) = found else { return Ok(()) };
        // The directory keeps its identity when it gets its final name.
        let filestore = self.filestore.and_then(|plan| {
            let name = plan.staging.file_name()?.to_str()?;
            Neighbours::open(plan.staging.parent()?).ok()??.id(name).ok()?
        });
        let record = CopyRecord {
            database: self.database.clone(),
            oid: found.oid,
            kind: CopyKind::Copy,
            of: self.tenant.clone(),
            at: clock::now(),
            filestore,
            neutralized: true,
        };
        Copies::note(self.state_dir, self.instance, &record)
    }
}
