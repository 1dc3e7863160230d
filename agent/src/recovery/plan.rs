//! The plan of a restore: what comes from where, what will be made, what it takes. Looking only:
//! everything that can be found out beforehand is refused here, before anything is touched.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::archive::digest::Sha256;
use crate::archive::manifest::{DumpFacts, Manifest};
use crate::archive::seal::Identities;
use crate::clock::{self, Timestamp, span_text};
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{ReleaseId, SnapshotId, TenantName, bytes_text};
use crate::odoo::baseline::Baseline;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::database::{database_exists, missing_roles};
use crate::postgres::server::server_info;
use crate::postgres::session::Session;
use crate::postgres::tools::Tools;
use crate::recovery::Request;
use crate::recovery::choose::{Chosen, choose};
use crate::repository::Repository;

/// For the estimate only: what two cores and one disk do, pg_restore with its indexes included.
const LOAD_BYTES_PER_SECOND: u64 = 15 << 20;
/// Likewise, fetching and unpacking files.
const FILE_BYTES_PER_SECOND: u64 = 100 << 20;

/// Where the filestore goes.
#[derive(Clone, Debug, Serialize)]
pub struct FilestorePlan {
    /// From which snapshot.
    pub snapshot: SnapshotId,
    /// The final directory; absent or empty now.
    pub dir: PathBuf,
    /// Where it is made; its name says that it is incomplete.
    pub staging: PathBuf,
    /// How many files.
    pub files: u64,
    /// Their sizes added up.
    pub bytes: u64,
    /// Files that the database names and no backup holds.
    pub missing_files: u64,
    /// Whether the directory is that of our own earlier try, killed just before the end.
    #[serde(skip)]
    pub(super) take_back: bool,
}

/// Room that is needed somewhere.
#[derive(Clone, Debug, Serialize)]
pub struct Space {
    /// For what.
    pub purpose: &'static str,
    /// Where.
    pub path: PathBuf,
    /// Bytes that will be written there.
    pub needed: u64,
    /// Bytes that are free there.
    pub free: u64,
}

