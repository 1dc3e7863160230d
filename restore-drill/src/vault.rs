//! The repository, as the drill needs it: which snapshot is the latest, and where the report goes.
//!
//! Only manifests are read here. Restoring is left to the program `lifeboat`, which is what the
//! drill is to prove.

use std::path::{Path, PathBuf};

use lifeboat::archive::manifest::{Manifest, Origin, SnapshotKind};
use lifeboat::archive::signature::SigningKey;
use lifeboat::config::{Config, Inputs};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::{SnapshotId, TenantName};
use lifeboat::repository::snapshots::Trust;
use lifeboat::repository::{Repository, layout};

use crate::drill::Chosen;
use crate::publish::Files;
use crate::report::NotChecked;
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
    /// [`Kind::Config`] where the configuration is wrong, those of the repository where it cannot
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
    /// [`Kind::NotFound`] where there is none, [`Kind::Usage`] where the one named is of another
    /// tenant or not of a database, [`Kind::Signature`] and [`Kind::Integrity`] where the one named
    /// is not what it should be, and those of the store.
    pub async fn choose(&self, tenant: &TenantName, wanted: Option<&SnapshotId>) -> Result<Chosen> {
        let origin = self.repository.origin().await?;
        if let Some(id) = wanted {
            let manifest =
                self.repository.manifest(id, &origin, &self.trust).await.map_err(|e| match e.kind() {
                    Kind::NotFound => Error::new(Kind::NotFound, format!("there is no snapshot {id}"))
                        .because(e)
                        .next("lifeboat list shows what there is"),
                    _ => e,
                })?;
            if manifest.tenant.as_ref() != Some(tenant) {
                let whose = manifest.tenant.map_or("the instance".to_owned(), |tenant| tenant.to_string());
                return Err(Error::new(Kind::Usage, format!("snapshot {id} is of {whose}, not of {tenant}"))
                    .next("correct tenant or snapshot in the plan"));
            }
            let snapshot = Snapshot::of_manifest(&manifest, true)?;
            return Ok(Chosen { snapshot, passed_over: Vec::new() });
        }
        let mut passed_over = Vec::new();
        match self.newest(tenant, &origin, &mut passed_over).await? {
            Some(manifest) => Ok(Chosen { snapshot: Snapshot::of_manifest(&manifest, false)?, passed_over }),
            None => {
                let refused: Vec<String> =
                    passed_over.into_iter().map(|item| format!("{}: {}", item.what, item.why)).collect();
                let error = Error::new(
                    Kind::NotFound,
                    format!(
                        "there is no dump of tenant {tenant} in {} for instance {}",
                        self.repository.store().url(),
                        self.repository.instance()
                    ),
                )
                .next("lifeboat list shows what there is; lifeboat backup makes one");
                Err(if refused.is_empty() { error } else { error.because(refused.join("; ")) })
            }
        }
    }

    async fn newest(
        &self,
        tenant: &TenantName,
        origin: &Origin,
        passed_over: &mut Vec<NotChecked>,
    ) -> Result<Option<Manifest>> {
        let kind = format!("-{}-", SnapshotKind::Dump);
        let (ids, _) = self.repository.snapshot_ids().await?;
        for id in ids.into_iter().rev().filter(|id| id.as_str().contains(&kind)) {
            match self.repository.manifest(&id, origin, &self.trust).await {
                Ok(manifest)
                    if manifest.kind == SnapshotKind::Dump && manifest.tenant.as_ref() == Some(tenant) =>
                {
                    return Ok(Some(manifest));
                }
                Ok(_) => {}
                Err(e) if e.kind() == Kind::NotFound => {} // not finished: it does not exist
                // Whose it is cannot be known, so it may have been the newest of this tenant.
                Err(e) if matches!(e.kind(), Kind::Signature | Kind::Integrity | Kind::Repository) => {
                    let what = format!("snapshot {id}, which is newer and may be of this tenant");
                    passed_over.push(NotChecked { what, why: e.what().to_owned() });
                }
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    /// Writes a report to `instances/<instance>/drills/<drill>/`; its place.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn publish(&self, drill: &str, files: &Files) -> Result<String> {
        for (name, data) in &files.files {
            let key = layout::drill(self.repository.instance(), drill, name);
            self.repository.store().put_new(&key, data.clone()).await?;
        }
        let key = layout::drill(self.repository.instance(), drill, "");
        Ok(format!("{}/{}", self.repository.store().url(), key.trim_end_matches('/')))
    }
}
