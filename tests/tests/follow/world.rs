//! A cluster, its tenants, an agent that follows them, and what the repository holds of their files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lifeboat::archive::index::{self, IndexReader, Line};
use lifeboat::archive::manifest::{Manifest, SnapshotKind};
use lifeboat::archive::seal::Identities;
use lifeboat::config::{Config, Inputs};
use lifeboat::repository::Repository;
use lifeboat::repository::snapshots::{Found, Trust};
use lifeboat_tests::children;
use lifeboat_tests::filestore::Filestore;
use lifeboat_tests::installed::hand_over;
use lifeboat_tests::program::bin_dir;
use lifeboat_tests::site::Site;
use lifeboat_tests::tenant::{Tenant, referenced};
use lifeboat_tests::{Cluster, Options, Program, Running, S3, small_tenant};
use tokio::runtime::Runtime;

/// How long anything may take in these tests, on a machine that does something else, too.
pub const LIMIT: Duration = Duration::from_secs(60);

/// One test's world.
pub struct World {
    pub cluster: Cluster,
    pub site: Site,
    pub tenants: Vec<Tenant>,
}

impl World {
    /// Tenants `t1` and so on, a repository in a directory.
    pub fn start(tenants: u64) -> World {
        let cluster = streaming_cluster();
        let site = Site::local(&cluster);
        World::with(cluster, site, tenants)
    }

    /// The same with a repository on S3.
    pub fn on_s3(s3: &S3, tenants: u64) -> World {
        let cluster = streaming_cluster();
        let site = Site::s3(&cluster, s3, "follow");
        World::with(cluster, site, tenants)
    }

    fn with(cluster: Cluster, site: Site, tenants: u64) -> World {
        let tenant = |n| small_tenant(&cluster, &site.data_dir(), &format!("t{n}"), n);
        let tenants = (1..=tenants).map(tenant).collect();
        hand_over(&site.path(""));
        World { cluster, site, tenants }
    }

    /// `lifeboat` as the server's own user: what it writes, a scratch server must be able to read.
    pub fn lifeboat(&self, args: &[&str]) -> Program {
        let program = match rustix::process::geteuid().is_root() {
            true => Program::at("/usr/bin/setpriv".into())
                .args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"])
                .arg(bin_dir().join("lifeboat")),
            false => Program::lifeboat(),
        };
        program.cwd(self.site.path("")).args(args.to_vec()).limit(Duration::from_secs(240))
    }

    /// `lifeboat agent`, not started.
    pub fn agent(&self) -> Program {
        self.lifeboat(&["agent"]).limit(Duration::from_secs(3_600))
    }

    /// `lifeboat backup` that must succeed.
    pub fn back_up(&self, kind: &str) {
        self.lifeboat(&["backup", "--kind", kind]).run().ok();
    }

    /// An agent that has stored everything that was there.
    pub fn following(&self, agent: Program) -> Running {
        let agent = agent.spawn();
        wait_for("everything that was there is stored", || self.lacking().is_empty());
        agent
    }

    /// Names that rows or directories have now and the repository does not hold.
    pub fn lacking(&self) -> Vec<String> {
        let held = Repo::of(&self.site).held();
        let on_disk = self.tenants.iter().flat_map(|tenant| tenant.filestore().files().into_keys());
        on_disk.filter(|name| !held.contains(name)).collect()
    }

    /// Waits until the repository holds these.
    pub fn wait_held(&self, names: &BTreeSet<String>) {
        wait_for("the new files are stored", || Repo::of(&self.site).held().is_superset(names));
    }

    /// Waits until all WAL up to now is stored.
    pub fn wait_wal(&self) {
        let lsn = self.cluster.psql("postgres", "select pg_current_wal_insert_lsn()");
        let sql = format!(
            "select coalesce(bool_or(flush_lsn >= '{lsn}'), false) from pg_stat_replication where application_name = 'lifeboat'"
        );
        wait_for("WAL is stored", || self.cluster.psql("postgres", &sql) == "t");
    }

    /// The server's time, with its zone; every later commit is later by the server's clock.
    pub fn now(&self) -> String {
        let sql = "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
        let now = self.cluster.psql("postgres", sql);
        std::thread::sleep(Duration::from_millis(20));
        now
    }

    /// Deletes the rows of a file and, as Odoo's collector does, then the file.
    pub fn delete_and_collect(&self, tenant: &Tenant, store_fname: &str) {
        let sql = format!("delete from ir_attachment where store_fname = '{store_fname}'");
        self.cluster.psql(&tenant.name, &sql);
        tenant.filestore().list_for_collection(store_fname);
        self.collect(tenant);
        assert!(!tenant.filestore().path(store_fname).exists(), "{store_fname} was not collected");
    }

