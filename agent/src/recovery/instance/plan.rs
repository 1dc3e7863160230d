//! The plan of a restore of a whole instance: which base backup, how far its WAL goes, where
//! everything will lie. Looking only.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Handle;

use crate::archive::base::{BaseFacts, CONTROL_FILE, ClusterLayout, LAYOUT_NAME, Tablespace};
use crate::archive::manifest::Manifest;
use crate::archive::seal::Identities;
use crate::clock::{self, Timestamp, span_text};
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{Lsn, SnapshotId, bytes_text};
use crate::recovery::FileOwner;
use crate::recovery::instance::choose::{Chosen, choose};
use crate::recovery::instance::narrow::Narrowed;
use crate::recovery::instance::settings::{self, Recovery};
use crate::recovery::instance::target::Target;
use crate::recovery::instance::wanted::Wanted;
use crate::recovery::instance::{Marker, Request, account, newer_tablespaces};
use crate::repository::Repository;

/// For the estimate only.
const FILE_BYTES_PER_SECOND: u64 = 100 << 20;
/// Likewise, replaying.
const WAL_BYTES_PER_SECOND: u64 = 50 << 20;

/// A tablespace and its new place.
#[derive(Clone, Debug, Serialize)]
pub struct TablespacePlan {
    /// OID.
    pub oid: u32,
    /// Name.
    pub name: String,
    /// Where it lay.
    pub was: String,
    /// Where it will lie; absent or empty now.
    pub location: PathBuf,
}

