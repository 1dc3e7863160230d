//! The same from elsewhere: WAL that the agent streams into S3, a chain of base backups, a tenant in
//! a tablespace of its own, on every PostgreSQL that there is.

use lifeboat_tests::compare::assert_same;
use lifeboat_tests::installed::{available_majors, hand_over};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options, S3, small_tenant};
use rustix::process::{Signal, geteuid};

use crate::root_only::close;
use crate::shared::{Shared, wait_until, write};

#[test]
fn from_a_stream_in_s3_out_of_a_tablespace_on_every_major() {
    for major in available_majors() {
        println!("PostgreSQL {major}");
        from_a_stream(major);
    }
}

fn from_a_stream(major: u32) {
    let settings = vec![("wal_level".to_owned(), "replica".to_owned())];
    let cluster = Cluster::with(Options { major: Some(major), settings, ..Options::default() });
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "k");
    let tenants: Vec<_> =
        (1..=2).map(|n| small_tenant(&cluster, &site.data_dir(), &format!("t{n}"), n)).collect();
    let outside = tempfile::Builder::new().prefix("lbts-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
    hand_over(outside.path());
    hand_over(&site.path(""));
    cluster.psql("postgres", &format!("create tablespace north location '{}'", outside.path().display()));
    cluster.psql("postgres", "alter database t1 set tablespace north");
    for tenant in &tenants {
        cluster.psql(&tenant.name, "create table ledger (n bigserial primary key, filler text)");
    }
    let shared = Shared { cluster, site, tenants };
    let cluster = &shared.cluster;
    let on = [("LIFEBOAT_WAL_STREAM", "true"), ("LIFEBOAT_AGENT_LISTEN", "off")];
    let agent = shared.lifeboat(&["agent"]).envs(on).spawn();
    let streaming = "select count(*) from pg_stat_replication where application_name = 'lifeboat' and state = 'streaming'";
    wait_until("the agent streams", || cluster.psql("postgres", streaming) == "1");

    shared.back_up(&["--kind", "base"]);
    write(cluster, "t1");
    let second = shared.back_up(&["--kind", "base"]);
    assert_eq!(second["manifest"]["base"]["chain"].as_array().unwrap().len(), 2);
    shared.back_up(&["--kind", "filestore", "--tenant", "t1"]);
    write(cluster, "t1");
    let (before, truth) = (shared.now(), shared.digest("t1"));
    cluster.psql("t1", "truncate ledger");
    write(cluster, "t2");
    let lsn = cluster.psql("postgres", "select pg_current_wal_insert_lsn()");
    let stored = format!(
        "select coalesce(bool_or(flush_lsn >= '{lsn}'), false) from pg_stat_replication where application_name = 'lifeboat'"
    );
    wait_until("all is stored", || cluster.psql("postgres", &stored) == "t");
    hand_over(&shared.site.path("")); // what root wrote there meanwhile
    let mut env = Vec::new();
    if geteuid().is_root() {
        // identity and configuration are root's alone, and the keys of the store lie in root's environment
        let keys = shared.site.path("s3-keys");
        shared.site.edit(&format!("credentials_file = {:?}\n", keys.display().to_string()), "");
        std::fs::remove_file(keys).unwrap();
        env = s3.env();
        for name in ["lifeboat.toml", "lifeboat-identity.txt"] {
            close(&shared.site.path(name));
        }
    }

    let args = ["--to-time", &before, "--as", "back", "--no-neutralize"];
    let report = shared.restore("t1", &args).envs(env).run().ok().json();
    assert_same("back", &shared.digest("back"), &truth);
    shared.amcheck("back");
    assert_eq!(report["missing_files"], serde_json::json!([]));
    assert_eq!(report["plan"]["loads"], "own-role");
    let lies = "select spcname from pg_database d join pg_tablespace t on t.oid = dattablespace where datname = 'back'";
    assert_eq!(cluster.psql("postgres", lies), "north");
    assert!(
        report["plan"]["scratch"]["tablespaces"][0]["location"]
            .as_str()
            .unwrap()
            .contains("lifeboat-scratch-")
    );
    assert!(shared.scratches().is_empty());
    assert_eq!(cluster.psql("t1", "select count(*) from ledger"), "0", "production is as it was");
    agent.signal(Signal::TERM);
    agent.finish().ok();
}
