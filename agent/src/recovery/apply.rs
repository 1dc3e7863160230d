//! Applies a plan: the only module here that writes. It restores database and filestore at the same time and
//! publishes them only when both are complete; the filestore first, so that no database is ever open
//! without its files.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::archive::manifest::MissingFile;
use crate::clock;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::postgres::load::NotMade;
use crate::progress::Progress;
use crate::recovery::database;
use crate::recovery::file_owner;
use crate::recovery::loaded::{Compared, Silenced};
use crate::recovery::noted::Noted;
use crate::recovery::plan::{Prepared, RestorePlan};
use crate::recovery::stage_files;
use crate::recovery::staging;
use crate::recovery::stopwatch::{Stage, Stopwatch};

/// What was restored.
#[derive(Debug, Serialize)]
pub struct DumpRestored {
    /// The plan that was applied.
    pub plan: RestorePlan,
    /// Stages in the order in which they ended; some run at the same time.
    pub stages: Vec<Stage>,
    /// The total time.
    pub seconds: f64,
    /// Files that are restored.
    pub files: u64,
    /// The sum of their sizes.
    pub file_bytes: u64,
    /// Files that its rows name but that are not restored intact, each with the reason.
    pub missing_files: Vec<MissingFile>,
    /// How many of these the backup had, but are lost now; a flag allows this.
    pub lost_files: u64,
    /// The comparison with the baseline of the backup.
    pub baseline: Compared,
    /// What neutralizing did.
    pub neutralized: Option<Silenced>,
    /// What is in the dump but not in the database.
    pub not_made: Vec<NotMade>,
    /// The file with the SQL for that.
    pub not_made_file: Option<PathBuf>,
    /// Warnings for a person.
    pub warnings: Vec<String>,
}

/// Removes duplicates: the restore finds again what the plan already knew.
pub(super) fn once(warnings: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    warnings.into_iter().filter(|warning| seen.insert(warning.clone())).collect()
}

/// Restores what was planned.
///
/// # Errors
/// Whatever failed. Then nothing is published, and what was created stays under names that mark it as
/// incomplete. Running the same restore again continues where possible.
pub async fn apply(
    mut prepared: Prepared,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<DumpRestored> {
    let begun = clock::instant();
    let plan = prepared.plan.clone();
    prepared.postgres = prepared.postgres.stopped_by(cancel);
    prepared.work.prepare()?;
    let lock_path = prepared.work.lock();
    let _lock = disk::try_lock(&lock_path)?.ok_or_else(|| {
        Error::new(Kind::Busy, format!("another restore of {} is running on this host", plan.database))
            .because(format!("it holds the lock {}", lock_path.display()))
            .next("wait for it to end")
    })?;
    progress.expect_bytes(plan.source.dump_bytes + plan.filestore.as_ref().map_or(0, |f| f.bytes));
    let watch = Stopwatch::default();
    let stop = cancel.child_token();
    let files = async {
        let staged = watch.time("fetch filestore", stage_files::stage(&prepared, progress, &stop));
        staged.await.inspect_err(|_| stop.cancel())
    };
    let rows =
        async { database::load(&prepared, progress, &stop, &watch).await.inspect_err(|_| stop.cancel()) };
    let ((loaded, seen), mut staged) = match tokio::join!(rows, files) {
        (Err(a), Err(b)) => return Err(if a.kind() == Kind::Interrupted { b } else { a }),
        (loaded, staged) => (loaded?, staged?.unwrap_or_default()),
    };
    watch.time("complete filestore", stage_files::complete(&prepared, &mut staged, progress, cancel)).await?;
    if cancel.is_cancelled() {
        return Err(Error::new(Kind::Interrupted, "the restore was stopped before anything was published")
            .safe("running the same restore again continues where possible"));
    }
    let noted = Noted {
        state_dir: &prepared.state_dir,
        instance: prepared.repository.instance(),
        tenant: &plan.source.tenant,
        database: &plan.database,
        incomplete: &plan.incomplete_database,
        filestore: plan.filestore.as_ref(),
        neutralize: plan.neutralize,
    };
    let noted = noted.note(&prepared.postgres.to_the_end()).await;
    let not_made_file = prepared.work.write_not_made(&loaded.not_made)?;
    if let Some(files) = &plan.filestore {
        staging::publish(files, file_owner(&files.data_dir)?)?;
    }
    let refused = watch.time("publish", database::publish(&prepared, &seen)).await?;
    if let Some(files) = &plan.filestore {
        staging::settle(files)?;
    }
    prepared.work.remove()?;
    let missing_files = staged.missing();
    let known = plan.filestore.as_ref().map_or(0, |files| files.missing_files);
    let warnings =
        once([plan.source.warnings.clone(), loaded.warnings, staged.told, refused, noted].concat());
    Ok(DumpRestored {
        plan,
        files: staged.files,
        file_bytes: staged.bytes,
        lost_files: (missing_files.len() as u64).saturating_sub(known),
        missing_files,
        stages: watch.stages(),
        seconds: begun.elapsed().as_secs_f64(),
        baseline: loaded.compared,
        neutralized: loaded.silenced,
        not_made: loaded.not_made,
        not_made_file,
        warnings,
    })
}
