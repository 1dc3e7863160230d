//! Many instances at once: what `lifeboat fleet` says of each is what the commands for one say, without a
//! request.

use std::fs;

use lifeboat_tests::long_history::LongHistory;
use lifeboat_tests::outcome::Outcome;
use lifeboat_tests::site::Site;
use lifeboat_tests::{S3, Versioned};
use serde_json::Value;

use super::requests::timeless;

/// Two instances in one repository, and one with the name of the first in another.
const SITES: [(&str, &str, &str, u64); 3] = [
    ("north.toml", "odoo", "north", 3),
    ("south.toml", "odoo", "south", 4),
    ("twin.toml", "other", "north", 5),
];
const CLASS: &str = "window = '1d'\ndaily = 2\nweekly = 0\nmonthly = 0";
const PRICE: &str = "\n[rates]\ncurrency = 'EUR'\ngb_month = '0.02'";

struct Fleet {
    bucket: Versioned,
    s3: S3,
    site: Site,
}

impl Fleet {
    fn new() -> Fleet {
        let bucket = Versioned::default();
        let s3 = S3::versioned(&bucket);
        let site = Site::s3_alone(&s3, "odoo");
        drop(Site::s3_alone(&s3, "other")); // the repository stays
        let text = fs::read_to_string(site.config()).unwrap();
        for (file, prefix, instance, days) in SITES {
            let history = LongHistory { tenants: 2, days, segments: 4 * days };
            let text = text.replacen("instance = \"prod\"", &format!("instance = {instance:?}"), 1);
            let text = text.replacen(&s3.url("odoo"), &s3.url(prefix), 1).replacen("\n[rates]", PRICE, 1);
            fs::write(site.path(file), history.configured(&text, CLASS)).unwrap();
            history.make(&site, &s3, &bucket, prefix, instance);
        }
        Fleet { bucket, s3, site }
    }

    fn look(&self) -> Outcome {
        self.fleet(&["look"])
    }

    /// `lifeboat fleet` for all of them.
    fn fleet(&self, command: &[&str]) -> Outcome {
        let files = SITES.map(|(file, ..)| file);
        self.site.run(&["fleet"]).args(command.to_vec()).args(files.to_vec()).run()
    }

    /// The same, which asks no repository for anything.
    fn told(&self, command: &[&str], code: i32) -> Value {
        self.s3.faults().clear_log();
        let told = self.fleet(command);
        assert_eq!(told.code, Some(code), "{command:?}: {}", told.stderr);
        assert_eq!(self.s3.faults().count("*", ""), 0, "{command:?}");
        told.json()
    }

    /// What a command for one says of this one.
    fn alone(&self, file: &str, command: &[&str]) -> Value {
        self.site.run(command).args(vec!["--json", "--config", file]).run().json()
    }
}