/// What will be done; `Display` is what a person is asked to confirm.
#[derive(Clone, Debug, Serialize)]
pub struct RestorePlan {
    /// Whose.
    pub tenant: TenantName,
    /// The repository.
    pub repository: String,
    /// The dump.
    pub snapshot: SnapshotId,
    /// The moment whose state comes back, UTC.
    pub point: Timestamp,
    /// How long ago that is: what was done since is not in it.
    pub loss_seconds: i64,
    /// The release it is tied to.
    pub release: Option<ReleaseId>,
    /// Odoo's version.
    pub odoo_version: Option<String>,
    /// The server that it goes to.
    pub server: String,
    /// The new database.
    pub database: TenantName,
    /// Its name until everything is right.
    pub incomplete_database: String,
    /// Who will own it.
    pub owner: String,
    /// The new filestore.
    pub filestore: Option<FilestorePlan>,
    /// Where the dump is unpacked meanwhile; removed at the end.
    pub work_dir: PathBuf,
    /// Size of the dump.
    pub dump_bytes: u64,
    /// Bytes that are fetched from the repository, at most.
    pub fetch_bytes: u64,
    /// Room that is needed, where it could be found out.
    pub space: Vec<Space>,
    /// A rough estimate.
    pub estimate_seconds: u64,
    /// Whether the copy is made silent.
    pub neutralize: bool,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// A plan and all that was found out on the way.
pub struct Prepared {
    /// The plan.
    pub plan: RestorePlan,
    pub(super) repository: Repository,
    pub(super) postgres: PostgresOptions,
    pub(super) tools: Tools,
    pub(super) baseline: Baseline,
    pub(super) dump: Manifest,
    pub(super) manifests: HashMap<SnapshotId, Manifest>,
    pub(super) request: Request,
    pub(super) identities: std::sync::Arc<Identities>,
    pub(super) workers: usize,
    pub(super) jobs: u32,
    pub(super) data_dir: Option<PathBuf>,
}

/// Finds the snapshot, opens its baseline (so a wrong identity shows now) and looks at the target.
pub async fn prepare(config: &Config, request: Request, identities: Identities) -> Result<Prepared> {
    let identities = std::sync::Arc::new(identities);
    let repository = Repository::configured(config).await?;
    let origin = repository.origin().await?;
    let Chosen { dump, filestore, passed_over } =
        choose(&repository, &origin, &request.trust, &request.tenant, &request.pick).await?;
    let facts = dump.dump_facts()?.clone();
    let baseline = repository.baseline(&dump, &identities).await?;
    let target = match &request.target {
        Some(target) => target.clone(),
        None => default_target(&request.tenant, dump.point)?,
    };
    let postgres = PostgresOptions::from(&config.postgres);
    let mut session = Session::maintenance(&postgres).await?;
    let server = server_info(&mut session).await?;
    if server.is_standby {
        return Err(Error::new(
            Kind::Refused,
            format!("{} is a standby: nothing can be made there", session.place()),
        )
        .next("set postgres.host to the primary or to another cluster"));
    }
    let tools = Tools::find(&postgres, server.major).await?;
    if server.major < facts.server_major {
        return Err(Error::new(
            Kind::Refused,
            format!("the dump is of PostgreSQL {}, the target is {}", facts.server_major, server.version),
        )
        .effect("an older server may not understand it; nothing was changed")
        .next("restore into a cluster of the same or a newer major version"));
    }
    if database_exists(&mut session, target.as_str()).await? {
        return Err(exists(&format!("database {target}"), "it is left as it is", &target));
    }
    let owner = request.owner.clone().unwrap_or_else(|| baseline.properties.owner.clone());
    check_roles(&mut session, request.owner.as_deref(), &baseline).await?;
    let ours = database_exists(&mut session, &incomplete_name(&target)).await?;
    session.close().await;
    let data_dir = match &filestore {
        None => None,
        Some(_) => Some(match &request.data_dir {
            Some(dir) => dir.clone(),
            None => config.data_dir()?.to_owned(),
        }),
    };
    let mut manifests = HashMap::new();
    if let Some(manifest) = &filestore {
        let facts = manifest.filestore_facts()?;
        for id in facts.index_chain.iter().chain(&facts.sources) {
            if !manifests.contains_key(id) {
                let found = repository.manifest(id, &origin, &request.trust).await.map_err(|e| {
                    e.effect(format!("the filestore of {} cannot be restored whole", dump.id))
                        .next("lifeboat verify; an older dump may have its filestore whole")
                        .context(format!("find snapshot {id}, which holds part of the filestore"))
                })?;
                manifests.insert(id.clone(), found);
            }
        }
    }
    manifests.insert(dump.id.clone(), dump.clone());
    let missing = facts.filestore.as_ref().map_or(0, |link| link.missing_files);
    let filestore = match (&filestore, &data_dir) {
        (Some(manifest), Some(dir)) => {
            let facts = manifest.filestore_facts()?;
            let held = (manifest.id.clone(), facts.files, facts.bytes);
            Some(filestore_plan(held, missing, dir, &target, ours)?)
        }
        _ => None,
    };
    let work_dir = work_dir(config, &target);
    let neutralize = request.neutralize.unwrap_or(target != request.tenant);
    let fetch_bytes = manifests.values().map(Manifest::stored_bytes).sum();
    let file_bytes = filestore.as_ref().map_or(0, |f| f.bytes);
    let plan = RestorePlan {
        tenant: request.tenant.clone(),
        repository: repository.store().url().to_owned(),
        snapshot: dump.id.clone(),
        point: dump.point,
        loss_seconds: clock::now().as_second() - dump.point.as_second(),
        release: dump.release.clone(),
        odoo_version: facts.odoo_version.clone(),
        server: format!("{}:{} (PostgreSQL {})", postgres.host_text(), postgres.port, server.version),
        incomplete_database: incomplete_name(&target),
        database: target,
        owner,
        space: space(&work_dir, &facts, filestore.as_ref())?,
        filestore,
        work_dir,
        dump_bytes: facts.bytes,
        fetch_bytes,
        estimate_seconds: 5 + (facts.bytes / LOAD_BYTES_PER_SECOND).max(file_bytes / FILE_BYTES_PER_SECOND),
        neutralize,
        warnings: warnings(&facts, passed_over, neutralize),
    };
    if let Some(short) = plan.space.iter().find(|s| s.free < s.needed) {
        return Err(Error::new(
            Kind::NoSpace,
            format!(
                "{} needs {} in {}, and {} are free there",
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
        manifests,
        request,
        identities,
        workers,
        jobs,
        data_dir,
    })
}

/// Where what a restore needs meanwhile lies.
pub(super) fn work_dirs(config: &Config) -> PathBuf {
    config.restore.work_dir.clone().unwrap_or_else(|| config.state_dir.join("restore"))
}

/// Where the dump of a restore lies meanwhile.
pub(super) fn work_dir(config: &Config, target: &TenantName) -> PathBuf {
    work_dirs(config).join(format!("{}.restore", crate::archive::path::escape(target.as_str().as_bytes())))
}

pub(super) async fn check_roles(
    session: &mut Session,
    by_owner: Option<&str>,
    baseline: &Baseline,
) -> Result<()> {
    let wanted = match by_owner {
        Some(owner) => vec![owner.to_owned()],
        None => [std::slice::from_ref(&baseline.properties.owner), &baseline.roles].concat(),
    };
    let missing = missing_roles(session, &wanted).await?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Refused, format!("the target has no role {}", missing.join(", ")))
        .effect("nothing was changed: owners and rights could not be restored")
        .next("pass --owner ROLE to give everything to one role, or make the roles: lifeboat cat GLOBALS_SNAPSHOT globals.sql | psql"))
}

pub(super) fn exists(what: &str, effect: &str, target: &TenantName) -> Error {
    Error::new(Kind::Refused, format!("{what} exists already"))
        .effect(format!("a restore never overwrites: {effect}"))
        .next(format!(
            "choose another name with --as, or rename what is there: ALTER DATABASE \"{target}\" RENAME TO …"
        ))
}

pub(super) fn default_target(tenant: &TenantName, point: Timestamp) -> Result<TenantName> {
    let suffix = point.strftime("_%Y%m%dT%H%M%S").to_string();
    let mut name = tenant.as_str().to_owned();
    while name.len() + suffix.len() > 63 {
        name.pop();
    }
    (name + &suffix).parse()
}

/// The name of a database that is being made: says so, and is unique to its final name.
pub(super) fn incomplete_name(target: &TenantName) -> String {
    const SUFFIX: &str = "__lifeboat_incomplete";
    let mut name = target.as_str().to_owned();
    if name.len() + SUFFIX.len() > 63 {
        let digest = Sha256::of(name.as_bytes()).to_string();
        while name.len() + 9 + SUFFIX.len() > 63 {
            name.pop();
        }
        name = format!("{name}_{}", &digest[..8]);
    }
    name + SUFFIX
}

pub(super) fn filestore_plan(
    (snapshot, files, bytes): (SnapshotId, u64, u64),
    missing_files: u64,
    data_dir: &Path,
    target: &TenantName,
    incomplete_exists: bool,
) -> Result<FilestorePlan> {
    let parent = data_dir.join("filestore");
    let dir = parent.join(target.as_str());
    let take_back = incomplete_exists && disk::metadata(&moved_marker(&dir))?.is_some();
    let empty = disk::read_dir(&dir)?.is_none_or(|entries| entries.is_empty());
    if !empty && !take_back {
        return Err(exists(
            &format!("{} is not empty and", dir.display()),
            "the files there are left as they are",
            target,
        ));
    }
    Ok(FilestorePlan {
        snapshot,
        staging: parent.join(format!("{target}.lifeboat-incomplete")),
        dir,
        take_back,
        files,
        bytes,
        missing_files,
    })
}

/// Says that the directory was moved to its final place by a restore that has not published its
/// database yet.
pub(super) fn moved_marker(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".lifeboat-moved");
    name.into()
}

