//! Whether expire has announced to delete what a restore reads: said in its plan, and looked at again while
//! it reads. A restore that takes longer than the grace may find that it is gone.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::clock;
use crate::config::Config;
use crate::error::Result;
use crate::inventory::plan::{DumpPlan, PointPlan};
use crate::names::SnapshotId;
use crate::progress::Progress;
use crate::recovery::files_only::FilesPlan;
use crate::repository::Repository;
use crate::repository::tombstones::announcers;

/// How often a restore that runs looks again.
const AGAIN_EVERY: Duration = Duration::from_secs(600);

/// The snapshots that a plan reads.
pub trait Reads {
    /// Their IDs.
    fn snapshots_read(&self) -> BTreeSet<SnapshotId>;
}

impl Reads for DumpPlan {
    fn snapshots_read(&self) -> BTreeSet<SnapshotId> {
        let files = self.files.iter().flat_map(|files| [&files.snapshot].into_iter().chain(&files.sources));
        files.chain([&self.snapshot]).cloned().collect()
    }
}

impl Reads for PointPlan {
    fn snapshots_read(&self) -> BTreeSet<SnapshotId> {
        self.chain.iter().chain([&self.snapshot]).cloned().collect()
    }
}

impl Reads for FilesPlan {
    fn snapshots_read(&self) -> BTreeSet<SnapshotId> {
        self.dump.iter().chain([&self.snapshot]).cloned().collect()
    }
}

/// A sentence for each of these that is announced. A restore does not fail because nobody can tell.
pub async fn warnings(config: &Config, reads: &BTreeSet<SnapshotId>) -> Vec<String> {
    match look(config, reads).await {
        Ok(warnings) => warnings,
        Err(e) => vec![format!("it is not known whether expire will delete what is read: {}", e.line())],
    }
}

async fn look(config: &Config, reads: &BTreeSet<SnapshotId>) -> Result<Vec<String>> {
    let repository = Repository::configured(config).await?;
    let (origin, runs) = (repository.origin().await?, repository.recent_runs().await?);
    let (tombstones, _) = repository.tombstones(runs, &origin, &announcers(config)?).await?;
    let mut found = Vec::new();
    for id in reads {
        let names = |named: &crate::archive::tombstone::Named| {
            [&named.snapshots, &named.batches].iter().any(|ids| ids.contains(id))
        };
        let first =
            tombstones.iter().filter(|one| names(&one.tombstone.named)).min_by_key(|one| one.stored_at);
        let Some(first) = first else { continue };
        let from = first.stored_at.checked_add(config.expire.grace).unwrap_or(first.stored_at);
        found.push(format!(
            "expire has announced to delete {id}, which is read (tombstone {}): it may be deleted from {} on. \
             To keep it, on a host that backs up: \
             lifeboat hold add NAME --snapshot {id} --reason WHY --by WHO",
            first.tombstone.run,
            clock::text(from)
        ));
    }
    Ok(found)
}

/// Does the work, and looks again and again meanwhile: what is announced since the plan is noted.
///
/// # Errors
/// Those of the work.
pub async fn watched<T>(
    (config, reads): (&Config, &BTreeSet<SnapshotId>),
    progress: &Progress,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut work = std::pin::pin!(work);
    let mut told: BTreeSet<String> = warnings(config, reads).await.into_iter().collect();
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = clock::sleep(AGAIN_EVERY) => {}
        }
        // The work goes on while it is asked for.
        let looked = tokio::select! {
            biased;
            done = &mut work => return done,
            looked = look(config, reads) => looked,
        };
        for warning in looked.unwrap_or_default() {
            if told.insert(warning.clone()) {
                progress.note(format!("warning: {warning}"));
            }
        }
    }
}
