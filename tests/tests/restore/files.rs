//! Files come from wherever they are whole; what can be had from nowhere is named, and keeps nothing away
//! from whoever asks for the rest. A database without its files, files without their database.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use lifeboat_tests::compare::assert_same_tree;
use lifeboat_tests::damage::flip_bit;
use lifeboat_tests::filestore::Filestore;
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::tenant::referenced;
use lifeboat_tests::{Cluster, small_tenant};

use crate::{assert_nothing_published, databases, restore};

fn folder(site: &Site, id: &str) -> PathBuf {
    site.path("repo/instances/prod/snapshots").join(id)
}

/// The backup of the filestore that a backup made of its only tenant.
fn filestore_of(report: &serde_json::Value) -> String {
    report["tenants"][0]["filestore"]["id"].as_str().unwrap().to_owned()
}

/// A backup that knows nothing of the ones before: it stores every file once more.
fn back_up_anew(site: &Site) -> String {
    fs::remove_file(site.known_file("shop")).unwrap();
    filestore_of(&site.back_up(&[]))
}

fn whole(cluster: &Cluster, site: &Site, copy: &str) {
    let faults = Filestore::of(&site.data_dir(), copy).faults(&referenced(cluster, copy));
    assert!(faults.is_empty(), "{copy}: {faults:#?}");
}

#[test]
fn damage_to_any_object_of_a_filestore_leads_to_another_backup_that_holds_the_files() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "shop", 21);
    tenant.upload(&cluster, "large.bin", &vec![7; 9_500_000]); // in extents
    let first = filestore_of(&site.back_up(&[]));
    let second = back_up_anew(&site);
    assert_ne!(first, second);
    for (n, (object, how)) in [
        ("packs/000000.tar.zst.age", "flip"),
        ("packs/000000.tar.zst.age", "gone"),
        ("index.zst.age", "flip"),
        ("index.zst.age", "gone"),
        ("manifest.json", "flip"),
        ("manifest.json", "gone"),
        ("manifest.json.sig", "gone"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder(&site, &second).join(object);
        let was = fs::read(&path).unwrap();
        match how {
            "flip" => flip_bit(&path, was.len() as u64 * 4 + 1),
            _ => fs::remove_file(&path).unwrap(),
        }
        let copy = format!("copy{n}");
        let done = restore(&site, &["--tenant", "shop", "--as", &copy, "--json"]).run();
        let report = done.ok().json();
        assert_eq!(report["missing_files"], serde_json::json!([]), "{object} {how}");
        let warnings = report["warnings"].to_string();
        assert!(warnings.contains(&first) && warnings.contains(&second), "{object} {how}: {warnings}");
        whole(&cluster, &site, &copy);
        fs::write(&path, was).unwrap();
    }
    restore(&site, &["--tenant", "shop", "--as", "again", "--json"]).run().ok();
    let filestores = site.data_dir().join("filestore");
    assert_same_tree(&filestores.join("shop"), &filestores.join("again"));
}

