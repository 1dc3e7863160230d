//! What the target server lacks, as far as it can be known before anything is fetched.
//!
//! The catalog of the state that is wanted can be read only after recovery. What comes nearest is the tenant's dump that
//! was taken nearest to that moment: a guess, so all that is said here is said "as of the dump of TIME". What it refuses
//! has a flag that goes on, should it be wrong by then; after recovery the server is held against the very dump.

use std::sync::Arc;

use serde::Serialize;

use crate::archive::manifest::Manifest;
use crate::archive::seal::Identities;
use crate::clock::{self, Timestamp};
use crate::error::{Error, Result};
use crate::names::SnapshotId;
use crate::postgres::load::rights::Loads;
use crate::postgres::session::Session;
use crate::recovery::dump_list::dump_list;
use crate::recovery::server::{Asking, look, own_tablespace, will_miss};
use crate::recovery::tenant::TenantRequest;
use crate::repository::Repository;

/// The dump that the guess is made from, and the guess.
#[derive(Clone, Debug, Serialize)]
pub struct AsOf {
    /// The dump.
    pub snapshot: SnapshotId,
    /// When it was taken.
    pub point: Timestamp,
    /// The tablespace of the new database, where that is not the server's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tablespace: Option<String>,
    /// What will be otherwise than it was; when it is done, what came of it is told.
    pub foreseen: Vec<String>,
}

/// Holds the server against the dump. A dump that cannot be read keeps no point in time from being restored: that is told.
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
        let baseline = repository.baseline(dump, identities).await?;
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
        "what the server lacks is known only after recovery: dump {dump}, the nearest, cannot be read: {why}"
    )
}
