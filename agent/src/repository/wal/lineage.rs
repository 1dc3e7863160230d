//! Where timelines came from, as far as this is known without an identity: see [`crate::archive::lineage`].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::archive::digest::Sha256;
use crate::archive::lineage;
use crate::archive::manifest::Origin;
use crate::archive::wal_history::Ancestor;
use crate::error::{Kind, Result};
use crate::names::wal::TimelineId;
use crate::repository::snapshots::Trust;
use crate::repository::wal::put::blocking;
use crate::repository::wal::{Content, LineageObject, WalWriter};
use crate::repository::{Repository, layout};

/// Objects of one timeline that are read: whoever can write to the store can make any number.
const CANDIDATES_MAX: usize = 16;

/// What is known of the timelines that have a stored history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineages {
    /// The ancestors of each, oldest first.
    pub known: BTreeMap<TimelineId, Vec<Ancestor>>,
    /// Timelines for which two trusted objects list different ancestors.
    pub contradicting: Vec<TimelineId>,
}

impl Repository {
    /// Where each timeline came from, according to the objects beside their histories. Untrusted objects are
    /// ignored; a timeline without a trusted one is missing.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn lineages(
        &self,
        listed: &[LineageObject],
        origin: &Origin,
        trust: &Trust,
    ) -> Result<Lineages> {
        let trusted = match trust {
            Trust::Keys(keys) => Some(keys),
            Trust::Anyone => None,
        };
        let mut lineages = Lineages::default();
        let mut tried: BTreeMap<TimelineId, usize> = BTreeMap::new();
        for LineageObject { timeline, key, .. } in listed {
            let tries = tried.entry(*timeline).or_default();
            *tries += 1;
            if *tries > CANDIDATES_MAX {
                continue;
            }
            let stored = match self.store().get(key, lineage::BYTES_MAX).await {
                Ok(stored) => stored,
                Err(e) if matches!(e.kind(), Kind::NotFound | Kind::Integrity) => continue,
                Err(e) => return Err(e),
            };
            match lineage::read(trusted, origin, *timeline, &stored) {
                Ok(ancestors) => match lineages.known.get(timeline) {
                    Some(known) if *known != ancestors => lineages.contradicting.push(*timeline),
                    _ => drop(lineages.known.insert(*timeline, ancestors)),
                },
                Err(e) => tracing::debug!("{key} was ignored: {e:?}"),
            }
        }
        Ok(lineages)
    }
}

impl WalWriter {
    /// Stores the ancestors of a timeline beside its history, whose content is `text`. Idempotent.
    pub(super) async fn put_lineage(&self, timeline: TimelineId, text: Arc<dyn Content>) -> Result<()> {
        let read = move || {
            let mut into = Vec::new();
            text.range(0..text.bytes(), &mut into).map(|()| into)
        };
        let (sealer, text) = (self.sealer(), blocking(read).await?);
        let signed = match lineage::sign(&sealer.signing, &sealer.origin, timeline, &text) {
            Ok(signed) => signed,
            Err(e) if e.kind() == Kind::Integrity => return Ok(()), // not a history that planning could use
            Err(e) => return Err(e),
        };
        let key = layout::wal_lineage(self.repository().instance(), timeline, Sha256::of(&signed));
        self.repository().for_wal().store().put_new(&key, signed).await
    }
}
