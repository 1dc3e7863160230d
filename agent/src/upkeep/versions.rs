//! Objects that were deleted or written again, as a bucket with versions shows them.

use tokio_util::sync::CancellationToken;

use crate::clock::{self, Timestamp};
use crate::error::Kind;
use crate::inventory::gaps::Missing;
use crate::names::counted;
use crate::names::wal::SegmentBytes;
use crate::repository::tampered::{Deed, Deeds, Tampered};
use crate::repository::tombstones::Believed;
use crate::repository::{Repository, layout};
use crate::upkeep::findings::Findings;

/// What happened so many seconds ago or earlier is a warning: somebody has read of it.
pub const RECENT: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);
/// Folders that are named.
const NAMED_MAX: usize = 10;

/// Checks the versions of everything below the instance. Also gives whether they could be looked at.
pub async fn check(
    repository: &Repository,
    tombstones: &[Believed],
    size: SegmentBytes,
    findings: &Findings,
    cancel: &CancellationToken,
) -> (Missing, bool) {
    let mut missing = Missing::default();
    if !repository.keeps_versions().await {
        return (missing, false);
    }
    let folder = layout::instance_prefix(repository.instance());
    let look = async {
        match repository.tampered(&folder, tombstones, size).await {
            Err(e) if e.kind() == Kind::Denied => Ok(Err(e)),
            looked => Ok(Ok(looked?)),
        }
    };
    match findings.looked(&folder, "versions of objects", look, cancel).await {
        None => (missing, false),
        Some(Ok(found)) => {
            tell(&mut missing, found);
            (missing, true)
        }
        Some(Err(e)) => {
            let why = e.line();
            missing
                .warnings
                .push(format!("whether objects were deleted or written again is not known: {why}"));
            (missing, false)
        }
    }
}

fn tell(missing: &mut Missing, found: Tampered) {
    if found.more > 0 {
        let more = counted(found.more, "object");
        missing.problems.push(format!("{more} in further folders were deleted or written again"));
    }
    let recent = clock::now().checked_sub(RECENT).unwrap_or(Timestamp::MIN);
    let (now, before): (Vec<_>, Vec<_>) =
        found.folders.into_iter().partition(|(_, deeds)| deeds.last >= recent);
    for (to, all) in [(&mut missing.problems, now), (&mut missing.warnings, before)] {
        let more = all.len().saturating_sub(NAMED_MAX);
        let named = all.into_iter().take(NAMED_MAX);
        to.extend(named.map(|((folder, deed), deeds)| sentence(&folder, deed, &deeds)));
        if more > 0 {
            to.push(format!("the same was done in {}", counted(more as u64, "other folder")));
        }
    }
}

fn sentence(folder: &str, deed: Deed, deeds: &Deeds) -> String {
    let (objects, verb) = (counted(deeds.count, "object"), if deeds.count == 1 { "was" } else { "were" });
    let what = match deed {
        Deed::Deleted => "deleted, and no tombstone announced it",
        Deed::WrittenAgain => "written again",
    };
    let at = clock::text(deeds.first);
    format!(
        "{folder}: {objects} {verb} {what}, first at {at}: an earlier --as-of shows what was there \
         (runbooks/stolen-credentials.md)"
    )
}
