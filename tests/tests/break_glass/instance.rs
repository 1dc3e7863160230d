//! `runbooks/break-glass-instance.md` does what it says: a whole cluster, from a chain of base
//! backups and streamed WAL, to a moment between two commits, by stock tools.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat_tests::installed::{self, available_majors, hand_over};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options, Outcome, Program, Running, damage, skip};
use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::{LIMIT, page, signing_key, tools_are_here};

const DIGEST: &str =
    "select count(*) || ' ' || coalesce(md5(string_agg(n || filler, ',' order by n)), '') from ledger";

/// A program as the user that servers run as.
fn as_server(path: impl Into<PathBuf>) -> Program {
    match geteuid().is_root() {
        true => Program::at("/usr/bin/setpriv".into())
            .args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"])
            .arg(path.into()),
        false => Program::at(path.into()),
    }
    .cwd("/")
}

fn wait_for(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !check() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A moment of the cluster, and what there was.
struct Truth {
    time: String,
    ledger: String,
    /// The file of a table that was dropped before.
    gone: String,
}

/// A cluster whose WAL is streamed into a site's repository.
struct Production {
    site: Site,
    cluster: Cluster,
    agent: Running,
    _outside: TempDir,
}

impl Production {
    fn start(major: Option<u32>) -> Production {
        let cluster = Cluster::with(Options { major, ..Options::default() });
        let outside =
            tempfile::Builder::new().prefix("lbts-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
        hand_over(outside.path());
        cluster.psql("postgres", &format!("create tablespace north location '{}'", outside.path().display()));
        cluster.psql("postgres", "create database shop");
        let mut site = Site::local(&cluster);
        site.set("LIFEBOAT_AGENT_LISTEN", "off");
        let agent = site.run(&["agent"]).limit(LIMIT).spawn();
        let sql = "select count(*) from pg_stat_replication where state = 'streaming'";
        wait_for("the agent streams", || cluster.psql("postgres", sql) == "1");
        Production { site, cluster, agent, _outside: outside }
    }

    /// Two base backups under load, commits behind them, an accident between two moments.
    fn live_and_lose(&self) -> [Truth; 2] {
        let cluster = &self.cluster;
        cluster.run("pgbench", &["-i", "-s", "2", "-q", "shop"]);
        for sql in [
            "create table ledger (n serial primary key, filler text)",
            "create table far tablespace north as select generate_series(1, 1000) n",
            "create table shrinks as select g, repeat('x', 500) from generate_series(1, 20000) g",
            "create table goes as select generate_series(1, 10000)",
        ] {
            cluster.psql("shop", sql);
        }
        let gone = cluster.psql("shop", "select pg_relation_filepath('goes')");
        self.site.back_up(&["--kind", "base"]);
        std::thread::scope(|scope| {
            scope.spawn(|| cluster.run("pgbench", &["-n", "-c", "2", "-T", "4", "shop"]));
            let insert = "insert into ledger (filler) select md5(g::text) from generate_series(1, 1000) g";
            cluster.psql("shop", insert);
            cluster.psql("shop", "delete from shrinks where g > 100");
            cluster.psql("shop", "vacuum shrinks");
            cluster.psql("shop", "drop table goes; insert into far select 1; vacuum full pgbench_branches");
            let second = self.site.back_up(&["--kind", "base"]);
            assert_eq!(second["manifest"]["base"]["chain"].as_array().unwrap().len(), 2);
            cluster.psql("shop", insert);
        });
        let before = self.truth(&gone);
        cluster.psql("shop", "delete from ledger where n % 2 = 0");
        let after = self.truth(&gone);
        cluster.psql("shop", "create table later as select 1 n");
        [before, after]
    }

    fn truth(&self, gone: &str) -> Truth {
        // commits before and behind it have other times
        std::thread::sleep(Duration::from_millis(50));
        let time = self.cluster.psql("shop", "select clock_timestamp()");
        std::thread::sleep(Duration::from_millis(50));
        Truth { time, ledger: self.cluster.psql("shop", DIGEST), gone: gone.to_owned() }
    }

    /// All is stored; agent and server are gone, and their user may read the repository.
    fn end(self) -> (Site, PathBuf) {
        let lsn = self.cluster.psql("postgres", "select pg_current_wal_insert_lsn()");
        let sql = format!("select bool_or(flush_lsn >= '{lsn}') from pg_stat_replication");
        wait_for("all WAL is stored", || self.cluster.psql("postgres", &sql) == "t");
        let bin = self.cluster.bin_dir().to_owned();
        drop(self.cluster);
        self.agent.signal(Signal::TERM);
        self.agent.finish();
        hand_over(&self.site.path(""));
        (self.site, bin)
    }
}

/// What the page leaves, and its server.
struct Rescued<'a> {
    site: &'a Site,
    bin: &'a Path,
    dir: TempDir,
}

impl<'a> Rescued<'a> {
    fn new(site: &'a Site, bin: &'a Path) -> Rescued<'a> {
        let dir = tempfile::Builder::new().prefix("lbr-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        Rescued { site, bin, dir }
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("scratch")
    }

    /// The page's commands.
    fn page(&self, target_time: &str) -> Program {
        let script = page("break-glass-instance.md", self.dir.path().join("page.sh"));
        as_server("/bin/bash")
            .arg(script)
            .env("PATH", "/usr/bin:/bin")
            .env("REPO", self.site.path("repo"))
            .env("IDENTITY", self.site.path("lifeboat-identity.txt"))
            .env("SIGNING_KEY", signing_key(&self.site.config()))
            .env("TARGET_TIME", target_time)
            .env("TARGET_DIR", self.data_dir())
            .env("SCRATCH", self.socket())
            .env("PG_BIN", self.bin)
            .limit(LIMIT)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("data.log")).unwrap_or_default()
    }

    fn psql(&self, sql: &str) -> String {
        let psql = Program::at(self.bin.join("psql"))
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-p", "5432", "-U", "postgres", "-h"])
            .arg(self.socket())
            .args(["-d", "shop", "-c", sql]);
        psql.run().ok().stdout.trim_end().to_owned()
    }

    /// It is what it was at that moment, and sound.
    fn assert_is(&self, truth: &Truth, later: &str) {
        assert_eq!(self.psql(DIGEST), truth.ledger);
        assert_eq!(self.psql("select to_regclass('later') is not null"), later);
        assert_eq!(self.psql("select count(*) from far"), "1001");
        assert_eq!(self.psql("select to_regclass('goes') is null and count(*) = 100 from shrinks"), "t");
        let sums = "select (select sum(abalance) from pgbench_accounts) = (select sum(bbalance) from pgbench_branches) \
            and (select sum(tbalance) from pgbench_tellers) = (select sum(delta) from pgbench_history)";
        assert_eq!(self.psql(sums), "t", "pgbench's sums differ: the copy is torn");
        let amcheck = Program::at(self.bin.join("pg_amcheck"))
            .args(["--install-missing", "--heapallindexed", "-p", "5432", "-U", "postgres", "-h"])
            .arg(self.socket());
        amcheck.arg("shop").limit(LIMIT).run().ok();
        self.stop("fast").ok();
        assert!(!self.data_dir().join(&truth.gone).exists(), "{} is not in the second backup", truth.gone);
        as_server(self.bin.join("pg_checksums")).args(["--check", "-D"]).arg(self.data_dir()).run().ok();
        let link = fs::read_dir(self.data_dir().join("pg_tblspc")).unwrap().next().unwrap().unwrap();
        assert!(fs::read_link(link.path()).unwrap().starts_with(self.dir.path().join("data.tablespaces")));
    }

    fn stop(&self, mode: &str) -> Outcome {
        let stop = as_server(self.bin.join("pg_ctl")).args(["-w", "-m", mode, "-D"]);
        stop.arg(self.data_dir()).arg("stop").run()
    }
}

