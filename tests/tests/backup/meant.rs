//! What a backup was meant to hold against what it holds: each database of the cluster and each file of a
//! filestore is stored, excluded by name, left out with a reason, or makes exit code 3. A note alone never
//! stands for a loss.

use std::fs;

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};
use serde_json::{Value, json};

fn names<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|one| one[key].as_str().unwrap()).collect()
}

#[test]
fn each_database_is_stored_or_excluded_by_name_or_a_failure() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    for (name, seed) in
        [("gone", 1), ("half__lifeboat_incomplete", 2), ("pattern", 3), ("shop", 4), ("shut", 5)]
    {
        small_tenant(&cluster, &site.data_dir(), name, seed);
    }
    cluster.psql(
        "postgres",
        "alter database pattern is_template true; alter database shut allow_connections false;
         alter database half__lifeboat_incomplete is_template true",
    );
    // its directory is on a disk that is not mounted: the server says the same as of one that was dropped
    let oid = cluster.psql("postgres", "select oid from pg_database where datname = 'gone'");
    let dir = cluster.data_dir().join("base").join(&oid);
    cluster.psql("postgres", "checkpoint");
    cluster.stop();
    fs::rename(&dir, cluster.data_dir().join("elsewhere")).unwrap();
    cluster.start_again();

    let outcome = site.backup(&["--json"]).run().exits(3).says("not backed up: gone, shut");
    let report = outcome.json();
    assert_eq!(
        names(&report["tenants"], "tenant"),
        ["pattern", "shop"],
        "a template is a tenant like any other"
    );
    assert_eq!(names(&report["failures"], "name"), ["gone", "shut"], "{outcome}");
    assert_eq!(names(&report["left_out"], "database"), ["half__lifeboat_incomplete"]);
    assert_eq!(report["meant"], json!(["gone", "shut", "pattern", "shop"]));
    assert_eq!(report["notes"], json!([]), "what means loss is more than a note");
    outcome.says("pg_database lists \"gone\", but nobody can connect to it").says("odoo.exclude");
    let doctor = site.run(&["doctor"]).run().exits(3);
    for name in ["gone", "shut"] {
        let line = doctor.stdout.lines().find(|line| line.contains(&format!("database \"{name}\"")));
        assert!(line.is_some_and(|line| line.starts_with("FAIL")), "{name}: {doctor}");
    }
    assert!(doctor.stdout.contains("left out: \"half__lifeboat_incomplete\""), "{doctor}");

    site.set("LIFEBOAT_ODOO_EXCLUDE", "gone,shut,pattern");
    let report = site.back_up(&[]);
    assert_eq!(names(&report["tenants"], "tenant"), ["shop"]);
    assert_eq!(report["excluded"], json!(["gone", "shut", "pattern"]));
    let told = site.backup(&[]).run().ok();
    assert!(told.stdout.contains("excluded: shut: odoo.exclude names it"), "{told}");
}

#[test]
fn a_filestore_alone_that_is_not_stored_whole_is_no_success() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "shop", 1);
    site.back_up(&["--kind", "filestore"]);
    let folder = tenant.filestore().path("ff");
    fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.join("ff".repeat(20))).unwrap();
    let outcome = site.backup(&["--kind", "filestore"]).run().exits(3);
    assert!(outcome.stdout.contains("a symbolic link, skipped"), "{outcome}");
    outcome.says("1 files or directories of filestores are not stored whole");
    // with the dump, the database says what was meant: it names no such file
    let whole = site.backup(&[]).run().ok();
    assert!(whole.stdout.contains("a symbolic link, skipped"), "{whole}");
}
