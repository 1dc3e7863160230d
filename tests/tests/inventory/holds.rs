//! `lifeboat hold`: what is held stays until a trusted key signed that it may go. Where a hold is not known,
//! everything stays, and everyone who looks is told its name.

use std::fs;
use std::path::PathBuf;

use lifeboat::archive::signature::SigningKey;
use lifeboat_tests::faults::on;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Outcome, Program, S3, small_tenant};

use crate::expire::{CLASS, goes, reasons};

const SAID: [&str; 4] = ["--reason", "tax audit", "--by", "anna"];

fn add(site: &Site, name: &str, what: &[&str]) -> Program {
    site.run(&["hold", "add", name]).args(what.to_vec()).args(SAID).arg("--json")
}

fn remove(site: &Site, name: &str, by: &str) -> Program {
    site.run(&["hold", "remove", name, "--reason", "closed", "--by", by, "--json"])
}

fn list(site: &Site, more: &[&str]) -> Program {
    site.run(&["hold", "list", "--json"]).args(more.to_vec())
}

/// The file of a hold's object.
fn object(site: &Site, hold: &str, name: &str) -> PathBuf {
    site.stored.join("instances/prod/holds").join(hold).join(name)
}

/// Two backups: dump and filestore of the first. A year later, only the second would be kept.
fn two_backups(cluster: &Cluster, site: &Site) -> (String, String) {
    small_tenant(cluster, &site.data_dir(), "shop", 3);
    let [old, _] = [0, 1].map(|_| site.back_up(&["--tenant", "shop"])["tenants"][0].clone());
    give_class(site);
    let id = |kind: &str| old[kind]["id"].as_str().unwrap().to_owned();
    (id("dump"), id("filestore"))
}

/// What expire would do a year later.
fn plan(site: &Site) -> Outcome {
    site.run(&["expire", "--dry-run", "--json", "--as-of", "2028-01-01T00:00:00Z"]).run()
}

fn give_class(site: &Site) {
    let text = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), format!("{text}{CLASS}")).unwrap();
}

/// This dump stays because of this hold.
#[track_caller]
fn holds(site: &Site, hold: &str, dump: &str) {
    let shown = plan(site).ok().json();
    let why = reasons(&shown, dump);
    assert!(why.contains(&format!("{{\"hold\":\"{hold}\"}}")), "{why}");
}

#[track_caller]
fn goes_now(site: &Site, dump: &str) {
    let shown = plan(site).ok().json();
    assert!(goes(&shown).contains(&dump), "{shown}");
}

/// Nothing goes, because of this hold: everyone who looks is told its name.
#[track_caller]
fn keeps_everything(site: &Site, hold: &str, dump: &str) {
    let shown = plan(site).exits(3).json();
    assert!(goes(&shown).is_empty() && reasons(&shown, dump).contains("holds could not be read"), "{shown}");
    let why = shown["not_known"].to_string();
    assert!(why.contains("holds (nothing is deleted)") && why.contains(&format!("hold {hold} ")), "{why}");
    let listed = list(site, &[]).run().exits(3).json();
    assert_eq!(listed["not_known"][0]["name"], *hold);
    assert_eq!(listed["not_known"][0]["blocks_expire"], true);
    let page = site.run(&["hold", "list"]).run().exits(3).stdout;
    assert!(
        page.contains(&format!("problem: hold {hold} ")) && page.contains("expire deletes nothing"),
        "{page}"
    );
    let verify = site.run(&["verify"]).run().exits(10);
    assert!(verify.stdout.contains(&format!("bad: instances/prod/holds/{hold}/hold.json")), "{verify}");
    let refused = remove(site, hold, "ben").run();
    assert!(![Some(0), Some(5)].contains(&refused.code), "{refused}");
}

/// It still holds, because its removal does not count; everyone who looks is told why.
#[track_caller]
fn holds_in_doubt(site: &Site, hold: &str, dump: &str) {
    let shown = plan(site).exits(3).json();
    assert!(reasons(&shown, dump).contains(hold), "{shown}");
    assert!(shown["not_known"].to_string().contains(&format!("the removal of hold {hold} ")), "{shown}");
    let listed = list(site, &[]).run().exits(3).json();
    assert_eq!((&listed["holds"][0]["name"], &listed["holds"][0]["removed"]), (&hold.into(), &().into()));
    let page = site.run(&["hold", "list"]).run().exits(3).stdout;
    assert!(page.contains("; the hold still holds"), "{page}");
    let verify = site.run(&["verify"]).run().exits(10);
    assert!(verify.stdout.contains(&format!("bad: instances/prod/holds/{hold}/removed.json")), "{verify}");
}

