//! The plan for restoring one tenant to a point in time. It changes nothing: every obstacle that can be found
//! beforehand is refused here.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::inventory::plan::{PointAsked, PointPlan};
use crate::inventory::target::{Action, Target};
use crate::names::{TenantName, bytes_text};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::database::{database_exists, missing_roles};
use crate::postgres::load::rights::Loads;
use crate::postgres::server::{ServerInfo, server_info};
use crate::postgres::session::{Session, column};
use crate::postgres::tools::Tools;
use crate::recovery::find_files::{Places, Search};
use crate::recovery::instance;
use crate::recovery::instance::narrow::{Narrowed, Only};
use crate::recovery::instance::plan::{self as base, InstancePlan};
use crate::recovery::instance::start;
use crate::recovery::place::{FilestorePlan, default_target, filestore_plan, incomplete_name};
use crate::recovery::server::check_server;
use crate::recovery::tenant::as_of::{AsOf, as_of, nearest_dump};
use crate::recovery::tenant::{TenantRequest, scratch};
use crate::recovery::timing::{Estimate, Way, Work};
use crate::recovery::workplace::{Workplace, workplace};

/// What will be done; `Display` gives the text that a person confirms.
#[derive(Clone, Debug, Serialize)]
pub struct TenantPlan {
    /// The tenant.
    pub tenant: TenantName,
    /// The scratch cluster: base backup, target, WAL, what is fetched.
    pub scratch: InstancePlan,
    /// Whether the base backup has a database of that name.
    pub in_base: bool,
    /// Bytes of the tenant's own files in the base backup.
    pub own_bytes: u64,
    /// Bytes of the files that all databases share.
    pub shared_bytes: u64,
    /// Bytes of the other databases' files, which are not fetched.
    pub left_out_bytes: u64,
    /// The target server.
    pub server: String,
    /// The new database.
    pub database: TenantName,
    /// Its name until it is complete.
    pub incomplete_database: String,
    /// Its owner; the owner at the target if `None`.
    pub owner: Option<String>,
    /// The role that loads the dump.
    pub loads: Loads,
    /// The new filestore; its numbers are those of the nearest backup.
    pub filestore: Option<FilestorePlan>,
    /// Where the dump is stored temporarily; removed at the end.
    pub work_dir: PathBuf,
    /// Free bytes there.
    pub work_free_bytes: u64,
    /// How long it will take.
    pub estimate: Estimate,
    /// Whether the copy is neutralized.
    pub neutralize: bool,
    /// Whether no files are restored, as requested.
    pub database_only: bool,
    /// Whether no database is restored, as requested.
    pub filestore_only: bool,
    /// Whether it is published, as requested, although some files are intact in no backup.
    pub allow_missing_files: bool,
    /// What the server lacks, as far as a dump shows it.
    pub as_of: Option<AsOf>,
    /// Warnings for a person.
    pub warnings: Vec<String>,
}

/// A plan, and everything that was found out for it.
pub struct Prepared {
    /// The plan.
    pub plan: TenantPlan,
    pub(super) base: base::Prepared,
    pub(super) request: TenantRequest,
    pub(super) search: Search,
    pub(super) server_tools: Tools,
    pub(super) tools: Tools,
    pub(super) postgres: PostgresOptions,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) work: Workplace,
}

