//! Evidence of checkpoints: each `checkpoint.json` is signed by a key that is trusted, of this repository and
//! instance, in the folder of its release; and the result beside it is its own.

use std::collections::HashMap;

use tokio_util::sync::CancellationToken;

use crate::archive::evidence::key::TrustedEvidenceKeys;
use crate::archive::evidence::svr;
use crate::archive::manifest::Origin;
use crate::repository::releases::{CHECKPOINT, ReleaseLook, SVR, StoredCheckpoint};
use crate::repository::{Repository, layout};
use crate::upkeep::findings::{Findings, Unfinished};

/// The result of a check of all checkpoints, besides its findings.
#[derive(Debug, Default)]
pub struct Checkpoints {
    /// Objects that were read and compared.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Releases that have no `checkpoint.json`.
    pub unfinished: Vec<Unfinished>,
    /// What should be known of them.
    pub warnings: Vec<String>,
}

/// Checks every checkpoint below the instance's `releases/`, as `listed`. What is wrong or could not be
/// looked at goes to `findings`.
pub async fn check(
    repository: &Repository,
    origin: &Origin,
    trusted: Option<&TrustedEvidenceKeys>,
    listed: &HashMap<String, u64>,
    findings: &Findings,
    cancel: &CancellationToken,
) -> Checkpoints {
    let mut seen = Checkpoints::default();
    let folder = format!("{}/", layout::releases(repository.instance()));
    if !listed.keys().any(|key| key.starts_with(&folder)) {
        return seen;
    }
    let Some(trusted) = trusted else {
        let what =
            "the evidence of checkpoints was not checked: no key of checkpoint.trusted_key_files is known";
        seen.warnings.push(what.to_owned());
        return seen;
    };
    let look = repository.list_releases(origin, trusted);
    let looks = findings.looked(&folder, "the checkpoints", look, cancel).await;
    for (name, look) in looks.into_iter().flatten() {
        let key = format!("{folder}{name}/{CHECKPOINT}");
        match look {
            ReleaseLook::Believed(stored) => {
                seen.objects += 1;
                seen.bytes += stored.envelope.len() as u64;
                result(repository, &stored, trusted, findings, &mut seen).await;
            }
            ReleaseLook::Unfinished => seen.unfinished.push(Unfinished {
                id: name,
                what: "no checkpoint.json: a checkpoint is being made, was cut short, or is lost".to_owned(),
            }),
            ReleaseLook::NotBelieved(e) | ReleaseLook::NotRead(e) => findings.sort(&key, e, Vec::new()),
        }
    }
    seen
}

/// The result beside a checkpoint; without one it was cut short, and a second call completes it.
async fn result(
    repository: &Repository,
    stored: &StoredCheckpoint,
    trusted: &TrustedEvidenceKeys,
    findings: &Findings,
    seen: &mut Checkpoints,
) {
    let checkpoint = &stored.evidence.checkpoint;
    let key = layout::release_object(repository.instance(), &checkpoint.release.id, SVR);
    let checked = match repository.beside_checkpoint(&checkpoint.release.id, SVR).await {
        Ok(None) => return,
        Ok(Some(bytes)) => {
            seen.objects += 1;
            seen.bytes += bytes.len() as u64;
            svr::check(&key, &bytes, checkpoint, trusted)
        }
        Err(e) => Err(e),
    };
    if let Err(e) = checked {
        findings.sort(&key, e, Vec::new());
    }
}