fn space(work_dir: &Path, facts: &DumpFacts, filestore: Option<&FilestorePlan>) -> Result<Vec<Space>> {
    let mut out = vec![Space {
        purpose: "the dump, while it is loaded,",
        path: work_dir.to_owned(),
        needed: facts.bytes,
        free: disk::free_bytes(work_dir)?,
    }];
    if let Some(filestore) = filestore {
        // Blocks are filled up to 4 KiB, on average by half.
        let needed = filestore.bytes + filestore.files * 2048;
        let free = disk::free_bytes(&filestore.staging)?;
        out.push(Space { purpose: "the filestore", path: filestore.staging.clone(), needed, free });
    }
    Ok(out)
}

fn warnings(facts: &DumpFacts, passed_over: Vec<String>, neutralize: bool) -> Vec<String> {
    let mut out: Vec<String> = passed_over
        .into_iter()
        .map(|why| format!("a newer snapshot may exist and was passed over: {why}"))
        .collect();
    match &facts.filestore {
        None => out.push("this dump has no filestore: attachments will be missing".into()),
        Some(link) if link.missing_files > 0 => out.push(format!(
            "{} files that the database names are in no backup (lifeboat show names them)",
            link.missing_files
        )),
        Some(_) => {}
    }
    if !neutralize {
        out.push("NOT neutralized: mail, scheduled jobs, payments and deliveries are live as soon as an Odoo opens it".into());
    }
    out
}

