//! The drill's access to the repository: finds the latest snapshot and stores the report.
//!
//! It reads manifests only. The program `lifeboat` restores, because the drill has to prove that program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat::archive::manifest::SnapshotKind;
use lifeboat::archive::signature::SigningKey;
use lifeboat::clock::{self, Timestamp};
use lifeboat::config::{Config, Inputs};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::inventory::drills::StoredDrill;
use lifeboat::inventory::pick::{self, Pick};
use lifeboat::inventory::plan::{Asked, Plan as Way, PointAsked, plan};
use lifeboat::inventory::take::{Wanted, Which};
use lifeboat::inventory::target::Target;
use lifeboat::inventory::{Inventory, drills, window};
use lifeboat::names::wal::TimelineId;
use lifeboat::names::{Lsn, SnapshotId, TenantName, random_hex};
use lifeboat::repository::snapshots::Trust;
use lifeboat::repository::{Repository, layout};

use crate::plan::target::{Goal, Moment, second_of};
use crate::report::publish::Files;
use crate::report::verdict::{Verdict, ms};
use crate::setup::{Chosen, OfTenant, OlderDump, Setup, Skipped, Whole, Worst};
use crate::snapshot::{Replay, Snapshot};

/// How far back it is looked when a tenant was drilled last.
const DRILLED_REACH: Duration = Duration::from_secs(400 * 86_400);

/// The files with the secrets of a configuration: identities, the signing key, the store's credentials,
/// PostgreSQL's passwords. Empty if the configuration cannot be read: then the restore reports it.
pub fn secrets(config: &Path) -> Vec<PathBuf> {
    let Ok(config) = load(config) else { return Vec::new() };
    let one = [
        config.seal.passphrase_file,
        config.signing.key_file,
        config.repository.credentials_file,
        config.postgres.password_file,
        config.postgres.passfile,
    ];
    config.seal.identity_files.into_iter().chain(one.into_iter().flatten()).collect()
}

/// The configuration of a file; where the path is empty, the one of the environment.
///
/// # Errors
/// `Config` if it is wrong.
pub fn load(file: &Path) -> Result<Config> {
    let named = Some(file.to_owned()).filter(|file| !file.as_os_str().is_empty());
    Config::load(&Inputs { config: named, ..Inputs::from_process() })
}

/// An opened repository.
pub struct Vault {
    repository: Repository,
    trust: Trust,
    key: Option<SigningKey>,
}

impl Vault {
    /// Opens the repository of a configuration. It uses the signing key, if the configuration has one.
    ///
    /// # Errors
    /// `Config` if the configuration is wrong; those of the repository if it cannot be reached.
    pub async fn open(config: &Path) -> Result<Vault> {
        let config = load(config)?;
        let key = config.signing.key_file.as_deref().map(SigningKey::load).transpose()?;
        let trust = Trust::keys(&config.signing.trusted_keys)?;
        Ok(Vault { repository: Repository::configured(&config).await?, trust, key })
    }

    /// The repository itself.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The keys that are trusted.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The key that signs reports.
    pub fn key(&self) -> Option<&SigningKey> {
        self.key.as_ref()
    }

