//! The database's half of a restore: fetches the dump from its packs, loads it into a hidden database,
//! compares it with its baseline and neutralizes it. Only [`publish`] opens it under its name.

use std::collections::HashMap;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::archive::manifest::DUMP_PATH;
use crate::error::{Error, Kind, Result};
use crate::progress::Progress;
use crate::recovery::extract::{Extract, extract};
use crate::recovery::fill::Fill;
use crate::recovery::loaded::Loaded;
use crate::recovery::plan::Prepared;
use crate::recovery::server::Seen;
use crate::recovery::stopwatch::Stopwatch;
use crate::recovery::wanted::Wanted;

impl Prepared {
    fn fill(&self) -> Fill<'_> {
        Fill {
            database: &self.plan.database,
            incomplete: &self.plan.incomplete_database,
            owner: &self.plan.owner,
            by_owner: self.request.owner.as_deref(),
            neutralize: self.plan.neutralize,
            copy_of: Some(&self.plan.source.tenant)
                .filter(|tenant| self.plan.neutralize && **tenant != self.plan.database),
            base_url: self.request.base_url.as_deref(),
            work: &self.work,
            baseline: &self.baseline,
            postgres: &self.postgres,
            tools: &self.tools,
            jobs: self.jobs,
            loads: self.plan.loads,
            choices: &self.request.load,
        }
    }
}

/// Fetches, loads, compares, neutralizes.
pub(super) async fn load(
    prepared: &Prepared,
    progress: &Progress,
    cancel: &CancellationToken,
    watch: &Stopwatch,
) -> Result<(Loaded, Seen)> {
    watch.time("fetch dump", spool(prepared, progress, cancel)).await?;
    let fill = prepared.fill();
    let seen = fill.look().await?;
    Ok((fill.load(&seen, progress, cancel, watch).await?, seen))
}

/// Gives the database its name. Settings that the server refuses become warnings.
pub(super) async fn publish(prepared: &Prepared, seen: &Seen) -> Result<Vec<String>> {
    prepared.fill().publish(seen).await
}

/// The dump as a file in the work directory; an intact one of an earlier try is kept.
async fn spool(prepared: &Prepared, progress: &Progress, cancel: &CancellationToken) -> Result<()> {
    let dir = prepared.work.open()?;
    let (repository, dump, identities) =
        (prepared.repository.clone(), prepared.dump.clone(), prepared.identities.clone());
    let (workers, progress, cancel) = (prepared.workers, progress.clone(), cancel.clone());
    tokio::task::spawn_blocking(move || {
        let runtime = Handle::current();
        let wanted = Wanted::single(&repository, &runtime, &dump, &identities)?;
        let facts = dump.dump_facts()?;
        let whole = wanted
            .files()
            .iter()
            .any(|f| wanted.path(f) == DUMP_PATH && f.sha256 == facts.sha256.0 && f.bytes == facts.bytes);
        if !whole || wanted.files().len() != 1 {
            return Err(Error::new(
                Kind::Integrity,
                format!("the index of snapshot {} does not name the dump of its manifest", dump.id),
            ));
        }
        let manifests = HashMap::from([(dump.id.clone(), dump)]);
        extract(&Extract {
            repository: &repository,
            runtime: &runtime,
            manifests: &manifests,
            identities: &identities,
            wanted: &wanted,
            dir: &dir,
            dir_mode: 0o700,
            owner: None,
            workers,
            progress: &progress,
            cancel: &cancel,
        })
    })
    .await
    .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "fetching the dump panicked").because(e)))
}
