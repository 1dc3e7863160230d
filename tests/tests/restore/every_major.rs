//! The whole road on every PostgreSQL that this machine has, and from an older one to a newer.

use lifeboat_tests::compare::{assert_same_tree, database_digest};
use lifeboat_tests::installed::available_majors;
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, skip, small_tenant};

use crate::round_trip::there_and_back;
use crate::{assert_nothing_published, databases, drill, restore};

#[test]
fn every_installed_major_backs_up_restores_and_passes_a_drill() {
    let majors = available_majors();
    for &major in &majors {
        println!("PostgreSQL {major}");
        let cluster = Cluster::start(major);
        let site = Site::local(&cluster);
        small_tenant(&cluster, &site.data_dir(), "shop", u64::from(major));
        let report = site.back_up(&[]);
        assert_eq!(report["tenants"][0]["dump"]["dump"]["server_major"], major, "{report}");
        there_and_back(&cluster, &site, "shop", "copy");
        restore(&site, &["--tenant", "shop", "--as", "silent"]).run().ok();
        let bin_dir = format!("[postgres]\nbin_dir = {:?}\n", cluster.bin_dir().display().to_string());
        drill(&site, "shop", &bin_dir).run().ok();
    }
    if majors.len() < 2 {
        skip!("the only PostgreSQL here is {majors:?}: TEST_PG_BIN_17=DIR names another");
    }
}

#[test]
fn a_dump_goes_into_a_newer_server_and_not_into_an_older_one() {
    let majors = available_majors();
    let (Some(&oldest), [.., newest]) = (majors.first(), majors.as_slice()) else { panic!("{majors:?}") };
    if oldest == *newest {
        skip!("the only PostgreSQL here is {oldest}: TEST_PG_BIN_17=DIR names another");
    }
    let source = Cluster::start(oldest);
    let site = Site::local(&source);
    small_tenant(&source, &site.data_dir(), "shop", 21);
    site.back_up(&[]);
    for &major in majors.iter().filter(|major| **major > oldest) {
        println!("from {oldest} into {major}");
        let target = Cluster::start(major);
        let name = format!("into{major}");
        let there = at(&site, &target, &["--tenant", "shop", "--as", &name, "--no-neutralize"]);
        there.run().ok();
        // Majors print the definitions of views, and know of constraints, each in its own way.
        let content = |cluster: &Cluster, database: &str| {
            let mut digest = database_digest(cluster, database);
            digest.retain(|what, _| !what.starts_with("view ") && !what.starts_with("constraint "));
            digest
        };
        assert_eq!(content(&source, "shop"), content(&target, &name));
        let filestores = site.data_dir().join("filestore");
        assert_same_tree(&filestores.join("shop"), &filestores.join(&name));
    }
    // the other way is refused before anything is made
    let new = Cluster::start(*newest);
    let from_new = Site::local(&new);
    small_tenant(&new, &from_new.data_dir(), "shop", 22);
    from_new.back_up(&[]);
    let before = databases(&source);
    let outcome = at(&from_new, &source, &["--tenant", "shop", "--as", "x"]).run().exits(16);
    let said = words(&outcome);
    assert!(said.contains(&newest.to_string()) && said.contains(&oldest.to_string()), "{outcome}");
    assert_nothing_published(&source, &from_new, &before, "x", &outcome);
}

#[test]
fn tools_of_another_major_are_refused_and_named() {
    let majors = available_majors();
    let packages = |major: u32| std::path::Path::new("/usr/lib/postgresql").join(major.to_string()).exists();
    let foreign = majors.iter().find(|major| !packages(**major));
    let (Some(&server), Some(&tools)) = (foreign, majors.iter().find(|major| packages(**major))) else {
        skip!("it needs a server whose tools are not found by themselves: TEST_PG_BIN_17=DIR names one");
    };
    let cluster = Cluster::start(server);
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 23);
    let wrong = lifeboat_tests::installed::find(Some(tools)).bin_dir;
    let backup = site.backup(&[]).env("LIFEBOAT_POSTGRES_BIN_DIR", &wrong).env("PATH", "/usr/bin:/bin");
    let outcome = backup.run().exits(13);
    for said in [
        format!("no pg_dump, pg_dumpall and pg_restore of PostgreSQL {server}, the server's version"),
        format!("{}: pg_dump (PostgreSQL) {tools}", wrong.display()),
        format!("install postgresql-client-{server}, or set"),
    ] {
        assert!(outcome.stderr.contains(&said), "{said}: {outcome}");
    }
    assert!(!site.path("repo/instances/prod/snapshots").exists(), "nothing was stored");
    site.back_up(&[]);
}

/// A restore of this site's repository into another server.
fn at(site: &Site, target: &Cluster, args: &[&str]) -> lifeboat_tests::Program {
    restore(site, args)
        .env("LIFEBOAT_POSTGRES_HOST", target.host())
        .env("LIFEBOAT_POSTGRES_PORT", target.port().to_string())
        .env("LIFEBOAT_POSTGRES_BIN_DIR", target.bin_dir())
}
