//! How many requests a command takes: for pages of listings and for manifests, not for WAL or for each object
//! that is deleted.

use std::collections::BTreeMap;
use std::fs;

use lifeboat::archive::signature::SigningKey;
use lifeboat_tests::long_history::LongHistory;
use lifeboat_tests::site::Site;
use lifeboat_tests::{S3, Versioned};
use serde_json::Value;

const PAGE: usize = 1_000;

pub(crate) fn history(tenants: u64, days: u64, segments: u64, class: &str) -> (Versioned, S3, Site) {
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

/// The commands that only show or plan.
const COMMANDS: [&[&str]; 4] =
    [&["list", "--json"], &["status", "--json"], &["window", "--json"], &["expire", "--dry-run", "--json"]];
/// What a command may ask besides listings of snapshots and WAL: what the repository is, holds, releases,
/// reports, leftovers.
const OTHERS_MAX: usize = 40;

#[test]
fn requests_are_for_pages_and_new_manifests_and_not_for_wal() {
    let (bucket, s3, site) = history(12, 12, 2_000, "window = '3d'");
    let state = site.path("lifeboat-state/prod");
    let ask = |command: &[&str]| {
        s3.faults().clear_log();
        let shown = site.run(command).run();
        assert!([Some(0), Some(3)].contains(&shown.code), "{}", shown.stderr);
        let of = |method, text| s3.faults().count(method, text);
        (of("GET", "/manifest.json"), of("*", ""), shown.json())
    };
    let objects = bucket.content().len();
    for command in COMMANDS {
        let _ = fs::remove_dir_all(&state);
        // Manifest and signature of each.
        let (cold, all, shown) = ask(command);
        assert_eq!(cold, 2 * 300, "{command:?}");
        // Some list snapshots or WAL twice.
        assert!(all - cold <= 2 * objects.div_ceil(PAGE) + OTHERS_MAX, "{command:?}: {all}");
        let (warm, all, again) = ask(command);
        assert_eq!(warm, 0, "{command:?}");
        assert!(all <= 2 * objects.div_ceil(PAGE) + OTHERS_MAX, "{command:?}: {all}");
        for part in ["snapshots", "tenants", "window", "plan"] {
            assert_eq!(timeless(&shown[part]), timeless(&again[part]), "{command:?}: {part}");
        }
    }
    assert_eq!(ask(COMMANDS[1]).0, 0, "one command reads for all");
}

/// Without ages, which go on.
pub(crate) fn timeless(value: &Value) -> Value {
    let mut value = value.clone();
    match &mut value {
        Value::Object(map) => {
            map.retain(|name, _| {
                !name.ends_with("_seconds") && !["now", "counted_from", "over"].contains(&name.as_str())
            });
            map.values_mut().for_each(|one| *one = timeless(one));
        }
        Value::Array(all) => all.iter_mut().for_each(|one| *one = timeless(one)),
        _ => {}
    }
    value
}

#[test]
fn what_is_done_in_the_bucket_is_seen_although_it_was_read_before() {
    let (bucket, s3, site) = history(2, 3, 10, "window = '3d'");
    let folder = "odoo/instances/prod/snapshots/";
    let key = |id: &str, name: &str| format!("{folder}{id}/{name}");
    let list = || site.run(&["list", "--json"]).run();
    let snapshots = || list().json()["snapshots"].as_array().unwrap().clone();
    let whole = snapshots();
    assert!(whole.len() == 15 && whole.iter().all(|one| one["standing"] == "stored"));
    let saved = bucket.content();
    let standing = |id: &str| {
        let shown = snapshots();
        shown.iter().find(|one| one["id"] == id).map_or("none".to_owned(), |one| one["standing"].to_string())
    };
    let ids: Vec<&str> = whole.iter().map(|one| one["id"].as_str().unwrap()).collect();
    let (one, other) = (ids[0], ids[3]);
    let read = |id: &str, name: &str| bucket.read(&key(id, name)).unwrap();

    bucket.write(&key(one, "manifest.json"), &b"{}"[..]);
    assert_eq!(standing(one), "\"not believed\"");
    bucket.restore(saved.clone());
    assert_eq!(standing(one), "\"stored\"");
    // The right bytes, and a signature of something else.
    bucket.write(&key(one, "manifest.json.sig"), read(other, "manifest.json.sig"));
    assert_eq!(standing(one), "\"not believed\"");
    bucket.hide(&key(one, "manifest.json.sig"));
    assert_eq!(standing(one), "\"not believed\"");
    bucket.hide(&key(one, "manifest.json"));
    assert_eq!(standing(one), "\"unfinished\"");
    bucket.restore(saved.clone());
    for name in ["manifest.json", "manifest.json.sig", "baseline.zst.age", "cluster.zst.age", "index.zst.age"]
    {
        bucket.hide(&key(one, name));
    }
    bucket.hide(&key(one, "packs/000000.tar.zst.age"));
    assert_eq!(standing(one), "none");
    bucket.restore(saved);
    assert_eq!(standing(one), "\"stored\"");

    // What this host knows is damaged, or of other keys: it is read again.
    let manifests = site.path("lifeboat-state/prod/manifests.zst");
    let bytes = fs::read(&manifests).unwrap();
    let ask = || {
        s3.faults().clear_log();
        let shown = list();
        (shown, s3.faults().count("GET", "/manifest.json"))
    };
    assert_eq!(ask().1, 0);
    for at in [bytes.len() / 2, bytes.len() - 2] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        fs::write(&manifests, flipped).unwrap();
        let (shown, read) = ask();
        assert_eq!((shown.json()["snapshots"].as_array().unwrap() == &whole, read), (true, 30));
    }
    let text = fs::read_to_string(site.config()).unwrap();
    let ours = text.split('"').find(|word| word.starts_with("ssh-ed25519 ")).unwrap();
    let other = SigningKey::generate("other").unwrap().public_text().unwrap();
    fs::write(site.config(), text.replace(ours, other.trim())).unwrap();
    let shown = ask().0.exits(3).json();
    let all = shown["snapshots"].as_array().unwrap();
    assert!(all.iter().all(|one| one["standing"] == "not believed"), "of a key that is trusted no more");
    fs::write(site.config(), text).unwrap();

    // What was known with our keys is still known.
    assert_eq!(ask().1, 0);

    // An expire that deletes reads everything itself.
    s3.faults().clear_log();
    site.run(&["expire", "--yes", "--quiet"]).run().ok();
    assert!(s3.faults().count("GET", "/manifest.json") >= 30);
}
