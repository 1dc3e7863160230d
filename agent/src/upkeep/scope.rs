//! What there is to check: the believed snapshots, what they need of each other, and objects in the
//! instance's folder that no manifest names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures::TryStreamExt;

use crate::archive::manifest::{self, ColdFacts, Manifest, Origin};
use crate::clock::{self, Timestamp};
use crate::error::{Error, Kind, Result};
use crate::inventory::Snapshot;
use crate::inventory::needs::Graph;
use crate::names::{InstanceName, SnapshotId, TenantName};
use crate::repository::snapshots::{Found, Trust};
use crate::repository::{Repository, layout};
use crate::upkeep::findings::{Finding, Findings, Unfinished};
use crate::upkeep::origin;

/// Largest lease that is read.
const LEASE_BYTES_MAX: u64 = 16 << 10;

/// How long it waits, from look to look, for a manifest that should follow its signature.
const CUT_LOOKS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::ZERO];

/// What has to be checked.
pub struct Scope {
    /// The believed manifests of the whole instance.
    pub manifests: BTreeMap<SnapshotId, Manifest>,
    /// Which of them need which others.
    pub graph: Graph,
    /// Those whose objects have to be checked.
    pub chosen: BTreeSet<SnapshotId>,
    /// Folders without a manifest.
    pub unfinished: Vec<SnapshotId>,
    /// Stored sizes, as listed before the manifests were read.
    pub listed: HashMap<String, u64>,
    /// When manifests were stored, by the store's clock, as listed before.
    stored_at: HashMap<String, Timestamp>,
    /// Folders of drills, and when the newest object of each was stored.
    pub drills: HashMap<String, Timestamp>,
}

impl Scope {
    /// Reads every manifest and lists every object. What is wrong already goes to `findings`. Snapshots that
    /// are `announced` in a tombstone may be half deleted: that is not damage.
    pub async fn survey(
        repository: &Repository,
        origin: &Origin,
        trust: &Trust,
        (wanted, tenant): (&[SnapshotId], Option<&TenantName>),
        announced: &BTreeSet<SnapshotId>,
        findings: &Findings,
    ) -> Result<Scope> {
        // Listed first: a snapshot that is finished meanwhile then has objects that are not
        // listed, which are read anyway, and never any that seem foreign.
        let prefix = layout::instance_prefix(repository.instance());
        let wal = format!("{}/", layout::wal(repository.instance())); // looked at on its own
        let (mut listed, mut stored_at, mut has_wal) = (HashMap::new(), HashMap::new(), false);
        let drills_folder = format!("{}/", layout::drills(repository.instance()));
        let mut drills: HashMap<String, Timestamp> = HashMap::new();
        let mut found = repository.store().list(&prefix);
        while let Some(info) = found.try_next().await? {
            if info.key.starts_with(&wal) {
                has_wal = true;
                continue;
            }
            // Of snapshots, arrivals and drills each object is looked at on its own.
            let rest = info.key.strip_prefix(&prefix).unwrap_or_default();
            let is_own = ["/snapshots/", "/arrivals/", "/drills/"].iter().any(|own| rest.starts_with(own));
            if let Some(odd) = info.odd.filter(|_| !is_own) {
                findings.add_foreign(&info.key, odd, false);
            }
            if info.key.ends_with(manifest::NAME) {
                stored_at.insert(info.key.clone(), info.modified);
            }
            let below = info.key.strip_prefix(&drills_folder).and_then(|rest| rest.split_once('/'));
            if let Some((drill, _)) = below {
                let newest = drills.entry(format!("{drills_folder}{drill}")).or_default();
                *newest = info.modified.max(*newest);
            }
            listed.insert(info.key, info.bytes);
        }
        let (mut manifests, mut unfinished) = (BTreeMap::new(), Vec::new());
        let mut bad = Vec::new();
        for (id, found) in origin::snapshots(repository, origin, trust, findings).await? {
            match found {
                Ok(Found::Snapshot(manifest)) => drop(manifests.insert(id, *manifest)),
                Ok(Found::Unfinished(id)) => unfinished.push(id),
                Err(e) => bad.push((id, e)),
            }
        }
        let graph = Graph::of(manifests.values());
        let mut scope =
            Scope { manifests, graph, chosen: BTreeSet::new(), unfinished, listed, stored_at, drills };
        scope.choose(wanted, tenant, &bad)?;
        let everything = wanted.is_empty() && tenant.is_none();
        if scope.chosen.is_empty() && bad.is_empty() && !(everything && has_wal) {
            let whose = tenant.map_or(String::new(), |tenant| format!(" of tenant {tenant}"));
            let (instance, url) = (repository.instance(), repository.store().url());
            return Err(Error::new(
                Kind::NotFound,
                format!("there is no snapshot{whose} of instance {instance} in {url}"),
            )
            .effect("nothing was checked, and nothing can be restored from there")
            .next("lifeboat list shows what there is; lifeboat backup makes a snapshot"));
        }
        let unread: BTreeSet<SnapshotId> = bad.iter().map(|(id, _)| id.clone()).collect();
        for (id, error) in bad {
            // Whose it is cannot be known: it may be the tenant's that was asked for.
            if !wanted.is_empty() && !wanted.contains(&id) && !scope.needed_by_chosen(&id) {
                continue;
            }
            let mut lost = scope.graph.dependents(&id);
            lost.insert(id.clone());
            let signature = error.kind() == Kind::Signature;
            let key = layout::object(repository.instance(), &id, manifest::NAME);
            let error = match signature {
                true => error.context(format!("not believed; see {} too", manifest::SIGNATURE_NAME)),
                false => error,
            };
            findings.sort(&key, error, lost.into_iter().collect());
        }
        scope.find_gone(repository.instance(), (&unread, announced), findings);
        if everything {
            scope.find_cut(repository, announced, findings).await?;
            scope.find_foreign(repository, &unread, findings);
            check_lease(repository, findings).await;
        }
        Ok(scope)
    }

