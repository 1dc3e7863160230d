//! The captured configuration of a checkpoint, as a step of the work.

use super::evidence::{self, Before};
use super::needs::{Place, add_snapshots};
use super::proof::Needed;
use super::work::Work;
use crate::archive::evidence::predicate::{Artifact, Configuration};
use crate::archive::manifest::Manifest;
use crate::backup;
use crate::error::{Error, Kind, Result};
use crate::names::counted;

/// What was captured.
#[derive(Default)]
pub(super) struct Captured {
    /// The configuration; `None` where nothing is to be captured.
    pub(super) configuration: Option<Configuration>,
    /// What the pipeline attached.
    pub(super) artifacts: Vec<Artifact>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
    /// Why what was stored is not believed: the gate of the chain says it.
    pub(super) broken: Option<Error>,
}

impl Work<'_> {
    /// Captures the configuration.
    pub(super) async fn capture(
        &self,
        place: &Place<'_>,
        before: &Before,
        needed: &mut Needed,
    ) -> Result<Captured> {
        let mut captured = Captured::default();
        if self.no_point.is_some() {
            return Ok(captured);
        }
        let stored = backup::configuration::store(
            self.config,
            Some(self.request.release.id.clone()),
            &self.request.attach,
            self.progress.clone(),
            self.cancel.clone(),
        );
        let Some(manifest) = stored.await? else { return Ok(captured) };
        if let Some((_, e)) = add_snapshots(place, [&manifest.id].into_iter(), needed).await?.pop() {
            if e.kind() == Kind::Interrupted {
                return Err(e);
            }
            captured.broken = Some(e);
            return Ok(captured);
        }
        let sha256 = needed.manifests.get(&manifest.id).copied().ok_or_else(|| {
            Error::new(Kind::Internal, "the captured configuration is not among what is needed")
        })?;
        let previous: Option<Manifest> = match before.configuration() {
            Some(one) => match self.repository.manifest(&one.snapshot.id, place.origin, place.trust).await {
                Ok(manifest) => Some(manifest),
                Err(e) => {
                    captured
                        .notes
                        .push(format!("what changed in the configuration is not known: {}", e.line()));
                    None
                }
            },
            None => None,
        };
        let (configuration, artifacts) = evidence::configuration(&manifest, sha256, previous.as_ref())?;
        let left_out = manifest.config_facts()?.left_out.len();
        if left_out > 0 {
            captured.notes.push(format!(
                "{} of the configuration could not be captured; evidence.md and lifeboat show {} name them",
                counted(left_out, "path"),
                manifest.id
            ));
        }
        captured.configuration = Some(configuration);
        captured.artifacts = artifacts;
        Ok(captured)
    }
}