impl Drop for Rescued<'_> {
    fn drop(&mut self) {
        if self.data_dir().join("postmaster.pid").exists() {
            self.stop("immediate");
        }
    }
}

/// A directory with every program of the system but one.
fn all_but(absent: &str, dir: &Path) -> PathBuf {
    fs::create_dir(dir).unwrap();
    for program in fs::read_dir("/usr/bin").unwrap().map(|entry| entry.unwrap()) {
        if program.file_name() != absent {
            symlink(program.path(), dir.join(program.file_name())).unwrap();
        }
    }
    dir.to_owned()
}

/// The objects of the newest segment.
fn newest_wal(site: &Site) -> Vec<PathBuf> {
    let files = |dir: &Path| {
        let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    };
    files(files(&site.path("repo/instances/prod/wal/00000001")).last().unwrap())
}

#[test]
fn an_instance_comes_back_to_any_moment_by_stock_tools() {
    if !tools_are_here() {
        return;
    }
    comes_back(None);
}

#[test]
fn so_it_does_on_every_other_major() {
    if !tools_are_here() {
        return;
    }
    let usual = installed::find(None).major;
    let others: Vec<u32> = available_majors().into_iter().filter(|major| *major != usual).collect();
    if others.is_empty() {
        skip!("the only PostgreSQL here is {usual}: TEST_PG_BIN_17=DIR names another");
    }
    for major in others {
        println!("PostgreSQL {major}");
        comes_back(Some(major));
    }
}

