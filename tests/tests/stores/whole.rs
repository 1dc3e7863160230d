//! The whole way on one store: init, doctor, base backup, dumps, streamed WAL, verify, restores.

use std::time::{Duration, Instant};

use lifeboat_tests::compare::{assert_same, assert_same_tree, database_digest};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};
use rustix::process::Signal;

/// How long a step may take.
const LIMIT: Duration = Duration::from_secs(240);
/// A file that does not shrink: its pack is stored in three parts of 8 MiB.
const LARGE: usize = 20 << 20;

/// A repository and what opens it.
pub struct Place {
    pub url: String,
    pub endpoint: String,
    pub credentials: String,
}

impl Place {
    /// What the configuration says of it.
    pub fn settings(&self) -> Vec<String> {
        vec![
            format!("repository.endpoint={}", self.endpoint),
            "repository.allow_http=true".to_owned(),
            format!("repository.credentials_file={}", self.credentials),
            "repository.retry_deadline=30s".to_owned(),
        ]
    }
}

pub fn from_init_to_a_restored_second(cluster: &Cluster, place: &Place) {
    let site = Site::remote(cluster, &place.url, &place.settings());
    let again = site.run(&["init", "--repository", &place.url]).run();
    assert_ne!(again.code, Some(0), "a second repository at the same place");
    let tenant = small_tenant(cluster, &site.data_dir(), "shop", 7);
    let mut state = 1u64;
    let large: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(LARGE)
    .collect();
    tenant.upload(cluster, "large.bin", &large);
    cluster.psql("shop", "create table ledger (n bigserial primary key, filler text)");
    let doctor = site.run(&["doctor", "--json"]).run().json();
    let of = |name: &str| {
        let found = doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
        found.unwrap_or_else(|| panic!("{name}: {doctor}"))["status"].clone()
    };
    for check in ["repository", "store's clock", "overwriting"] {
        assert_eq!(of(check), "ok", "{check}: {doctor}");
    }

    let agent = site.run(&["agent"]).env("LIFEBOAT_WAL_STREAM", "true").spawn();
    let streams = "select count(*) from pg_stat_replication where application_name = 'lifeboat' and state = 'streaming'";
    wait_until("the agent streams", || cluster.psql("postgres", streams) == "1");
    site.back_up(&["--kind", "base"]);
    site.back_up(&[]);
    let dumped = database_digest(cluster, "shop");
    cluster.psql("shop", "insert into ledger (filler) select md5(g::text) from generate_series(1, 500) g");
    let truth = digest(cluster, "shop");
    let sql = "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let before = cluster.psql("postgres", sql);
    std::thread::sleep(Duration::from_millis(20));
    cluster.psql("shop", "truncate ledger");
    // Azure's times are whole seconds: a target within the second of the last stored WAL would be refused.
    std::thread::sleep(Duration::from_millis(1100));
    cluster.psql("shop", "insert into ledger (filler) values ('after')");
    let lsn = cluster.psql("postgres", "select pg_current_wal_insert_lsn()");
    let stored = format!(
        "select coalesce(bool_or(flush_lsn >= '{lsn}'), false) from pg_stat_replication where application_name = 'lifeboat'"
    );
    wait_until("all is stored", || cluster.psql("postgres", &stored) == "t");
    agent.signal(Signal::TERM);
    agent.finish().ok();

    let listed = site.run(&["list"]).run().ok();
    assert!(listed.stdout.contains("shop"), "{listed}");
    site.run(&["verify"]).limit(LIMIT).run().ok();
    restore(&site, &["--as", "copy"]);
    let filestores = site.data_dir().join("filestore");
    assert_same_tree(&filestores.join("shop"), &filestores.join("copy"));
    assert_same("copy", &database_digest(cluster, "copy"), &dumped);
    restore(&site, &["--as", "back", "--to-time", &before]);
    assert_same("back", &digest(cluster, "back"), &truth);
    assert_eq!(cluster.psql("back", "select count(*) from ledger"), "500");
}

fn restore(site: &Site, args: &[&str]) {
    let fixed =
        ["restore", "--yes", "--identity", "lifeboat-identity.txt", "--no-neutralize", "--tenant", "shop"];
    site.run(&fixed).args(args.to_vec()).limit(LIMIT).run().ok();
}

/// Sequences may run ahead after recovery (PostgreSQL logs up to 32 values before they are used).
fn digest(cluster: &Cluster, database: &str) -> std::collections::BTreeMap<String, String> {
    let mut digest = database_digest(cluster, database);
    digest.retain(|name, _| !name.starts_with("sequence "));
    digest
}

pub fn wait_until(what: &str, mut met: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !met() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
