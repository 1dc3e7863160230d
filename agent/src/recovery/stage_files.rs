//! Fetches the files of a planned restore into the staging directory, and other files that the restored
//! rows name.

use tokio_util::sync::CancellationToken;

use crate::archive::manifest::MissingFile;
use crate::error::{Kind, Result};
use crate::postgres::look;
use crate::postgres::session::Session;
use crate::progress::Progress;
use crate::recovery::dump_files::DumpFiles;
use crate::recovery::filestore::{Staged, Staging};
use crate::recovery::named_files::{NamedFile, named_files};
use crate::recovery::place::FilestorePlan;
use crate::recovery::plan::Prepared;

impl DumpFiles {
    fn staging<'a>(
        &'a self,
        prepared: &'a Prepared,
        plan: &'a FilestorePlan,
        progress: &'a Progress,
        cancel: &'a CancellationToken,
    ) -> Staging<'a> {
        Staging {
            plan,
            data_dir: &plan.data_dir,
            repository: &prepared.repository,
            identities: &prepared.identities,
            search: self.search(),
            allow_missing: prepared.request.allow_missing_files,
            workers: prepared.workers,
            progress,
            cancel,
        }
    }
}

/// Fetches all listed files into the staging directory, checks them and syncs them; does nothing if no
/// files are restored.
///
/// # Errors
/// See [`Staging::run`].
pub(super) async fn stage(
    prepared: &Prepared,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Option<Staged>> {
    let Some((files, plan)) = prepared.files.as_ref().zip(prepared.plan.filestore.as_ref()) else {
        return Ok(None);
    };
    let list = files.list(&prepared.repository, &prepared.identities).await?;
    files.staging(prepared, plan, progress, cancel).run(list).await.map(Some)
}

/// Fetches the other files that the rows of the restored database name. What is still missing after this
/// stays missing.
///
/// # Errors
/// See [`Staging::run`].
pub(super) async fn complete(
    prepared: &Prepared,
    staged: &mut Staged,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<()> {
    let Some((files, plan)) = prepared.files.as_ref().zip(prepared.plan.filestore.as_ref()) else {
        return Ok(());
    };
    progress.stage(format!("{}: files that its rows name", prepared.plan.database));
    match named(prepared).await {
        Ok(names) => files.staging(prepared, plan, progress, cancel).complete(names, staged).await?,
        Err(e) if staged.unread.is_none() && matches!(e.kind(), Kind::Denied | Kind::Postgres) => {
            files.staging(prepared, plan, progress, cancel).check(staged)?;
            staged.told.push(format!(
                "the list of files that the restored rows name could not be read ({}); the files in its backup's list are restored",
                e.line()
            ));
        }
        Err(e) => return Err(e),
    }
    // The reasons that the backup recorded; and files that it stored although they were already damaged.
    let known = files.missing();
    for file in &mut staged.never_held {
        if let Some(known) = known.iter().find(|known| known.store_fname == file.store_fname) {
            file.clone_from(known);
        }
    }
    let told =
        |file: &&MissingFile| !staged.never_held.iter().any(|told| told.store_fname == file.store_fname);
    let damaged: Vec<MissingFile> = known.iter().filter(told).cloned().collect();
    staged.never_held.extend(damaged);
    Ok(())
}

async fn named(prepared: &Prepared) -> Result<Vec<NamedFile>> {
    let mut session = Session::connect(&prepared.postgres, &prepared.plan.incomplete_database).await?;
    look::begin(&mut session).await?;
    let named = named_files(&mut session, &prepared.work).await?;
    look::end(&mut session).await?;
    session.close().await;
    Ok(named.files)
}
