//! WAL: its names carry the digests, so a flipped bit, a foreign object and a forged one are found.

use std::fs;

use lifeboat_tests::Cluster;
use lifeboat_tests::site::Site;
use lifeboat_tests::wal_object::store;

use crate::{foreign, found, objects, those, verify};

#[test]
fn what_is_wrong_with_wal_is_named() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    lifeboat_tests::small_tenant(&cluster, &site.data_dir(), "shop", 2);
    site.back_up(&["--kind", "dump"]);
    let name = cluster.psql("postgres", "select pg_walfile_name(pg_current_wal_insert_lsn())");
    cluster.psql("postgres", "select pg_switch_wal()");
    let copy = site.path(name.trim());
    fs::copy(cluster.data_dir().join("pg_wal").join(name.trim()), &copy).unwrap();
    site.run(&["wal", "push"]).arg(&copy).run().ok();
    verify(&site, &[]).ok();
    let deep = ["--deep", "--identity", "lifeboat-identity.txt"];
    verify(&site, &deep).ok();

    let all = objects(&site.stored);
    let object = those(&all, "/wal/0000")[0];
    let good = fs::read(object).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    let write = |bytes: &[u8]| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(object, mode).unwrap();
        fs::write(object, bytes).unwrap();
    };
    write(&bad);
    let told = found(&site, &[], object);
    assert!(told.stdout.contains("its name says"), "{told}");
    found(&site, &deep, object);
    write(&good[..good.len() - 1]);
    found(&site, &["--sample", "100"], object);
    write(&good);
    verify(&site, &[]).ok();

    // Another segment's name for the right bytes: the name is not signed for that, which shows without a key.
    let moved = object.to_string_lossy().replace(name.trim(), "0000000100000000000000F0");
    fs::create_dir_all(std::path::Path::new(&moved).parent().unwrap()).unwrap();
    fs::copy(object, &moved).unwrap();
    let told = foreign(&site, &[], std::path::Path::new(&moved), 3);
    assert!(told.stdout.contains("problem: 1 object has a name of ours but no trusted signature"), "{told}");
    foreign(&site, &deep, std::path::Path::new(&moved), 3);
    fs::remove_file(&moved).unwrap();

    let note = object.with_file_name("note.txt");
    fs::write(&note, "mine").unwrap();
    let told = foreign(&site, &[], &note, 0);
    assert!(told.stdout.contains("not a WAL object") && told.stdout.contains("all of it"), "{told}");
    // what is ours and damaged is damage whatever lies beside it
    write(&bad);
    found(&site, &[], object);
}

#[test]
fn a_repository_that_holds_only_wal_is_checked_like_any_other() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    assert!(verify(&site, &[]).code != Some(0), "nothing at all is stored");
    let name = cluster.psql("postgres", "select pg_walfile_name(pg_current_wal_insert_lsn())");
    cluster.psql("postgres", "select pg_switch_wal()");
    let copy = site.path(name.trim());
    fs::copy(cluster.data_dir().join("pg_wal").join(name.trim()), &copy).unwrap();
    site.run(&["wal", "push"]).arg(&copy).run().ok();
    let told = verify(&site, &[]).ok();
    for said in ["1 object,", "all of it is as it was stored", "no snapshot is stored"] {
        assert!(told.stdout.contains(said), "{said}: {told}");
    }
    verify(&site, &["--deep", "--identity", "lifeboat-identity.txt"]).ok();
    verify(&site, &["--tenant", "shop"]).exits(5).says("there is no snapshot of tenant shop");
    let all = objects(&site.stored);
    let object = those(&all, "/wal/0000")[0];
    let mut bad = fs::read(object).unwrap();
    bad[100] ^= 1;
    fs::set_permissions(object, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(object, bad).unwrap();
    found(&site, &[], object);
}

#[test]
fn a_segment_that_is_called_whole_and_is_not_is_a_problem_until_other_objects_hold_the_rest() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    cluster.psql("postgres", "create table t as select generate_series(1, 1000) as n");
    let name = cluster.psql("postgres", "select pg_walfile_name(pg_current_wal_insert_lsn())");
    let (segment, copy) = (name.trim(), site.path(name.trim()));
    let push = || {
        fs::copy(cluster.data_dir().join("pg_wal").join(segment), &copy).unwrap();
        site.run(&["wal", "push"]).arg(&copy).run().ok()
    };
    push();
    let (filled, identity) = (site.path("filled"), ["--identity", "lifeboat-identity.txt"]);
    site.run(&["wal", "fetch", segment]).arg(&filled).args(identity).run().ok();
    let object = store(&site, segment, 0, &fs::read(&filled).unwrap());
    let key = object.strip_prefix(&site.stored).unwrap().to_str().unwrap();
    let deep = ["--deep", "--identity", "lifeboat-identity.txt"];
    let told = |outcome: lifeboat_tests::Outcome, kind: &str| {
        let line = outcome.stdout.lines().find(|line| line.starts_with(kind) && line.contains(key));
        let line = line.unwrap_or_else(|| panic!("no {kind} of {key}: {outcome}")).to_owned();
        assert!(line.contains("is stored as a whole segment"), "{line}");
        line
    };
    verify(&site, &[]).ok();
    assert!(told(verify(&site, &deep).exits(3), "problem: ").contains("recovery stops at byte"));
    // a segment that ends with a switch is whole
    cluster.psql("postgres", "select pg_switch_wal()");
    push();
    assert!(told(verify(&site, &deep).ok(), "warning: ").contains("other objects hold the rest"));
    fs::remove_file(&object).unwrap();
    let whole = verify(&site, &deep).ok();
    assert!(!whole.stdout.contains("is stored as a whole segment"), "{whole}");
}
