//! The checkpoints of releases: `instances/<instance>/releases/<folder>/`.
//!
//! **A checkpoint exists when its `checkpoint.json` does**, created once and never replaced. Whatever it
//! names was stored before it. Beside it come a result for policy engines, a page for people and the schema:
//! each follows from the checkpoint, so a call that was killed before them is completed by the next one.

use std::io::Write;

use futures::{StreamExt, stream};

use crate::archive::digest::Sha256;
use crate::archive::evidence::chain::Link;
use crate::archive::evidence::dsse;
use crate::archive::evidence::key::{EvidenceKey, TrustedEvidenceKeys};
use crate::archive::evidence::predicate::Checkpoint;
use crate::archive::evidence::statement::{self, Evidence};
use crate::archive::evidence::{markdown, schema, svr};
use crate::archive::manifest::Origin;
use crate::archive::seal::Recipients;
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::names::ReleaseId;
use crate::repository::{Repository, layout};

/// The signed evidence.
pub const CHECKPOINT: &str = "checkpoint.json";
/// The Simple Verification Result beside it.
pub const SVR: &str = "svr.json";
/// The page for people.
pub const MARKDOWN: &str = "evidence.md";
/// The schema of the predicate.
pub const SCHEMA: &str = "schema.json";

/// Checkpoints read at a time.
const AT_ONCE: usize = 8;

/// A checkpoint that is stored and believed.
#[derive(Clone, Debug)]
pub struct StoredCheckpoint {
    /// What it says.
    pub evidence: Evidence,
    /// Its envelope's bytes as stored.
    pub envelope: Vec<u8>,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
}

impl StoredCheckpoint {
    /// Its place in the chain of checkpoints.
    pub fn link(&self) -> Link {
        let checkpoint = &self.evidence.checkpoint;
        Link {
            release: checkpoint.release.id.clone(),
            sha256: self.evidence.sha256,
            previous: checkpoint.previous.clone(),
            stored_at: self.stored_at,
        }
    }
}

/// What is found in a folder of `releases/`.
#[derive(Debug)]
pub enum ReleaseLook {
    /// A checkpoint.
    Believed(Box<StoredCheckpoint>),
    /// No `checkpoint.json`: a checkpoint is being made, or one was cut short. It does not count.
    Unfinished,
    /// Signed by nobody trusted, damaged, or of another release or repository.
    NotBelieved(Error),
    /// It could not be read: nothing is known of it.
    NotRead(Error),
}

impl Repository {
    /// Signs a checkpoint and stores it, and what belongs beside it. Whatever the checkpoint names must be
    /// stored before. Returns it as it is stored.
    ///
    /// # Errors
    /// `AlreadyExists` where the release has another checkpoint: read that one. `Conflict` where `origin` of
    /// the checkpoint is not this repository's. Those of [`statement::sign`] and of the store; after those of
    /// the store the checkpoint may exist or not: read it, and complete it with
    /// [`Repository::complete_checkpoint`].
    pub async fn store_checkpoint(
        &self,
        checkpoint: &Checkpoint,
        key: &EvidenceKey,
    ) -> Result<StoredCheckpoint> {
        let release = &checkpoint.release.id;
        if checkpoint.origin != self.origin().await? {
            return Err(Error::new(Kind::Conflict, "this checkpoint is of another repository or instance")
                .effect("nothing was stored"));
        }
        let envelope = statement::sign(checkpoint, key)?;
        let object = layout::release_object(self.instance(), release, CHECKPOINT);
        self.for_record().store().put_new(&object, envelope.clone()).await?;
        let trusted = TrustedEvidenceKeys::new([key.public().clone()]);
        let stored = self.read_checkpoint(release, &checkpoint.origin, &trusted).await?;
        let stored = stored.filter(|stored| stored.envelope == envelope).ok_or_else(|| {
            Error::new(
                Kind::Integrity,
                format!("{object} was stored, but is not read back as it was written"),
            )
        })?;
        self.complete_checkpoint(&stored.evidence.checkpoint, key).await?;
        Ok(stored)
    }

