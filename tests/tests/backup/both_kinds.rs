//! The main road: both kinds, on disk and on S3, first and second run, releases, choice of tenants.

use std::collections::BTreeMap;
use std::fs;

use lifeboat::archive::manifest::SnapshotKind;
use lifeboat_tests::{Cluster, S3, Tenant, small_tenant};

use crate::archive::Archive;
use lifeboat_tests::site::{Site, words};

/// Every file of a filestore by its path in the archive.
pub fn on_disk(tenant: &Tenant) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    lifeboat_tests::compare::walk(tenant.filestore().dir(), &mut |path| {
        if path.is_file() {
            let name = path.strip_prefix(tenant.filestore().dir()).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read(path).unwrap());
        }
    });
    files
}

/// The `store_fname` that a dump's own `ir_attachment` names.
pub fn named_by_dump(cluster: &Cluster, dump: &[u8]) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), dump).unwrap();
    let sql = cluster
        .run("pg_restore", &["--data-only", "-t", "ir_attachment", "-f", "-", file.path().to_str().unwrap()]);
    let header = sql.lines().find(|l| l.starts_with("COPY public.ir_attachment ")).unwrap();
    let columns = header.split_once('(').unwrap().1.split_once(')').unwrap().0;
    let at = columns.split(", ").position(|c| c == "store_fname").unwrap();
    let rows = sql.lines().skip_while(|l| *l != header).skip(1).take_while(|l| *l != "\\.");
    let names = rows.map(|row| row.split('\t').nth(at).unwrap().to_owned());
    names.filter(|name| name != "\\N").collect()
}

/// Everything on disk is in the newest snapshots, and the dump names nothing else.
pub fn assert_complete(archive: &Archive, cluster: &Cluster, tenant: &Tenant) {
    let filestore = archive.newest(SnapshotKind::Filestore, Some(&tenant.name));
    let stored = archive.contents(filestore);
    let disk = on_disk(tenant);
    let differ: Vec<_> = disk.iter().filter(|(name, content)| stored.get(*name) != Some(content)).collect();
    assert!(differ.is_empty() && stored.len() == disk.len(), "{:?}", differ.iter().map(|d| d.0));
    let dump = archive.newest(SnapshotKind::Dump, Some(&tenant.name));
    let link = dump.link().unwrap();
    assert_eq!((&link.snapshot, link.missing_files), (&filestore.id, 0));
    let named = named_by_dump(cluster, &archive.stream(dump));
    assert!(named.len() > 100);
    assert!(named.iter().all(|name| stored.contains_key(name)));
}

fn first_and_second(site: &Site, cluster: &Cluster) {
    let tenant = small_tenant(cluster, &site.data_dir(), "acme", 7);
    let report = site.back_up(&["--release", "2026.11.20-rc1"]);
    assert_eq!(report["tenants"][0]["dump"]["release"], "2026.11.20-rc1");
    let archive = Archive::of(site);
    assert_complete(&archive, cluster, &tenant);
    let globals = archive.newest(SnapshotKind::Globals, None);
    let text = String::from_utf8(archive.stream(globals)).unwrap();
    assert!(text.contains("CREATE ROLE"), "{text}");
    let dump = archive.newest(SnapshotKind::Dump, Some("acme")).dump().cloned().unwrap();
    assert_eq!((dump.server_major, dump.read_back, dump.owner.as_str()), (cluster.major(), true, "postgres"));
    assert!(dump.odoo_version.is_some());
    assert_eq!(dump.filestore.unwrap().fence.split(" (").next(), Some("held until done"));

    let known = site.known_file("acme");
    assert!(known.exists());
    let second = site.back_up(&[]);
    let objects = second["tenants"][0]["filestore"]["objects"].as_array().unwrap();
    let names: Vec<&str> = objects.iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["index.zst.age"], "the second run stores no pack");
    assert_eq!(second["tenants"][0]["filestore"]["filestore"]["new_files"], 0);
    assert!(second["release"].is_null());

    // one new file, one gone: the third stores the one and names the other
    let gone = on_disk(&tenant).keys().find(|n| n.starts_with("checklist/")).unwrap().clone();
    fs::remove_file(tenant.filestore().path(&gone)).unwrap();
    let new = tenant.upload(cluster, "late", b"uploaded between two backups");
    let third = site.back_up(&[]);
    assert_eq!(
        third["tenants"][0]["filestore"]["filestore"]["new_files"], 2,
        "the file and its checklist entry"
    );
    let archive = Archive::of(site);
    assert_complete(&archive, cluster, &tenant);
    let files = archive.files(archive.newest(SnapshotKind::Filestore, Some("acme")));
    assert!(files.contains_key(&new) && !files.contains_key(&gone));
    assert_eq!(archive.ids().len(), 9, "three runs of globals, filestore, dump");
}