    /// Reads of the repository what is needed to choose this state, of any tenant.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn look(&self, goal: &Goal) -> Result<Inventory> {
        let wanted = match goal {
            Goal::Dump(id) if !is_dump(id) => Wanted { snapshots: Which::Ids(vec![id.clone()]), wal: false },
            Goal::NewestDump | Goal::Release(_) | Goal::Dump(_) => {
                Wanted { snapshots: Which::Kind(SnapshotKind::Dump), wal: false }
            }
            Goal::Point(_) => Wanted { snapshots: Which::All, wal: true },
        };
        Inventory::take(&self.repository, &self.trust, &wanted).await
    }

    /// Chooses the state for the drill of a tenant: as `lifeboat restore` does, with a trusted manifest.
    /// Newer dumps that are not trusted are reported. A random second follows from `seed`, or from one that
    /// is drawn.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Usage` if the named one is of another tenant or is not a dump;
    /// `Signature` and `Integrity` if the named one is not trusted or is damaged; `Refused` if a point
    /// cannot be reached; and those of the store.
    pub async fn choose(
        &self,
        inventory: &Inventory,
        tenant: &TenantName,
        goal: &Goal,
        seed: Option<u64>,
    ) -> Result<Chosen> {
        let now = clock::now();
        let worst = worst(inventory, tenant, now);
        let pick = match goal {
            Goal::NewestDump => Pick::Latest,
            Goal::Dump(id) => Pick::Snapshot(id.clone()),
            Goal::Release(release) => Pick::Release(release.clone()),
            Goal::Point(moment) => {
                let (snapshot, seed, age) = point(inventory, Some(tenant), *moment, seed, now)?;
                let older = older(inventory, &snapshot);
                return Ok(Chosen { older, seed, age, worst, ..Chosen::of(snapshot) });
            }
        };
        let chosen = pick::choose(inventory, tenant, SnapshotKind::Dump, &pick)?;
        let dump = chosen.snapshot;
        // Read again: an inventory does not keep lists of files.
        let origin = self.repository.origin().await?;
        let manifest = self.repository.manifest(&dump.manifest.id, &origin, &self.trust).await?;
        let skipped = chosen.skipped.into_iter().map(|(id, why)| {
            let what = format!("snapshot {id}, which may be a newer one of this tenant");
            Skipped { what, why }
        });
        let clock = dump
            .clock_ahead()
            .and_then(|_| dump.clock_note())
            .map(|why| Skipped { what: "the clock of the snapshot's writer".into(), why });
        let snapshot = Snapshot::of_manifest(&manifest, matches!(pick, Pick::Snapshot(_)))?;
        let age = Some(lag(now, snapshot.point));
        let older = older(inventory, &snapshot);
        let skipped = skipped.chain(clock).collect();
        Ok(Chosen { older, age, worst, skipped, ..Chosen::of(snapshot) })
    }

    /// Chooses the state for the drill of the whole instance: a point in time.
    ///
    /// # Errors
    /// `Usage` for another state; `Refused` if the point cannot be reached; and those of the store.
    pub async fn choose_instance(
        &self,
        inventory: &Inventory,
        goal: &Goal,
        seed: Option<u64>,
    ) -> Result<Chosen> {
        let Goal::Point(moment) = goal else {
            return Err(Error::new(
                Kind::Usage,
                "a whole instance is restored to a point in time, not from a dump",
            )
            .next("set target in the plan to a time, \"latest\" or \"random\""));
        };
        let (snapshot, seed, age) = point(inventory, None, *moment, seed, clock::now())?;
        let whole = Some(whole(inventory, &snapshot)?);
        Ok(Chosen { seed, age, whole, ..Chosen::of(snapshot) })
    }

    /// Chooses the state that a drill's plan names, for its tenant or for the whole instance.
    ///
    /// # Errors
    /// Those of [`Vault::choose`] and [`Vault::choose_instance`].
    pub async fn choose_for(&self, inventory: &Inventory, setup: &Setup) -> Result<Chosen> {
        let (goal, seed) = (&setup.plan.goal, setup.plan.seed);
        match &setup.tenant {
            Some(tenant) => self.choose(inventory, tenant, goal, seed).await,
            None => self.choose_instance(inventory, goal, seed).await,
        }
    }

    /// Chooses the base backup from which a tenant is restored to a position in the WAL.
    ///
    /// # Errors
    /// `NotFound` if nothing leads to the point; `Refused` if it cannot be reached; those of the store.
    pub async fn choose_lsn(&self, tenant: &TenantName, lsn: Lsn, timeline: TimelineId) -> Result<Chosen> {
        let wanted = Wanted { wal: true, ..Wanted::default() };
        let inventory = Inventory::take(&self.repository, &self.trust, &wanted).await?;
        let asked = PointAsked {
            tenant: Some(tenant.clone()),
            timeline: Some(timeline),
            ..PointAsked::instance(Target::Lsn(lsn))
        };
        let snapshot = of_point(&inventory, asked, Replay::Lsn { lsn, timeline: timeline.0 })?;
        Ok(Chosen::of(snapshot))
    }

    /// The tenants that have a trusted dump, by name.
    pub fn tenants(inventory: &Inventory) -> BTreeSet<TenantName> {
        inventory.of_kind(SnapshotKind::Dump, None).filter_map(|dump| dump.manifest.tenant.clone()).collect()
    }

    /// The newest drill of a tenant that proved the data of an earlier state, if there is one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn last_passed(&self, tenant: &TenantName, before: Timestamp) -> Result<Option<StoredDrill>> {
        let proved = [Verdict::Passed, Verdict::MissedObjective].map(|verdict| verdict.to_string());
        let is_like = |drill: &StoredDrill| {
            drill.tenant == *tenant
                && proved.contains(&drill.verdict)
                && drill.state.as_ref().is_some_and(|state| state.point < before)
        };
        drills::newest_like(&self.repository, &self.trust, is_like).await
    }

    /// When each of these tenants was drilled last, as far as reports are read.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn drilled(&self, tenants: &[TenantName]) -> Result<BTreeMap<TenantName, Timestamp>> {
        let mut newest = BTreeMap::new();
        let tenants = tenants.iter().cloned().collect();
        for drill in drills::recent(&self.repository, &self.trust, &tenants, DRILLED_REACH).await?.drills {
            if drill.whole_instance || drill.verdict == Verdict::CouldNotRun.to_string() {
                continue; // it was no turn: no dump was restored, or it proved nothing
            }
            let time = drill.time();
            let known = newest.entry(drill.tenant).or_insert(time);
            *known = time.max(*known);
        }
        Ok(newest)
    }

    /// Writes a report to `instances/<instance>/drills/<drill>/`; returns its place.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn publish(&self, drill: &str, files: &Files<'_>) -> Result<String> {
        let (instance, store) = (self.repository.instance(), self.repository.store());
        for (name, bytes) in &files.others {
            store.put_new(&layout::drill(instance, drill, name), bytes.clone()).await?;
        }
        let record = self.repository.drill_record(drill);
        match files.key {
            Some(key) => record.write(store, files.json.clone(), key).await?,
            None => store.put_new(&record.key, files.json.clone()).await?,
        }
        let key = layout::drill(instance, drill, "");
        Ok(format!("{}/{}", store.url(), key.trim_end_matches('/')))
    }
}

