//! A cluster that archives into a site's repository, and what every test here does with it.

use std::path::Path;
use std::time::{Duration, Instant};

pub use lifeboat_tests::installed::hand_over;
use lifeboat_tests::program::bin_dir;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options, Program};
use serde_json::Value;

use crate::copy::Copied;

pub const LIMIT: Duration = Duration::from_secs(180);
pub const DIGEST: &str =
    "select count(*) || ' ' || coalesce(md5(string_agg(n || filler, ',' order by n)), '') from ledger";

/// A cluster that archives into a site's repository.
pub struct Archiving {
    pub cluster: Cluster,
    pub site: Site,
}

/// What the ledger held at one moment.
#[derive(Clone, Debug)]
pub struct Truth {
    pub lsn: String,
    pub time: String,
    pub ledger: String,
}

impl Archiving {
    /// With a ledger in a database `shop`, of this major version or the usual one.
    pub fn start(major: Option<u32>) -> Archiving {
        let settings = [
            ("archive_mode", "on"),
            ("archive_command", "false"),
            ("archive_timeout", "0"),
            ("track_commit_timestamp", "on"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let cluster = Cluster::with(Options { major, settings, ..Options::default() });
        let site = Site::local(&cluster);
        hand_over(&site.path(""));
        let archiving = Archiving { cluster, site };
        archiving.archive_by_push(&archiving.cluster);
        archiving.cluster.create_db("shop");
        let ledger = "create table ledger (n bigserial primary key, filler text default repeat('x', 200))";
        archiving.cluster.psql("shop", ledger);
        archiving
    }

    /// From now on, from this cluster.
    pub fn archive_by_push(&self, cluster: &Cluster) {
        let push = self.push_command();
        cluster.psql("postgres", &format!("alter system set archive_command = '{push}'"));
        cluster.psql("postgres", "select pg_reload_conf()");
    }

    /// `archive_command`.
    pub fn push_command(&self) -> String {
        let (lifeboat, config) = (bin_dir().join("lifeboat"), self.site.config());
        format!("{} --config {} wal push %p", lifeboat.display(), config.display())
    }

    pub fn base(&self) -> Value {
        self.base_with(&[])
    }

    /// Tied to a release.
    pub fn base_of(&self, release: &str) -> Value {
        self.base_with(&["--release", release])
    }

    fn base_with(&self, args: &[&str]) -> Value {
        let program = as_server(&bin_dir().join("lifeboat")).cwd(self.site.path("")).limit(LIMIT);
        let program = program.args(["backup", "--kind", "base", "--json"]).args(args.to_vec());
        program.run().ok().json()["manifest"].clone()
    }

    /// Ends the segment and waits until all of it is stored.
    pub fn archive(&self) {
        let segment = self.cluster.switch_wal();
        let sql = format!("select coalesce(last_archived_wal, '') >= '{segment}' from pg_stat_archiver");
        wait_until("the segment is archived", || self.cluster.psql("postgres", &sql) == "t");
    }

    /// `lifeboat restore --instance-to`, by us: root gives the files to the server's user.
    pub fn restore_to(&self, dir: &Path, args: &[&str]) -> Program {
        self.site
            .run(&["restore", "--yes", "--json", "--identity", "lifeboat-identity.txt", "--instance-to"])
            .arg(dir)
            .args(args.to_vec())
            .limit(LIMIT)
    }

    /// Restored and started; it is where it was to go.
    pub fn started(&self, args: &[&str]) -> (Copied, Value) {
        let copied = Copied::new();
        let done = self.restore_to(copied.data_dir(), args).arg("--start").run();
        assert!(done.code == Some(0), "{done}\n{}", copied.log());
        let report = done.json();
        copied.started(&self.cluster, report["started"]["socket_dir"].as_str().unwrap());
        (copied, report)
    }

    /// One more transaction, and what there is after it.
    pub fn step(&self) -> Truth {
        step(&self.cluster)
    }
}

/// One more transaction of this cluster, and what there is after it.
pub fn step(cluster: &Cluster) -> Truth {
    cluster.psql("shop", "begin; insert into ledger (filler) select md5(g::text) from generate_series(1, 20) g; update ledger set filler = filler || 'x' where n % 7 = 1; commit");
    truth(cluster)
}

/// What there is now; every later commit is later by the server's clock.
pub fn truth(cluster: &Cluster) -> Truth {
    let row = cluster.psql("shop", "select pg_current_wal_insert_lsn() || '|' || to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
    let (lsn, time) = row.split_once('|').unwrap();
    std::thread::sleep(Duration::from_millis(20));
    Truth { lsn: lsn.to_owned(), time: time.to_owned(), ledger: cluster.psql("shop", DIGEST) }
}

/// A program as the user that servers run as.
pub fn as_server(program: &Path) -> Program {
    match rustix::process::geteuid().is_root() {
        true => Program::at("/usr/bin/setpriv".into())
            .args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"])
            .arg(program)
            .cwd("/"),
        false => Program::at(program.into()).cwd("/"),
    }
}

/// Waits for something, not for ever.
pub fn wait_until(what: &str, mut met: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !met() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
