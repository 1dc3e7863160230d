//! `lifeboat restore --tenant … --to-time …`: one tenant at a point in time.

use super::restore::{confirm, to_promote};
use super::{App, Done, print};
use crate::clock::span_text;
use crate::config::Config;
use crate::error::Result;
use crate::names::bytes_text;
use crate::recovery::tenant::apply::{Restored, apply};
use crate::recovery::tenant::plan::prepare;
use crate::recovery::tenant::{Request, clean};

/// Missing files that are named one by one; `--json` names all.
const MISSING_TOLD_MAX: usize = 10;

/// Plans, asks, applies.
pub async fn run(request: Request, yes: bool, dry_run: bool, config: &Config, app: &App) -> Result<Done> {
    if !dry_run {
        clean(config).await?;
    }
    let prepared = app.looking(prepare(config, request)).await?;
    if dry_run {
        app.print(&prepared.plan, || prepared.plan.to_string())?;
        return Ok(Done::Complete);
    }
    print::err(&prepared.plan.to_string());
    if !yes {
        confirm()?;
    }
    let shown = app.progress(format!("restore {}", prepared.plan.database), None);
    let restored = apply(config, prepared, &shown.clone(), &app.cancel).await;
    shown.finish();
    let restored = restored?;
    app.print(&restored, || text(&restored))?;
    Ok(match restored.missing_files.is_empty() {
        true => Done::Complete,
        false => Done::Incomplete,
    })
}

fn text(restored: &Restored) -> String {
    let plan = &restored.plan;
    let took = span_text(std::time::Duration::from_secs_f64(restored.seconds));
    let last = restored
        .recovered
        .last_commit
        .map_or("no commit since the base backup".to_owned(), |time| format!("last commit {time}"));
    let mut out = format!(
        "{} is restored as database {} ({took}): replayed to {}, {last}; {} tables are as they were \
        recovered",
        plan.tenant, plan.database, restored.recovered.replayed_to, restored.baseline.tables
    );
    let fetched = bytes_text(restored.base_fetched_bytes);
    out += &format!("\nfetched {fetched} of the base backup; the scratch cluster is gone");
    if let Some(filestore) = &plan.filestore {
        let (files, size) = (restored.files, bytes_text(restored.file_bytes));
        out += &format!("\n{files} files ({size}) in {}, each checked", filestore.dir.display());
    }
    match &restored.neutralized {
        Some(done) => {
            let statements = done.applied.len();
            out += &format!("\nneutralized: {statements} statements, database.uuid {}", done.database_uuid);
        }
        None => out += "\nnot neutralized: it is the real thing",
    }
    out += &to_promote(&plan.tenant, &plan.database, plan.neutralize);
    let missing = restored.missing_files.len();
    if missing > 0 {
        let told = restored.missing_files.iter().take(MISSING_TOLD_MAX).cloned().collect::<Vec<_>>();
        out += &format!("\n{missing} files that its rows name are in no backup: {}", told.join(", "));
    }
    for warning in &restored.warnings {
        out += &format!("\nwarning: {warning}");
    }
    out
}
