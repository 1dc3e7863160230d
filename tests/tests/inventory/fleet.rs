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
    let now = |days: i64| {
        fleet.bucket.set_ahead(days * 86_400);
        let run = |command: &str| fleet.site.run(&["fleet", command, "--json", "south.toml"]);
        run("look").off_by(&format!("+{days}d")).run().ok();
        let plan = run("plan").off_by(&format!("+{days}d")).run();
        plan.json()["sites"][0]["result"]["deletes_now_bytes"].as_u64().unwrap()
    };
    assert_eq!(now(0), 0);
    let run = fleet.site.run(&["expire", "--yes", "--max-percent", "100", "--config", "south.toml"]);
    run.run().ok();
    assert_eq!(now(0), 0, "its grace is not over");
    assert!(now(2) > 0);
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
    changed[middle] ^= 1;
    for bytes in [&whole[..whole.len() - 9], &whole[..middle], &changed, &[]] {
        fs::write(seen(), bytes).unwrap();
        for command in [["status", "--json"], ["plan", "--json"]] {
            others_are_known(&fleet.told(&command, 3));
        }
    }
    fs::write(seen(), &whole).unwrap();
    fleet.told(&["status", "--json"], 0);

    // Whoever is trusted now did not sign what was seen.
    let good = fs::read_to_string(fleet.site.path("south.toml")).unwrap();
    let key = good.split("ssh-ed25519 ").nth(1).unwrap().split(['"', ' ']).next().unwrap().to_owned();
    let mut other = key.clone();
    other.replace_range(key.len() - 4..key.len() - 3, if key.ends_with('A') { "B" } else { "C" });
    fs::write(fleet.site.path("south.toml"), good.replace(&key, &other)).unwrap();
    others_are_known(&fleet.told(&["status", "--json"], 3));

    fs::write(fleet.site.path("south.toml"), good.replace("instance = ", "instanze = ")).unwrap();
    let told = fleet.told(&["status", "--json"], 3);
    others_are_known(&told);
    let south = of(&told, "south.toml");
    assert!(south["error"].as_str().unwrap().contains("instanze") && south["instance"].is_null(), "{south}");

    let one = fleet.site.run(&["--config", "north.toml", "fleet", "status", "north.toml"]).run();
    assert_eq!(one.code, Some(2), "{}", one.stderr);
}