/// Finds the base backup and checks everything that will be changed.
pub async fn prepare(config: &Config, request: TenantRequest) -> Result<Prepared> {
    let base = instance::bind::prepare(config, base_request(config, &request)).await?;
    let state_of = state_of(&request.target, &base.plan.source);
    let database = match &request.name {
        Some(name) => name.clone(),
        None => default_target(&request.tenant, state_of.unwrap_or_else(clock::now))?,
    };
    scratch::check_way(&base.plan.data_dir, base.plan.owner)?;
    let server_tools = start::tools(config, &base.plan).await?;
    let Some(narrowed) = &base.narrowed else {
        return Err(Error::new(Kind::Internal, "a scratch cluster with every database"));
    };
    let postgres = PostgresOptions::from(&config.postgres);
    let system_identifier = base.facts()?.system_identifier.clone();
    let Beside { server, current_name, unfinished, loads } =
        look_beside(&postgres, &request, &base.plan, narrowed, &system_identifier, &database).await?;
    let tools = Tools::clients(&postgres, server.major).await?;
    let origin = base.repository.origin().await?;
    let was = base.layout.databases.iter().find(|d| Some(d.oid) == narrowed.oid).map(|d| d.name.clone());
    let other_names = was.into_iter().chain(current_name).filter_map(|name| name.parse().ok());
    let own = other_names.chain([request.tenant.clone()]);
    let names: BTreeSet<TenantName> = own.chain(request.files_of.iter().cloned()).collect();
    let source = &base.plan.source;
    let near = state_of.or(source.wal_stored_at).unwrap_or(source.base_point);
    let identities = Arc::new(request.identities.clone());
    let search = Search::new(&base.repository, &origin, &request.trust, &identities, names.clone(), near);
    let places = search.places().await?;
    let dump = match request.filestore_only {
        true => None,
        false => nearest_dump((&base.repository, &origin, &request.trust), &names, near).await?,
    };
    let guessed = match dump {
        Some(dump) => {
            let mut session = Session::maintenance(&postgres).await?;
            let from = (&base.repository, &identities);
            let guessed = as_of(from, &mut session, &dump, (&request, loads)).await?;
            session.close().await;
            guessed.map(Some)
        }
        None if !request.filestore_only => {
            Err("no dump of this tenant is stored: what the server lacks is known only after recovery"
                .to_owned())
        }
        _ => Ok(None),
    };
    let work = workplace(config, &database)?;
    let no_place = request.data_dir.is_none() && config.data_dir().is_err();
    let (data_dir, filestore) = match (places.backups.first(), places.batches.first()) {
        _ if request.database_only => (None, None),
        // There may be some under another name of the tenant, which only replay shows.
        (None, None) if narrowed.oid.is_some() || no_place => (None, None),
        (nearest, batch) => {
            let dir = match &request.data_dir {
                Some(dir) => dir.clone(),
                None => config.data_dir()?.to_owned(),
            };
            let held = match nearest.and_then(|manifest| Some((manifest, manifest.filestore()?))) {
                Some((manifest, facts)) => (manifest.id.clone(), facts.files, facts.bytes),
                None => (batch.cloned().unwrap_or_else(|| base.plan.source.snapshot.clone()), 0, 0),
            };
            let unfinished = unfinished || request.filestore_only;
            let plan = filestore_plan(held, 0, &dir, &database, (unfinished, work.staging()))?;
            (Some(dir), Some(plan))
        }
    };
    let (file_bytes, files) = filestore.as_ref().map_or((0, 0), |files| (files.bytes, files.files));
    let work_dir = work.dir.clone();
    let neutralize = request.neutralize.unwrap_or(database != request.tenant);
    let plan = TenantPlan {
        in_base: narrowed.oid.is_some(),
        own_bytes: narrowed.own_bytes,
        shared_bytes: narrowed.shared_bytes,
        left_out_bytes: narrowed.sparse_bytes,
        server: format!("{}:{} (PostgreSQL {})", postgres.host_text(), postgres.port, server.version),
        incomplete_database: incomplete_name(&database),
        owner: request.owner.clone(),
        loads,
        work_free_bytes: disk::free_bytes(&work_dir)?,
        estimate: Work {
            loaded_bytes: if request.filestore_only { 0 } else { narrowed.own_bytes },
            file_bytes,
            files,
            base_bytes: base.plan.bytes,
            wal_bytes: base.plan.source.wal_bytes,
            ..Work::of(Way::Point, Some(&request.tenant))
        }
        .estimate(config),
        neutralize,
        database_only: request.database_only,
        filestore_only: request.filestore_only,
        allow_missing_files: request.allow_missing_files,
        warnings: {
            let own = warnings(&request, &base.plan, narrowed, places, (neutralize, loads));
            own.into_iter().chain(guessed.as_ref().err().cloned()).collect()
        },
        as_of: guessed.ok().flatten(),
        tenant: request.tenant.clone(),
        scratch: base.plan.clone(),
        database,
        filestore,
        work_dir,
    };
    if plan.work_free_bytes < plan.own_bytes {
        let (needed, free) = (bytes_text(plan.own_bytes), bytes_text(plan.work_free_bytes));
        let what = format!(
            "the dump needs up to {needed} in {}, but only {free} are free there",
            plan.work_dir.display()
        );
        return Err(Error::new(Kind::NoSpace, what)
            .effect("nothing was changed")
            .next("free some space, or set restore.work_dir"));
    }
    Ok(Prepared { plan, base, request, search, server_tools, tools, postgres, data_dir, work })
}

