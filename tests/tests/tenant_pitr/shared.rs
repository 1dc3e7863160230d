//! A cluster that four tenants share, with archiving, and what each test does with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lifeboat_tests::compare::{assert_same, database_digest};
use lifeboat_tests::filestore::Filestore;
use lifeboat_tests::installed::hand_over;
use lifeboat_tests::program::bin_dir;
use lifeboat_tests::site::Site;
use lifeboat_tests::tenant::{State, Tenant, state};
use lifeboat_tests::{Cluster, Options, Program, small_tenant};
use serde_json::Value;

pub const LIMIT: Duration = Duration::from_secs(240);

/// Cluster, repository, tenants.
pub struct Shared {
    pub cluster: Cluster,
    pub site: Site,
    pub tenants: Vec<Tenant>,
}

impl Shared {
    /// Tenants `t1` to `t4`, of which the first writes only when it is told to.
    pub fn start() -> Shared {
        let settings = [("archive_mode", "on"), ("archive_command", "false"), ("archive_timeout", "0")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let cluster = Cluster::with(Options { settings, ..Options::default() });
        let site = Site::local(&cluster);
        let data_dir = site.data_dir();
        let tenants: Vec<Tenant> =
            (1..=4).map(|n| small_tenant(&cluster, &data_dir, &format!("t{n}"), n)).collect();
        for tenant in &tenants {
            cluster.psql(&tenant.name, "create table ledger (n bigserial primary key, filler text)");
        }
        hand_over(&site.path(""));
        let lifeboat = bin_dir().join("lifeboat");
        let push = format!("{} --config {} wal push %p", lifeboat.display(), site.config().display());
        cluster.psql("postgres", &format!("alter system set archive_command = '{push}'"));
        cluster.psql("postgres", "select pg_reload_conf()");
        let shared = Shared { cluster, site, tenants };
        shared.archive();
        shared
    }

    /// `lifeboat` as the server's own user: what it writes, archive_command must be able to add to.
    pub fn lifeboat(&self, args: &[&str]) -> Program {
        let program = match rustix::process::geteuid().is_root() {
            true => Program::at("/usr/bin/setpriv".into())
                .args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"])
                .arg(bin_dir().join("lifeboat")),
            false => Program::lifeboat(),
        };
        // small packs, so that what is fetched follows what is wanted
        let program = program.env("LIFEBOAT_BACKUP_PACK_BYTES", "1MiB");
        program.cwd(self.site.path("")).args(args.to_vec()).limit(LIMIT)
    }

    /// A program on the data directory of the stopped cluster, as its owner.
    pub fn offline(&self, program: &str, args: &[&str]) {
        let bin = self.cluster.bin_dir().join(program);
        let program = match rustix::process::geteuid().is_root() {
            true => Program::at("/usr/bin/setpriv".into())
                .args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"])
                .arg(bin),
            false => Program::at(bin),
        };
        program.args(args.to_vec()).arg("-D").arg(self.cluster.data_dir()).cwd("/").run().ok();
    }

    pub fn back_up(&self, args: &[&str]) -> Value {
        self.lifeboat(&["backup", "--json"]).args(args.to_vec()).run().ok().json()
    }

    /// `lifeboat restore --tenant`, by whoever runs the test.
    pub fn restore(&self, tenant: &str, args: &[&str]) -> Program {
        self.site
            .run(&["restore", "--yes", "--json", "--identity", "lifeboat-identity.txt", "--tenant", tenant])
            .args(args.to_vec())
            .limit(LIMIT)
    }

    /// Ends the segment and waits until all of it is stored.
    pub fn archive(&self) {
        let segment = self.cluster.switch_wal();
        let sql = format!("select coalesce(last_archived_wal, '') >= '{segment}' from pg_stat_archiver");
        wait_until("the segment is archived", || self.cluster.psql("postgres", &sql) == "t");
    }

    /// The server's time, with its zone; every later commit is later by the server's clock.
    pub fn now(&self) -> String {
        let sql = "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
        let now = self.cluster.psql("postgres", sql);
        std::thread::sleep(Duration::from_millis(20));
        now
    }

    /// Runs `work` while the tenants but the first write, vacuum and rewrite.
    pub fn under_load<T>(&self, work: impl FnOnce() -> T) -> T {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for tenant in &self.tenants[1..] {
                let (stop, cluster) = (&stop, &self.cluster);
                scope.spawn(move || {
                    let mut round = 0;
                    while !stop.load(Ordering::Relaxed) {
                        write(cluster, &tenant.name);
                        if round % 4 == 0 {
                            cluster.psql(&tenant.name, "vacuum full ir_attachment; vacuum ledger");
                        }
                        round += 1;
                        std::thread::sleep(Duration::from_millis(50));
                    }
                });
            }
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            stop.store(true, Ordering::Relaxed);
            done.unwrap_or_else(|e| std::panic::resume_unwind(e))
        })
    }

    /// What a database and its filestore hold.
    pub fn state(&self, name: &str) -> State {
        let state = state(&self.cluster, name, &Filestore::of(&self.site.data_dir(), name));
        State { database: without_sequences(state.database), ..state }
    }

    pub fn digest(&self, database: &str) -> BTreeMap<String, String> {
        without_sequences(database_digest(&self.cluster, database))
    }

    /// Passes when a restored tenant is what it was.
    #[track_caller]
    pub fn assert_is(&self, name: &str, truth: &State) {
        let state = self.state(name);
        assert_same(name, &state.database, &truth.database);
        assert_same(&format!("files of {name}"), &state.files, &truth.files);
        let behind = "select count(*) from ledger where n > (select last_value from ledger_n_seq)";
        assert_eq!(self.cluster.psql(name, behind), "0");
    }

    /// Every heap and every index is as PostgreSQL's own checker wants it.
    pub fn amcheck(&self, database: &str) {
        self.cluster.run("pg_amcheck", &["--install-missing", "--heapallindexed", database]);
    }

    /// Records of scratch directories, each with its directory.
    pub fn scratches(&self) -> Vec<(PathBuf, PathBuf)> {
        let entries = fs::read_dir(self.site.path("lifeboat-state/restore")).into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        let records = paths.filter(|path| path.extension().is_some_and(|e| e == "scratch"));
        records.map(|path| (path.clone(), fs::read_to_string(path).unwrap_or_default().into())).collect()
    }
}

/// WAL runs ahead of a sequence by up to 32 values, which recovery counts as used: no number comes
/// twice, and some are left out.
fn without_sequences(mut digest: BTreeMap<String, String>) -> BTreeMap<String, String> {
    digest.retain(|name, _| !name.starts_with("sequence "));
    digest
}

/// Some transactions of a tenant.
pub fn write(cluster: &Cluster, database: &str) {
    cluster.psql(database, "insert into ledger (filler) select md5(g::text) from generate_series(1, 50) g; update ledger set filler = filler || 'x' where n % 7 = 1; delete from ledger where n % 11 = 3");
}

pub fn wait_until(what: &str, mut met: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !met() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process has this directory as its own.
pub fn serves(dir: &Path) -> bool {
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    processes.map(|path| fs::read_link(path.join("cwd"))).any(|cwd| cwd.is_ok_and(|cwd| cwd.starts_with(dir)))
}
