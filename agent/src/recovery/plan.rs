//! The plan of a restore: what comes from where, what will be created, what it costs. It changes nothing:
//! every obstacle that can be found beforehand is refused here.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::archive::manifest::{BASELINE, DumpFacts, Manifest, MissingFile};
use crate::archive::seal::Identities;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::inventory::plan::DumpPlan;
use crate::names::{TenantName, bytes_text};
use crate::odoo::baseline::Baseline;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::database::database_exists;
use crate::postgres::load::rights::Loads;
use crate::postgres::session::Session;
use crate::postgres::tools::Tools;
use crate::recovery::RestoreRequest;
use crate::recovery::dump_files::DumpFiles;
use crate::recovery::dump_list::dump_list;
use crate::recovery::place::{FilestorePlan, default_target, incomplete_name};
use crate::recovery::server::{Asking, check_server, look, own_tablespace, will_miss};
use crate::recovery::stored;
use crate::recovery::timing::{Estimate, Way, Work};
use crate::recovery::workplace::{Workplace, workplace};
use crate::repository::Repository;

/// Space that is needed somewhere.
#[derive(Clone, Debug, Serialize)]
pub struct Space {
    /// Its purpose.
    pub purpose: &'static str,
    /// The directory.
    pub path: PathBuf,
    /// Bytes that will be written there.
    pub needed: u64,
    /// Free bytes there.
    pub free: u64,
}

/// What will be done; `Display` gives the text that a person confirms.
#[derive(Clone, Debug, Serialize)]
pub struct RestorePlan {
    /// The source: the plan that was bound to this host. It has all warnings.
    #[serde(flatten)]
    pub source: DumpPlan,
    /// The target server.
    pub server: String,
    /// The new database.
    pub database: TenantName,
    /// Its name until it is complete.
    pub incomplete_database: String,
    /// Its tablespace, if that is not the server's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tablespace: Option<String>,
    /// Its owner.
    pub owner: String,
    /// The role that loads the dump.
    pub loads: Loads,
    /// The new filestore.
    pub filestore: Option<FilestorePlan>,
    /// Where the dump is unpacked; removed at the end.
    pub work_dir: PathBuf,
    /// The needed space, as far as it could be found out.
    pub space: Vec<Space>,
    /// How long it will take.
    pub estimate: Estimate,
    /// Whether the copy is neutralized.
    pub neutralize: bool,
    /// Whether no files are restored, as requested.
    pub database_only: bool,
    /// Whether it is published, as requested, although some files are intact in no backup.
    pub allow_missing_files: bool,
    /// The first files that are missing in this backup and in every other one.
    pub missing: Vec<MissingFile>,
    /// What will differ from the source; the report says what it became.
    pub foreseen: Vec<String>,
}

/// A plan, and everything that was found out for it.
pub struct Prepared {
    /// The plan.
    pub plan: RestorePlan,
    pub(super) repository: Repository,
    pub(super) postgres: PostgresOptions,
    pub(super) tools: Tools,
    pub(super) baseline: Baseline,
    pub(super) dump: Manifest,
    pub(super) files: Option<DumpFiles>,
    pub(super) request: RestoreRequest,
    pub(super) identities: std::sync::Arc<Identities>,
    pub(super) workers: usize,
    pub(super) jobs: u32,
    pub(super) state_dir: PathBuf,
    pub(super) work: Workplace,
}

/// Plans from what is stored, and binds the plan to this host.
pub async fn prepare(config: &Config, request: RestoreRequest, identities: Identities) -> Result<Prepared> {
    let repository = Repository::configured(config).await?;
    let source = stored::dump(&repository, &request.trust, &request.asked).await?;
    bind(config, repository, source, request, identities).await
}