#[test]
fn both_kinds_are_stored_whole_and_known_files_never_again() {
    let cluster = Cluster::start_default();
    first_and_second(&Site::local(&cluster), &cluster);
    cluster.psql("postgres", "drop database acme");
    let s3 = S3::start();
    first_and_second(&Site::s3(&cluster, &s3, "a"), &cluster);
    assert_eq!(s3.open_uploads(), 0);
    let overwritten = s3.faults().log().into_iter().filter(|s| s.method == "DELETE").count();
    assert_eq!(overwritten, 0, "a backup needs no right to delete");
}

#[test]
fn releases_and_tenants_are_chosen_by_flag_environment_and_file() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    for (name, seed) in [("acme", 1), ("Bäcker & Söhne", 2)] {
        small_tenant(&cluster, &site.data_dir(), name, seed);
    }
    cluster.create_db("no_odoo");
    let tenants = |report: &serde_json::Value| -> Vec<String> {
        let tenants = report["tenants"].as_array().unwrap();
        tenants.iter().map(|t| t["tenant"].as_str().unwrap().to_owned()).collect()
    };

    fs::write(site.path("release"), "from-file\n").unwrap();
    let release_file = site.path("release").display().to_string();
    site.set("LIFEBOAT_BACKUP_RELEASE_FILE", &release_file);
    let report = site.back_up(&["--kind", "dump"]);
    assert_eq!(
        (tenants(&report), &report["release"]),
        (vec!["Bäcker & Söhne".into(), "acme".into()], &"from-file".into())
    );
    assert!(report["tenants"][0]["filestore"].is_null() && !report["globals"].is_null());

    site.set("LIFEBOAT_RELEASE", "from-env");
    let report = site.back_up(&["--tenant", "acme", "--kind", "filestore"]);
    assert_eq!((tenants(&report), &report["release"]), (vec!["acme".into()], &"from-env".into()));
    assert!(report["tenants"][0]["dump"].is_null() && report["globals"].is_null());
    let report = site.back_up(&["--tenant", "acme", "--release", "from-flag"]);
    assert_eq!(report["release"], "from-flag");

    site.set("LIFEBOAT_ODOO_EXCLUDE", "acme");
    assert_eq!(tenants(&site.back_up(&[])), ["Bäcker & Söhne"]);
    site.set("LIFEBOAT_ODOO_TENANTS", "acme");
    assert_eq!(tenants(&site.back_up(&["--tenant", "Bäcker & Söhne"])), ["Bäcker & Söhne"]);

    // text for people, the same facts
    let text = site.backup(&["--tenant", "acme"]).run().ok();
    assert!(words(&text).contains("release from-env"), "{text}");
    assert!(text.stdout.contains("0 new"), "{text}");

    fs::write(site.path("release"), "not an id:\u{7}\n").unwrap();
    site.backup(&["--release", "bad\u{7}id"]).run().exits(2);
    site.set("LIFEBOAT_RELEASE", "bad\u{7}id\n");
    site.backup(&[]).run().exits(4).says("LIFEBOAT_RELEASE");
    site.set("LIFEBOAT_RELEASE", "");
    site.backup(&[]).run().exits(4).says("does not hold a release ID");
    fs::remove_file(site.path("release")).unwrap();
    site.backup(&[]).run().says("nothing was backed up").says(&release_file);
    for manifest in Archive::of(&site).ids() {
        assert!(!manifest.as_str().is_empty());
    }
}