fn comes_back(major: Option<u32>) {
    let production = Production::start(major);
    let [before, after] = production.live_and_lose();
    let (site, bin) = production.end();

    let rescued = Rescued::new(&site, &bin);
    let done = rescued.page(&before.time).run();
    assert!(done.code == Some(0), "{done}\n{}", rescued.log());
    assert!(done.stdout.contains("is paused"), "{done}");
    assert!(!done.stderr.contains("not checked"), "{done}");
    assert_eq!(rescued.psql(DIGEST), before.ledger);
    rescued.psql("select pg_wal_replay_resume()");
    wait_for("it is open", || rescued.psql("select pg_is_in_recovery()") == "f");
    assert_eq!(rescued.psql("show archive_mode"), "off");
    rescued.assert_is(&before, "f");
    drop(rescued);

    let rescued = Rescued::new(&site, &bin);
    let without_b3sum = all_but("b3sum", &rescued.dir.path().join("bin"));
    let done = rescued.page("").env("PATH", without_b3sum).run();
    assert!(done.code == Some(0), "{done}\n{}", rescued.log());
    assert!(done.stdout.contains("is open"), "{done}");
    assert!(done.stderr.contains("files were not checked one by one"), "{done}");
    rescued.assert_is(&after, "t");
}

#[test]
fn what_is_damaged_forged_or_out_of_reach_stops_the_page() {
    if !tools_are_here() {
        return;
    }
    let production = Production::start(None);
    let too_early = production.cluster.psql("postgres", "select clock_timestamp()");
    let [_, after] = production.live_and_lose();
    let (site, bin) = production.end();
    let stopped = |time: &str, change: &dyn Fn(Program) -> Program, says: &str| {
        let rescued = Rescued::new(&site, &bin);
        let outcome = change(rescued.page(time)).run().exits(1);
        let text = format!("{}{}", outcome.stderr, rescued.log());
        assert!(text.contains(says), "{says:?} is not in {outcome}\n{}", rescued.log());
        assert!(!rescued.log().contains("ready to accept connections"), "{}", rescued.log());
    };
    let as_it_is = |program: Program| program;
    let stranger =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE4aTQ+idzupOEcW7KRduA3yk4NyK9oQbaXP8dcUVbr3 stranger";
    stopped("", &|page| page.env("SIGNING_KEY", stranger), "is not signed by our key");
    stopped("2026-11-20 01:58:00", &as_it_is, "has no zone");
    stopped(&too_early, &as_it_is, "no base backup before");
    stopped("2100-01-01 00:00:00+00", &as_it_is, "before configured recovery target was reached");

    let wal = newest_wal(&site);
    damage::flip_bit(&wal[0], 1234);
    stopped(&after.time, &as_it_is, "is damaged");
    damage::flip_bit(&wal[0], 1234);
    // one of another range: sealed and signed by us, and still not what its place says
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let forged = wal[0].with_file_name(name(&wal[0]).replace("00000000-", "00000008-"));
    fs::rename(&wal[0], &forged).unwrap();
    stopped(&after.time, &as_it_is, "are not stored");
    fs::rename(&forged, &wal[0]).unwrap();
    let end = &name(&wal[0])[9..17];
    let other = wal[0].with_file_name(name(&wal[0]).replace(end, "00000100"));
    fs::rename(&wal[0], &other).unwrap();
    stopped(&after.time, &as_it_is, "is not what its signature says");
    fs::rename(&other, &wal[0]).unwrap();
}
