//! Explains why files that the database names are not stored.

use std::collections::HashSet;
use std::path::Path;

use super::files;
use super::held_in::held_in;
use crate::archive::manifest::MissingFile;
use crate::backup::job::Job;
use crate::backup::reconcile::Missing;
use crate::error::Result;
use crate::names::TenantName;
use crate::odoo::attachments::attachments_named_now;
use crate::odoo::blob::is_blob_path;
use crate::postgres::session::Session;

/// A missing file, and why.
pub(super) struct Explained {
    pub(super) file: MissingFile,
    /// A new point would not name it any more.
    pub(super) deleted_meanwhile: bool,
}

/// Why each file is missing: lost before, deleted together with its row, unreadable, damaged.
pub(super) async fn explain(job: &Job, tenant: &TenantName, missing: Vec<Missing>) -> Result<Vec<Explained>> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let (_, dir) = files::open(job, tenant)?;
    let mut session = Session::connect(&job.postgres, tenant.as_str()).await?;
    let wanted: HashSet<String> = missing.iter().map(|missing| missing.store_fname.clone()).collect();
    let named_now = attachments_named_now(&mut session, &wanted).await?;
    session.close().await;
    let homes = held_in(job, tenant, &wanted).await?;
    let mut explained = Vec::new();
    for Missing { store_fname, flaw } in missing {
        let path = crate::archive::path::escape(store_fname.as_bytes());
        // A file that cannot be looked at exists, but nobody can read it.
        let there = crate::archive::path::unescape(&path).is_ok()
            && dir.as_ref().is_some_and(|dir| !matches!(dir.look(Path::new(&store_fname)), Ok(None)));
        let row = named_now.contains(&store_fname);
        let why = match (&flaw, there, row) {
            (Some(flaw), _, _) => format!("stored as found, but {flaw}"),
            (None, true, _) => "it is on the source's disk but could not be read".to_owned(),
            (None, false, true) if !is_blob_path(store_fname.as_bytes()) => {
                "there is no such file; the name has neither Odoo's form nor that of a known object store"
                    .to_owned()
            }
            (None, false, true) => {
                "the source had already lost it: the database has the row, the disk has no file".to_owned()
            }
            (None, false, false) => "it was deleted together with its row during the backup".to_owned(),
        };
        let deleted_meanwhile = flaw.is_none() && !there && !row;
        explained.push(Explained {
            file: MissingFile { held_in: homes.get(&store_fname).cloned(), store_fname, why },
            deleted_meanwhile,
        });
    }
    Ok(explained)
}