#[test]
fn what_is_whole_nowhere_is_refused_and_the_rest_comes_when_it_is_asked_for() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "shop", 22);
    let early = tenant.upload(&cluster, "early.txt", b"of the first backup alone");
    let first = filestore_of(&site.back_up(&[]));
    let late = tenant.upload(&cluster, "late.txt", b"of the second one");
    let unnamed = tenant.filestore().put(b"no row names this");
    let report = site.back_up(&[]);
    let (second, dump) =
        (filestore_of(&report), report["tenants"][0]["dump"]["id"].as_str().unwrap().to_owned());
    let before = databases(&cluster);
    // the second builds upon the first: only its new file is safe
    let (packs, aside) = (folder(&site, &first).join("packs"), site.path("packs"));
    fs::rename(&packs, &aside).unwrap(); // which of them has a file depends on who was faster
    let args = ["--tenant", "shop", "--as", "x"];
    let refused = restore(&site, &args).run().exits(10).says("--allow-missing-files");
    assert!(words(&refused).contains(" undamaged: "), "{refused}");
    assert_nothing_published(&cluster, &site, &before, "x", &refused);
    // the same command again, and killed: nothing else happens
    restore(&site, &args).run().exits(10);
    let report = restore(&site, &args).args(["--allow-missing-files", "--json"]).run().exits(3).json();
    let missing = report["missing_files"].as_array().unwrap();
    let named: BTreeSet<&str> = missing.iter().map(|file| file["store_fname"].as_str().unwrap()).collect();
    assert!(named.contains(early.as_str()) && !named.contains(late.as_str()), "{named:?}");
    assert_eq!(report["lost_files"], missing.len() as u64);
    assert!(missing.iter().all(|file| file["why"].as_str().unwrap().contains(&first)), "{missing:?}");
    let there = Filestore::of(&site.data_dir(), "x").files();
    assert!(there.contains_key(&late) && !there.contains_key(&early), "{second}: {there:?}");
    for name in referenced(&cluster, "x").into_iter().filter(|(_, bytes)| *bytes > 0).map(|(name, _)| name) {
        assert!(
            there.contains_key(&name) != named.contains(name.as_str()),
            "{name} is neither there nor named"
        );
    }
    // and when they are there again, everything comes
    fs::rename(&aside, &packs).unwrap();
    // what no row names keeps nothing away
    let third = tenant.filestore().put(b"nor this");
    let alone = filestore_of(&site.back_up(&[]));
    fs::remove_file(folder(&site, &alone).join("packs/000000.tar.zst.age")).unwrap();
    let report = restore(&site, &["--tenant", "shop", "--as", "z", "--json"]).run().ok().json();
    assert!(report["warnings"].to_string().contains("left out: 1 file that no row names"), "{report}");
    let there = Filestore::of(&site.data_dir(), "z").files();
    assert!(there.contains_key(&unnamed) && !there.contains_key(&third), "{there:?}");
    restore(&site, &["--tenant", "shop", "--as", "y", "--snapshot", &dump]).run().ok();
    whole(&cluster, &site, "y");
}

#[test]
fn a_file_that_the_source_lost_comes_from_an_older_backup_of_the_same_tenant_alone() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let shop = small_tenant(&cluster, &site.data_dir(), "shop", 23);
    let mill = small_tenant(&cluster, &site.data_dir(), "mill", 24);
    let of_mill = mill.upload(&cluster, "secret.pdf", b"the prices of the mill");
    let lost = shop.upload(&cluster, "lost.pdf", b"lost on the disk, not in the backups");
    let never = shop.upload(&cluster, "never.pdf", b"lost before any backup");
    fs::remove_file(shop.filestore().path(&never)).unwrap();
    site.backup(&[]).run().exits(3);
    fs::remove_file(shop.filestore().path(&lost)).unwrap();
    // whoever knows a digest can write a row that names it
    let sql = format!("update ir_attachment set store_fname = '{of_mill}' where store_fname = '{never}'");
    cluster.psql("shop", &sql);
    // said each time, also when the last backup knows a filestore without it
    for _ in 0..2 {
        let report = site.backup(&["--tenant", "shop", "--json"]).run().exits(3).json();
        let missing =
            report["tenants"][0]["dump"]["dump"]["filestore"]["missing"].as_array().unwrap().clone();
        assert_eq!(missing.len(), 2, "{missing:?}");
        let of = |name: &str| missing.iter().find(|file| file["store_fname"] == name).unwrap();
        let home = of(&lost)["held_in"].as_str().unwrap();
        assert!(home.contains("-filestore-"), "{home}");
        assert!(of(&of_mill)["held_in"].is_null(), "{missing:?}");
        let dump = report["tenants"][0]["dump"]["id"].as_str().unwrap();
        let shown = site.run(&["show", dump]).run().ok().stdout;
        assert!(shown.contains(&format!("; a restore takes it from {home}")), "{shown}");
    }
    let plan = restore(&site, &["--tenant", "shop", "--as", "x", "--dry-run", "--json"]).run().ok().json();
    assert_eq!(
        (&plan["filestore"]["from_elsewhere"], &plan["filestore"]["missing_files"]),
        (&1.into(), &1.into())
    );
    assert_eq!(plan["missing"][0]["store_fname"], of_mill);
    let report = restore(&site, &["--tenant", "shop", "--as", "x", "--json"]).run().ok().json();
    assert_eq!(report["missing_files"][0]["store_fname"], of_mill, "{}", report["missing_files"]);
    let there = Filestore::of(&site.data_dir(), "x");
    assert_eq!(fs::read(there.path(&lost)).unwrap(), b"lost on the disk, not in the backups");
    assert!(!there.path(&of_mill).exists(), "a digest gave a file of another tenant");
}