/// Decrypts the dump's baseline (so a wrong identity is noticed now) and checks the server and the
/// directories. The source of the restore stays as planned.
async fn bind(
    config: &Config,
    repository: Repository,
    mut source: DumpPlan,
    request: RestoreRequest,
    identities: Identities,
) -> Result<Prepared> {
    let identities = std::sync::Arc::new(identities);
    let origin = repository.origin().await?;
    let dump = repository.manifest(&source.snapshot, &origin, &request.trust).await?;
    let facts = dump.dump_facts()?.clone();
    let baseline = repository.sealed(&dump, BASELINE, &identities, |input| Baseline::read(input)).await?;
    let target = match &request.target {
        Some(target) => target.clone(),
        None => default_target(&source.tenant, dump.point)?,
    };
    let postgres = PostgresOptions::from(&config.postgres);
    let mut session = Session::maintenance(&postgres).await?;
    let of = facts.server_major.to_string();
    let server = check_server(&mut session, ("the dump", &of, facts.server_major), &target).await?;
    let tools = Tools::clients(&postgres, server.major).await?;
    let owner = request.owner.clone().unwrap_or_else(|| baseline.properties.owner.clone());
    let loads = Loads::decide(&mut session, request.load.as_superuser).await?;
    let entries = dump_list(&repository, &dump, &identities).await?.unwrap_or_default();
    let (by_owner, choices) = (request.owner.as_deref(), &request.load);
    let asked = Asking { baseline: &baseline, by_owner, loads, choices };
    let seen = look(&mut session, entries, &asked).await?;
    let missing_parts = will_miss(&seen, &asked)?;
    let ours = database_exists(&mut session, &incomplete_name(&target)).await?;
    session.close().await;
    let work = workplace(config, &target)?;
    let link = facts.filestore.as_ref().filter(|_| !request.asked.database_only);
    let (mut files, mut filestore) = (None, None);
    if let Some(link) = link {
        let dir = request.data_dir.clone().map_or_else(|| config.data_dir().map(Path::to_owned), Ok)?;
        let looked = DumpFiles::look(
            &repository,
            &origin,
            &request.trust,
            (&dump, link, &request.files_of),
            &identities,
        )
        .await?;
        filestore = Some(looked.plan(&dir, &target, (ours, work.staging()))?);
        files = Some(looked);
    }
    let work_dir = work.dir.clone();
    let neutralize = request.neutralize.unwrap_or(target != source.tenant);
    let (file_bytes, files_count) = filestore.as_ref().map_or((0, 0), |f| (f.bytes, f.files));
    let to_do = Work {
        loaded_bytes: facts.bytes,
        file_bytes,
        files: files_count,
        ..Work::of(Way::Dump, Some(&source.tenant))
    };
    let wait = facts.cold.as_ref().map_or(0, |cold| cold.ready_after_seconds);
    let estimate = to_do.estimate(config).after(wait);
    source.warnings.extend(warnings(neutralize, loads));
    source.warnings.extend(seen.notes.into_iter().chain(missing_parts));
    // The plan has reported its missing files; more may be missing since.
    let of_files = files.as_ref().map(DumpFiles::warnings).unwrap_or_default();
    for warning in of_files {
        if !source.warnings.contains(&warning) {
            source.warnings.push(warning);
        }
    }
    source.warnings.extend(reaches(&baseline, neutralize));
    let plan = RestorePlan {
        server: format!("{}:{} (PostgreSQL {})", postgres.host_text(), postgres.port, server.version),
        incomplete_database: incomplete_name(&target),
        database: target,
        tablespace: own_tablespace(&baseline, &request.load),
        owner,
        loads,
        space: space(&work_dir, &facts, filestore.as_ref())?,
        filestore,
        work_dir,
        estimate,
        neutralize,
        database_only: request.asked.database_only,
        allow_missing_files: request.allow_missing_files,
        missing: files.as_ref().map(DumpFiles::missing).unwrap_or_default(),
        foreseen: seen.foreseen,
        source,
    };
    if let Some(short) = plan.space.iter().find(|s| s.free < s.needed) {
        return Err(Error::new(
            Kind::NoSpace,
            format!(
                "{} needs {} in {}, but only {} are free there",
                short.purpose,
                bytes_text(short.needed),
                short.path.display(),
                bytes_text(short.free)
            ),
        )
        .effect("nothing was changed")
        .next("free some space, or choose another place with --data-dir or restore.work_dir"));
    }
    let jobs = config.restore.jobs as u32;
    let workers = config.restore.workers;
    Ok(Prepared {
        plan,
        repository,
        postgres,
        tools,
        baseline,
        dump,
        files,
        request,
        identities,
        workers,
        jobs,
        state_dir: config.state_dir.clone(),
        work,
    })
}

fn space(work_dir: &Path, facts: &DumpFacts, filestore: Option<&FilestorePlan>) -> Result<Vec<Space>> {
    let mut out = vec![Space {
        purpose: "the dump, while it is loaded,",
        path: work_dir.to_owned(),
        needed: facts.bytes,
        free: disk::free_bytes(work_dir)?,
    }];
    if let Some(filestore) = filestore {
        // Each file uses whole blocks of 4 KiB: on average half a block more.
        let needed = filestore.bytes + filestore.files * 2048;
        let free = disk::free_bytes(&filestore.staging)?;
        out.push(Space { purpose: "the filestore", path: filestore.staging.clone(), needed, free });
    }
    Ok(out)
}

fn warnings(neutralize: bool, loads: Loads) -> Vec<String> {
    let mut out = Vec::new();
    out.extend(loads.warning());
    if !neutralize {
        out.push("NOT neutralized: mail, scheduled jobs, payments and deliveries are live as soon as an Odoo opens it".into());
    }
    out
}

/// What the database could reach outside when it was backed up.
fn reaches(baseline: &Baseline, neutralize: bool) -> Vec<String> {
    let closed = match neutralize {
        true => "neutralizing switches off what it can and warns about the rest",
        false => "it stays active in the copy",
    };
    baseline
        .reaches
        .iter()
        .map(|what| format!("the database can reach outside systems: {what}; {closed}"))
        .collect()
}
