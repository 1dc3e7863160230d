//! `lifeboat restore`.

use std::path::PathBuf;

use super::confirm::confirm;
use super::past::PastArgs;
use super::restore_instance::{self, Common, InstanceArgs};
use super::restore_load::{LoadArgs, done, not_made_text};
use super::restore_text::{later, missing_files, tables, to_promote};
use super::trust::TrustArgs;
use super::{App, Done, identity, print};
use super::{restore_files, restore_tenant};
use crate::clock::span_text;
use crate::error::{Error, Kind, Result};
use crate::inventory::plan::{Asked, DumpAsked, DumpPlan, Plan, PointAsked, PointPlan};
use crate::names::typed::Typed;
use crate::names::{ReleaseId, SnapshotId, TenantName, counted};
use crate::recovery::announced::{self, Reads};
use crate::recovery::apply::{DumpRestored, apply};
use crate::recovery::files_only::FilesRequest;
use crate::recovery::plan::prepare;
use crate::recovery::{Pick, RestoreRequest, stored, tenant};
use crate::repository::Repository;

/// Restore a tenant (database and filestore) or a whole instance
///
/// Prints the plan first and asks. Nothing is overwritten: a restore never changes an existing database or a
/// filestore that is not empty. The new database stays hidden, under a name that says that it is incomplete,
/// until everything is restored and compared with what the backup recorded.
///
/// A copy under another name is neutralized before anything can connect: mail, scheduled jobs, payments and
/// deliveries are off, and it gets its own database.uuid. Under the tenant's own name it is not neutralized,
/// unless you pass --neutralize.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  # the newest dump, beside production
  lifeboat restore --tenant retail_north --identity id.txt
  # the plan only; with --stored-only it needs no identity and no server
  lifeboat restore --tenant retail_north --dry-run
  lifeboat restore --tenant retail_north --dry-run --stored-only
  lifeboat restore --tenant retail_north --release 2026.11.20 --as retail_check
  # the tenant itself, after a loss
  lifeboat restore --tenant retail_north --as retail_north
  # the tenant at a point in time, from base backup and WAL
  lifeboat restore --tenant retail_north --to-time 2026-11-20T14:03:00Z
  # the tenant as it was before a bad release
  lifeboat restore --tenant retail_north --before-release 2026.11.20
  # only the files, for a database that exists
  lifeboat restore --tenant retail_north --filestore-only --as retail_check
  # the whole cluster at a point in time, in a new directory
  lifeboat restore --instance-to /srv/pg/back --to-time 2026-11-20T01:58:00Z \\
      --start
  # over an old data directory, which is kept beside it
  lifeboat restore --instance-to /var/lib/postgresql/15/main --delta")]