/// The point in time of a tenant, or of the whole instance, with its seed, and the age of the newest one.
fn point(
    inventory: &Inventory,
    tenant: Option<&TenantName>,
    moment: Moment,
    seed: Option<u64>,
    now: Timestamp,
) -> Result<(Snapshot, Option<u64>, Option<Duration>)> {
    let window = window::instance(inventory, &BTreeSet::new())?;
    let (target, replay, seed) = match moment {
        Moment::Latest => (Target::Latest, Replay::Latest, None),
        Moment::At(time) => (Target::Time(time), Replay::Time(time), None),
        Moment::Random => {
            let seed = seed.unwrap_or_else(drawn);
            let name = tenant.map_or("", TenantName::as_str);
            let time = second_of(&window.spans, seed, name).ok_or_else(no_second)?;
            (Target::Time(time), Replay::Time(time), Some(seed))
        }
    };
    let asked = PointAsked { tenant: tenant.cloned(), ..PointAsked::instance(target) };
    let mut snapshot = of_point(inventory, asked, replay)?;
    if let (Replay::Latest, Some(last)) = (replay, window.spans.last()) {
        snapshot.point = last.to; // not the base backup's time
    }
    Ok((snapshot, seed, window.spans.last().map(|last| lag(now, last.to))))
}

