//! What `lifeboat rollback` and `lifeboat release` share: the checkpoint of a release, its tenants, and the
//! plan of its rollback.

use std::path::{Path, PathBuf};

use super::App;
use super::trust::TrustArgs;
use crate::archive::evidence::key::TrustedEvidenceKeys;
use crate::archive::evidence::predicate::{Checkpoint, Point};
use crate::archive::evidence::{dsse, statement};
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::inventory::Inventory;
use crate::inventory::drills::{self, StoredDrill};
use crate::inventory::take::{Wanted, Which};
use crate::names::{ReleaseId, TenantName, shell_word};
use crate::release::forecast::MeasuredRestore;
use crate::release::gather::gather;
use crate::release::plan::{RollbackPlan, plan, point_time};
use crate::repository::releases::CHECKPOINT;
use crate::repository::{Repository, layout};

/// The verdict of a drill whose times count.
const PASSED: &str = "passed";

/// Which release, and which of its tenants.
#[derive(clap::Args, Debug)]
pub struct ReleasedArgs {
    /// The release, as its checkpoint was called
    #[arg(long, value_name = "ID")]
    release: ReleaseId,
    /// Only this tenant; may be repeated [default: all that the checkpoint covers]
    #[arg(long, value_name = "NAME", conflicts_with = "cohort")]
    tenant: Vec<TenantName>,
    /// Only the tenants of this cohort
    #[arg(long, value_name = "NAME")]
    cohort: Option<String>,
    /// Read the checkpoint.json from this file; without it, from the repository
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
}

/// A release that has a checkpoint.
pub struct Released {
    /// Its record.
    pub checkpoint: Checkpoint,
    /// The tenants that were asked for, sorted.
    pub tenants: Vec<TenantName>,
    folder: String,
    trust: TrustArgs,
}

impl ReleasedArgs {
    /// One tenant of a release.
    pub fn of(release: ReleaseId, tenant: TenantName, evidence: Option<PathBuf>, trust: TrustArgs) -> Self {
        ReleasedArgs { release, tenant: vec![tenant], cohort: None, evidence, trust }
    }

    /// Finds the checkpoint, and verifies it.
    ///
    /// # Errors
    /// `NotFound` if there is none, or if it does not cover a tenant that was asked for; what is wrong with
    /// its evidence.
    pub async fn find(self, config: &Config) -> Result<Released> {
        let release = &self.release;
        let trusted = TrustedEvidenceKeys::configured(&config.checkpoint)?;
        let checkpoint = match &self.evidence {
            Some(file) => of_file(file, release, config, &trusted)?,
            None => stored(release, config, &trusted).await?,
        };
        let tenants = tenants(&checkpoint, self.tenant, self.cohort.as_deref(), config)?;
        let folder = layout::release_folder(release);
        Ok(Released { checkpoint, tenants, folder, trust: self.trust })
    }
}

async fn stored(release: &ReleaseId, config: &Config, trusted: &TrustedEvidenceKeys) -> Result<Checkpoint> {
    let repository = Repository::configured(config).await?;
    let origin = repository.origin().await?;
    let found = repository.read_checkpoint(release, &origin, trusted).await?;
    found.map(|stored| stored.evidence.checkpoint).ok_or_else(|| {
        let place = format!("instance {} in {}", repository.instance(), repository.store().url());
        Error::new(Kind::NotFound, format!("there is no checkpoint of release {release} of {place}"))
            .next("lifeboat evidence list shows every checkpoint")
    })
}

/// The same without the repository.
fn of_file(
    file: &Path,
    release: &ReleaseId,
    config: &Config,
    trusted: &TrustedEvidenceKeys,
) -> Result<Checkpoint> {
    let envelope = disk::read(file, dsse::BYTES_MAX).map_err(|e| e.context("read the evidence"))?;
    let found = statement::open(&file.display().to_string(), &envelope, trusted)?.checkpoint;
    let (of, instance) = (&found.release.id, &found.origin.instance);
    if of != release || *instance != config.instance {
        let what = format!("{} is the evidence of release {of} of instance {instance}", file.display());
        return Err(Error::new(Kind::Integrity, what)
            .effect(format!("it says nothing of release {release} of instance {}", config.instance)));
    }
    Ok(found)
}

/// Whether a release has a checkpoint, believed or not.
///
/// # Errors
/// Those of the store.
pub async fn exists(config: &Config, release: &ReleaseId) -> Result<bool> {
    let repository = Repository::configured(config).await?;
    let key = layout::release_object(repository.instance(), release, CHECKPOINT);
    Ok(repository.store().head(&key).await?.is_some())
}