/// What will be done; `Display` is what a person is asked to confirm.
#[derive(Clone, Debug, Serialize)]
pub struct InstancePlan {
    /// The repository.
    pub repository: String,
    /// The instance.
    pub instance: String,
    /// The base backup.
    pub snapshot: SnapshotId,
    /// Whose packs are read.
    pub chain: Vec<SnapshotId>,
    /// When it was consistent.
    pub base_point: Timestamp,
    /// Where it was consistent.
    pub base_lsn: Lsn,
    /// PostgreSQL's version.
    pub server_version: String,
    /// Where recovery ends.
    pub target: Target,
    /// How far the stored WAL goes; `None` where it is not ours to know.
    pub wal_end: Option<Lsn>,
    /// When the last of that was stored.
    pub wal_stored_at: Option<Timestamp>,
    /// The timeline that is followed.
    pub timeline: Option<u32>,
    /// What was done in these seconds is not in it, at least: since the target, or the last WAL.
    pub loss_seconds: Option<i64>,
    /// The new data directory.
    pub data_dir: PathBuf,
    /// Whether it holds what an earlier try left.
    pub goes_on: bool,
    /// Directories outside.
    pub tablespaces: Vec<TablespacePlan>,
    /// Who will own the files: user and group, where we may give them away.
    pub owner: Option<(u32, u32)>,
    /// How many files.
    pub files: u64,
    /// Their sizes added up.
    pub bytes: u64,
    /// Bytes that are fetched from the repository for them.
    pub fetch_bytes: u64,
    /// WAL to replay.
    pub wal_bytes: u64,
    /// Bytes that are free at the data directory.
    pub free_bytes: u64,
    /// A rough estimate.
    pub estimate_seconds: u64,
    /// `restore_command`.
    pub restore_command: String,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// A plan and all that was found out on the way.
pub struct Prepared {
    /// The plan.
    pub plan: InstancePlan,
    pub(in crate::recovery) repository: Repository,
    pub(in crate::recovery) manifests: HashMap<SnapshotId, Manifest>,
    pub(in crate::recovery) identities: Arc<Identities>,
    pub(super) wanted: Wanted,
    pub(in crate::recovery) layout: ClusterLayout,
    pub(in crate::recovery) narrowed: Option<Narrowed>,
    pub(super) recovery: Recovery,
    pub(super) workers: usize,
    pub(super) owner: Option<FileOwner>,
}

impl Prepared {
    /// The base backup's own facts.
    pub fn facts(&self) -> Result<&BaseFacts> {
        let manifest = self.manifests.get(&self.plan.snapshot);
        manifest.map_or_else(
            || Err(Error::new(Kind::Integrity, "a base backup that does not name itself in its chain")),
            Manifest::base_facts,
        )
    }
}

/// Finds the backup, reads its index (so a wrong identity shows now), and looks at the target.
pub async fn prepare(config: &Config, request: Request) -> Result<Prepared> {
    let repository = Repository::configured(config).await?;
    let origin = repository.origin().await?;
    let Chosen { base, reach, mut warnings } = choose(&repository, &origin, &request).await?;
    let facts = base.base_facts()?.clone();
    if request.target != Target::Immediate {
        newer_tablespaces::refuse(config, &facts).await?;
    }
    let mut manifests = HashMap::new();
    for id in &facts.chain {
        let found = repository.manifest(id, &origin, &request.trust).await.map_err(|e| {
            e.effect(format!("base backup {} cannot be restored without it", base.id))
                .next("lifeboat verify; another base backup: --snapshot")
                .context(format!("find snapshot {id} of its chain"))
        })?;
        manifests.insert(id.clone(), found);
    }
    let identities = Arc::new(request.identities.clone());
    let (mut wanted, layout) = {
        let (repository, base, identities) = (repository.clone(), base.clone(), identities.clone());
        let read = move || {
            let runtime = Handle::current();
            let wanted = Wanted::read(&repository, &runtime, &base, &identities)?;
            Ok((wanted, read_layout(&repository, &runtime, &base, &identities)?))
        };
        tokio::task::spawn_blocking(read)
            .await
            .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "reading the index panicked").because(e)))?
    };
    let maintenance = &config.postgres.maintenance_database;
    let narrowed = request.only.as_ref().map(|only| only.narrow(&mut wanted, &layout, maintenance));
    let data_dir =
        std::path::absolute(&request.data_dir).map_err(|e| Error::file("find", &request.data_dir, e))?;
    let owner = account::owner(&data_dir, request.os_user.as_deref())?;
    let goes_on =
        check_place(&data_dir, &base.id, || "choose another directory, or move away what is there".into())?;
    let tablespaces = match narrowed {
        Some(_) => scratch_tablespaces(&facts.tablespaces, &data_dir),
        None => place_tablespaces(&base, &request.tablespaces, &data_dir)?,
    };
    let packs: std::collections::BTreeSet<(u32, u32)> = wanted
        .files()
        .iter()
        .flat_map(|file| wanted.pieces(file))
        .map(|piece| (piece.snapshot, piece.pack))
        .collect();
    let mut fetch_bytes = 0;
    for (snapshot, pack) in packs {
        let manifest = wanted.snapshots.get(snapshot as usize).and_then(|id| manifests.get(id));
        let name = crate::archive::pack::name(pack);
        fetch_bytes +=
            manifest.map_or(Ok(0), |manifest| manifest.object(&name).map(|object| object.bytes))?;
    }
    let restore_command = match &request.restore_command {
        Some(command) => command.clone(),
        None => settings::restore_command(config, &request.identity_files, request.accepts_unsigned())?,
    };
    let now = clock::now();
    let last = match &request.target {
        Target::Immediate => Some(base.point),
        Target::Time(time) => Some(*time),
        Target::Latest => reach.as_ref().map(|reach| reach.stored_at),
        Target::Lsn(_) | Target::RestorePoint(_) => None,
    };
    let replay_to = match &request.target {
        Target::Immediate => facts.stop_lsn,
        Target::Lsn(lsn) => *lsn,
        _ => reach.as_ref().map_or(facts.stop_lsn, |reach| reach.end),
    };
    let wal_bytes = replay_to.0.saturating_sub(facts.start_lsn.0);
    if facts.bad_page_count > 0 {
        warnings.push(format!(
            "{} pages were bad already when it was taken (lifeboat show {})",
            facts.bad_page_count, base.id
        ));
    }
    if narrowed.is_none() {
        warnings.push("nothing is neutralized: as soon as an Odoo opens its databases, mail, scheduled jobs, payments and deliveries are live".into());
    }
    let plan = InstancePlan {
        repository: repository.store().url().to_owned(),
        instance: repository.instance().to_string(),
        snapshot: base.id.clone(),
        chain: facts.chain.clone(),
        base_point: base.point,
        base_lsn: facts.stop_lsn,
        server_version: facts.server_version.clone(),
        target: request.target.clone(),
        wal_end: reach.as_ref().map(|reach| reach.end),
        wal_stored_at: reach.as_ref().map(|reach| reach.stored_at),
        timeline: reach.as_ref().map(|reach| reach.timeline.0),
        loss_seconds: last.map(|last| now.as_second() - last.as_second()),
        free_bytes: disk::free_bytes(&data_dir)?,
        data_dir,
        goes_on,
        tablespaces,
        owner: owner.map(|owner| (owner.uid, owner.gid)),
        files: wanted.files().len() as u64,
        bytes: wanted.bytes,
        fetch_bytes,
        wal_bytes,
        estimate_seconds: 5 + wanted.bytes / FILE_BYTES_PER_SECOND + wal_bytes / WAL_BYTES_PER_SECOND,
        restore_command: restore_command.clone(),
        warnings,
    };
    // Blocks are filled up to 4 KiB, on average by half; replay fills what was left empty.
    let filled = if narrowed.is_some() { plan.wal_bytes } else { 0 };
    let needed = plan.bytes + plan.files * 2048 + filled;
    if plan.free_bytes < needed && !goes_on {
        let (needed, free) = (bytes_text(needed), bytes_text(plan.free_bytes));
        let what =
            format!("the instance needs {needed} in {}, and {free} are free there", plan.data_dir.display());
        return Err(Error::new(Kind::NoSpace, what).effect("nothing was changed"));
    }
    let recovery = Recovery {
        target: request.target,
        action: request.action,
        timeline: reach.map(|reach| reach.timeline),
        restore_command,
        keep_archiving: request.keep_archiving,
        scratch: narrowed.is_some(),
    };
    let workers = config.restore.workers;
    Ok(Prepared {
        plan,
        repository,
        manifests,
        identities,
        wanted,
        layout,
        narrowed,
        recovery,
        workers,
        owner,
    })
}

