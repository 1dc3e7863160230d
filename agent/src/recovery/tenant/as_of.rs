//! What the target server lacks, as far as known before anything is fetched.
//!
//! The catalog of the wanted state can be read only after recovery. The best guess is the tenant's dump
//! that was taken nearest to that moment, so every message here says "as of the dump of TIME". If the
//! guess refuses wrongly, a flag continues anyway; after recovery the server is compared with the actual
//! dump.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use crate::archive::manifest::{BASELINE, Manifest, Origin, SnapshotKind};
use crate::archive::seal::Identities;
use crate::clock::{self, Timestamp};
use crate::error::{Error, Result};
use crate::inventory::Inventory;
use crate::inventory::take::{Wanted, Which};
use crate::names::{SnapshotId, TenantName};
use crate::odoo::baseline::Baseline;
use crate::postgres::load::rights::Loads;
use crate::postgres::session::Session;
use crate::recovery::dump_list::dump_list;
use crate::recovery::server::{Asking, look, own_tablespace, will_miss};
use crate::recovery::tenant::TenantRequest;
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// The dump on which the guess is based, and the guess.
#[derive(Clone, Debug, Serialize)]
pub struct AsOf {
    /// The dump.
    pub snapshot: SnapshotId,
    /// When it was taken.
    pub point: Timestamp,
    /// The tablespace of the new database, if it is not the server's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tablespace: Option<String>,
    /// What will differ from the source; the report says what it became.
    pub foreseen: Vec<String>,
}

/// The dump of a tenant, under any of its names, that was taken nearest to a moment.
///
/// # Errors
/// If the repository cannot be read; dumps that are not trusted are ignored.
pub(super) async fn nearest_dump(
    (repository, origin, trust): (&Repository, &Origin, &Trust),
    names: &BTreeSet<TenantName>,
    near: Timestamp,
) -> Result<Option<Manifest>> {
    let wanted = Wanted { snapshots: Which::Kind(SnapshotKind::Dump), ..Wanted::default() };
    let inventory = Inventory::take(repository, trust, &wanted).await?;
    let dumps = inventory.of_kind(SnapshotKind::Dump, None).map(|one| &one.manifest);
    let own = dumps.filter(|dump| dump.tenant.as_ref().is_some_and(|tenant| names.contains(tenant)));
    match own.min_by_key(|dump| (dump.point.as_microsecond() - near.as_microsecond()).abs()) {
        Some(dump) => repository.manifest(&dump.id, origin, trust).await.map(Some),
        None => Ok(None),
    }
}

/// Compares the server with what the dump needs. If the dump cannot be read, the restore continues with a
/// note.
///
/// # Errors
/// `Refused`, naming what the server lacks; those of the session.
pub(super) async fn as_of(
    (repository, identities): (&Repository, &Arc<Identities>),
    session: &mut Session,
    dump: &Manifest,
    (request, loads): (&TenantRequest, Loads),
) -> Result<std::result::Result<AsOf, String>> {
    let when = format!("as of the dump of {}", clock::text(dump.point));
    let read = async {
        let baseline = repository.sealed(dump, BASELINE, identities, |input| Baseline::read(input)).await?;
        Ok::<_, Error>((baseline, dump_list(repository, dump, identities).await?.unwrap_or_default()))
    };
    let (baseline, entries) = match read.await {
        Ok(read) => read,
        Err(e) => return Ok(Err(not_read(&dump.id, &e))),
    };
    let (by_owner, choices) = (request.owner.as_deref(), &request.load);
    let asked = Asking { baseline: &baseline, by_owner, loads, choices };
    let refused = |e: Error| {
        let what = format!("{when}, the server cannot take tenant {}", request.tenant);
        e.effect("nothing was changed").context(what)
    };
    let seen = look(session, entries, &asked).await.map_err(refused)?;
    let missing_parts = will_miss(&seen, &asked).map_err(refused)?;
    let foreseen = [seen.notes, seen.foreseen, missing_parts].concat();
    Ok(Ok(AsOf {
        snapshot: dump.id.clone(),
        point: dump.point,
        tablespace: own_tablespace(&baseline, choices),
        foreseen: foreseen.into_iter().map(|note| format!("{when}: {note}")).collect(),
    }))
}

fn not_read(dump: &SnapshotId, e: &Error) -> String {
    let why = e.what();
    format!(
        "what the server lacks is known only after recovery, because the nearest dump, {dump}, cannot be read: {why}"
    )
}
