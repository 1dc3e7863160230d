//! How many requests a command takes: for pages of listings and for manifests, not for WAL or for each object
//! that is deleted.

use std::collections::BTreeMap;
use std::fs;

use lifeboat_tests::long_history::LongHistory;
use lifeboat_tests::site::Site;
use lifeboat_tests::{S3, Versioned};

const PAGE: usize = 1_000;

fn history(tenants: u64, days: u64, segments: u64, class: &str) -> (Versioned, S3, Site) {
    let bucket = Versioned::default();
    let s3 = S3::versioned(&bucket);
    let site = Site::s3_alone(&s3, "odoo");
    let history = LongHistory { tenants, days, segments };
    let text = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), history.configured(&text, class)).unwrap();
    history.make(&site, &s3, &bucket, "odoo", "prod");
    (bucket, s3, site)
}

#[test]
fn hundreds_of_objects_are_deleted_in_a_few_requests_and_manifests_first() {
    let class = "window = '2d'\ndaily = 2\nweekly = 0\nmonthly = 0";
    let (bucket, s3, site) = history(12, 12, 600, class);
    let expire = |days: i64| {
        bucket.set_ahead(days * 86_400);
        s3.faults().clear_log();
        let run = site.run(&["expire", "--yes", "--json", "--max-percent", "100"]);
        run.off_by(&format!("+{days}d")).run().ok().json()
    };
    assert_eq!(expire(0)["done"]["objects"], 0);
    let before = bucket.content();
    let done = expire(2);

    // Each delete marker has the number of its turn.
    let now = bucket.content();
    let turn = |key: &String| now[key].last().filter(|last| last.data.is_none()).map(|last| last.id.clone());
    let were_there = before.iter().filter(|(_, kept)| kept.last().unwrap().data.is_some());
    let gone: BTreeMap<&String, String> = were_there.filter_map(|(key, _)| Some((key, turn(key)?))).collect();
    assert!(gone.len() > 500, "{} objects", gone.len());
    assert_eq!(done["done"]["objects"], gone.len());
    let requests = s3.faults().count("POST", "delete") + s3.faults().count("DELETE", "");
    // Manifests, what belonged to them, WAL.
    assert!(requests <= 3 + gone.len() / PAGE, "{requests} requests for {} objects", gone.len());
    let mut snapshots = 0;
    for (manifest, first) in gone.iter().filter(|(key, _)| key.ends_with("/manifest.json")) {
        let folder = manifest.strip_suffix("manifest.json").unwrap();
        let of_folder = before.keys().filter(|key| key.starts_with(folder) && key != manifest);
        for key in of_folder {
            assert!(gone.get(key).is_some_and(|turn| turn > first), "{key} was deleted before {manifest}");
        }
        snapshots += 1;
    }
    assert!(snapshots > 90, "{snapshots} snapshots");
}