/// The key that its configuration trusts.
fn trusted(site: &Site) -> String {
    let text = fs::read_to_string(site.config()).unwrap();
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let line = lines.find(|line| line.contains("\"ssh-ed25519 ")).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

/// What was said of each, by its file.
fn each(told: &Value) -> Vec<(String, Value)> {
    let sites = told["sites"].as_array().unwrap();
    let mut each: Vec<_> =
        sites.iter().map(|one| (one["file"].as_str().unwrap().to_owned(), one.clone())).collect();
    each.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(each.len(), SITES.len());
    each
}

fn of(told: &Value, file: &str) -> Value {
    each(told).into_iter().find(|(name, _)| name == file).unwrap().1
}

#[test]
fn what_is_said_of_many_needs_no_request_and_is_what_is_said_of_each() {
    let fleet = Fleet::new();
    for command in [["status", "--json"], ["plan", "--json"]] {
        for (file, one) in each(&fleet.told(&command, 3)) {
            assert!(one["error"].as_str().unwrap().contains("lifeboat fleet look"), "{file}: {one}");
        }
    }
    fleet.s3.faults().clear_log();
    let looked = fleet.look().ok();
    assert!(looked.stdout.contains("looked at 3 of 3 instances"), "{}", looked.stdout);
    let all = fleet.s3.faults().count("*", "");
    assert_eq!(all, fleet.s3.faults().count("GET", "") + fleet.s3.faults().count("HEAD", ""), "it wrote");

    let told = fleet.told(&["status", "--json"], 0);
    assert_eq!((&told["instances"], &told["well"]), (&3.into(), &3.into()));
    for (file, one) in each(&told) {
        let alone = fleet.alone(&file, &["status"]);
        assert_eq!(timeless(&one["result"]), timeless(&alone), "{file}");
        assert!(one["looked_at"].is_string() && one["error"].is_null());
    }
    for later in [None, Some("2999-03-01T00:00:00Z")] {
        let as_of: Vec<&str> = later.iter().flat_map(|at| ["--as-of", *at]).collect();
        let told = fleet.told(&[&["plan", "--json"], as_of.as_slice()].concat(), 0);
        for ((file, one), (.., days)) in each(&told).iter().zip(SITES) {
            let alone = fleet.alone(file, &[&["expire", "--dry-run"], as_of.as_slice()].concat());
            let plan = &one["result"];
            assert_eq!(plan["snapshots"], days * 5, "{file}");
            let goes = alone["plan"]["snapshots"].as_array().unwrap().len();
            assert!(goes > 0 && plan["not_needed"] == goes, "{file}: {goes} go, and {plan}");
            assert_eq!(plan["frees_bytes"], alone["frees_bytes"], "{file}");
            assert_eq!(plan["costs"], alone["costs"], "{file}");
        }
    }
}

#[test]
fn what_was_announced_long_enough_ago_may_go_now() {
    let fleet = Fleet::new();
    let run = |days: i64, args: &[&str]| {
        fleet.bucket.set_ahead(days * 86_400);
        fleet.site.run(args).off_by(&format!("+{days}d")).run()
    };
    let deletes_now = |days: i64| {
        run(days, &["fleet", "look", "south.toml"]).ok();
        let plan = run(days, &["fleet", "plan", "--json", "south.toml"]).json();
        plan["sites"][0]["result"]["deletes_now_bytes"].as_u64().unwrap()
    };
    let expire = ["expire", "--yes", "--max-percent", "100", "--config", "south.toml"];
    assert_eq!(deletes_now(0), 0);
    run(0, &expire).ok();
    assert_eq!(deletes_now(0), 0, "its grace is not over");
    let bytes = deletes_now(2);
    run(2, &expire).ok();
    let status = run(2, &["status", "--json", "--config", "south.toml"]).json();
    assert!(
        bytes > 0 && status["expire"]["done"]["freed_bytes"] == bytes,
        "{bytes}, and {}",
        status["expire"]
    );
}

#[test]
fn what_is_odd_is_said_as_it_is_said_of_one() {
    let fleet = Fleet::new();
    let keys: Vec<String> = fleet.bucket.content().into_keys().collect();
    let of_north = |part: &str| {
        let folder = format!("odoo/instances/north/{part}");
        keys.iter().filter(move |key| key.starts_with(&folder)).collect::<Vec<_>>()
    };
    let north = ["--config", "north.toml"];
    let hold = ["hold", "add", "case", "--tenant", "tenant_0", "--reason", "audit", "--by", "anna"];
    fleet.site.run(&hold).args(north.to_vec()).run().ok();
    // A gap in the WAL, foreign WAL, parts that no manifest names, a snapshot without a manifest, and one
    // that is not believed.
    fleet.bucket.hide(of_north("wal/")[5]);
    fleet.bucket.write("odoo/instances/north/wal/stray", &b"x"[..]);
    let manifests = of_north("snapshots/");
    let manifests: Vec<&str> =
        manifests.iter().filter(|key| key.ends_with("/manifest.json")).map(|key| key.as_str()).collect();
    fleet.bucket.write(&manifests[0].replace("manifest.json", "packs/000077"), &b"x"[..]);
    fleet.bucket.hide(manifests[1]);
    fleet.bucket.write(manifests[2], &b"{}"[..]);

    fleet.look().ok();
    let status = of(&fleet.told(&["status", "--json"], 3), "north.toml");
    let alone = fleet.alone("north.toml", &["status"]);
    assert!(alone["problems"].to_string().contains("foreign"), "{alone}");
    assert_eq!(alone["not_believed"].as_array().unwrap().len(), 1);
    assert_eq!(timeless(&status["result"]), timeless(&alone));
    let plan = of(&fleet.told(&["plan", "--json"], 3), "north.toml");
    let alone = fleet.alone("north.toml", &["expire", "--dry-run"]);
    let (plan, goes) = (&plan["result"], alone["plan"]["snapshots"].as_array().unwrap().len());
    assert_eq!((&plan["not_needed"], &plan["frees_bytes"]), (&goes.into(), &alone["frees_bytes"]));
    assert_eq!((&plan["not_known"], &plan["costs"]), (&alone["not_known"], &alone["costs"]));
    assert!(alone["not_known"].as_array().is_some_and(|all| !all.is_empty()), "{alone}");
}

#[test]
fn nothing_stored_is_not_well_and_the_worst_comes_first() {
    let fleet = Fleet::new();
    // Nobody says which tenants there should be.
    let text = fs::read_to_string(fleet.site.path("south.toml")).unwrap();
    let named = "tenants = [\"tenant_0\", \"tenant_1\"]";
    assert!(text.contains(named));
    fs::write(fleet.site.path("south.toml"), text.replace(named, "")).unwrap();
    for key in fleet.bucket.content().keys().filter(|key| key.starts_with("odoo/instances/south/snapshots/"))
    {
        fleet.bucket.hide(key);
    }
    fleet.look().ok();
    assert_eq!(fleet.told(&["status", "--json"], 3)["well"], 2);
    let late = fleet.site.run(&["fleet", "status", "--max-age", "1h"]).off_by("+3h");
    let text = late.args(SITES.map(|(file, ..)| file).to_vec()).run().exits(3).stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "0 of 3 instances are well, as this host last saw them");
    assert!(lines[3].starts_with("south ") && lines[3].contains("NOTHING STORED  -"), "{text}");
    assert!(lines[4].contains("LATE") && lines[4].contains("0 of 2"), "{text}");

    // The tenants are those that the configuration names now.
    let unknown_tenants = || {
        let plan = of(&fleet.told(&["plan", "--json"], 3), "south.toml");
        plan["result"]["not_known"].to_string().contains("which tenants there are")
    };
    assert!(unknown_tenants());
    fs::write(
        fleet.site.path("south.toml"),
        fs::read_to_string(fleet.site.path("north.toml"))
            .unwrap()
            .replace("instance = \"north\"", "instance = \"south\""),
    )
    .unwrap();
    let south = of(&fleet.told(&["status", "--json"], 3), "south.toml");
    assert_eq!(south["result"]["tenants"][0]["standing"], "never", "{south}");
    assert!(!unknown_tenants());
}