fn read_layout(
    repository: &Repository,
    runtime: &Handle,
    base: &Manifest,
    identities: &Identities,
) -> Result<ClusterLayout> {
    let object = base.object(LAYOUT_NAME)?;
    repository.read_sealed(runtime, &base.id, object, identities, |input| {
        serde_json::from_reader(input).map_err(|e| {
            Error::new(Kind::Integrity, format!("the layout of snapshot {} cannot be read", base.id))
                .because(e)
        })
    })
}

/// Where each tablespace goes: where it lay, unless it is mapped.
fn place_tablespaces(
    base: &Manifest,
    map: &[(String, PathBuf)],
    data_dir: &Path,
) -> Result<Vec<TablespacePlan>> {
    let tablespaces = &base.base_facts()?.tablespaces;
    let is = |old: &String, t: &Tablespace| *old == t.location || *old == t.name;
    if let Some((old, _)) = map.iter().find(|(old, _)| !tablespaces.iter().any(|t| is(old, t))) {
        return Err(Error::new(Kind::Usage, format!("the backup has no tablespace {old}"))
            .next("lifeboat show names its tablespaces"));
    }
    let mut placed: Vec<TablespacePlan> = Vec::new();
    for tablespace in tablespaces {
        let Tablespace { oid, name, location: was } = tablespace;
        let mapped = map.iter().find(|(old, _)| is(old, tablespace));
        let location = mapped.map_or_else(|| PathBuf::from(was), |(_, new)| new.clone());
        if location == data_dir || placed.iter().any(|other| other.location == location) {
            let what = format!("tablespace {name} would share {} with something else", location.display());
            return Err(Error::new(Kind::Usage, what).effect("nothing was changed"));
        }
        check_place(&location, &base.id, || {
            format!("put tablespace {name} elsewhere: --tablespace-map {was}=DIR")
        })?;
        placed.push(TablespacePlan { oid: *oid, name: name.clone(), was: was.clone(), location });
    }
    Ok(placed)
}