    fn choose(
        &mut self,
        wanted: &[SnapshotId],
        tenant: Option<&TenantName>,
        bad: &[(SnapshotId, Error)],
    ) -> Result<()> {
        for id in wanted {
            if !self.manifests.contains_key(id) && !bad.iter().any(|(bad, _)| bad == id) {
                return Err(Error::new(Kind::NotFound, format!("there is no snapshot {id}"))
                    .effect("nothing was checked")
                    .next("lifeboat list shows what there is"));
            }
        }
        let fits = |manifest: &&Manifest| {
            (wanted.is_empty() || wanted.contains(&manifest.id))
                && tenant.is_none_or(|tenant| manifest.tenant.as_ref() == Some(tenant))
        };
        let first: Vec<SnapshotId> = self.manifests.values().filter(fits).map(|m| m.id.clone()).collect();
        for id in first {
            let needed = self.graph.needs(&id);
            self.chosen.extend(needed.into_iter().filter(|id| self.manifests.contains_key(id)));
        }
        Ok(())
    }

    /// The storage class of its packs, if they cannot be read before somebody has requested them.
    pub fn cold(&self, id: &SnapshotId) -> Option<&ColdFacts> {
        let cold = self.manifests.get(id)?.dump()?.cold.as_ref()?;
        (cold.ready_after_seconds > 0).then_some(cold)
    }

    /// A believed snapshot, for its place in time.
    pub fn snapshot(&self, instance: &InstanceName, id: &SnapshotId) -> Option<Snapshot> {
        let manifest = self.manifests.get(id)?;
        let stored_at = self.stored_at.get(&layout::object(instance, id, manifest::NAME));
        Some(Snapshot::new(manifest.clone(), stored_at.copied().unwrap_or(manifest.ended)))
    }

    fn needed_by_chosen(&self, id: &SnapshotId) -> bool {
        self.chosen.iter().any(|chosen| self.graph.needs(chosen).contains(id))
    }

    /// Chains, sources and links that name a snapshot that does not exist.
    fn find_gone(
        &self,
        instance: &InstanceName,
        (unread, announced): (&BTreeSet<SnapshotId>, &BTreeSet<SnapshotId>),
        findings: &Findings,
    ) {
        let mut gone: BTreeMap<SnapshotId, Vec<SnapshotId>> = BTreeMap::new();
        for manifest in self.manifests.values().filter(|manifest| !announced.contains(&manifest.id)) {
            for needed in self.graph.lacks(&manifest.id) {
                if !unread.contains(&needed) {
                    gone.entry(needed).or_default().push(manifest.id.clone());
                }
            }
        }
        for (id, lost) in gone {
            if lost.iter().any(|lost| self.chosen.contains(lost)) {
                let what = match self.unfinished.contains(&id) {
                    true => "its manifest is missing, so it cannot be used, and other snapshots need it",
                    false => "this snapshot is gone, and others need it",
                };
                let object = layout::snapshot(instance, &id);
                findings.add(Finding { object, what: what.to_owned(), lost });
            }
        }
    }