/// What is stored of the tenants of an instance at this point, and of its tablespaces.
fn whole(inventory: &Inventory, snapshot: &Snapshot) -> Result<Whole> {
    let mut tenants: BTreeMap<TenantName, OfTenant> = BTreeMap::new();
    for dump in pick::oldest_first(inventory.of_kind(SnapshotKind::Dump, None)) {
        if let Some(tenant) = &dump.manifest.tenant
            && dump.manifest.ended < snapshot.point
        {
            tenants.entry(tenant.clone()).or_default().older.push(OlderDump::of(dump));
        }
    }
    for files in pick::oldest_first(inventory.of_kind(SnapshotKind::Filestore, None)) {
        let Some(tenant) = &files.manifest.tenant else { continue };
        let own = &mut tenants.entry(tenant.clone()).or_default().filestore;
        // The newest before the point: in a later one, what was deleted since is missing.
        if own.is_none() || files.manifest.point < snapshot.point {
            *own = Some((files.manifest.id.clone(), files.manifest.point));
        }
    }
    let base = inventory.named(&snapshot.id)?.manifest.base_facts()?;
    let tablespaces = base.tablespaces.iter().map(|one| one.location.clone()).collect();
    Ok(Whole { tenants, tablespaces })
}

fn of_point(inventory: &Inventory, asked: PointAsked, replay: Replay) -> Result<Snapshot> {
    let tenant = asked.tenant.clone();
    match (plan(inventory, &Asked::Point(asked), clock::now())?, tenant) {
        (Way::Point(plan), tenant) => Snapshot::of_base(&plan, tenant.as_ref(), replay),
        _ => Err(Error::new(Kind::Internal, "the plan of a point is that of a dump")),
    }
}

/// The tenant's dumps whose state is older than the one that is drilled, the oldest first.
fn older(inventory: &Inventory, drilled: &Snapshot) -> Vec<OlderDump> {
    let dumps = pick::oldest_first(inventory.of_kind(SnapshotKind::Dump, drilled.tenant.as_ref()));
    // What a dump says of sequences is read until its end.
    let end = |dump: &lifeboat::inventory::Snapshot| match drilled.replayed_to {
        None => dump.manifest.point,
        Some(_) => dump.manifest.ended,
    };
    let older = dumps.into_iter().filter(|dump| end(dump) < drilled.point);
    older.map(OlderDump::of).collect()
}

/// Whether its name says that it is a dump.
pub fn is_dump(id: &SnapshotId) -> bool {
    id.as_str().contains("-dump-")
}

/// A point in the future comes from a source whose clock is ahead: it counts as zero.
fn lag(now: Timestamp, point: Timestamp) -> Duration {
    now.duration_since(point).try_into().unwrap_or_default()
}

/// The longest time without a new dump of a tenant, as far as dumps are stored: what expire deleted makes the
/// time look longer than it was. So it is reported, and misses no objective.
fn worst(inventory: &Inventory, tenant: &TenantName, now: Timestamp) -> Option<Worst> {
    let dumps = pick::oldest_first(inventory.of_kind(SnapshotKind::Dump, Some(tenant)));
    let next = dumps.iter().skip(1).map(|dump| dump.stored_at).chain([now]);
    let waits = dumps.iter().zip(next).map(|(dump, to)| {
        let from = dump.time();
        Worst { ms: ms(lag(to, from)), from, to }
    });
    waits.max_by_key(|wait| wait.ms)
}

/// A seed that nobody chose.
pub fn drawn() -> u64 {
    u64::from_str_radix(&random_hex(8), 16).unwrap_or_default() >> 12 // exact in every reader of JSON
}

fn no_second() -> Error {
    Error::new(Kind::NotFound, "the recovery window is empty: no point in time can be restored")
        .next("run `lifeboat window`; it shows what is missing")
}
