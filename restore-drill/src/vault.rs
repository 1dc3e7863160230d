//! The repository, as the drill needs it: which snapshot is the latest, and where the report goes.
//!
//! Only manifests are read here. Restoring is left to the program `lifeboat`, which is what the
//! drill is to prove.

use std::path::{Path, PathBuf};

use lifeboat::archive::drill::MARKDOWN;
use lifeboat::archive::manifest::SnapshotKind;
use lifeboat::archive::signature::SigningKey;
use lifeboat::config::{Config, Inputs};
use lifeboat::error::Result;
use lifeboat::inventory::Inventory;
use lifeboat::inventory::pick::{self, Pick};
use lifeboat::inventory::take::{Wanted, Which};
use lifeboat::names::{SnapshotId, TenantName};
use lifeboat::repository::snapshots::Trust;
use lifeboat::repository::{Repository, layout};

use crate::publish::Files;
use crate::report::NotChecked;
use crate::setup::Chosen;
use crate::snapshot::Snapshot;

/// The files that hold the secrets of a configuration: identities, the signing key, the store's
/// credentials, PostgreSQL's passwords. None of one that cannot be read: the restore will say so.
pub fn secrets(config: &Path) -> Vec<PathBuf> {
    let inputs = Inputs { config: Some(config.to_owned()), ..Inputs::from_process() };
    let Ok(config) = Config::load(&inputs) else { return Vec::new() };
    let one = [
        config.seal.passphrase_file,
        config.signing.key_file,
        config.repository.credentials_file,
        config.postgres.password_file,
        config.postgres.passfile,
    ];
    config.seal.identity_files.into_iter().chain(one.into_iter().flatten()).collect()
}

/// An opened repository.
pub struct Vault {
    repository: Repository,
    trust: Trust,
    key: Option<SigningKey>,
}

impl Vault {
    /// Opens the repository that a configuration names. A signing key is used where the
    /// configuration has one.
    ///
    /// # Errors
    /// `Config` where the configuration is wrong, those of the repository where it cannot
    /// be reached.
    pub async fn open(config: &Path) -> Result<Vault> {
        let inputs = Inputs { config: Some(config.to_owned()), ..Inputs::from_process() };
        let config = Config::load(&inputs)?;
        let key = config.signing.key_file.as_deref().map(SigningKey::load).transpose()?;
        let trust = Trust::keys(&config.signing.trusted_keys)?;
        Ok(Vault { repository: Repository::configured(&config).await?, trust, key })
    }

    /// The repository itself.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The key that reports are signed with.
    pub fn key(&self) -> Option<&SigningKey> {
        self.key.as_ref()
    }

    /// The dump to drill with: the one named, or the newest of the tenant whose manifest is
    /// believed. Those that are newer and not believed are told, not hidden.
    ///
    /// # Errors
    /// `NotFound` where there is none, `Usage` where the one named is of another
    /// tenant or not of a database, `Signature` and `Integrity` where the one named
    /// is not what it should be, and those of the store.
    pub async fn choose(&self, tenant: &TenantName, wanted: Option<&SnapshotId>) -> Result<Chosen> {
        let (pick, snapshots) = match wanted {
            Some(id) => (Pick::Snapshot(id.clone()), Which::Ids(vec![id.clone()])),
            None => (Pick::Latest, Which::Kind(SnapshotKind::Dump)),
        };
        let wanted = Wanted { snapshots, ..Wanted::default() };
        let inventory = Inventory::take(&self.repository, &self.trust, &wanted).await?;
        let chosen = pick::choose(&inventory, tenant, SnapshotKind::Dump, &pick)?;
        let dump = chosen.snapshot;
        // Read once more: an inventory does not keep lists of files.
        let origin = self.repository.origin().await?;
        let manifest = self.repository.manifest(&dump.manifest.id, &origin, &self.trust).await?;
        let passed_over = chosen.passed_over.into_iter().map(|(id, why)| {
            let what = format!("snapshot {id}, which may be newer and of this tenant");
            NotChecked { what, why }
        });
        let clock = dump
            .clock_ahead()
            .and_then(|_| dump.clock_note())
            .map(|why| NotChecked { what: "the clock of the snapshot's writer".into(), why });
        Ok(Chosen {
            snapshot: Snapshot::of_manifest(&manifest, matches!(pick, Pick::Snapshot(_)))?,
            passed_over: passed_over.chain(clock).collect(),
        })
    }

    /// Writes a report to `instances/<instance>/drills/<drill>/`; its place.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn publish(&self, drill: &str, files: &Files<'_>) -> Result<String> {
        let (instance, store) = (self.repository.instance(), self.repository.store());
        store.put_new(&layout::drill(instance, drill, MARKDOWN), files.markdown.clone()).await?;
        let record = self.repository.drill_record(drill);
        match files.key {
            Some(key) => record.write(store, files.json.clone(), key).await?,
            None => store.put_new(&record.key, files.json.clone()).await?,
        }
        let key = layout::drill(instance, drill, "");
        Ok(format!("{}/{}", store.url(), key.trim_end_matches('/')))
    }
}
