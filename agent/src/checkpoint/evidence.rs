//! What the evidence says besides the gates: what came before, what changed, and how to go back.

use std::collections::BTreeMap;

use crate::archive::digest::Sha256;
use crate::archive::evidence::key::TrustedEvidenceKeys;
use crate::archive::evidence::predicate::{
    Artifact, Checkpoint, Configuration, Drill, Place, Previous, SnapshotRef, TenantState,
};
use crate::archive::manifest::{ConfigFacts, Facts, Manifest, Origin};
use crate::archive::seal::Recipients;
use crate::checkpoint::modules::{Released, since_previous, with_release};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::inventory::drills::StoredDrill;
use crate::names::{ReleaseId, TenantName, shell_word};
use crate::repository::Repository;
use crate::repository::releases::{ReleaseLook, StoredCheckpoint};

/// Changes of the configuration that are named.
const CHANGED_MAX: usize = 100;

/// The checkpoints before this one, the oldest first.
pub struct Before(Vec<StoredCheckpoint>);

impl Before {
    /// Reads them.
    ///
    /// # Errors
    /// Where one could not be read: then it is not known which is the newest.
    pub async fn read(
        repository: &Repository,
        origin: &Origin,
        trusted: &TrustedEvidenceKeys,
        release: &ReleaseId,
    ) -> Result<Before> {
        let mut before = Vec::new();
        for (folder, look) in repository.list_releases(origin, trusted).await? {
            match look {
                ReleaseLook::Believed(stored) if stored.evidence.checkpoint.release.id != *release => {
                    before.push(*stored);
                }
                ReleaseLook::NotRead(e) => {
                    return Err(e.context(format!("read the checkpoint in releases/{folder}")));
                }
                // What nobody trusted signed is not a link of the chain; lifeboat evidence list shows it.
                ReleaseLook::Believed(_) | ReleaseLook::Unfinished | ReleaseLook::NotBelieved(_) => {}
            }
        }
        before.sort_by_key(|stored| (stored.stored_at, stored.evidence.checkpoint.ended));
        Ok(Before(before))
    }

    /// The newest one.
    pub fn previous(&self) -> Option<Previous> {
        self.0.last().map(|stored| Previous {
            release: stored.evidence.checkpoint.release.id.clone(),
            sha256: stored.evidence.sha256,
        })
    }

    /// The newest one's configuration.
    pub fn configuration(&self) -> Option<&Configuration> {
        self.0.iter().rev().find_map(|stored| stored.evidence.checkpoint.configuration.as_ref())
    }

    /// A tenant in the newest one that covers it.
    fn tenant(&self, tenant: &TenantName) -> Option<&TenantState> {
        let of = |stored: &'_ StoredCheckpoint| {
            stored.evidence.checkpoint.tenants.iter().any(|t| t.tenant == *tenant)
        };
        let newest = self.0.iter().rev().find(|stored| of(stored))?;
        newest.evidence.checkpoint.tenants.iter().find(|state| state.tenant == *tenant)
    }

    /// Adds to a tenant what changed since the newest one that covers it, and what the release changes.
    pub fn add_changes(&self, state: &mut TenantState, released: Option<&Released>) {
        if let Some(before) = self.tenant(&state.tenant) {
            state.module_changes = since_previous(&before.modules, &state.modules);
        }
        if let Some(released) = released {
            let changes = with_release(&state.modules, state.odoo_version.as_deref(), released);
            state.module_changes.extend(changes);
        }
    }
}

/// The captured configuration. `before` is the manifest of the one before it, where there is one.
pub fn configuration(
    manifest: &Manifest,
    manifest_sha256: Sha256,
    before: Option<&Manifest>,
) -> Result<(Configuration, Vec<Artifact>)> {
    let facts = facts(manifest)?;
    let mut changed = match before.map(self::facts).transpose()? {
        Some(before) => changed(before, facts),
        None => Vec::new(),
    };
    // What is configured and could not be captured is not unchanged: it is not known.
    let left_out = facts.left_out.iter().map(|one| format!("{} (not captured: {})", one.path, one.why));
    changed.extend(left_out.take(CHANGED_MAX));
    let artifacts = facts.artifacts.iter().map(|one| Artifact {
        name: one.name.clone(),
        bytes: one.bytes,
        sha256: one.sha256,
    });
    let snapshot = SnapshotRef { id: manifest.id.clone(), manifest_sha256 };
    Ok((Configuration { snapshot, sha256: facts.sha256, changed }, artifacts.collect()))
}

fn facts(manifest: &Manifest) -> Result<&ConfigFacts> {
    match &manifest.facts {
        Facts::Config(facts) => Ok(facts),
        _ => Err(Error::new(Kind::Internal, format!("snapshot {} is no configuration", manifest.id))),
    }
}

/// The paths that came, went or changed.
fn changed(before: &ConfigFacts, now: &ConfigFacts) -> Vec<String> {
    if before.digest_key != now.digest_key {
        return vec!["not known: the two were captured with different signing keys".to_owned()];
    }
    let of = |facts: &ConfigFacts| -> BTreeMap<String, String> {
        facts.entries.iter().map(|entry| (entry.path.clone(), entry.digest.to_string())).collect()
    };
    let (before, now) = (of(before), of(now));
    let mut paths: Vec<&String> = before.keys().chain(now.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    let differs = |path: &&String| before.get(*path) != now.get(*path);
    let word = |path: &String| match (before.contains_key(path), now.contains_key(path)) {
        (false, _) => format!("{path} (new)"),
        (_, false) => format!("{path} (gone)"),
        _ => path.clone(),
    };
    paths.into_iter().filter(differs).take(CHANGED_MAX).map(word).collect()
}

/// What the evidence says of the newest drill.
pub fn drill(drill: &StoredDrill, now: Timestamp) -> Drill {
    Drill {
        id: drill.id.clone(),
        ended: drill.ended,
        age_seconds: now.as_second() - drill.time().as_second(),
        verdict: drill.verdict.clone(),
        rpo_seconds: drill.rpo_seconds,
        rto_seconds: drill.rto_seconds,
    }
}

/// Where all of it is stored.
pub fn places(config: &Config, repository: &Repository) -> Vec<Place> {
    vec![Place { url: repository.store().url().to_owned(), region: config.repository.region.clone() }]
}

/// Fingerprints of the recipients: the first 32 hex digits of the SHA-256 of each public key.
pub fn fingerprints(recipients: &Recipients) -> Vec<String> {
    let of = |text: &str| format!("SHA256:{}", &Sha256::of(text.as_bytes()).to_string()[..32]);
    recipients.texts().map(of).collect()
}

/// The commands that go back, in order.
pub fn rollback(checkpoint: &Checkpoint) -> Vec<String> {
    let release = shell_word(checkpoint.release.id.as_str());
    let mut commands = vec![format!("lifeboat rollback plan --release {release}")];
    for state in &checkpoint.tenants {
        let tenant = shell_word(state.tenant.as_str());
        commands.push(match &state.dump {
            Some(dump) => format!("lifeboat restore --tenant {tenant} --snapshot {}", dump.id),
            None => format!("lifeboat restore --tenant {tenant} --before-release {release}"),
        });
    }
    if checkpoint.configuration.is_some() {
        commands.push(format!("lifeboat config restore --release {release} DIR"));
    }
    commands
}
