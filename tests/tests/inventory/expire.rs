//! `lifeboat expire --dry-run`: what stays and for which reasons, and what nobody needs any more.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use lifeboat_tests::compare::walk;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Outcome, small_tenant};
use serde_json::Value;

pub const CLASS: &str =
    "\n[class.shops]\ntenants = ['*']\nwindow = '2d'\ndaily = 6\nweekly = 0\nmonthly = 0\n";

/// A backup of so many days ago: by its host's clock, and by the store's.
fn back_up(site: &Site, days: u64) -> (String, String) {
    let folder = site.stored.join("instances/prod/snapshots");
    let folders = || -> Vec<PathBuf> {
        fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    };
    let before = folders();
    let run = site.backup(&["--tenant", "shop", "--json"]).off_by(&format!("-{days}d"));
    let tenant = run.run().ok().json()["tenants"][0].clone();
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    for made in folders().iter().filter(|folder| !before.contains(folder)) {
        walk(made, &mut |path| {
            if path.is_file() {
                fs::File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
            }
        });
    }
    let id = |kind: &str| tenant[kind]["id"].as_str().unwrap().to_owned();
    (id("dump"), id("filestore"))
}

fn plan(site: &Site, more: &[&str]) -> Outcome {
    site.run(&["expire", "--dry-run", "--json"]).args(more.to_vec()).run()
}

pub fn goes(plan: &Value) -> Vec<&str> {
    plan["plan"]["snapshots"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
}

pub fn reasons(plan: &Value, id: &str) -> String {
    let all = plan["plan"]["stays"].as_array().unwrap();
    all.iter().find(|one| one["id"] == id).map_or("it goes".to_owned(), |one| one["reasons"].to_string())
}

#[test]
fn what_nobody_promised_goes_and_the_rest_stays_for_a_reason() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    let old = back_up(&site, 9);
    let start = back_up(&site, 4);
    let day = back_up(&site, 1);
    let newest = back_up(&site, 0);
    plan(&site, &[]).exits(4).says("there is no recovery class");
    let text = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), format!("{text}{CLASS}")).unwrap();
    site.run(&["expire"]).run().exits(2).says("--dry-run");

    let shown = plan(&site, &[]).ok().json();
    assert!(goes(&shown).contains(&old.0.as_str()), "{shown}");
    assert!(!goes(&shown).iter().any(|id| [&start.0, &day.0, &newest.0].contains(&&(*id).to_owned())));
    // Later filestores have their files in its packs.
    assert!(reasons(&shown, &old.1).contains("needed-by"), "{shown}");
    let of_start = reasons(&shown, &start.0);
    assert!(of_start.contains("window-start") && of_start.contains("daily"), "{of_start}");
    assert!(reasons(&shown, &newest.0).contains("newest"), "{shown}");
    let page = site.run(&["expire", "--dry-run"]).run().ok().stdout;
    assert!(page.contains("shop: 1 snapshot would be deleted") && page.contains(&old.0), "{page}");
    assert!(page.contains("Nothing was deleted"), "{page}");
    assert!(site.stored.join("instances/prod/snapshots").join(&old.0).is_dir(), "nothing was deleted");

    // A year later the newest stays, and what it needs.
    let later = plan(&site, &["--as-of", "2028-01-01T00:00:00Z"]).ok().json();
    assert!(
        goes(&later).contains(&start.0.as_str()) && !goes(&later).contains(&newest.0.as_str()),
        "{later}"
    );
    assert!(reasons(&later, &old.1).contains("needed-by"), "{later}");

    // Backups stop: nothing goes because of that. Two years later, by every clock of this host.
    let stopped = site.run(&["expire", "--dry-run", "--json"]).off_by("+730d").run().ok().json();
    assert!(!goes(&stopped).contains(&day.0.as_str()), "{stopped}");
    assert!(stopped["plan"]["notes"].to_string().contains("expiry stops with the backups"), "{stopped}");

    // A clock that went back: no age can be told.
    site.run(&["expire", "--dry-run"]).off_by("-30d").run().exits(16).says("the store's clock says");

    // A damaged manifest may need any filestore: whoever damages it must not make us delete these.
    let manifest = site.stored.join("instances/prod/snapshots").join(&newest.1).join("manifest.json");
    let bytes = fs::read(&manifest).unwrap();
    fs::write(&manifest, b"{}").unwrap();
    let damaged = plan(&site, &["--as-of", "2028-01-01T00:00:00Z"]).exits(3).json();
    assert!(damaged["not_known"].to_string().contains(&newest.1), "{damaged}");
    assert!(!goes(&damaged).iter().any(|id| id.contains("-filestore-")), "{damaged}");
    assert!(!goes(&damaged).contains(&newest.0.as_str()), "it may be whole once more: {damaged}");
    fs::write(&manifest, bytes).unwrap();
}