#[test]
fn a_database_alone_and_its_files_alone_make_the_tenant_together() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 25);
    let report = site.back_up(&["--release", "r1"]);
    let filestores = site.data_dir().join("filestore");
    let into = |copy: &'static str| ["--tenant", "shop", "--as", copy, "--json"];

    let done = restore(&site, &into("one")).arg("--database-only").run().ok().json();
    assert!(done["plan"]["filestore"].is_null() && done["files"] == 0, "{done}");
    assert!(!filestores.join("one").exists());
    // for a database that is there
    let plan = restore(&site, &into("one")).args(["--filestore-only", "--dry-run"]).run().ok().json();
    assert!(!filestores.join("one").exists() && plan["filestore"]["files"].as_u64() > Some(10), "{plan}");
    let done = restore(&site, &into("one")).arg("--filestore-only").run().ok().json();
    assert_eq!(done["files"], plan["filestore"]["files"]);
    assert_same_tree(&filestores.join("shop"), &filestores.join("one"));
    whole(&cluster, &site, "one");
    // files first, of a release; and the database to them
    restore(&site, &into("two")).args(["--filestore-only", "--release", "r1"]).run().ok();
    restore(&site, &into("two")).run().exits(16).says("is not empty");
    restore(&site, &into("two")).arg("--database-only").run().ok();
    whole(&cluster, &site, "two");
    // a backup of the filestore by its own name, elsewhere
    let id = filestore_of(&report);
    let elsewhere = site.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let to = ["--filestore-only", "--snapshot", &id, "--data-dir", elsewhere.to_str().unwrap()];
    restore(&site, &into("three")).args(to).run().ok();
    assert_same_tree(&filestores.join("shop"), &elsewhere.join("filestore/three"));
    restore(&site, &into("three")).args(to).run().exits(16);

    // without its database: neither the server nor the dump is needed
    fs::remove_dir_all(folder(&site, report["tenants"][0]["dump"]["id"].as_str().unwrap()).join("packs"))
        .unwrap();
    cluster.stop();
    restore(&site, &into("four")).arg("--filestore-only").run().ok();
    assert_same_tree(&filestores.join("shop"), &filestores.join("four"));

    for nonsense in [
        &["--database-only", "--filestore-only"][..],
        &["--database-only", "--data-dir", "/srv/odoo"],
        &["--database-only", "--allow-missing-files"],
        &["--filestore-only", "--owner", "odoo"],
        &["--filestore-only", "--neutralize"],
        &["--filestore-only", "--no-neutralize"],
        &["--filestore-only", "--base-url", "http://x"],
        &["--filestore-only", "--load-as-superuser"],
    ] {
        restore(&site, &into("x")).args(nonsense.iter().copied()).run().exits(2);
    }
    for flag in ["--database-only", "--filestore-only", "--allow-missing-files"] {
        restore(&site, &["--instance-to", "/tmp/x", "--to", "latest", flag]).run().exits(2);
    }
}

