//! Copies beside production are no tenants: the next backup names them and leaves them out. A mark that
//! a tenant's owner puts on his own database takes nothing out of the backup.

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};
use serde_json::Value;

use crate::promote::promote;
use crate::restore;

fn tenants(report: &Value) -> Vec<&str> {
    report["tenants"].as_array().unwrap().iter().map(|one| one["tenant"].as_str().unwrap()).collect()
}

/// The tenants that `status` tells. Its order is that of whole seconds of age: two runs a moment apart have
/// them in either.
fn followed(site: &Site) -> (Vec<String>, Value) {
    let status = site.run(&["status", "--json"]).run().ok().json();
    let mut names: Vec<String> = tenants(&status).into_iter().map(str::to_owned).collect();
    names.sort();
    (names, status)
}

fn left_out(report: &Value) -> Vec<&str> {
    report["left_out"].as_array().unwrap().iter().map(|one| one["database"].as_str().unwrap()).collect()
}

#[test]
fn copies_and_old_states_are_named_and_left_out() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 1);
    site.back_up(&[]);
    restore(&site, &["--tenant", "shop", "--as", "a 'look'"]).run().ok();
    let live = restore(&site, &["--tenant", "shop", "--as", "live", "--no-neutralize"]).run().ok();
    assert!(live.stdout.contains("live is live: lifeboat backup stores it"), "{live}");
    let report = site.back_up(&[]);
    assert_eq!((tenants(&report), left_out(&report)), (vec!["live", "shop"], vec!["a 'look'"]));
    let told = site.backup(&[]).run().ok();
    assert!(
        told.stdout.contains("left out: a 'look': a neutralized copy of shop made by lifeboat restore on 2"),
        "{told}"
    );
    assert!(told.stdout.contains("lifeboat backup --tenant 'a '\\''look'\\'''"), "{told}");
    assert_eq!(followed(&site).0, ["live", "shop"]);
    // Named, it is backed up.
    assert_eq!(tenants(&site.back_up(&["--tenant", "a 'look'"])), ["a 'look'"]);

    // The old state, closed; then opened by somebody who looks at it.
    let done = promote(&site, "live", "shop", &["--json"]).run().ok().json();
    let replaced = done["plan"]["replaced"].as_str().unwrap();
    // Its snapshots stay, its old name is nobody's: it is not a tenant that grows old.
    let (names, status) = followed(&site);
    assert_eq!(names, ["a 'look'", "shop"], "backed up by name");
    assert_eq!(status["promoted"][0]["database"], "live");
    let told = site.run(&["status"]).run().ok();
    assert!(told.stdout.contains("live is shop since lifeboat promote on 2"), "{told}");
    let report = site.back_up(&[]);
    assert_eq!((tenants(&report), left_out(&report)), (vec!["shop"], vec!["a 'look'", replaced]));
    cluster.psql("postgres", &format!("alter database \"{replaced}\" allow_connections true"));
    let report = site.back_up(&[]);
    assert_eq!(left_out(&report), ["a 'look'", replaced]);
    // doctor has the same rule
    let doctor = site.run(&["doctor", "--json"]).run().json();
    let checks = doctor["checks"].as_array().unwrap().iter();
    let told: Vec<&str> = checks
        .filter(|check| check["name"] == "tenants")
        .map(|check| check["text"].as_str().unwrap())
        .collect();
    assert!(told[0].starts_with("1 found, "), "{told:?}");
    assert!(told[1].starts_with("left out: \"a 'look'\", a neutralized copy of shop"), "{told:?}");
    assert!(told[2].starts_with(&format!("left out: {replaced:?}, the old state of shop")), "{told:?}");
    assert_eq!(told.len(), 3, "{told:?}");

    // The copy becomes a tenant by a new name, by hand too; a new database under its old name is one.
    cluster.psql(
        "postgres",
        "alter database \"a 'look'\" rename to renamed; comment on database renamed is null",
    );
    cluster.psql("postgres", "create database \"a 'look'\" template renamed");
    let report = site.back_up(&["--kind", "dump"]);
    assert_eq!((tenants(&report), left_out(&report)), (vec!["a 'look'", "renamed", "shop"], vec![replaced]));
}

#[test]
fn a_mark_alone_takes_no_tenant_out_of_the_backup() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 1);
    site.back_up(&["--kind", "dump"]);
    restore(&site, &["--tenant", "shop", "--as", "look"]).run().ok();
    let mark = cluster.psql(
        "postgres",
        "select shobj_description(oid, 'pg_database') from pg_database where datname = 'look'",
    );
    assert!(mark.starts_with("lifeboat: a neutralized copy of shop, restored 2"), "{mark}");
    cluster.psql("postgres", &format!("comment on database shop is '{mark}'"));
    let report = site.back_up(&["--kind", "dump"]);
    assert_eq!((tenants(&report), left_out(&report)), (vec!["shop"], vec!["look"]));
    // On a host without the record the comment serves, where the name was never backed up as a tenant.
    std::fs::remove_dir_all(site.path("lifeboat-state/prod/copies")).unwrap();
    let report = site.back_up(&["--kind", "dump"]);
    assert_eq!((tenants(&report), left_out(&report)), (vec!["shop"], vec!["look"]));
    assert!(
        report["left_out"][0]["why"].as_str().unwrap().contains("never backed up as a tenant"),
        "{report}"
    );
}
