//! Nothing is written under a `lifeboat.json` or `instance.json` that was altered: every manifest and every
//! name of WAL holds the digests of both, so nothing written meanwhile would count once the right file is
//! back.
//!
//! Snapshots that this host trusts say which digests are right. One that fits is enough: snapshots of another
//! repository can be copied here by anybody who can write.

use super::{PUT_BACK, Repository, layout};
use crate::archive::manifest::Origin;
use crate::archive::signature::TrustedKeys;
use crate::error::{Error, Kind, Result};
use crate::repository::snapshots::Trust;

/// Manifests that are read to find one that fits. Usually the newest one does.
const MANIFESTS_MAX: usize = 1_000;

impl Repository {
    /// [`Repository::bind`] before a run that stores snapshots or streams WAL. Compares `lifeboat.json` and
    /// `instance.json` with the newest snapshots as well; `trusted` are the keys whose snapshots count.
    ///
    /// # Errors
    /// `Repository` where signed snapshots exist and all of them name other digests.
    pub async fn bind_unaltered(
        &self,
        system_identifier: Option<&str>,
        trusted: TrustedKeys,
    ) -> Result<Origin> {
        let origin = self.bind(system_identifier).await?;
        self.check_unaltered(&origin, trusted).await?;
        Ok(origin)
    }

    /// The comparison alone, for an origin that was just read. One listing, and usually one manifest.
    ///
    /// # Errors
    /// As [`Repository::bind_unaltered`].
    pub async fn check_unaltered(&self, origin: &Origin, trusted: TrustedKeys) -> Result<()> {
        let trust = Trust::Keys(trusted);
        let mut signed: Option<Origin> = None;
        for id in self.snapshot_ids().await?.0.iter().rev().take(MANIFESTS_MAX) {
            let manifest = match self.signed_manifest(id, &trust).await {
                Ok((manifest, _)) => manifest,
                Err(e) if e.is_damage() => continue, // unfinished, or somebody else's
                // an identity that may write and not read: nothing can be compared here
                Err(e) if e.kind() == Kind::Denied => return Ok(()),
                Err(e) => return Err(e),
            };
            if manifest.origin == *origin {
                return Ok(());
            }
            signed.get_or_insert(manifest.origin);
        }
        let Some(signed) = signed else { return Ok(()) };
        let key = match signed.repository_sha256 == origin.repository_sha256 {
            true => layout::instance_meta(self.instance()),
            false => layout::META.to_owned(),
        };
        Err(Error::new(Kind::Repository, format!("{key} in {} was altered", self.store().url()))
            .because("every signed snapshot of this instance names another SHA-256 of it")
            .effect("nothing was stored: it could not be restored once the right file is back")
            .next(PUT_BACK)
            .safe("running again is safe"))
    }
}