pub struct Args {
    /// The tenant to restore
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "instance_to",
        conflicts_with = "instance_to"
    )]
    tenant: Option<TenantName>,
    /// Use this dump or base backup [default: the newest that can be used]
    #[arg(long, value_name = "ID", conflicts_with = "release")]
    snapshot: Option<SnapshotId>,
    /// Restore the point of this release's checkpoint. Without a checkpoint: use the release's newest dump,
    /// or with --instance-to its newest base backup
    #[arg(long, value_name = "ID")]
    release: Option<ReleaseId>,
    /// The new database's name [default: the tenant's name and the time of its state]
    #[arg(long = "as", value_name = "NAME", conflicts_with = "instance_to")]
    target: Option<TenantName>,
    /// The age identity that opens the backup; may be repeated [default: seal.identity_files]
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: plan from what is stored alone. Needs no identity, asks no server, reads no directory
    #[arg(long, requires = "dry_run", conflicts_with = "filestore_only", hide_short_help = true)]
    stored_only: bool,
    #[command(flatten)]
    trust: TrustArgs,
    /// As of when it is read.
    #[command(flatten)]
    pub past: PastArgs,
    /// Leave mail, scheduled jobs, payments and deliveries live
    #[arg(long, conflicts_with = "instance_to", hide_short_help = true, help_heading = TENANT)]
    no_neutralize: bool,
    /// Neutralize even under the tenant's own name
    #[arg(
        long,
        conflicts_with_all = ["no_neutralize", "instance_to"],
        hide_short_help = true,
        help_heading = TENANT
    )]
    neutralize: bool,
    /// web.base.url of a neutralized copy [default: http://localhost:8069]
    #[arg(
        long,
        value_name = "URL",
        conflicts_with = "instance_to",
        hide_short_help = true,
        help_heading = TENANT
    )]
    base_url: Option<String>,
    /// Odoo's data directory to restore the filestore into [default: odoo.data_dir]
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "instance_to",
        hide_short_help = true,
        help_heading = TENANT
    )]
    data_dir: Option<PathBuf>,
    /// Restore the database and no files; --filestore-only restores them later
    #[arg(
        long,
        conflicts_with_all = ["instance_to", "filestore_only", "data_dir", "allow_missing_files"],
        help_heading = TENANT
    )]
    database_only: bool,
    /// Restore the files and no database, into the filestore of the database that --as names
    #[arg(
        long,
        conflicts_with_all = ["instance_to", "owner", "load_as_superuser", "neutralize", "no_neutralize", "base_url"],
        help_heading = TENANT
    )]
    filestore_only: bool,
    /// If no backup holds some of the files: restore all others and name each missing file (exit code 3)
    #[arg(long, conflicts_with = "instance_to", hide_short_help = true, help_heading = TENANT)]
    allow_missing_files: bool,
    /// Also take files from backups of the tenant that the restored one was copied from; may be repeated
    #[arg(
        long,
        value_name = "TENANT",
        conflicts_with_all = ["instance_to", "database_only"],
        hide_short_help = true,
        help_heading = TENANT
    )]
    files_of: Vec<TenantName>,
    /// Give everything to this role [default: the owners recorded in the backup]
    #[arg(
        long,
        value_name = "ROLE",
        conflicts_with = "instance_to",
        hide_short_help = true,
        help_heading = TENANT
    )]
    owner: Option<String>,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    instance: InstanceArgs,
}

/// The heading of what goes with `--tenant`.
const TENANT: &str = "With --tenant";

/// Plans, asks, applies.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    run_one(args, app).await.map_err(|e| match e.kind() {
        Kind::Integrity => e.next(
            "lifeboat verify names what is undamaged; --snapshot selects it: runbooks/damaged-repository.md",
        ),
        _ => e,
    })
}

async fn run_one(mut args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    args.instance.resolve(&mut args.release, &config, args.stored_only).await?;
    let typed = Typed::of(&app.inputs.arguments);
    let trust = args.trust.trust(&config)?;
    if args.stored_only {
        let repository = Repository::configured(&config).await?;
        let mut plan = app.looking(stored::plan(&repository, &trust, &asked(args)?)).await?;
        let reads = match &plan {
            Plan::Dump(plan) => plan.snapshots_read(),
            Plan::Point(plan) => plan.snapshots_read(),
        };
        let (Plan::Dump(DumpPlan { warnings, .. }) | Plan::Point(PointPlan { warnings, .. })) = &mut plan;
        warnings.extend(announced::warnings(&config, &reads).await);
        app.print(&plan, || plan.to_string())?;
        return Ok(Done::Complete);
    }
    let Some(tenant) = args.tenant else {
        let (yes, dry_run) = (args.yes, args.dry_run);
        let common = Common {
            snapshot: args.snapshot,
            release: args.release,
            identity: args.identity,
            trust,
            yes,
            dry_run,
        };
        return restore_instance::run(args.instance, common, &config, app).await;
    };
    let identities = identity::identities(&args.identity, &config)?;
    let neutralize = match (args.neutralize, args.no_neutralize) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let load = args.load.choices(&args.instance.tablespace_map)?;
    if let Some(target) = args.instance.target() {
        if args.release.is_some() {
            return Err(release_is_of_a_dump());
        }
        let request = tenant::TenantRequest {
            tenant,
            target,
            snapshot: args.snapshot,
            timeline: args.instance.timeline,
            restore_command: args.instance.restore_command,
            preload: args.instance.preload,
            os_user: args.instance.os_user,
            name: args.target,
            data_dir: args.data_dir,
            owner: args.owner,
            neutralize,
            base_url: args.base_url,
            load,
            database_only: args.database_only,
            filestore_only: args.filestore_only,
            allow_missing_files: args.allow_missing_files,
            files_of: args.files_of,
            trust,
            identities,
            identity_files: args.identity,
            typed,
        };
        return restore_tenant::run(request, args.yes, args.dry_run, &config, app).await;
    }
    args.instance.check_unused()?;
    if args.filestore_only {
        let request = FilesRequest {
            tenant,
            pick: pick(args.snapshot, args.release),
            target: args.target,
            data_dir: args.data_dir,
            allow_missing_files: args.allow_missing_files,
            files_of: args.files_of,
            trust,
        };
        return restore_files::run(request, (args.yes, args.dry_run), (&config, identities), app).await;
    }
    let request = RestoreRequest {
        asked: DumpAsked {
            tenant,
            pick: pick(args.snapshot, args.release),
            database_only: args.database_only,
        },
        target: args.target,
        data_dir: args.data_dir,
        owner: args.owner,
        neutralize,
        base_url: args.base_url,
        load,
        allow_missing_files: args.allow_missing_files,
        files_of: args.files_of,
        trust,
    };
    let mut prepared = app.looking(prepare(&config, request, identities)).await?;
    let reads = prepared.plan.source.snapshots_read();
    prepared.plan.source.warnings.extend(announced::warnings(&config, &reads).await);
    if args.dry_run {
        app.print(&prepared.plan, || prepared.plan.to_string())?;
        return Ok(Done::Complete);
    }
    print::err(&prepared.plan.to_string());
    if !args.yes {
        confirm()?;
    }
    let shown = app.progress(format!("restore {}", prepared.plan.database), None);
    let progress = shown.clone();
    let work = apply(prepared, &progress, &app.cancel);
    let restored = announced::watched((&config, &reads), &progress, work).await;
    shown.finish();
    let restored = restored?;
    restored.plan.estimate.took(&config, restored.seconds);
    app.print(&restored, || text(&restored, &typed))?;
    Ok(if restored.lost_files == 0 { done(&restored.not_made) } else { Done::Incomplete })
}