    /// Stores the baseline of a tenant, compressed and encrypted, before the checkpoint that names its
    /// digest. Idempotent: the name says which baseline it is.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn store_baseline(
        &self,
        release: &ReleaseId,
        baseline: &[u8],
        recipients: &Recipients,
    ) -> Result<()> {
        let failed = |e| Error::carried(Kind::Internal, "cannot encrypt a baseline", e);
        let mut sealed = recipients.seal(Vec::new())?;
        sealed.write_all(&zstd::encode_all(baseline, 3).map_err(failed)?).map_err(failed)?;
        let bytes = sealed.finish().map_err(failed)?;
        let name = format!("baseline-{}.zst.age", &Sha256::of(baseline).to_string()[..32]);
        let object = layout::release_object(self.instance(), release, &name);
        match self.for_record().store().put_new(&object, bytes).await {
            // The same one, encrypted by an earlier call.
            Err(e) if e.kind() == Kind::AlreadyExists => Ok(()),
            stored => stored,
        }
    }

    /// Stores what is missing beside a checkpoint. Idempotent: what is there stays as it is.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn complete_checkpoint(&self, checkpoint: &Checkpoint, key: &EvidenceKey) -> Result<()> {
        let beside = [
            (SVR, svr::sign(checkpoint, key)?),
            (MARKDOWN, markdown::text(checkpoint).into_bytes()),
            (SCHEMA, schema::JSON.as_bytes().to_vec()),
        ];
        for (name, bytes) in beside {
            let object = layout::release_object(self.instance(), &checkpoint.release.id, name);
            match self.for_record().store().put_new(&object, bytes).await {
                // By an older version, or with a key that was replaced since.
                Err(e) if e.kind() == Kind::AlreadyExists => {}
                done => done?,
            }
        }
        Ok(())
    }

    /// The checkpoint of a release; `None` only where the store said that there is none.
    ///
    /// # Errors
    /// `Signature` where no trusted key signed it; `Integrity` where it is damaged, or is that of another
    /// release, repository or instance; `Repository` where a newer program wrote it; that of the store.
    pub async fn read_checkpoint(
        &self,
        release: &ReleaseId,
        origin: &Origin,
        trusted: &TrustedEvidenceKeys,
    ) -> Result<Option<StoredCheckpoint>> {
        let folder = layout::release_folder(release);
        let Some(stored) = self.checkpoint_in(&folder, origin, trusted).await? else { return Ok(None) };
        let found = &stored.evidence.checkpoint.release.id;
        match found == release {
            true => Ok(Some(stored)),
            false => Err(of_another_release(&folder, found)),
        }
    }

    /// What is in each folder of `releases/`, by its name. One that is not believed hides no other.
    ///
    /// # Errors
    /// That of the store where they cannot be listed.
    pub async fn list_releases(
        &self,
        origin: &Origin,
        trusted: &TrustedEvidenceKeys,
    ) -> Result<Vec<(String, ReleaseLook)>> {
        let folders = self.store().list_dirs(&layout::releases(self.instance())).await?;
        let look = |folder: String| async move {
            let look = match self.checkpoint_in(&folder, origin, trusted).await {
                Ok(Some(stored)) => ReleaseLook::Believed(Box::new(stored)),
                Ok(None) => ReleaseLook::Unfinished,
                Err(e) if e.is_damage() => ReleaseLook::NotBelieved(e),
                Err(e) => ReleaseLook::NotRead(e),
            };
            (folder, look)
        };
        Ok(stream::iter(folders).map(look).buffered(AT_ONCE).collect().await)
    }

    /// An object beside a checkpoint; `None` where there is none. Nothing of it is checked.
    ///
    /// # Errors
    /// `Integrity` where it is too large; that of the store.
    pub async fn beside_checkpoint(&self, release: &ReleaseId, name: &str) -> Result<Option<Vec<u8>>> {
        let object = layout::release_object(self.instance(), release, name);
        match self.store().get(&object, dsse::BYTES_MAX).await {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(e) if e.kind() == Kind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn checkpoint_in(
        &self,
        folder: &str,
        origin: &Origin,
        trusted: &TrustedEvidenceKeys,
    ) -> Result<Option<StoredCheckpoint>> {
        let object = format!("{}/{folder}/{CHECKPOINT}", layout::releases(self.instance()));
        let held = match self.get_unproven(&object, dsse::BYTES_MAX).await {
            Ok(held) => held,
            Err(e) if e.kind() == Kind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let evidence = statement::open(&object, &held, trusted)?;
        let (belongs, found) = (&evidence.checkpoint.origin, &evidence.checkpoint.release.id);
        if belongs != origin {
            let what = match (belongs.repository == origin.repository, belongs.instance == origin.instance) {
                (false, _) => format!("{object} is evidence of another repository, {}", belongs.repository),
                (true, false) => format!("{object} is evidence of another instance, {}", belongs.instance),
                (true, true) => {
                    format!("{object} does not fit lifeboat.json or instance.json: one of them was altered")
                }
            };
            return Err(Error::new(Kind::Integrity, what));
        }
        if layout::release_folder(found) != folder {
            return Err(of_another_release(folder, found));
        }
        Ok(Some(StoredCheckpoint { envelope: held.to_vec(), stored_at: held.stored_at, evidence }))
    }
}

fn of_another_release(folder: &str, found: &ReleaseId) -> Error {
    let what = format!("releases/{folder}/{CHECKPOINT} is the evidence of release {found}");
    Error::new(Kind::Integrity, what)
        .because("the evidence of one release proves nothing of another")
        .next("find out who put it there; lifeboat evidence list shows every checkpoint")
}

#[cfg(test)]
mod tests;