/// Beside the scratch data directory: production's own places are left alone.
fn scratch_tablespaces(tablespaces: &[Tablespace], data_dir: &Path) -> Vec<TablespacePlan> {
    let place = |t: &Tablespace| TablespacePlan {
        oid: t.oid,
        name: t.name.clone(),
        was: t.location.clone(),
        location: data_dir.with_file_name(format!("tablespace-{}", t.oid)),
    };
    tablespaces.iter().map(place).collect()
}

/// Whether an earlier try of the same restore was at it.
///
/// # Errors
/// `Refused` where anything else lies there.
fn check_place(dir: &Path, snapshot: &SnapshotId, next: impl Fn() -> String) -> Result<bool> {
    let Some(entries) = disk::read_dir(dir)? else { return Ok(false) };
    if entries.is_empty() {
        return Ok(false);
    }
    let refused = |why: &str| {
        Error::new(Kind::Refused, format!("{} {why}", dir.display()))
            .effect("a restore never overwrites: it is left as it is")
            .next(next())
    };
    match Marker::read(dir)? {
        None => Err(refused("is not empty")),
        Some(_) if disk::metadata(&dir.join(CONTROL_FILE))?.is_some() => {
            Err(refused("holds a restored instance"))
        }
        Some(marker) if marker.snapshot != *snapshot => {
            Err(refused(&format!("holds an unfinished restore of {}", marker.snapshot)))
        }
        Some(_) => Ok(true),
    }
}

impl std::fmt::Display for InstancePlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "restore instance {} from {}", self.instance, self.repository)?;
        let links = self.chain.len();
        writeln!(
            f,
            "  source      {}, PostgreSQL {}, {links} in its chain",
            self.snapshot, self.server_version
        )?;
        writeln!(f, "              consistent at {}, {}", self.base_lsn, clock::text(self.base_point))?;
        writeln!(f, "  target      {}", self.target)?;
        match (self.wal_end, self.wal_stored_at, self.timeline) {
            (Some(end), Some(at), Some(timeline)) => writeln!(
                f,
                "  WAL         stored without gap up to {end} on timeline {timeline}, the last of it at {}",
                clock::text(at)
            )?,
            _ => writeln!(
                f,
                "  WAL         by a restore_command of your own: how far it goes is not known here"
            )?,
        }
        if let Some(seconds) = self.loss_seconds {
            let loss = span_text(Duration::from_secs(seconds.max(0) as u64));
            writeln!(f, "  loss        what was done in the last {loss} is not in it")?;
        }
        let goes_on = if self.goes_on { "goes on in" } else { "creates" };
        let size = bytes_text(self.bytes);
        writeln!(f, "  {goes_on:<11} {} ({} files, {size})", self.data_dir.display(), self.files)?;
        for tablespace in &self.tablespaces {
            writeln!(
                f,
                "  tablespace  {} in {} (was {})",
                tablespace.name,
                tablespace.location.display(),
                tablespace.was
            )?;
        }
        let (fetch, wal) = (bytes_text(self.fetch_bytes), bytes_text(self.wal_bytes));
        writeln!(f, "  fetches     {fetch}, and WAL of about {wal}")?;
        let free = bytes_text(self.free_bytes);
        writeln!(f, "  space       {size} of {free} free in {}", self.data_dir.display())?;
        writeln!(f, "  takes       about {}", span_text(Duration::from_secs(self.estimate_seconds)))?;
        write!(f, "  fetches by  {}", self.restore_command)?;
        for warning in &self.warnings {
            write!(f, "\n  WARNING     {warning}")?;
        }
        Ok(())
    }
}