/// The restore point of a release's checkpoint.
///
/// # Errors
/// `NotFound` where it has no checkpoint; `Refused` where its checkpoint has dumps and no point; that of the
/// evidence.
pub async fn point(config: &Config, release: &ReleaseId) -> Result<Point> {
    let trusted = TrustedEvidenceKeys::configured(&config.checkpoint)?;
    stored(release, config, &trusted).await?.point.ok_or_else(|| {
        Error::new(Kind::Refused, format!("the checkpoint of release {release} has no restore point"))
            .next("it took dumps: lifeboat list --release ID names them, --snapshot selects one")
    })
}

/// The tenants that are meant.
fn tenants(
    checkpoint: &Checkpoint,
    mut asked: Vec<TenantName>,
    cohort: Option<&str>,
    config: &Config,
) -> Result<Vec<TenantName>> {
    let release = &checkpoint.release.id;
    match cohort.map(|cohort| (cohort, config.checkpoint.cohorts.get(cohort))) {
        Some((_, Some(tenants))) => asked = tenants.clone(),
        // The one that the checkpoint was made for, although its list is gone since.
        Some((cohort, None)) if checkpoint.scope.cohort.as_deref() == Some(cohort) => {}
        Some((cohort, None)) => {
            let what = format!("there is no cohort {cohort}");
            let next =
                format!("write [cohort.{cohort}] into the configuration, or name the tenants: --tenant NAME");
            return Err(Error::new(Kind::NotFound, what).next(next));
        }
        None => {}
    }
    let all: Vec<TenantName> = checkpoint.tenants.iter().map(|state| state.tenant.clone()).collect();
    if let Some(other) = asked.iter().find(|tenant| !all.contains(tenant)) {
        let names: Vec<String> = all.iter().map(|name| shell_word(name.as_str())).collect();
        let what = format!("the checkpoint of release {release} does not cover tenant {other}");
        return Err(Error::new(Kind::NotFound, what).next(format!("it covers {}", names.join(", "))));
    }
    let mut tenants = if asked.is_empty() { all } else { asked };
    tenants.sort();
    tenants.dedup();
    Ok(tenants)
}

impl Released {
    /// The time of the state that comes back.
    pub fn point_time(&self) -> Timestamp {
        point_time(&self.checkpoint, None)
    }

    /// The plan of its rollback, as things are now. Reads the tenants and the repository, changes nothing.
    ///
    /// # Errors
    /// `Interrupted`; whatever else fails is not known in the plan.
    pub async fn plan(&self, config: &Config, app: &App) -> Result<RollbackPlan> {
        let stored = self.stored(config).await;
        let inputs =
            gather(config, &self.checkpoint, &self.folder, &self.tenants, &stored, &app.cancel).await?;
        let measured = self.measured(config).await;
        Ok(plan(&self.checkpoint, inputs, &measured, clock::now()))
    }

    /// Drills that restored a tenant and passed, the newest first; none if they cannot be read, since then
    /// the time is not known.
    async fn measured(&self, config: &Config) -> Vec<MeasuredRestore> {
        let read = async {
            let trust = self.trust.trust(config)?;
            let repository = Repository::configured(config).await?;
            let tenants = self.tenants.iter().cloned().collect();
            let reach = drills::reach(config.classes.values());
            drills::recent(&repository, &trust, &tenants, reach).await.map(|recent| recent.drills)
        };
        let measured = |drill: StoredDrill| {
            let record = format!("drill {}", drill.id);
            let is_of_tenant = drill.verdict == PASSED && !drill.whole_instance;
            let seconds = drill.rto_seconds.filter(|_| is_of_tenant)?;
            Some(MeasuredRestore { tenant: drill.tenant, seconds, record })
        };
        match read.await {
            Ok(drills) => drills.into_iter().filter_map(measured).collect(),
            Err(e) => {
                tracing::warn!("the drills cannot be read, so their times are not known: {}", e.line());
                Vec::new()
            }
        }
    }

    /// What the repository holds of what a restore to the point needs.
    async fn stored(&self, config: &Config) -> Result<Inventory> {
        let trust = self.trust.trust(config)?;
        let repository = Repository::configured(config).await?;
        let wanted = match self.checkpoint.point {
            Some(_) => Wanted { snapshots: Which::bases(None), wal: true },
            None => Wanted::default(),
        };
        Inventory::take(&repository, &trust, &wanted).await
    }
}