#[test]
fn the_same_place_at_two_stores_is_two_instances() {
    let (one, other) = (Fleet::new(), Fleet::new());
    let text = fs::read_to_string(one.site.path("south.toml")).unwrap();
    let text = text.replace(&one.s3.endpoint(), &other.s3.endpoint());
    let (own, others) = (trusted(&one.site), trusted(&other.site));
    assert!(text.contains(&own), "{own}");
    let text = text.replace(&own, &others);
    fs::write(one.site.path("away.toml"), text).unwrap();
    other.bucket.hide(other.bucket.content().keys().find(|key| key.contains("/south/snapshots/")).unwrap());
    let run = |command: &str| one.site.run(&["fleet", command, "--json", "south.toml", "away.toml"]).run();
    run("look").ok();
    let told = run("status").json();
    let base = |n: usize| told["sites"][n]["result"].clone();
    assert!(base(0).is_object() && base(1).is_object(), "{told}");
    let files: Vec<_> = fs::read_dir(one.site.path("lifeboat-state/south")).unwrap().collect();
    let seen =
        files.iter().filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().ends_with("zst"));
    assert!(seen.count() >= 3, "{files:?}");
}

#[test]
fn what_is_done_in_a_bucket_is_seen_by_the_next_look() {
    let fleet = Fleet::new();
    fleet.look().ok();
    let before = fleet.told(&["status", "--json"], 0);
    let folder = "odoo/instances/south/snapshots/";
    let keys = fleet.bucket.content();
    let manifest = keys.keys().find(|key| key.starts_with(folder) && key.ends_with("manifest.json")).unwrap();
    fleet.bucket.write(manifest, &b"{}"[..]);
    // As it was seen: without a look nothing new is known.
    assert_eq!(
        timeless(&of(&fleet.told(&["status", "--json"], 0), "south.toml")),
        timeless(&of(&before, "south.toml"))
    );
    fleet.look().ok();
    let south = of(&fleet.told(&["status", "--json"], 3), "south.toml");
    assert_eq!(south["result"]["not_believed"].as_array().unwrap().len(), 1);
    let twin_before = of(&fleet.told(&["status", "--json"], 3), "twin.toml");
    let plan = of(&fleet.told(&["plan", "--json"], 3), "south.toml");
    assert!(plan["result"]["not_known"][0].as_str().unwrap().contains("snapshot"), "{plan}");

    // One that cannot be read hides no other, and what was seen of it stays.
    fleet.bucket.hide("other/lifeboat.json");
    let looked = fleet.look();
    assert_eq!(looked.code, Some(3));
    assert!(
        looked.stdout.contains("looked at 2 of 3") && looked.stdout.contains("twin.toml: NOT READ"),
        "{}",
        looked.stdout
    );
    let twin = of(&fleet.told(&["status", "--json"], 3), "twin.toml");
    assert_eq!(timeless(&twin), timeless(&twin_before));

    let text = fleet.fleet(&["status"]).stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "2 of 3 instances are well, as this host last saw them");
    let row =
        |name: &str| lines.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{text}"));
    assert!(row("south ").contains("PROBLEM"), "{text}");
    assert!(row("twin.toml ").contains(" ok "), "{text}");
    assert!(lines.contains(&"south: lifeboat status --config south.toml"), "{text}");
}

