//! Tombstones: each is signed by a key that is trusted, and names nothing younger than its window or
//! grace.
//!
//! Whoever has a signing key can announce anything. Expire deletes nothing of that, since it decides again
//! before it deletes, but it runs once a day: here it is told at once.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::archive::manifest::Origin;
use crate::archive::signature::TrustedKeys;
use crate::clock::{self, earlier};
use crate::config::{Class, class_of};
use crate::inventory::Snapshot;
use crate::names::{SnapshotId, TenantName, counted};
use crate::repository::tombstones::Believed;
use crate::repository::{Repository, layout};
use crate::upkeep::findings::{Finding, Findings};

/// What this host knows of the rules by which expire decides.
#[derive(Clone, Debug)]
pub struct KeptFor {
    /// The classes; none on a host that does not expire.
    pub classes: BTreeMap<String, Class>,
    /// `expire.grace`.
    pub grace: Duration,
}

impl KeptFor {
    /// For how long expire keeps every snapshot of a tenant, or of the cluster, whatever else there is;
    /// `None` is for ever.
    fn of(&self, tenant: Option<&TenantName>) -> Option<Duration> {
        let window = match (self.classes.is_empty(), tenant) {
            (true, _) => Some(Duration::ZERO),
            (false, Some(tenant)) => class_of(&self.classes, tenant).ok().map(|(_, class)| class.window),
            (false, None) => self.longest(),
        };
        window.map(|window| window.max(self.grace))
    }

    fn longest(&self) -> Option<Duration> {
        self.classes.values().map(|class| class.window).max()
    }
}

/// The tombstones that are believed. Others go to `findings`.
pub async fn read(
    repository: &Repository,
    origin: &Origin,
    trusted: &TrustedKeys,
    findings: &Findings,
    cancel: &CancellationToken,
) -> Vec<Believed> {
    let folder = layout::tombstones(repository.instance());
    let look = async { repository.tombstones(repository.expiry_runs().await?, origin, trusted).await };
    let Some((tombstones, others)) = findings.looked(&folder, "the tombstones", look, cancel).await else {
        return Vec::new();
    };
    others.iter().for_each(|e| findings.add(Finding::harmless(&folder, e.line())));
    tombstones
}

/// Sentences about tombstones that name what no run of expire announces: snapshots, and WAL, that were
/// younger than that when the tombstone was stored.
pub fn too_young<'a>(
    tombstones: &[Believed],
    find: impl Fn(&SnapshotId) -> Option<Snapshot> + 'a,
    kept: &KeptFor,
) -> Vec<String> {
    let mut told = Vec::new();
    for Believed { tombstone, stored_at } in tombstones {
        let is_young = |one: &Snapshot| {
            let span = kept.of(one.manifest.tenant.as_ref());
            span.is_none_or(|span| one.stored_at > earlier(*stored_at, span))
        };
        let named = tombstone.named.snapshots.iter().filter_map(&find);
        let young: Vec<SnapshotId> = named.filter(is_young).map(|one| one.manifest.id).collect();
        let wal_kept_since = kept.of(None).map(|span| earlier(*stored_at, span));
        let has_young_wal =
            tombstone.named.wal.iter().any(|range| wal_kept_since.is_some_and(|at| range.stored_until > at));
        let what = match (young.first(), has_young_wal) {
            (None, false) => continue,
            (None, true) => "WAL that is still needed".to_owned(),
            (Some(first), _) => {
                let count = counted(young.len() as u64, "snapshot");
                format!("{count} that expire still keeps, such as {first}")
            }
        };
        told.push(format!(
            "tombstone {}, stored {}, announces to delete {what}: the next lifeboat expire deletes nothing of it and \
             removes the tombstone; if no class was changed since, find out who stored it \
             (runbooks/stolen-credentials.md)",
            tombstone.run,
            clock::text(*stored_at)
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tombstone::{Named, Tombstone};
    use crate::clock::Timestamp;
    use crate::inventory::made_up::{at, dump, stored};

    const HOUR: Duration = Duration::from_secs(3_600);

    fn announced(ids: &[SnapshotId], stored_at: Timestamp) -> Believed {
        let origin: Origin = serde_json::from_str(
            r#"{"repository":"r","repository_sha256":"0000000000000000000000000000000000000000000000000000000000000000","instance":"prod","instance_sha256":"0000000000000000000000000000000000000000000000000000000000000000"}"#,
        )
        .unwrap();
        let named = Named { snapshots: ids.iter().cloned().collect(), ..Named::default() };
        let run = SnapshotId::new(stored_at, "expiry");
        Believed { tombstone: Tombstone::new(origin, run, stored_at, named, 1), stored_at }
    }

    #[test]
    fn only_what_expire_still_keeps_is_named() {
        let one = stored(dump("d1", "shop", 10, 1, None), 10);
        let id = one.manifest.id.clone();
        let told = |kept: &KeptFor, hour: i64| {
            let tombstones = [announced(std::slice::from_ref(&id), at(hour))];
            too_young(&tombstones, |asked| (*asked == id).then(|| one.clone()), kept).len()
        };
        let bare = KeptFor { classes: BTreeMap::new(), grace: 24 * HOUR };
        assert_eq!((told(&bare, 33), told(&bare, 34), told(&bare, 5)), (1, 0, 1));
        let text =
            "instance = 'prod'\nrepository.url = '/r'\n[class.a]\ntenants = ['TENANTS']\nwindow = '3d'\n";
        let classes = |tenants: &str| {
            let text = text.replace("TENANTS", tenants);
            let config = crate::config::Config::parse("l".as_ref(), &text, &Default::default()).unwrap();
            KeptFor { classes: config.classes, grace: 24 * HOUR }
        };
        assert_eq!((told(&classes("*"), 81), told(&classes("*"), 82)), (1, 0));
        assert_eq!(told(&classes("other"), 10_000), 1, "in no class: kept for ever");
        let gone = too_young(&[announced(std::slice::from_ref(&id), at(11))], |_| None, &bare);
        assert!(gone.is_empty(), "it was carried out: {gone:?}");
    }
}
