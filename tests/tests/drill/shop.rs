//! A cluster that archives its WAL, with the tenants that this machine has.

use std::time::{Duration, Instant};

use lifeboat_tests::installed::hand_over;
use lifeboat_tests::program::bin_dir;
use lifeboat_tests::real::{load_real, real_tenants};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options, Program, small_tenant};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(240);

/// Cluster, repository, and the names of the tenants.
pub struct Shop {
    pub cluster: Cluster,
    pub site: Site,
    pub tenants: Vec<String>,
}

impl Shop {
    /// The real tenants, or two made-up ones.
    pub fn open() -> Shop {
        let real = real_tenants();
        if real.is_empty() { Shop::made_up(&["t1", "t2"]) } else { Shop::with(&real, true) }
    }

    /// Made-up tenants of these names.
    pub fn made_up(names: &[&str]) -> Shop {
        Shop::with(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), false)
    }

    fn with(names: &[String], real: bool) -> Shop {
        let settings = [("archive_mode", "on"), ("archive_command", "false"), ("archive_timeout", "0")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let cluster = Cluster::with(Options { settings, ..Options::default() });
        let site = Site::local(&cluster);
        for (seed, name) in names.iter().enumerate() {
            match real {
                true => drop(load_real(&cluster, &site.data_dir(), name, name).unwrap()),
                false => drop(small_tenant(&cluster, &site.data_dir(), name, seed as u64 + 1)),
            }
        }
        hand_over(&site.path(""));
        let lifeboat = bin_dir().join("lifeboat");
        let push = format!("{} --config {} wal push %p", lifeboat.display(), site.config().display());
        cluster.psql("postgres", &format!("alter system set archive_command = '{push}'"));
        cluster.psql("postgres", "select pg_reload_conf()");
        let shop = Shop { cluster, site, tenants: names.to_vec() };
        shop.archive();
        shop
    }

    /// `lifeboat backup` as the server's own user: what it writes, archive_command must be able to add to.
    pub fn back_up(&self, args: &[&str]) -> Value {
        let program = match rustix::process::geteuid().is_root() {
            true => Program::at("/usr/bin/setpriv".into())
                .args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"])
                .arg(bin_dir().join("lifeboat")),
            false => Program::lifeboat(),
        };
        let program = program.cwd(self.site.path("")).args(["backup", "--json"]).args(args.to_vec());
        program.limit(LIMIT).run().ok().json()
    }

    /// Ends the segment and waits until all of it is stored.
    pub fn archive(&self) {
        let segment = self.cluster.switch_wal();
        let sql = format!("select coalesce(last_archived_wal, '') >= '{segment}' from pg_stat_archiver");
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.cluster.psql("postgres", &sql) != "t" {
            assert!(Instant::now() < deadline, "the segment is never archived");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A drill; `plan` is added to the plan, which names `tenant`.
    pub fn drill(&self, tenant: &str, plan: &str) -> Program {
        self.site.drill(tenant, plan).arg("--json").limit(LIMIT)
    }

    /// The server's time, with its zone; every later commit is later by the server's clock.
    pub fn now(&self) -> String {
        let sql = "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
        let now = self.cluster.psql("postgres", sql);
        std::thread::sleep(Duration::from_millis(20));
        now
    }
}

/// The state of a part of the drill: of its worst finding.
pub fn state(report: &Value, part: &str) -> String {
    let rank =
        |state: &str| ["done", "not-run", "unknown", "failed"].iter().position(|known| *known == state);
    let own = report["findings"].as_array().unwrap().iter().filter(|finding| finding["part"] == part);
    let states = own.map(|finding| finding["state"].as_str().unwrap().to_owned());
    states.max_by_key(|state| rank(state).unwrap()).unwrap_or_else(|| panic!("no finding about {part}"))
}