    /// Odoo's `_gc_file_store`: of the files in `checklist/`, those that no row names go, while nobody
    /// can write a row.
    pub fn collect(&self, tenant: &Tenant) {
        let dir = tenant.filestore().dir().display().to_string();
        let named = self.site.path(&format!("named-{}", tenant.name)).display().to_string();
        let script = format!(
            "cd {dir}/checklist && find . -type f | sed 's,^./,,' | sort > {named}.listed && sort -o {named} {named} && \
             comm -23 {named}.listed {named} | (cd .. && xargs -r rm -f --) && xargs -r rm -f -- < {named}.listed"
        );
        let file = self.site.path(&format!("collect-{}.sh", tenant.name));
        std::fs::write(&file, script).unwrap();
        let sql = format!(
            "begin;\nset local lock_timeout = '10s';\nlock ir_attachment in share mode;\n\
             \\copy (select distinct store_fname from ir_attachment where store_fname is not null) to '{named}'\n\
             \\! sh -e {} 2>&1\ncommit;",
            file.display()
        );
        let said = self.cluster.psql(&tenant.name, &sql);
        assert_eq!(said, "", "the collector");
    }

    /// Restores a tenant to a time under another name: every file that its rows name is there and is
    /// what it is called. Gives these names.
    pub fn recovered(&self, tenant: &str, time: &str, name: &str) -> BTreeSet<String> {
        let identity = ["restore", "--yes", "--json", "--identity", "lifeboat-identity.txt"];
        let target = ["--tenant", tenant, "--to-time", time, "--as", name, "--no-neutralize"];
        let report = self.site.run(&identity).args(target).limit(Duration::from_secs(240)).run().ok().json();
        assert_eq!(report["missing_files"], serde_json::json!([]), "{tenant} at {time}");
        let rows = referenced(&self.cluster, name);
        let faults = Filestore::of(&self.site.data_dir(), name).faults(&rows);
        assert!(faults.is_empty(), "{tenant} at {time}: {faults:#?}");
        rows.into_keys().collect()
    }

    /// Every byte of the repository is what was signed, and every file what its name says.
    pub fn verify(&self) {
        let args = ["verify", "--deep", "--identity", "lifeboat-identity.txt"];
        self.site.run(&args).limit(Duration::from_secs(240)).run().ok();
    }
}

fn streaming_cluster() -> Cluster {
    let settings = [("wal_level", "replica"), ("max_wal_senders", "5")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Cluster::with(Options { settings, ..Options::default() })
}

/// Waits until `check` gives true.
#[track_caller]
pub fn wait_for(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !check() {
        assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(400));
    }
}

/// Sends an agent a SIGTERM and waits for its end.
pub fn end(agent: Running) -> String {
    children::signal(agent.pid(), rustix::process::Signal::TERM);
    agent.finish().exits(0).stderr
}

/// The repository, with the identity that the production host does not have.
pub struct Repo {
    runtime: Runtime,
    repository: Repository,
    identities: Identities,
    /// Of filestores and arrivals, believed.
    pub manifests: Vec<Manifest>,
}

impl Repo {
    /// Opens it.
    pub fn of(site: &Site) -> Repo {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Runtime::new().unwrap();
        // Also that of S3: each object is a file there.
        let repository = Some(site.stored.display().to_string());
        let inputs = Inputs { config: Some(site.config()), repository, ..Inputs::default() };
        let config = Config::load(&inputs).unwrap();
        let trust = Trust::keys(&config.signing.trusted_keys).unwrap();
        let (repository, found) = runtime.block_on(async {
            let repository = Repository::configured(&config).await.unwrap();
            let Ok(origin) = repository.origin().await else { return (repository, BTreeMap::new()) };
            let arrivals = repository.arrival_ids().await.unwrap();
            let mut found = repository.arrivals(&arrivals, &origin, &trust).await;
            found.extend(repository.all_snapshots(&origin, &trust).await.unwrap());
            (repository, found)
        });
        let believed = found.into_iter().filter_map(|(id, found)| {
            match found.unwrap_or_else(|e| panic!("{id}: {e:?}")) {
                Found::Snapshot(manifest) => Some(*manifest),
                Found::Unfinished(_) => None,
            }
        });
        let files = [SnapshotKind::Filestore, SnapshotKind::Arrivals];
        let manifests = believed.filter(|manifest| files.contains(&manifest.kind())).collect();
        let identity: PathBuf = site.path("lifeboat-identity.txt");
        Repo { runtime, repository, identities: Identities::load(&[identity], &|_| None).unwrap(), manifests }
    }

    /// The batches of new files.
    pub fn batches(&self) -> Vec<&Manifest> {
        self.manifests.iter().filter(|manifest| manifest.kind() == SnapshotKind::Arrivals).collect()
    }

    /// Every name that some snapshot holds whole.
    pub fn held(&self) -> BTreeSet<String> {
        let mut held = BTreeSet::new();
        for manifest in &self.manifests {
            let object = manifest.object(index::NAME).unwrap();
            let read = self.repository.read_sealed(
                self.runtime.handle(),
                &manifest.id,
                object,
                &self.identities,
                |input| {
                    for line in IndexReader::new("of a test", input)? {
                        if let Line::File(entry) = line?
                            && entry.flaw.is_none()
                        {
                            held.insert(entry.path);
                        }
                    }
                    Ok(())
                },
            );
            read.unwrap();
        }
        held
    }
}
