//! One repository with several oddities, asked in every way: a hole in its WAL, a dump that nobody signed
//! under a name from the future, one that was written under a clock years ahead.

use std::fs;
use std::path::Path;

use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, small_tenant};

use crate::newest;
use crate::plans::assert_is_bound;

/// Fills a segment and goes on in the next one; the path of the one that is full.
pub fn segment(cluster: &Cluster) -> std::path::PathBuf {
    cluster.psql("postgres", "create table if not exists filled (n int)");
    cluster.psql("postgres", "insert into filled select generate_series(1, 100)");
    let name = cluster.psql("postgres", "select pg_walfile_name(pg_switch_wal())");
    cluster.data_dir().join("pg_wal").join(name.trim())
}

/// Stores a file of `pg_wal`.
pub fn push(site: &Site, path: &Path) {
    site.run(&["wal", "push"]).arg(path).run().ok();
}

#[test]
fn every_command_gives_the_same_answer_in_the_same_words() {
    let cluster = Cluster::start_default();
    cluster.psql("postgres", "alter system set wal_keep_size = '1GB'");
    cluster.psql("postgres", "select pg_reload_conf()");
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    site.back_up(&["--kind", "base"]);
    site.backup(&["--tenant", "shop"]).off_by("+1100d").run().ok();
    let true_one =
        site.back_up(&["--tenant", "shop"])["tenants"][0]["dump"]["id"].as_str().unwrap().to_owned();
    let [one, _not_stored, three] = [0, 1, 2].map(|_| segment(&cluster));
    push(&site, &one);
    push(&site, &three);

    let snapshots = site.stored.join("instances/prod/snapshots");
    let forged = "20991231T000000Z-dump-00000000";
    fs::create_dir(snapshots.join(forged)).unwrap();
    fs::copy(snapshots.join(&true_one).join("manifest.json"), snapshots.join(forged).join("manifest.json"))
        .unwrap();

    for (command, said) in newest(&site, "shop") {
        assert_eq!(said, true_one, "{command}");
    }
    let window = site.run(&["window", "--json"]).run().exits(3).json();
    let status = site.run(&["status", "--json"]).run().exits(3).json();
    let list = site.run(&["list", "--json"]).run().exits(3).json();
    let point = |id: &str| {
        let all = list["snapshots"].as_array().unwrap();
        all.iter().find(|one| one["id"] == id).unwrap()["point"].clone()
    };
    assert_eq!(window["tenants"][0]["dumps"].as_array().unwrap().last(), Some(&point(&true_one)));
    assert_eq!(status["tenants"][0]["dump"]["point"], point(&true_one));

    let hole = status["cluster"]["wal"]["broken"].as_str().unwrap().to_owned();
    assert!(hole.starts_with("WAL from ") && hole.contains(" is missing: recovery stops at "), "{hole}");
    assert_eq!(window["window"]["holes"][0]["why"], *hole);
    assert!(window["window"]["holes"][0]["to"].is_null(), "it lasts until now: {window}");
    let identity = site.path("lifeboat-identity.txt");
    let rescued = site.path("rescued");
    let restore =
        site.run(&["restore", "--dry-run", "--instance-to"]).arg(&rescued).arg("--identity").arg(&identity);
    let restore = restore.run().exits(16);
    assert!(words(&restore).contains(&hole), "{hole}: {restore}");
    let (from, to) = hole.strip_prefix("WAL from ").unwrap().split_once(" to ").unwrap();
    let to = to.split(' ').next().unwrap();
    let wal = site.run(&["wal", "status"]).run().exits(3);
    assert!(wal.stdout.contains(from) && wal.stdout.contains(to), "{from} to {to}: {wal}");
    let told = |text: &str, word: &str| -> Vec<String> {
        let of_wal = |line: &&str| line.starts_with(&format!("{word}: WAL from "));
        text.lines().filter(of_wal).map(str::to_owned).collect()
    };
    // the same lines; that a manifest is not believed is worse, and decides the exit code
    let verify = site.run(&["verify"]).run().exits(10);
    assert_eq!(told(&verify.stdout, "problem"), told(&wal.stdout, "problem"), "{verify} {wal}");
    assert!(!told(&wal.stdout, "problem").is_empty(), "{wal}");

    for (what, outcome) in [("list", site.run(&["list"]).run()), ("status", site.run(&["status"]).run())] {
        assert!(words(&outcome).contains(forged), "{what} tells what is not believed: {outcome}");
    }
    let skipped = site.run(&["restore", "--tenant", "shop", "--as", "copy", "--dry-run"]);
    let skipped = skipped.args(["--json"]).arg("--identity").arg(&identity).run().ok();
    assert!(words(&skipped).contains(&format!("{forged}, which may be newer, was skipped: ")), "{skipped}");

    // A base backup after the hole: it is past, for all of them.
    site.back_up(&["--kind", "base"]);
    let window = site.run(&["window", "--json"]).run().exits(3).json();
    assert_eq!(window["window"]["spans"].as_array().unwrap().len(), 2, "{window}");
    assert!(
        window["window"]["holes"].as_array().unwrap().iter().all(|hole| !hole["to"].is_null()),
        "{window}"
    );
    let status = site.run(&["status", "--json"]).run().json();
    assert!(status["cluster"]["wal"]["broken"].is_null(), "{status}");
    let restore =
        site.run(&["restore", "--dry-run", "--instance-to"]).arg(&rescued).arg("--identity").arg(&identity);
    let plan = restore.arg("--json").run().ok().json();
    // What a host without an identity says beforehand is what is restored.
    assert_is_bound(&window["latest"], &plan);
    let skipped = skipped.json();
    assert_is_bound(&window["tenants"][0]["restore"], &skipped);
}

#[test]
fn wal_that_is_missing_right_after_a_base_backup_is_told_by_wal_status_too() {
    let cluster = Cluster::start_default();
    cluster.psql("postgres", "alter system set wal_keep_size = '1GB'");
    cluster.psql("postgres", "select pg_reload_conf()");
    let site = Site::local(&cluster);
    site.back_up(&["--kind", "base"]);
    let [_not_stored, two] = [0, 1].map(|_| segment(&cluster));
    push(&site, &two);
    let window = site.run(&["window", "--json"]).run().exits(3).json();
    let hole = window["window"]["holes"][0]["why"].as_str().unwrap();
    assert!(hole.contains(" is missing: recovery stops at "), "{hole}");
    let wal = site.run(&["wal", "status"]).run().exits(3);
    assert!(wal.stdout.contains(&format!("problem: {hole}")), "{hole}: {wal}");
}
