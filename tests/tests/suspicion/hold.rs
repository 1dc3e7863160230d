//! The last good snapshots are kept for a suspicious backup: by a signed record in the repository, which a
//! host that deletes can read, and for as long as the class of the tenant says.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use lifeboat_tests::compare::walk;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, damage, small_tenant};
use serde_json::Value;

use crate::world::{delete, found, with};

fn class(more: &str) -> String {
    let keep = "window = '2d'\ndaily = 1\nweekly = 0\nmonthly = 0";
    format!("\n[class.shops]\ntenants = ['*']\n{keep}\n{more}\n")
}

/// A dump of so many days ago: by its host's clock, and by the store's.
fn back_up(site: &Site, days: u64) -> Value {
    let folder = site.stored.join("instances/prod");
    let files = || {
        let mut files = Vec::new();
        walk(&folder, &mut |path| files.extend(path.is_file().then(|| path.to_owned())));
        files
    };
    let before: Vec<PathBuf> = files();
    let run = site.backup(&["--kind", "dump", "--tenant", "shop", "--json"]).off_by(&format!("-{days}d"));
    let tenant = run.run().ok().json()["tenants"][0].clone();
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    for made in files().iter().filter(|path| !before.contains(path)) {
        fs::File::options().append(true).open(made).unwrap().set_modified(then).unwrap();
    }
    tenant
}

/// Why a dump stays.
fn reasons(site: &Site, id: &str, more: &[&str]) -> String {
    let plan = site.run(&["expire", "--dry-run", "--json"]).args(more.to_vec()).run().json();
    let all = plan["plan"]["stays"].as_array().unwrap();
    all.iter().find(|one| one["id"] == id).map_or("it goes".to_owned(), |one| one["reasons"].to_string())
}

/// A site whose backup of ten days ago is suspicious; the dump before it, and the record.
fn suspicious(cluster: &Cluster, more: &str) -> (Site, String, PathBuf) {
    let site = Site::local(cluster);
    small_tenant(cluster, &site.data_dir(), "shop", 3);
    let text = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), format!("{text}{}", class(more))).unwrap();
    let good = back_up(&site, 12)["dump"]["id"].as_str().unwrap().to_owned();
    delete(cluster, "shop", "delete from sale_order where state in ('sale', 'done')");
    let bad = back_up(&site, 10);
    assert!(found(&bad).contains(&"documents-gone sale_order".to_owned()), "{bad}");
    back_up(&site, 1);
    back_up(&site, 0);
    let record =
        site.stored.join(format!("instances/prod/suspicions/{}.json", bad["dump"]["id"].as_str().unwrap()));
    (site, good, record)
}

#[test]
fn the_last_good_dump_is_kept_as_long_as_the_class_says() {
    let cluster = Cluster::start_default();
    let (site, good, record) = suspicious(&cluster, "suspicion_hold = '20d'");
    assert!(reasons(&site, &good, &[]).contains("good-before"), "{}", reasons(&site, &good, &[]));
    let in_days = |days: i64| {
        let at = std::time::SystemTime::now() + Duration::from_secs(days as u64 * 86_400);
        let at = lifeboat::clock::Timestamp::try_from(at).unwrap();
        reasons(&site, &good, &["--as-of", &at.to_string()])
    };
    assert!(in_days(9).contains("good-before"));
    assert_eq!(in_days(11), "it goes", "the record is of ten days ago");

    // Nothing in it says how large the company is.
    let text = fs::read_to_string(&record).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["good"][0], good.as_str());
    assert_eq!((&value["tenant"], &value["keep_seconds"]), (&"shop".into(), &(20 * 86_400).into()));
    assert!(value["found"].as_array().unwrap().contains(&"documents-gone sale_order".into()), "{text}");
    let said: Vec<&str> =
        value["found"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert!(said.iter().all(|one| !one.contains(char::is_numeric)), "{text}");

    // What is damaged protects everything that it could be about; what nobody signed does not count.
    site.run(&["verify"]).run().ok();
    let stray = record.with_file_name("20991231T235959Z-dump-00000000.json");
    fs::write(&stray, &text).unwrap();
    assert!(reasons(&site, &good, &[]).contains("good-before"));
    let checked = site.run(&["verify", "--json"]).run().exits(3).json();
    assert!(checked["foreign"].to_string().contains("20991231T235959Z"), "{checked}");
    fs::remove_file(&stray).unwrap();
    let whole = fs::read(&record).unwrap();
    damage::flip_bit(&record, 200);
    assert!(reasons(&site, &good, &[]).contains("suspicious backups could not be read"));
    with(site.run(&["verify"]).run().exits(10), "instances/prod/suspicions/");
    fs::write(&record, whole).unwrap();
    site.run(&["verify"]).run().ok();
}

#[test]
fn a_class_may_keep_nothing_for_it_and_says_so() {
    let cluster = Cluster::start_default();
    let (site, good, record) = suspicious(&cluster, "suspicion_hold = '0s'");
    assert_eq!((reasons(&site, &good, &[]).as_str(), record.exists()), ("it goes", false));
    let shown = site.run(&["suspicion", "list"]).run().exits(3);
    assert!(shown.stdout.contains("suspicion_hold"), "{shown}");
}
