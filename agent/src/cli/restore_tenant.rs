//! `lifeboat restore --tenant … --to-time …`: one tenant at a point in time.

use super::confirm::confirm;
use super::restore_load::{done, not_made_text};
use super::restore_text::{later, missing_files, tables, to_promote};
use super::{App, Done, print};
use crate::clock::span_text;
use crate::config::Config;
use crate::error::Result;
use crate::names::typed::Typed;
use crate::names::{bytes_text, counted};
use crate::recovery::announced::{self, Reads};
use crate::recovery::tenant::apply::{TenantRestored, apply};
use crate::recovery::tenant::plan::prepare;
use crate::recovery::tenant::{TenantRequest, clean};

/// Plans, asks, applies.
pub async fn run(
    request: TenantRequest,
    yes: bool,
    dry_run: bool,
    config: &Config,
    app: &App,
) -> Result<Done> {
    if !dry_run {
        clean(config).await?;
    }
    let typed = request.typed.clone();
    let mut prepared = app.looking(prepare(config, request)).await?;
    let reads = prepared.plan.scratch.source.snapshots_read();
    prepared.plan.scratch.source.warnings.extend(announced::warnings(config, &reads).await);
    if dry_run {
        app.print(&prepared.plan, || prepared.plan.to_string())?;
        return Ok(Done::Complete);
    }
    print::err(&prepared.plan.to_string());
    if !yes {
        confirm()?;
    }
    let shown = app.progress(format!("restore {}", prepared.plan.database), None);
    let progress = shown.clone();
    let work = apply(config, prepared, &progress, &app.cancel);
    let restored = announced::watched((config, &reads), &progress, work).await;
    shown.finish();
    let restored = restored?;
    restored.plan.estimate.took(config, restored.seconds);
    app.print(&restored, || text(&restored, &typed))?;
    Ok(match restored.missing_files.is_empty() {
        true => done(&restored.not_made),
        false => Done::Incomplete,
    })
}

fn text(restored: &TenantRestored, typed: &Typed) -> String {
    let plan = &restored.plan;
    let took = span_text(std::time::Duration::from_secs_f64(restored.seconds));
    let last = restored
        .recovered
        .last_commit
        .map_or("no commit since the base backup".to_owned(), |time| format!("last commit {time}"));
    let replayed = format!("replayed to {}, {last}", restored.recovered.replayed_to);
    let mut out = match &restored.baseline {
        Some(compared) => format!(
            "{} is restored as database {} ({took}): {replayed}; {} as recovered",
            plan.tenant,
            plan.database,
            tables(compared.tables)
        ),
        None => format!("the filestore of {} is restored ({took}): {replayed}; no database", plan.tenant),
    };
    let fetched = bytes_text(restored.base_fetched_bytes);
    out += &format!("\nfetched {fetched} of the base backup; the scratch cluster is gone");
    if let Some(filestore) = &plan.filestore {
        let (files, size) = (counted(restored.files, "file"), bytes_text(restored.file_bytes));
        out += &format!("\n{files} ({size}) in {}, each checked", filestore.dir.display());
    }
    if plan.database_only {
        out += &later(typed, &format!("--snapshot {} ", plan.scratch.source.snapshot), &plan.database);
    }
    match &restored.neutralized {
        Some(done) => {
            let statements = counted(done.applied.len(), "statement");
            out += &format!("\nneutralized: {statements}, database.uuid {}", done.database_uuid);
        }
        None if plan.filestore_only => {}
        None => out += "\nnot neutralized: it is the real thing",
    }
    if !plan.filestore_only {
        out += &to_promote(&plan.tenant, &plan.database, plan.neutralize);
    }
    out += &not_made_text(&restored.not_made, restored.not_made_file.as_deref());
    out += &missing_files(&restored.missing_files);
    for warning in &restored.warnings {
        out += &format!("\nwarning: {warning}");
    }
    out
}