    /// Folders with a signature and no manifest. The one is stored just before the other, so a backup that
    /// runs is waited for; what stays like that is a snapshot that was lost, or cut short in its last step.
    async fn find_cut(
        &mut self,
        repository: &Repository,
        announced: &BTreeSet<SnapshotId>,
        findings: &Findings,
    ) -> Result<()> {
        let instance = repository.instance();
        let key = |id: &SnapshotId, name: &str| layout::object(instance, id, name);
        let signed = |id: &SnapshotId| self.listed.contains_key(&key(id, manifest::SIGNATURE_NAME));
        let is_cut = |id: &&SnapshotId| signed(id) && !announced.contains(*id);
        let mut cut: Vec<SnapshotId> = self.unfinished.iter().filter(is_cut).cloned().collect();
        for wait in CUT_LOOKS {
            let mut still = Vec::new();
            for id in cut {
                if repository.store().head(&key(&id, manifest::NAME)).await?.is_none() {
                    still.push(id);
                }
            }
            cut = still;
            if cut.is_empty() {
                return Ok(());
            }
            clock::sleep(wait).await;
        }
        for id in cut {
            self.unfinished.retain(|unfinished| *unfinished != id);
            if !self.graph.dependents(&id).is_empty() {
                continue; // reported with those that need it
            }
            let what = "its signature is stored and its manifest is not: the manifest was lost, or the backup was \
                        killed before it stored it (then the next backup on that host stores it)";
            let object = key(&id, manifest::NAME);
            findings.add(Finding { object, what: what.to_owned(), lost: vec![id] });
        }
        Ok(())
    }

    /// Batches that this host knows to have been stored and that do not exist any more.
    pub fn find_missed(&self, instance: &InstanceName, known: &BTreeSet<SnapshotId>, findings: &Findings) {
        for id in known.iter().filter(|id| !self.manifests.contains_key(id)) {
            let key = |name| layout::object(instance, id, name);
            if [manifest::NAME, manifest::SIGNATURE_NAME]
                .iter()
                .any(|name| self.listed.contains_key(&key(name)))
            {
                continue; // not believed, or cut: reported as that
            }
            let object = key(manifest::NAME);
            let what = "this host stored a batch of new files of filestores there, and it is gone: they may be missing after a restore to a point in time";
            findings.add(Finding { object, what: what.to_owned(), lost: vec![id.clone()] });
        }
    }

    /// The folders without a manifest.
    pub fn unfinished_snapshots(&self) -> Vec<Unfinished> {
        let what = "no manifest: a backup is running, or was cut short";
        let unfinished = |id: &SnapshotId| Unfinished { id: id.to_string(), what: what.to_owned() };
        self.unfinished.iter().map(unfinished).collect()
    }

    /// Objects in the folder of a snapshot that its manifest does not name, and keys that belong
    /// to nothing. Drill reports, holds and records of one object are checked on their own; archived
    /// WAL, releases and tombstones are others'.
    fn find_foreign(&self, repository: &Repository, unread: &BTreeSet<SnapshotId>, findings: &Findings) {
        let instance = repository.instance();
        let below = format!("{}/", layout::instance_prefix(instance));
        let snapshots = format!("{}/", layout::snapshots(instance));
        let arrivals = format!("{}/", layout::arrivals(instance));
        for key in self.listed.keys() {
            let Some(rest) = key.strip_prefix(&below) else { continue };
            let of_a_day = key.strip_prefix(&arrivals).map(|rest| rest.split_once('/').unwrap_or(("", rest)));
            let inner = match of_a_day {
                Some((_, rest)) => Some(rest),
                None => key.strip_prefix(&snapshots),
            };
            let why = match inner.map(|rest| rest.split_once('/')) {
                None => match rest.split('/').next().unwrap_or_default() {
                    "absences" | "instance.json" | "lease" | "drills" | "expiry" | "holds" | "releases"
                    | "suspicions" | "wal" => continue,
                    name if name.starts_with("probe") => continue,
                    _ => "Lifeboat stores nothing under this name",
                },
                Some(None) => "it lies directly in the folder of the snapshots",
                Some(Some((folder, name))) => match folder.parse::<SnapshotId>() {
                    Err(_) => "it is in no snapshot's folder",
                    // A snapshot lies in one place only.
                    Ok(id) if layout::object(instance, &id, name) != **key => "it is in no snapshot's folder",
                    Ok(id) if unread.contains(&id) || self.unfinished.contains(&id) => continue,
                    Ok(id) => match self.manifests.get(&id) {
                        // It came after the manifests were read.
                        None => continue,
                        Some(_) if name == manifest::NAME || name == manifest::SIGNATURE_NAME => continue,
                        Some(manifest) if manifest.objects.iter().any(|o| o.name == name) => continue,
                        Some(_) => "the snapshot's manifest does not name it",
                    },
                },
            };
            findings.add_foreign(key, why, false);
        }
    }
}

/// The lease is a lock file in a directory, and JSON elsewhere. Nothing is restored from it.
async fn check_lease(repository: &Repository, findings: &Findings) {
    if repository.store().is_local() {
        return;
    }
    let key = layout::lease(repository.instance());
    match repository.store().get(&key, LEASE_BYTES_MAX).await {
        Ok(bytes) => {
            if let Err(e) = serde_json::from_slice::<serde_json::Value>(&bytes) {
                findings.add(Finding::harmless(&key, format!("the lease is not JSON: {e}")));
            }
        }
        Err(e) if e.kind() == Kind::NotFound => {}
        Err(e) => findings.sort(&key, e, Vec::new()),
    }
}
