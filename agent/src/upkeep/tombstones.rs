//! Tombstones: each is signed by a key that is trusted, and names nothing that expire never announces.
//!
//! Whoever has a signing key can announce anything. Expire deletes nothing of that, since it decides again
//! before it deletes, but it runs once a day: here it is told at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::archive::manifest::{Object, Origin};
use crate::archive::signature::TrustedKeys;
use crate::archive::tombstone::WalRange;
use crate::clock::{self, Timestamp, earlier};
use crate::config::{Class, Config, Expire, class_of};
use crate::inventory::Snapshot;
use crate::names::{InstanceName, SnapshotId, TenantName, counted};
use crate::repository::announced::{may_be_garbage, snapshot_of};
use crate::repository::tombstones::Believed;
use crate::repository::{Repository, layout};
use crate::upkeep::findings::{Finding, Findings};
use crate::upkeep::versions::RECENT;

/// Ranges of young WAL in a tombstone that are looked for. Expire announces none, and makes few ranges.
const RANGES_MAX: usize = 1_000;
/// The least that `expire.drills` can be.
const DRILLS_MIN: Duration = Duration::from_secs(30 * 86_400);

/// What this host knows of the rules by which expire decides.
#[derive(Clone, Debug)]
pub struct KeptFor {
    /// The classes; none on a host that does not expire.
    pub classes: BTreeMap<String, Class>,
    /// `expire.grace`.
    pub grace: Duration,
    /// `expire.drills`; on a host that does not expire, the least that it can be.
    pub drills: Duration,
}

impl KeptFor {
    /// What this configuration says.
    pub fn configured(config: &Config) -> KeptFor {
        let Expire { grace, drills, .. } = config.expire;
        let expires = config.schedule.expire.is_some() || config.expire.key_file.is_some();
        let drills = if expires { drills } else { drills.min(DRILLS_MIN) };
        KeptFor { classes: config.classes.clone(), grace, drills }
    }

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

/// Those that an earlier check of this host found doubtful, for a while, and the others.
pub fn told_apart(all: Vec<Believed>, doubted: &BTreeSet<SnapshotId>) -> (Vec<Believed>, Vec<Believed>) {
    let since = earlier(clock::now(), RECENT);
    all.into_iter().partition(|one| one.stored_at >= since && doubted.contains(&one.tombstone.run))
}

/// A sentence about one that an earlier check found doubtful: what it names may be gone by now.
pub fn still_there(one: &Believed) -> String {
    let Believed { tombstone, stored_at } = one;
    format!(
        "tombstone {}, stored {}, announces what expire keeps, as an earlier check found: what was deleted by it is \
         reported as deleted without a tombstone (runbooks/stolen-credentials.md)",
        tombstone.run,
        clock::text(*stored_at)
    )
}

/// What is stored, for [`doubtful`].
pub struct StillThere<'a, F, W> {
    /// A snapshot that is believed.
    pub find: F,
    /// Whether there is WAL of a range that was stored after a time.
    pub has_wal: W,
    /// Records of suspicious backups and reports of drills, and since when each is garbage.
    pub over: &'a HashMap<String, Timestamp>,
}