#[test]
fn what_is_held_stays_until_the_hold_is_removed() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    list(&site, &[]).run().exits(5);
    let old = two_backups(&cluster, &site);
    goes_now(&site, &old.0);
    assert!(list(&site, &[]).run().ok().json()["holds"].as_array().unwrap().is_empty());

    let snapshot = ["--snapshot", old.0.as_str()];
    let added = add(&site, "case-114", &snapshot).run().ok().json();
    assert_eq!(
        (&added["existed"], &added["hold"]["held"]["snapshot"]),
        (&false.into(), &old.0.clone().into())
    );
    holds(&site, "case-114", &old.0);
    let page = site.run(&["expire", "--dry-run", "--as-of", "2028-01-01T00:00:00Z"]).run().ok().stdout;
    assert!(page.contains("hold case-114"), "{page}");
    let again = add(&site, "case-114", &snapshot).run().ok().json();
    assert_eq!((&again["existed"], &again["hold"]), (&true.into(), &added["hold"]));
    add(&site, "case-114", &["--tenant", "shop"]).run().exits(17).says("there is another hold case-114");
    let page = site.run(&["hold", "list"]).run().ok().stdout;
    assert!(
        page.contains(&format!("case-114: snapshot {}", old.0)) && page.contains("by anna: tax audit"),
        "{page}"
    );
    let verify = site.run(&["verify"]).run().ok();
    assert!(verify.stdout.contains("all of it") && !verify.stdout.contains("foreign"), "{verify}");

    // What does not exist is not held, and what could not mean anything is refused.
    let before = "--from 2001-01-01T00:00:00Z --to 2001-02-01T00:00:00Z".split(' ').collect::<Vec<_>>();
    for (what, says) in [
        (vec!["--snapshot", "20260101T000000Z-dump-00000000"], "lifeboat list"),
        (vec!["--release", "1.0"], "lifeboat list --releases"),
        (vec!["--tenant", "shops"], "--from TIME --to TIME"),
        (before, "lifeboat window"),
    ] {
        add(&site, "case-115", &what).run().exits(5).says(says);
    }
    let turned = ["--from", "2026-02-01T00:00:00Z", "--to", "2026-01-01T00:00:00Z"];
    add(&site, "case-115", &turned).run().exits(2).says("must be before");
    add(&site, "../case", &snapshot).run().exits(2);
    add(&site, "case-115", &["--from", "2026-02-01T00:00:00Z"]).run().exits(2).says("--to");
    add(&site, "case-115", &[]).run().exits(2);
    site.run(&["hold", "add", "case-115", snapshot[0], snapshot[1], "--by", "anna"])
        .run()
        .exits(2)
        .says("--reason");
    assert!(!site.stored.join("instances/prod/holds/case-115").exists());

    remove(&site, "case-115", "ben").run().exits(5).says("there is no hold case-115");
    let removed = remove(&site, "case-114", "ben").run().ok().json();
    assert_eq!((&removed["existed"], &removed["hold"]["removed"]["by"]), (&false.into(), &"ben".into()));
    assert_eq!(remove(&site, "case-114", "ben").run().ok().json()["existed"], true);
    remove(&site, "case-114", "carl").run().exits(17).says("was removed");
    goes_now(&site, &old.0);
    add(&site, "case-114", &snapshot).run().exits(17).says("choose another name");
    let all = list(&site, &["--all"]).run().ok().json();
    assert_eq!(all["holds"][0], removed["hold"], "the history stays");
    assert!(list(&site, &[]).run().ok().json()["holds"].as_array().unwrap().is_empty());
    let page = site.run(&["hold", "list", "--all"]).run().ok().stdout;
    assert!(page.contains("by anna: tax audit") && page.contains("by ben: closed"), "{page}");

    // The other things that can be held.
    add(&site, "of-tenant", &["--tenant", "shop"]).run().ok();
    holds(&site, "of-tenant", &old.0);
    remove(&site, "of-tenant", "ben").run().ok();
    add(&site, "of-span", &["--from", "2026-01-01T00:00:00Z", "--to", "2099-01-01T00:00:00Z"]).run().ok();
    holds(&site, "of-span", &old.1);
    let verify = site.run(&["verify"]).run().ok();
    assert!(verify.stdout.contains("all of it"), "{verify}");
}

