//! `class.NAME.recipients`: who else can decrypt the dumps and files of a class, and nothing more.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, Outcome, small_tenant};

/// A new identity of this name; its public key.
fn identity(site: &Site, name: &str) -> String {
    let made = Command::new("age-keygen").arg("-o").arg(site.path(name)).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    fs::set_permissions(site.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    let text = fs::read_to_string(site.path(name)).unwrap();
    text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned()
}

fn restore_as(site: &Site, tenant: &str, copy: &str, identity: &str) -> Outcome {
    site.run(&["restore", "--tenant", tenant, "--as", copy, "--yes", "--identity", identity]).run()
}

fn class(site: &Site, recipients: &[&str]) -> String {
    let text = fs::read_to_string(site.config()).unwrap();
    let before = text.split("\n[class.").next().unwrap();
    format!(
        "{before}\n[class.theirs]\ntenants = ['shop']\nrecipients = {recipients:?}\n[class.rest]\ntenants = ['*']\n"
    )
}

#[test]
fn the_recipients_of_a_class_open_its_tenants_and_nothing_else() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let shop = small_tenant(&cluster, &site.data_dir(), "shop", 71);
    let books = small_tenant(&cluster, &site.data_dir(), "books", 72);
    let gone = books.upload(&cluster, "gone", b"lost before they came");
    site.back_up(&[]);
    let theirs = identity(&site, "theirs.txt");
    fs::write(site.config(), class(&site, &[&theirs])).unwrap();
    shop.upload(&cluster, "new", b"stored after they came");
    site.back_up(&[]);

    // Files that were stored before are not encrypted again, until all are.
    let early = restore_as(&site, "shop", "early", "theirs.txt");
    assert!(early.code.is_some_and(|code| code != 0), "{early}");
    assert!(words(&early).contains("no identity in theirs.txt can decrypt"), "{early}");
    assert_eq!(cluster.psql("postgres", "select count(*) from pg_database where datname = 'early'"), "0");
    site.back_up(&["--kind", "dump", "--kind", "filestore", "--full"]);
    restore_as(&site, "shop", "copy", "theirs.txt").ok();
    restore_as(&site, "shop", "ours", "lifeboat-identity.txt").ok();
    let rows = "select count(*), sum(hashtext(t::text)) from ir_attachment t";
    assert_eq!(cluster.psql("shop", rows), cluster.psql("copy", rows));

    // What holds other tenants stays closed to them.
    let refused = restore_as(&site, "books", "no", "theirs.txt");
    assert!(words(&refused).contains("no identity in theirs.txt can decrypt"), "{refused}");
    site.run(&["backup", "--kind", "base"]).run().ok();
    for snapshot in fs::read_dir(site.path("repo/instances/prod/snapshots")).unwrap().flatten() {
        let manifest = fs::read_to_string(snapshot.path().join("manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        let is_for_them = manifest["recipients"].as_array().unwrap().iter().any(|one| *one == *theirs);
        assert!(!is_for_them || manifest["tenant"] == "shop", "{manifest:#}");
    }

    // A check knows them; one that nobody configured is reported.
    let quiet = site.run(&["verify", "--quick"]).run().ok();
    assert!(!quiet.stdout.contains("other recipients"), "{quiet}");
    fs::write(site.config(), class(&site, &[&identity(&site, "others.txt")])).unwrap();
    let told = site.run(&["verify", "--quick"]).run();
    assert!(told.stdout.contains("other recipients"), "{told}");
    // The same key as the instance's is no other recipient.
    let text = fs::read_to_string(site.config()).unwrap();
    let own = text.split("recipients = [\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    fs::write(site.config(), class(&site, &[&own])).unwrap();
    let told = site.run(&["verify", "--quick"]).run();
    assert!(told.stdout.contains("other recipients"), "they are missing now: {told}");

    // A file that only backups hold which are not theirs.
    let both = class(&site, &[&theirs]).replace("['shop']", "['shop', 'books']");
    fs::write(site.config(), both).unwrap();
    fs::remove_file(books.filestore().path(&gone)).unwrap();
    site.backup(&["--tenant", "books", "--kind", "dump", "--kind", "filestore", "--full"]).run().exits(3);
    let lacks = restore_as(&site, "books", "lacks", "theirs.txt").ok();
    assert!(lacks.stdout.contains("1 file that the database names is in no backup"), "{lacks}");
    assert!(lacks.stdout.contains(&gone) && lacks.stdout.contains("no identity in theirs.txt"), "{lacks}");
    assert!(!site.data_dir().join("filestore/lacks").join(&gone).exists());
    restore_as(&site, "books", "has", "lifeboat-identity.txt").ok();
    assert!(site.data_dir().join("filestore/has").join(&gone).exists());

    // Nobody's secret is a recipient.
    let secret = fs::read_to_string(site.path("theirs.txt")).unwrap();
    let secret = secret.lines().find(|line| line.starts_with("AGE-SECRET")).unwrap();
    fs::write(site.config(), class(&site, &[secret])).unwrap();
    let refused = site.run(&["backup"]).run().exits(4);
    assert!(!refused.stderr.contains("AGE-SECRET"), "{refused}");
    refused.says("class.theirs.recipients");
}