/// Tombstones, each with a sentence, that name what no run of expire announces: snapshots, WAL, records and
/// reports that were younger than that when the tombstone was stored, and are still there; as unfinished what
/// has a manifest; as garbage what a manifest names, or a folder of what is no garbage.
pub fn doubtful<F, W>(
    instance: &InstanceName,
    tombstones: &[Believed],
    there: &StillThere<'_, F, W>,
    kept: &KeptFor,
) -> Vec<(SnapshotId, String)>
where
    F: Fn(&SnapshotId) -> Option<Snapshot>,
    W: Fn(&WalRange, Timestamp) -> bool,
{
    let StillThere { find, has_wal, over } = there;
    let mut told = Vec::new();
    for Believed { tombstone, stored_at } in tombstones {
        let named = &tombstone.named;
        let is_young = |one: &Snapshot| {
            let span = kept.of(one.manifest.tenant.as_ref());
            span.is_none_or(|span| one.stored_at > earlier(*stored_at, span))
        };
        let of_all = named.snapshots.iter().chain(&named.batches).filter_map(find).filter(is_young);
        let kept_whole = of_all.chain(named.unfinished.iter().filter_map(find));
        let young: Vec<SnapshotId> = kept_whole.map(|one| one.manifest.id).collect();
        let is_needed = |name: &&String| {
            let names = |one: Snapshot| {
                let key = |object: &Object| layout::object(instance, &one.manifest.id, &object.name);
                let is_in = |key: String| {
                    key.strip_prefix(name.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                one.manifest.objects.iter().map(key).any(is_in)
            };
            let is_part = || snapshot_of(instance, name).and_then(|id| find(&id)).is_some_and(names);
            !name.starts_with("probe") && (!may_be_garbage(instance, name) || is_part())
        };
        let needed = named.garbage.iter().find(is_needed);
        let is_too_early = |name: &&String| over.get(*name).is_some_and(|over| *over > *stored_at);
        let too_early = named.garbage.iter().find(is_too_early);
        let wal_kept_since = kept.of(None).map(|span| earlier(*stored_at, span));
        let since = wal_kept_since.unwrap_or(Timestamp::MAX);
        let ranges: Vec<&WalRange> = named.wal.iter().filter(|range| range.stored_until > since).collect();
        let is_flood = ranges.len() > RANGES_MAX;
        let has_young_wal = !is_flood && ranges.iter().any(|range| has_wal(range, since));
        let what = match (young.first(), has_young_wal, too_early, needed) {
            (None, false, None, None) if is_flood => {
                format!("{} ranges of WAL that is younger than the window", ranges.len())
            }
            (None, false, None, None) => continue,
            (None, false, None, Some(name)) => format!("{name}, which is no garbage"),
            (None, false, Some(name), _) => format!("{name}, which expire still keeps"),
            (None, true, ..) => "WAL that is still needed".to_owned(),
            (Some(first), ..) => {
                let count = counted(young.len() as u64, "snapshot");
                format!("{count} that expire still keeps, such as {first}")
            }
        };
        let next = match young.is_empty() && !has_young_wal && too_early.is_none() {
            true => "lifeboat expire deletes nothing of it; find out who stored it",
            false => {
                "lifeboat expire deletes nothing of it; if nobody made a window, expire.grace or expire.drills \
                 longer since then, and they are the same on the host that expires, find out who stored it"
            }
        };
        let sentence = format!(
            "tombstone {}, stored {}, announces to delete {what}: {next} (runbooks/stolen-credentials.md)",
            tombstone.run,
            clock::text(*stored_at)
        );
        told.push((tombstone.run.clone(), sentence));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tombstone::{Named, Tombstone};
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

    fn told_of(
        tombstones: &[Believed],
        find: impl Fn(&SnapshotId) -> Option<Snapshot>,
        has_wal: impl Fn(&WalRange, Timestamp) -> bool,
        kept: &KeptFor,
    ) -> Vec<(SnapshotId, String)> {
        let over = HashMap::from([("instances/prod/drills/20261120-shop".to_owned(), at(9_000))]);
        let there = StillThere { find, has_wal, over: &over };
        doubtful(&"prod".parse().unwrap(), tombstones, &there, kept)
    }

    #[test]
    fn only_what_expire_still_keeps_is_named() {
        let one = stored(dump("d1", "shop", 10, 1, None), 10);
        let id = one.manifest.id.clone();
        let told = |kept: &KeptFor, hour: i64| {
            let tombstones = [announced(std::slice::from_ref(&id), at(hour))];
            told_of(&tombstones, |asked| (*asked == id).then(|| one.clone()), |_, _| false, kept).len()
        };
        let bare = KeptFor { classes: BTreeMap::new(), grace: 24 * HOUR, drills: 24 * HOUR };
        assert_eq!((told(&bare, 33), told(&bare, 34), told(&bare, 5)), (1, 0, 1));
        let text =
            "instance = 'prod'\nrepository.url = '/r'\n[class.a]\ntenants = ['TENANTS']\nwindow = '3d'\n";
        let classes = |tenants: &str| {
            let text = text.replace("TENANTS", tenants);
            let config = crate::config::Config::parse("l".as_ref(), &text, &Default::default()).unwrap();
            KeptFor::configured(&config)
        };
        assert_eq!((told(&classes("*"), 81), told(&classes("*"), 82)), (1, 0));
        assert_eq!(told(&classes("other"), 10_000), 1, "in no class: kept for ever");
        let gone = told_of(&[announced(std::slice::from_ref(&id), at(11))], |_| None, |_, _| false, &bare);
        assert!(gone.is_empty(), "it was carried out: {gone:?}");

        // In whatever list the name is.
        let long_after = at(10_000);
        let said = |named: Named| {
            let one_of = announced(&[], long_after);
            let tombstone = Tombstone { named, ..one_of.tombstone };
            let find = |asked: &SnapshotId| (*asked == id).then(|| one.clone());
            told_of(&[Believed { tombstone, ..one_of }], find, |_, _| false, &bare)
                .pop()
                .map(|(_, text)| text)
        };
        let unfinished = BTreeSet::from([id.clone()]);
        assert!(said(Named { unfinished, ..Named::default() }).unwrap().contains("1 snapshot that expire"));
        let garbage =
            |name: &str| said(Named { garbage: BTreeSet::from([name.to_owned()]), ..Named::default() });
        assert!(garbage("instances/prod/snapshots").unwrap().contains("which is no garbage"));
        assert_eq!(garbage("instances/prod/drills/20261120-shop"), None);
        assert_eq!(garbage("probe/probe-1"), None);
        let drill = BTreeSet::from(["instances/prod/drills/20261120-shop".to_owned()]);
        let named = Named { garbage: drill, ..Named::default() };
        let early = announced(&[], at(8_999));
        let early = Believed { tombstone: Tombstone { named, ..early.tombstone }, ..early };
        let told_early = told_of(&[early], |_| None, |_, _| false, &bare).pop().unwrap().1;
        assert!(told_early.contains("20261120-shop, which expire still keeps"), "{told_early}");
        // WAL only while some of it is there: a class that keeps more since is no reason to look for a thief.
        let wal = |is_there: bool| {
            let range = WalRange {
                timeline: "00000001".parse().unwrap(),
                begin: "0/1".parse().unwrap(),
                end: "0/2".parse().unwrap(),
                stored_until: at(10),
            };
            let named = Named { wal: vec![range], ..Named::default() };
            let one_of = announced(&[], at(11));
            let tombstone = Tombstone { named, ..one_of.tombstone };
            let since = |_: &WalRange, since: Timestamp| is_there && since < at(10);
            told_of(&[Believed { tombstone, ..one_of }], |_| None, since, &bare).pop().map(|(_, text)| text)
        };
        assert_eq!(wal(false), None);
        // More ranges than expire makes are not looked for one by one.
        let range = |end: u64| WalRange {
            timeline: "00000001".parse().unwrap(),
            begin: "0/1".parse().unwrap(),
            end: crate::names::Lsn(end),
            stored_until: at(10),
        };
        let named = Named { wal: (2..2_000).map(range).collect(), ..Named::default() };
        let many = announced(&[], at(11));
        let many = Believed { tombstone: Tombstone { named, ..many.tombstone }, ..many };
        assert_eq!(told_of(&[many], |_| None, |_, _| false, &bare).len(), 1);
        assert!(wal(true).unwrap().contains("WAL that is still needed"));
        let young = Named { batches: BTreeSet::from([id.clone()]), ..Named::default() };
        let early = Believed {
            tombstone: Tombstone { named: young, ..announced(&[], at(11)).tombstone },
            stored_at: at(11),
        };
        let find = |asked: &SnapshotId| (*asked == id).then(|| one.clone());
        assert_eq!(told_of(&[early], find, |_, _| false, &bare).len(), 1);
    }
}
