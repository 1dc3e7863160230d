//! `lifeboat restore --tenant … --filestore-only`.

use super::confirm::confirm;
use super::restore_text::missing_files;
use super::{App, Done, print};
use crate::archive::seal::Identities;
use crate::clock::span_text;
use crate::config::Config;
use crate::error::Result;
use crate::names::{bytes_text, counted};
use crate::recovery::announced::{self, Reads};
use crate::recovery::files_only::{FilesRequest, FilesRestored, apply, prepare};

/// Plans, asks, applies.
pub async fn run(
    request: FilesRequest,
    (yes, dry_run): (bool, bool),
    (config, identities): (&Config, Identities),
    app: &App,
) -> Result<Done> {
    let mut prepared = app.looking(prepare(config, request, identities)).await?;
    let reads = prepared.plan.snapshots_read();
    prepared.plan.warnings.extend(announced::warnings(config, &reads).await);
    if dry_run {
        app.print(&prepared.plan, || prepared.plan.to_string())?;
        return Ok(Done::Complete);
    }
    print::err(&prepared.plan.to_string());
    if !yes {
        confirm()?;
    }
    let shown = app.progress(format!("restore the filestore of {}", prepared.plan.database), None);
    let progress = shown.clone();
    let work = apply(prepared, &progress, &app.cancel);
    let restored = announced::watched((config, &reads), &progress, work).await;
    shown.finish();
    let restored = restored?;
    restored.plan.estimate.took(config, restored.seconds);
    app.print(&restored, || text(&restored))?;
    Ok(if restored.lost_files == 0 { Done::Complete } else { Done::Incomplete })
}

fn text(restored: &FilesRestored) -> String {
    let plan = &restored.plan;
    let took = span_text(std::time::Duration::from_secs_f64(restored.seconds));
    let (files, size) = (counted(restored.files, "file"), bytes_text(restored.file_bytes));
    let mut out = format!(
        "the filestore of {} is restored in {} ({took}): {files} ({size}), each checked; no database",
        plan.tenant,
        plan.filestore.dir.display()
    );
    out += &missing_files(&restored.missing_files);
    for warning in &restored.warnings {
        out += &format!("\nwarning: {warning}");
    }
    out
}
