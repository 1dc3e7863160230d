//! `class.NAME.dropped`: the last backup of a tenant goes when its database was seen to be gone for so long.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use lifeboat_tests::compare::walk;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};

use crate::expire::{goes, reasons};

/// A backup of so many days ago, by the clocks of host and store.
fn back_up(site: &Site, days: u64, seen: &mut BTreeSet<PathBuf>) -> serde_json::Value {
    let done = site.backup(&["--json"]).off_by(&format!("-{days}d")).run().ok().json();
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    walk(&site.stored, &mut |path| {
        if path.is_file() && seen.insert(path.to_owned()) {
            fs::File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
        }
    });
    done
}

#[test]
fn the_last_backup_of_a_dropped_database_goes_and_that_of_a_renamed_one_stays() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    for (name, seed) in [("shop", 3), ("mill", 4), ("farm", 5)] {
        small_tenant(&cluster, &site.data_dir(), name, seed);
    }
    let mut seen = BTreeSet::new();
    let first = back_up(&site, 30, &mut seen);
    let of = |tenant: &str| -> String {
        let all = first["tenants"].as_array().unwrap();
        all.iter().find(|one| one["tenant"] == tenant).unwrap()["dump"]["id"].as_str().unwrap().to_owned()
    };
    let absences =
        || fs::read_dir(site.stored.join("instances/prod/absences")).map_or(0, |found| found.count());
    assert_eq!(absences(), 0);
    cluster.psql("postgres", "drop database shop");
    cluster.psql("postgres", "alter database farm rename to farm_2");
    fs::rename(site.data_dir().join("filestore/farm"), site.data_dir().join("filestore/farm_2")).unwrap();
    let told = back_up(&site, 25, &mut seen);
    let notes = told["notes"].to_string();
    assert!(notes.contains("database shop is gone from the server"), "{told}");
    assert!(notes.contains("database farm is now called farm_2"), "{told}");
    assert_eq!(absences(), 2, "a record and its signature");
    back_up(&site, 24, &mut seen);
    assert_eq!(absences(), 2, "one day later there is nothing new");
    for days in [18, 11, 4, 0] {
        back_up(&site, days, &mut seen);
    }
    assert_eq!(absences(), 8);
    site.run(&["verify", "--no-progress"]).run().ok();

    let set = |dropped: &str| {
        let text = fs::read_to_string(site.config()).unwrap();
        let without = text.split("\n[class.").next().unwrap().to_owned();
        let class = "\n[class.all]\ntenants = ['*']\nwindow = '2d'\ndaily = 3\nweekly = 0\nmonthly = 0\n";
        fs::write(site.config(), format!("{without}{class}{dropped}")).unwrap();
    };
    let plan = |more: &[&str]| site.run(&["expire", "--dry-run", "--json"]).args(more.to_vec()).run();
    set("");
    let forever = plan(&[]).ok().json();
    assert!(reasons(&forever, &of("shop")).contains("newest"), "{forever}");
    assert!(forever["plan"]["notes"].to_string().contains("kept for ever"), "{forever}");
    set("dropped = '26d'\n");
    let not_yet = plan(&[]).ok().json();
    assert!(reasons(&not_yet, &of("shop")).contains("newest"), "{not_yet}");
    assert!(not_yet["plan"]["notes"].to_string().contains("its last backup is kept until"), "{not_yet}");
    set("dropped = '20d'\n");
    let over = plan(&[]).ok().json();
    assert!(goes(&over).contains(&of("shop").as_str()), "{over}");
    assert!(reasons(&over, &of("farm")).contains("newest"), "a renamed database is not gone: {over}");
    assert!(!reasons(&over, &of("mill")).contains("newest"), "{over}");
    let named = site.run(&["expire", "--dry-run", "--json"]).env("LIFEBOAT_ODOO_TENANTS", "shop,mill");
    let named = named.run().ok().json();
    assert!(reasons(&named, &of("shop")).contains("newest"), "odoo.tenants names it: {named}");

    // A record that is not as it was signed may say that the database is back.
    let mut records = Vec::new();
    walk(&site.stored.join("instances/prod/absences"), &mut |path| records.push(path.to_owned()));
    let record = records.iter().find(|path| path.to_string_lossy().ends_with(".json")).unwrap();
    let text = fs::read_to_string(record).unwrap();
    fs::write(record, text.replace("\"back\": []", "\"back\": [ ]")).unwrap();
    let damaged = plan(&[]).exits(3).json();
    assert!(reasons(&damaged, &of("shop")).contains("newest"), "{damaged}");
    assert!(damaged["not_known"].to_string().contains("which databases are gone"), "{damaged}");
    let found = site.run(&["verify", "--no-progress"]).run().exits(10);
    assert!(found.stdout.contains(record.file_name().unwrap().to_str().unwrap()), "{found}");
    fs::write(record, &text).unwrap();
    let stray = record.with_file_name("20991231T235959Z-absence-00000000.json");
    fs::write(&stray, &text).unwrap();
    let found = site.run(&["verify", "--json"]).run().exits(3).json();
    assert!(found["foreign"].to_string().contains("20991231T235959Z"), "{found}");
    fs::remove_file(&stray).unwrap();

    // The database is there again: the next backup says so.
    small_tenant(&cluster, &site.data_dir(), "shop", 6);
    back_up(&site, 0, &mut seen);
    assert_eq!(absences(), 10, "it is back");
    assert!(!goes(&plan(&[]).ok().json()).iter().any(|id| id.contains("shop")));
}
