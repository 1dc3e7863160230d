//! What `lifeboat rollback` and `lifeboat release` share: the checkpoint of a release, its tenants, and the plan of
//! its rollback.

use std::path::PathBuf;

use super::App;
use super::trust::TrustArgs;
use crate::archive::evidence::key::TrustedEvidenceKeys;
use crate::archive::evidence::predicate::{Checkpoint, Point};
use crate::clock;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::inventory::Inventory;
use crate::inventory::take::{Wanted, Which};
use crate::names::{ReleaseId, TenantName};
use crate::release::gather::gather;
use crate::release::plan::{RollbackPlan, plan};
use crate::repository::releases::CHECKPOINT;
use crate::repository::{Repository, layout};

/// Largest record of a checkpoint that is read.
const RECORD_BYTES_MAX: u64 = 64 << 20;

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
    /// The predicate of the checkpoint as a file of this host, which is believed as it is
    #[arg(long, value_name = "FILE", hide = true)]
    record: Option<PathBuf>,
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
    /// Finds the checkpoint.
    ///
    /// # Errors
    /// `NotFound` if there is none, or if it does not cover a tenant that was asked for.
    pub async fn find(self, config: &Config) -> Result<Released> {
        let checkpoint = match &self.record {
            Some(file) => read(file)?,
            None => stored(config, &self.release).await?,
        };
        if checkpoint.release.id != self.release {
            let what = format!("the record is of release {}, not {}", checkpoint.release.id, self.release);
            return Err(Error::new(Kind::Usage, what));
        }
        let tenants = tenants(&checkpoint, self.tenant, self.cohort.as_deref())?;
        let folder = layout::release_folder(&self.release);
        Ok(Released { checkpoint, tenants, folder, trust: self.trust })
    }
}

/// The checkpoint in the repository.
async fn stored(config: &Config, release: &ReleaseId) -> Result<Checkpoint> {
    let repository = Repository::configured(config).await?;
    let trusted = TrustedEvidenceKeys::configured(&config.checkpoint)?;
    let origin = repository.origin().await?;
    match repository.read_checkpoint(release, &origin, &trusted).await? {
        Some(found) => Ok(found.evidence.checkpoint),
        None => {
            let what = format!("there is no checkpoint of release {release}");
            Err(Error::new(Kind::NotFound, what)
                .next("lifeboat evidence list shows the releases that have one"))
        }
    }
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
    stored(config, release).await?.point.ok_or_else(|| {
        Error::new(Kind::Refused, format!("the checkpoint of release {release} has no restore point"))
            .next("it took dumps: lifeboat list --release ID names them, --snapshot selects one")
    })
}

/// The tenants that are meant.
fn tenants(checkpoint: &Checkpoint, asked: Vec<TenantName>, cohort: Option<&str>) -> Result<Vec<TenantName>> {
    let scope = &checkpoint.scope;
    let release = &checkpoint.release.id;
    if let Some(cohort) = cohort.filter(|cohort| scope.cohort.as_deref() != Some(*cohort)) {
        let what = format!("the checkpoint of release {release} was not made for cohort {cohort}");
        return Err(Error::new(Kind::NotFound, what).next("name the tenants: --tenant NAME"));
    }
    let all: Vec<TenantName> = checkpoint.tenants.iter().map(|state| state.tenant.clone()).collect();
    if let Some(other) = asked.iter().find(|tenant| !all.contains(tenant)) {
        let names: Vec<&str> = all.iter().map(TenantName::as_str).collect();
        let what = format!("the checkpoint of release {release} does not cover tenant {other}");
        return Err(Error::new(Kind::NotFound, what).next(format!("it covers {}", names.join(", "))));
    }
    let mut tenants = if asked.is_empty() { all } else { asked };
    tenants.sort();
    tenants.dedup();
    Ok(tenants)
}

fn read(file: &std::path::Path) -> Result<Checkpoint> {
    let bytes = disk::read(file, RECORD_BYTES_MAX)?;
    serde_json::from_slice(&bytes).map_err(|e| {
        Error::new(Kind::Integrity, format!("{} is not the record of a checkpoint", file.display()))
            .because(e)
    })
}

impl Released {
    /// The plan of its rollback, as things are now. Reads the tenants and the repository, changes nothing.
    ///
    /// # Errors
    /// `Interrupted`; whatever else fails is not known in the plan.
    pub async fn plan(&self, config: &Config, app: &App) -> Result<RollbackPlan> {
        let stored = self.stored(config).await;
        let inputs =
            gather(config, &self.checkpoint, &self.folder, &self.tenants, &stored, &app.cancel).await?;
        Ok(plan(&self.checkpoint, inputs, &[], clock::now()))
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