#[test]
fn what_is_wrong_with_one_is_said_of_it_alone() {
    let fleet = Fleet::new();
    fleet.look().ok();
    let state = fleet.site.path("lifeboat-state/south");
    let seen = || {
        let files = fs::read_dir(&state).unwrap().map(|file| file.unwrap().path());
        files
            .into_iter()
            .find(|file| file.file_name().unwrap().to_string_lossy().starts_with("seen-"))
            .unwrap()
    };
    let others_are_known = |told: &Value| {
        assert!(of(told, "south.toml")["result"].is_null(), "{told}");
        for file in ["north.toml", "twin.toml"] {
            assert!(of(told, file)["result"].is_object(), "{told}");
        }
    };
    let whole = fs::read(seen()).unwrap();
    // Cut short, changed, and empty.
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle / 2] ^= 1;
    for bytes in [&whole[..middle / 2], &changed, &[]] {
        fs::write(seen(), bytes).unwrap();
        for command in [["status", "--json"], ["plan", "--json"]] {
            others_are_known(&fleet.told(&command, 3));
        }
    }
    fs::write(seen(), &whole).unwrap();
    fleet.told(&["status", "--json"], 0);

    // Whoever is trusted now did not sign what was seen.
    let good = fs::read_to_string(fleet.site.path("south.toml")).unwrap();
    let other = trusted(&Site::s3_alone(&fleet.s3, "third"));
    fs::write(fleet.site.path("south.toml"), good.replace(&trusted(&fleet.site), &other)).unwrap();
    let told = fleet.told(&["status", "--json"], 3);
    others_are_known(&told);
    assert!(of(&told, "south.toml")["error"].to_string().contains("trusted keys changed"), "{told}");

    fs::write(fleet.site.path("south.toml"), good.replace("instance = ", "instanze = ")).unwrap();
    let told = fleet.told(&["status", "--json"], 3);
    others_are_known(&told);
    let south = of(&told, "south.toml");
    assert!(south["error"].as_str().unwrap().contains("instanze") && south["instance"].is_null(), "{south}");

    let one = fleet.site.run(&["--config", "north.toml", "fleet", "status", "north.toml"]).run();
    assert_eq!(one.code, Some(2), "{}", one.stderr);
    let one = fleet.site.run(&["fleet", "look", "north.toml"]).env("LIFEBOAT_INSTANCE", "south").run();
    assert!(
        one.code == Some(2) && one.stderr.contains("LIFEBOAT_INSTANCE names one instance"),
        "{}",
        one.stderr
    );
    let twice = fleet.site.run(&["fleet", "plan", "north.toml", "north.toml"]).run();
    assert!(twice.code == Some(2) && twice.stderr.contains("named twice"), "{}", twice.stderr);
}