/// The time of the wanted state, as far as known before recovery.
fn state_of(target: &Target, plan: &PointPlan) -> Option<Timestamp> {
    match target {
        Target::Time(time) => Some(*time),
        Target::Immediate => Some(plan.base_point),
        Target::Latest => plan.wal_stored_at,
        Target::RestorePoint(_) => plan.restore_point.as_ref().map(|mark| mark.time),
        Target::Lsn(_) => None,
    }
}

fn base_request(config: &Config, request: &TenantRequest) -> instance::InstanceRequest {
    instance::InstanceRequest {
        data_dir: scratch::place(config),
        delta: false,
        asked: PointAsked {
            tenant: Some(request.tenant.clone()),
            target: request.target.clone(),
            timeline: request.timeline,
            snapshot: request.snapshot.clone(),
            release: None,
            own_command: request.restore_command.is_some(),
        },
        action: Action::Promote,
        only: Some(Only::Named(request.tenant.clone())),
        tablespaces: Vec::new(),
        restore_command: request.restore_command.clone(),
        keep_archiving: false,
        preload: request.preload.clone(),
        starts: true,
        as_production: false,
        os_user: request.os_user.clone(),
        trust: request.trust.clone(),
        identities: request.identities.clone(),
        identity_files: request.identity_files.clone(),
        typed: request.typed.clone(),
    }
}

/// The state of the target server.
struct Beside {
    server: ServerInfo,
    /// The current name of the tenant's database there, if it is the same cluster.
    current_name: Option<String>,
    /// Whether an earlier try left an unfinished database.
    unfinished: bool,
    loads: Loads,
}

async fn look_beside(
    postgres: &PostgresOptions,
    request: &TenantRequest,
    plan: &InstancePlan,
    narrowed: &Narrowed,
    system_identifier: &str,
    database: &TenantName,
) -> Result<Beside> {
    let mut session = Session::maintenance(postgres).await?;
    let version = plan.source.server_version.as_str();
    let major = version.split(['.', ' ']).next().and_then(|major| major.parse().ok()).unwrap_or(0);
    let server = match request.filestore_only {
        true => server_info(&mut session).await?, // the database may already exist: nothing is created in it
        false => check_server(&mut session, ("the backup", version, major), database).await?,
    };
    if let Some(owner) = &request.owner
        && !missing_roles(&mut session, std::slice::from_ref(owner)).await?.is_empty()
    {
        return Err(Error::new(Kind::Refused, format!("role {owner} does not exist on the target server"))
            .effect("nothing was changed"));
    }
    let loads = Loads::decide(&mut session, request.load.as_superuser).await?;
    let unfinished = database_exists(&mut session, &incomplete_name(database)).await?;
    let mut current_name = None;
    let same_cluster = server.system_identifier.as_deref() == Some(system_identifier);
    if let Some(oid) = narrowed.oid.filter(|_| same_cluster) {
        let sql = format!("SELECT datname::text FROM pg_database WHERE oid = {oid}");
        let rows = session.rows("search for the tenant's database", sql).await?;
        current_name = rows.first().map(|row| column(row, 0)).transpose()?;
    }
    session.close().await;
    Ok(Beside { server, current_name, unfinished, loads })
}

fn warnings(
    request: &TenantRequest,
    plan: &InstancePlan,
    narrowed: &Narrowed,
    places: &Places,
    (neutralize, loads): (bool, Loads),
) -> Vec<String> {
    let mut out = plan.source.warnings.clone();
    if narrowed.oid.is_none() {
        out.push(format!(
            "the base backup has no database {}: if it was created later, it comes from WAL; if it was renamed, or copied from another one, these files are fetched in a second round",
            request.tenant
        ));
    }
    match (places.backups.is_empty(), places.batches.is_empty()) {
        _ if request.database_only => {}
        (false, _) => {}
        (true, true) => out.push("its filestore has no backup: attachments will be missing".into()),
        (true, false) => out.push(
            "its filestore has no backup, only the new files that the agent stored: older attachments may be missing".into(),
        ),
    }
    out.extend(loads.warning());
    if !neutralize {
        out.push("NOT neutralized: mail, scheduled jobs, payments and deliveries are live as soon as an Odoo opens it".into());
    }
    out
}