#[test]
fn in_doubt_it_holds_and_whoever_stops_expiry_is_named() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let old = two_backups(&cluster, &site).0;
    site.back_up(&["--tenant", "shop", "--release", "1.0"]);
    let snapshot = ["--snapshot", old.as_str()];
    let stranger = SigningKey::generate("stranger").unwrap();
    let sign = |path: &PathBuf, key: &SigningKey| {
        let mut signature = path.clone().into_os_string();
        signature.push(".sig");
        fs::write(signature, key.sign(&fs::read(path).unwrap()).unwrap()).unwrap();
    };

    // Removals that nobody trusted signed.
    add(&site, "case", &snapshot).run().ok();
    let removed = object(&site, "case", "removed.json");
    fs::write(&removed, b"{}").unwrap();
    holds_in_doubt(&site, "case", &old);
    remove(&site, "case", "ben").run().exits(17).says("the hold still holds");
    sign(&removed, &stranger);
    holds_in_doubt(&site, "case", &old);
    fs::remove_file(&removed).unwrap();
    holds_in_doubt(&site, "case", &old); // only a signature
    fs::remove_file(object(&site, "case", "removed.json.sig")).unwrap();

    // The removal of another hold.
    add(&site, "other", &["--release", "1.0"]).run().ok();
    remove(&site, "other", "ben").run().ok();
    for name in ["removed.json", "removed.json.sig"] {
        fs::copy(object(&site, "other", name), object(&site, "case", name)).unwrap();
    }
    holds_in_doubt(&site, "case", &old);
    for name in ["removed.json", "removed.json.sig"] {
        fs::remove_file(object(&site, "case", name)).unwrap();
    }
    holds(&site, "case", &old);

    // A hold of which a part is missing or damaged may hold anything.
    let (record, signature) = (object(&site, "case", "hold.json"), object(&site, "case", "hold.json.sig"));
    for path in [&record, &signature] {
        let bytes = fs::read(path).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        fs::write(path, flipped).unwrap();
        keeps_everything(&site, "case", &old);
        fs::remove_file(path).unwrap();
        keeps_everything(&site, "case", &old);
        fs::write(path, bytes).unwrap();
        holds(&site, "case", &old);
    }
    // One that was interrupted between the two is completed.
    fs::remove_file(&record).unwrap();
    add(&site, "case", &["--tenant", "shop"]).run().exits(17).says("choose another name");
    add(&site, "case", &snapshot).run().ok();
    holds(&site, "case", &old);
    remove(&site, "case", "ben").run().ok();
    goes_now(&site, &old);
    // Damaged after its removal: nothing is known of it.
    let bytes = fs::read(&record).unwrap();
    fs::write(&record, b"{}").unwrap();
    keeps_everything(&site, "case", &old);
    fs::write(&record, bytes).unwrap();

    // What a stranger stores stops expiry, under the name that he gave it.
    let folder = site.stored.join("instances/prod/holds/strange");
    fs::create_dir(&folder).unwrap();
    fs::copy(&record, folder.join("hold.json")).unwrap();
    keeps_everything(&site, "strange", &old);
    sign(&folder.join("hold.json"), &stranger);
    keeps_everything(&site, "strange", &old);
    fs::copy(&signature, folder.join("hold.json.sig")).unwrap();
    keeps_everything(&site, "strange", &old); // signed by us, for another name
    fs::remove_dir_all(&folder).unwrap();
    // Other names are no holds: they stop nothing, and are foreign.
    fs::create_dir(site.stored.join("instances/prod/holds/Strange")).unwrap();
    for name in ["Strange/hold.json", "hold.json", "case/note.txt"] {
        fs::write(site.stored.join("instances/prod/holds").join(name), b"{}").unwrap();
    }
    goes_now(&site, &old);
    let verify = site.run(&["verify"]).run().ok();
    assert_eq!(verify.stdout.matches("foreign: instances/prod/holds/").count(), 3, "{verify}");
}

#[test]
fn on_s3_a_hold_that_cannot_be_read_keeps_everything() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "odoo");
    let old = two_backups(&cluster, &site).0;
    goes_now(&site, &old);
    // Only the signature lands: the same command again completes it.
    s3.plan(on("PUT", "/holds/case/hold.json").nth(2).respond(403));
    add(&site, "case", &["--snapshot", &old]).run().exits(6);
    keeps_everything(&site, "case", &old);
    add(&site, "case", &["--snapshot", &old]).run().ok();
    holds(&site, "case", &old);

    s3.plan(on("GET", "/holds/case/hold.json").respond(403));
    let shown = plan(&site).exits(3).json();
    assert!(
        goes(&shown).is_empty() && shown["not_known"].to_string().contains("hold case could not be read"),
        "{shown}"
    );
    s3.faults().clear();
    s3.plan(on("GET", "/holds/case/removed.json").respond(403));
    let shown = plan(&site).exits(3).json();
    assert!(reasons(&shown, &old).contains("case"), "{shown}");
    s3.faults().clear();
    s3.plan(on("GET", "prefix=odoo%2Finstances%2Fprod%2Fholds").respond(403));
    let shown = plan(&site).exits(3).json();
    assert!(goes(&shown).is_empty() && shown["not_known"].to_string().contains("holds (nothing"), "{shown}");
    s3.faults().clear();

    s3.plan(on("PUT", "/holds/case/removed.json").nth(2).respond(403));
    remove(&site, "case", "ben").run().exits(6);
    holds_in_doubt(&site, "case", &old);
    remove(&site, "case", "ben").run().ok();
    goes_now(&site, &old);
}