/// A filestore alone is damaged, too; the half of it that is there is gone on with.
#[test]
fn files_alone_come_from_wherever_they_are_whole_and_go_on_after_a_failure() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 26);
    let first = filestore_of(&site.back_up(&[]));
    let second = back_up_anew(&site);
    // all packs: which of them has a file depends on who was faster
    let halves = |id: &str| {
        for pack in fs::read_dir(folder(&site, id).join("packs")).unwrap() {
            let pack = pack.unwrap().path();
            flip_bit(&pack, fs::metadata(&pack).unwrap().len() * 4 + 1);
        }
    };
    halves(&first);
    halves(&second);
    let args = ["--tenant", "shop", "--filestore-only", "--as", "x", "--json"];
    let failed = restore(&site, &args).run().exits(10).says("running the same restore again continues there");
    assert!(!site.data_dir().join("filestore/x").exists(), "{failed}");
    halves(&first); // whole again
    let report = restore(&site, &args).run().ok().json();
    assert!(report["warnings"].to_string().contains(&format!("taken from {first}")), "{report}");
    let filestores = site.data_dir().join("filestore");
    assert_same_tree(&filestores.join("shop"), &filestores.join("x"));
    let left: Vec<_> = fs::read_dir(&filestores).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("lifeboat")), "{left:?}");
}

#[test]
fn what_lies_in_an_object_store_is_told_and_drowns_no_file_that_is_lost() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let shop = small_tenant(&cluster, &site.data_dir(), "shop", 27);
    let rows = "insert into ir_attachment (name, type, store_fname, file_size, public)";
    cluster.psql("shop", &format!("{rows} select 'big' || i, 'binary', 's3://acme-prod/' || md5(i::text), 1000, false from generate_series(1, 1200) i"));
    cluster.psql("shop", &format!("{rows} select 'f' || i, 'binary', 'docs://' || md5((i % 5)::text), 10, false from generate_series(1, 10) i"));
    let told =
        "1210 attachments are in an object store, which this backup does not contain: s3 (1200), docs (10)";
    let done = site.backup(&[]).run().ok();
    assert!(done.stdout.contains(told) && !done.stdout.contains("missing"), "{done}");
    let json = site.run(&["list", "--json"]).run().ok().json();
    assert!(json.to_string().contains(told), "{json}");
    let status = site.run(&["status"]).run();
    assert!(status.stdout.contains(told) && !status.stdout.contains("MISSING"), "{status}");
    let plan = restore(&site, &["--tenant", "shop", "--as", "x", "--dry-run"]).run().ok();
    let shared = format!("{told}. The restored database names the same objects");
    assert!(plan.stdout.contains(&shared), "{plan}");
    let report = restore(&site, &["--tenant", "shop", "--as", "x", "--json"]).run().ok().json();
    assert!(report["warnings"].to_string().contains(&shared), "{report}");
    assert_eq!(report["missing_files"], serde_json::json!([]));
    assert_eq!(
        report["plan"]["elsewhere"][0],
        serde_json::json!({ "storage": "s3", "attachments": 1200, "files": 1200, "bytes": 1_200_000 })
    );
    assert_eq!(report["plan"]["elsewhere"][1]["files"], 5);

    // one that is really lost, and one that nobody understands
    let lost = shop.upload(&cluster, "lost.pdf", b"lost");
    fs::remove_file(shop.filestore().path(&lost)).unwrap();
    cluster.psql("shop", &format!("{rows} values ('odd', 'binary', 'somewhere/else', 5, false)"));
    let done = site.backup(&[]).run().exits(3).says("2 files");
    assert!(done.stdout.contains(&format!("missing: {lost}: the source had already lost it")), "{done}");
    assert!(
        done.stdout.contains("missing: somewhere/else: there is no such file; the name has neither"),
        "{done}"
    );
    let status = site.run(&["status"]).run();
    assert!(status.stdout.contains("2 FILES MISSING") && status.stdout.contains(told), "{status}");
    let plan = restore(&site, &["--tenant", "shop", "--as", "y", "--dry-run"]).run().ok();
    assert!(plan.stdout.contains("2 files that the database names are in no backup"), "{plan}");
    assert!(plan.stdout.contains(&lost), "{plan}");
}
