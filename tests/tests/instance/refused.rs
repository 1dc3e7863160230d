//! What a restore of an instance does not do, because it would end badly later: said at the plan, or before
//! the copy becomes the real thing.

use rustix::process::geteuid;

use crate::archiving::Archiving;
use crate::copy::Copied;

#[test]
fn a_subscription_that_cannot_be_disabled_keeps_a_copy_from_becoming_the_real_thing() {
    let archiving = Archiving::start(None);
    let made =
        "create subscription s connection 'host=/nowhere dbname=x' publication p with (connect = false)";
    archiving.cluster.psql("shop", made);
    archiving.cluster.psql("shop", "alter subscription s enable");
    // nobody can connect to its database, not even a superuser, and only there it can be disabled
    archiving.cluster.psql("postgres", "alter database shop allow_connections false");
    archiving.base();
    archiving.archive();
    let copied = Copied::new();
    let dir = copied.data_dir().display().to_string();
    let args = ["--as-production", "--yes-production", &dir];
    let refused = archiving.restore_to(copied.data_dir(), &args).run().exits(16);
    let refused = refused.says("a subscription could not be disabled, and would start at once");
    refused.says("s in database shop").says("is a copy as before");
    let hba = std::fs::read_to_string(copied.data_dir().join("pg_hba.conf")).unwrap();
    assert!(hba.contains("written by lifeboat"), "{hba}");
    assert!(!copied.data_dir().join("postmaster.pid").exists(), "it is not left running");
}

#[test]
fn a_passphrase_in_roots_environment_does_not_reach_another_users_server() {
    if !geteuid().is_root() {
        return lifeboat_tests::skip::announce(
            module_path!(),
            "only root can start a server as another user",
        );
    }
    let archiving = Archiving::start(None);
    archiving.base();
    archiving.archive();
    archiving.site.protect_identity("korrekt");
    let told = "it does not get LIFEBOAT_PASSPHRASE of root's environment: set seal.passphrase_file";
    let copied = Copied::new();
    let restore =
        |more: &[&str]| archiving.restore_to(copied.data_dir(), more).env("LIFEBOAT_PASSPHRASE", "korrekt");
    let plan = restore(&["--dry-run"]).run().ok();
    assert!(plan.stdout.contains(told), "{plan}");
    // Started by us it needs none: this process fetches the WAL.
    let done = restore(&["--start"]).run().ok();
    let pid = std::fs::read_to_string(copied.data_dir().join("postmaster.pid")).unwrap();
    let environment = std::fs::read(format!("/proc/{}/environ", pid.lines().next().unwrap())).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("korrekt"), "the server got the passphrase");
    copied.started(&archiving.cluster, done.json()["started"]["socket_dir"].as_str().unwrap());
    assert_eq!(copied.psql("shop", "select count(*) from ledger"), "0");
}