impl std::fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let release = self.release.as_ref().map_or(String::new(), |r| format!(", release {r}"));
        let loss = span_text(Duration::from_secs(self.loss_seconds.max(0) as u64));
        writeln!(f, "restore {} from {}", self.tenant, self.repository)?;
        writeln!(
            f,
            "  source      {}{release}, Odoo {}",
            self.snapshot,
            self.odoo_version.as_deref().unwrap_or("unknown")
        )?;
        writeln!(
            f,
            "  state of    {}; what was done in the {loss} since then is not in it",
            clock::text(self.point)
        )?;
        writeln!(f, "  creates     database {} at {}, owned by {}", self.database, self.server, self.owner)?;
        writeln!(f, "              (until it is right it is called {})", self.incomplete_database)?;
        if let Some(filestore) = &self.filestore {
            let size = bytes_text(filestore.bytes);
            writeln!(f, "  creates     {} ({} files, {size})", filestore.dir.display(), filestore.files)?;
        }
        writeln!(
            f,
            "  fetches     at most {}; the dump has {}",
            bytes_text(self.fetch_bytes),
            bytes_text(self.dump_bytes)
        )?;
        for space in &self.space {
            let (needed, free) = (bytes_text(space.needed), bytes_text(space.free));
            writeln!(f, "  space       {needed} of {free} free in {}", space.path.display())?;
        }
        writeln!(f, "              the database server's own disk is not checked")?;
        writeln!(
            f,
            "  neutralize  {}",
            if self.neutralize { "yes, before anything else can connect" } else { "no" }
        )?;
        write!(f, "  takes       about {}", span_text(Duration::from_secs(self.estimate_seconds)))?;
        for warning in &self.warnings {
            write!(f, "\n  WARNING     {warning}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_what_is_being_made_fit_and_stay_apart() {
        let short: TenantName = "retail".parse().unwrap();
        assert_eq!(incomplete_name(&short), "retail__lifeboat_incomplete");
        let a: TenantName = format!("{}a", "x".repeat(62)).parse().unwrap();
        let b: TenantName = format!("{}b", "x".repeat(62)).parse().unwrap();
        assert!(incomplete_name(&a).len() <= 63);
        assert_ne!(incomplete_name(&a), incomplete_name(&b));
        let point = Timestamp::UNIX_EPOCH;
        assert_eq!(default_target(&short, point).unwrap().as_str(), "retail_19700101T000000");
        assert!(default_target(&a, point).is_ok());
    }
}
