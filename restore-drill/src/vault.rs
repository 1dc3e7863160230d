//! The drill's access to the repository: finds the latest snapshot and stores the report.
//!
//! It reads manifests only. The program `lifeboat` restores, because the drill has to prove that program.

use std::path::{Path, PathBuf};

use lifeboat::archive::manifest::SnapshotKind;
use lifeboat::archive::signature::SigningKey;
use lifeboat::clock;
use lifeboat::config::{Config, Inputs};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::inventory::Inventory;
use lifeboat::inventory::pick::{self, Pick};
use lifeboat::inventory::plan::{Asked, Plan as Way, PointAsked, plan};
use lifeboat::inventory::take::{Wanted, Which};
use lifeboat::inventory::target::Target;
use lifeboat::names::wal::TimelineId;
use lifeboat::names::{SnapshotId, TenantName};
use lifeboat::repository::snapshots::Trust;
use lifeboat::repository::{Repository, layout};

use crate::report::publish::Files;
use crate::setup::{Chosen, Skipped};
use crate::snapshot::{Snapshot, WalPoint};

/// The files with the secrets of a configuration: identities, the signing key, the store's credentials,
/// PostgreSQL's passwords. Empty if the configuration cannot be read: then the restore reports it.
pub fn secrets(config: &Path) -> Vec<PathBuf> {
    let Ok(config) = load(config) else { return Vec::new() };
    let one = [
        config.seal.passphrase_file,
        config.signing.key_file,
        config.repository.credentials_file,
        config.postgres.password_file,
        config.postgres.passfile,
    ];
    config.seal.identity_files.into_iter().chain(one.into_iter().flatten()).collect()
}

/// The configuration of a file; where the path is empty, the one of the environment.
///
/// # Errors
/// `Config` if it is wrong.
pub fn load(file: &Path) -> Result<Config> {
    let named = Some(file.to_owned()).filter(|file| !file.as_os_str().is_empty());
    Config::load(&Inputs { config: named, ..Inputs::from_process() })
}

/// An opened repository.
pub struct Vault {
    repository: Repository,
    trust: Trust,
    key: Option<SigningKey>,
}

impl Vault {
    /// Opens the repository of a configuration. It uses the signing key, if the configuration has one.
    ///
    /// # Errors
    /// `Config` if the configuration is wrong; those of the repository if it cannot be reached.
    pub async fn open(config: &Path) -> Result<Vault> {
        let config = load(config)?;
        let key = config.signing.key_file.as_deref().map(SigningKey::load).transpose()?;
        let trust = Trust::keys(&config.signing.trusted_keys)?;
        Ok(Vault { repository: Repository::configured(&config).await?, trust, key })
    }

    /// The repository itself.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The keys that are trusted.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The key that signs reports.
    pub fn key(&self) -> Option<&SigningKey> {
        self.key.as_ref()
    }

    /// Chooses the dump for the drill: the named one, or the tenant's newest with a trusted manifest.
    /// Newer dumps that are not trusted are reported.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Usage` if the named one is of another tenant or is not a dump;
    /// `Signature` and `Integrity` if the named one is not trusted or is damaged; and those of the store.
    pub async fn choose(&self, tenant: &TenantName, wanted: Option<&SnapshotId>) -> Result<Chosen> {
        let (pick, snapshots) = match wanted {
            Some(id) => (Pick::Snapshot(id.clone()), Which::Ids(vec![id.clone()])),
            None => (Pick::Latest, Which::Kind(SnapshotKind::Dump)),
        };
        let wanted = Wanted { snapshots, ..Wanted::default() };
        let inventory = Inventory::take(&self.repository, &self.trust, &wanted).await?;
        let chosen = pick::choose(&inventory, tenant, SnapshotKind::Dump, &pick)?;
        let dump = chosen.snapshot;
        // Read again: an inventory does not keep lists of files.
        let origin = self.repository.origin().await?;
        let manifest = self.repository.manifest(&dump.manifest.id, &origin, &self.trust).await?;
        let skipped = chosen.skipped.into_iter().map(|(id, why)| {
            let what = format!("snapshot {id}, which may be a newer one of this tenant");
            Skipped { what, why }
        });
        let clock = dump
            .clock_ahead()
            .and_then(|_| dump.clock_note())
            .map(|why| Skipped { what: "the clock of the snapshot's writer".into(), why });
        Ok(Chosen {
            snapshot: Snapshot::of_manifest(&manifest, matches!(pick, Pick::Snapshot(_)))?,
            skipped: skipped.chain(clock).collect(),
        })
    }

    /// Chooses the base backup from which a tenant is restored to a point, as `lifeboat restore` does.
    ///
    /// # Errors
    /// `NotFound` if nothing leads to the point; `Refused` if it cannot be reached; those of the store.
    pub async fn choose_point(&self, tenant: &TenantName, point: WalPoint) -> Result<Chosen> {
        let wanted = Wanted { wal: true, ..Wanted::default() };
        let inventory = Inventory::take(&self.repository, &self.trust, &wanted).await?;
        let asked = PointAsked {
            tenant: Some(tenant.clone()),
            timeline: Some(TimelineId(point.timeline)),
            ..PointAsked::instance(Target::Lsn(point.lsn))
        };
        match plan(&inventory, &Asked::Point(asked), clock::now())? {
            Way::Point(plan) => {
                Ok(Chosen { snapshot: Snapshot::of_base(&plan, tenant, point)?, skipped: Vec::new() })
            }
            Way::Dump(_) => Err(Error::new(Kind::Internal, "the plan of a point is that of a dump")),
        }
    }

    /// Writes a report to `instances/<instance>/drills/<drill>/`; returns its place.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn publish(&self, drill: &str, files: &Files<'_>) -> Result<String> {
        let (instance, store) = (self.repository.instance(), self.repository.store());
        for (name, bytes) in &files.others {
            store.put_new(&layout::drill(instance, drill, name), bytes.clone()).await?;
        }
        let record = self.repository.drill_record(drill);
        match files.key {
            Some(key) => record.write(store, files.json.clone(), key).await?,
            None => store.put_new(&record.key, files.json.clone()).await?,
        }
        let key = layout::drill(instance, drill, "");
        Ok(format!("{}/{}", store.url(), key.trim_end_matches('/')))
    }
}
