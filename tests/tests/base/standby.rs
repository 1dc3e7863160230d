//! A base backup taken from a standby: production is not read at all.

use lifeboat_tests::Cluster;
use lifeboat_tests::installed::hand_over;
use lifeboat_tests::site::Site;

use crate::contents::check_pages;
use crate::copy::Copied;
use crate::full::{ledger, wait_until};

#[test]
fn a_standby_serves_as_well() {
    let primary = Cluster::start_default();
    ledger(&primary, "shop");
    let standby = Copied::new();
    let data = standby.data_dir().to_str().unwrap().to_owned();
    primary.run("pg_basebackup", &["-D", &data, "-R", "--checkpoint=fast", "--no-sync"]);
    standby.own();
    standby.start(&primary);
    let mut site = Site::local(&primary);
    site.set("LIFEBOAT_POSTGRES_HOST", standby.socket().display());
    site.set("LIFEBOAT_POSTGRES_PORT", 5432);
    primary.psql("shop", "update big set v = 'changed' where id % 100 = 1");
    let changed = "select count(*) from big where v = 'changed'";
    wait_until("the standby follows", || standby.psql("shop", changed) == "200");
    let report = site.back_up(&["--kind", "base"]);
    assert_eq!(report["manifest"]["base"]["from_standby"], true);
    hand_over(&site.path("")); // for wal fetch
    let copied = Copied::new();
    let restore = [
        "restore",
        "--yes",
        "--json",
        "--identity",
        "lifeboat-identity.txt",
        "--to",
        "immediate",
        "--start",
        "--instance-to",
    ];
    let done = site.run(&restore).arg(copied.data_dir()).run();
    assert!(done.code == Some(0), "{done}\n{}", copied.log());
    copied.started(&primary, done.json()["started"]["socket_dir"].as_str().unwrap());
    assert_eq!(copied.psql("shop", changed), "200");
    copied.amcheck("shop");
    copied.stop();
    check_pages(&primary, copied.data_dir());
}