fn release_is_of_a_dump() -> Error {
    Error::new(
        Kind::Usage,
        "--release selects a dump; it cannot be combined with --to, --to-time, --to-lsn or --to-restore-point",
    )
}

/// From what it is to be restored.
fn asked(args: Args) -> Result<Asked> {
    let Some(tenant) = args.tenant else {
        return Ok(Asked::Point(args.instance.asked(args.snapshot, args.release)));
    };
    match args.instance.target() {
        Some(_) if args.release.is_some() => Err(release_is_of_a_dump()),
        Some(_) => {
            let asked = args.instance.asked(args.snapshot, None);
            Ok(Asked::Point(PointAsked { tenant: Some(tenant), ..asked }))
        }
        None => {
            args.instance.check_unused()?;
            let pick = pick(args.snapshot, args.release);
            Ok(Asked::Dump(DumpAsked { tenant, pick, database_only: args.database_only }))
        }
    }
}

fn pick(snapshot: Option<SnapshotId>, release: Option<ReleaseId>) -> Pick {
    match (snapshot, release) {
        (Some(id), _) => Pick::Snapshot(id),
        (None, Some(release)) => Pick::Release(release),
        (None, None) => Pick::Latest,
    }
}

fn text(restored: &DumpRestored, typed: &Typed) -> String {
    let plan = &restored.plan;
    let took = span_text(std::time::Duration::from_secs_f64(restored.seconds));
    let mut out = format!(
        "{} is restored as database {} ({took}): {} as recorded",
        plan.source.tenant,
        plan.database,
        tables(restored.baseline.tables)
    );
    if let Some(filestore) = &plan.filestore {
        let files = counted(restored.files, "file");
        out += &format!("\n{files} in {}, each checked", filestore.dir.display());
    }
    if plan.database_only {
        out += &later(typed, &format!("--snapshot {} ", plan.source.snapshot), &plan.database);
    }
    out += &missing_files(&restored.missing_files);
    match &restored.neutralized {
        Some(done) => {
            out += &format!(
                "\nneutralized: {}, database.uuid {}",
                counted(done.applied.len(), "statement"),
                done.database_uuid
            )
        }
        None => out += "\nnot neutralized: it is the real thing",
    }
    out += &to_promote(&plan.source.tenant, &plan.database, plan.neutralize);
    out += &not_made_text(&restored.not_made, restored.not_made_file.as_deref());
    for warning in &restored.warnings {
        out += &format!("\nwarning: {warning}");
    }
    out
}
