//! A thief with the writer's credentials of the bucket, and with the writer's signing key as well. Whatever
//! he stores, `lifeboat verify --quick`, which the agent runs every few minutes, reports it before our own
//! expire runs; expire deletes nothing of ours that it would have kept without him; and what was there is
//! readable as it was.
//!
//! `TEST_TIMES=1000` runs so many histories.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use lifeboat::archive::signature::SigningKey;
use lifeboat_tests::site::Site;
use lifeboat_tests::versioned::{Content, Kept};
use lifeboat_tests::{Cluster, Outcome, S3, Versioned, small_tenant};
use serde_json::{Value, json};

use crate::past::{ago, back_up};

const DAY: i64 = 86_400;
const CLASS: &str = "\n[class.shops]\ntenants = ['*']\nwindow = '2d'\ndaily = 6\nweekly = 0\nmonthly = 0\n";
const SNAPSHOTS: &str = "odoo/instances/prod/snapshots/";
const EXPIRY: &str = "odoo/instances/prod/expiry/";
/// Histories of the gate.
const TIMES: u64 = 20;

/// Numbers that follow from a seed alone (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// The site before he came.
struct World<'a> {
    site: &'a Site,
    bucket: &'a Versioned,
    content: Content,
    key: SigningKey,
}

/// Something that he does: where its name says "signs", with the writer's key.
struct Act {
    name: &'static str,
    does: fn(&World, &mut Dice),
}

const ACTS: &[Act] = &[
    Act { name: "overwrites objects", does: overwrite },
    Act { name: "exchanges objects", does: exchange },
    Act { name: "hides objects", does: hide_objects },
    Act { name: "hides a snapshot", does: hide_snapshot },
    Act { name: "shows an old state", does: old_state },
    Act { name: "hides everything", does: hide_everything },
    Act { name: "copies snapshots under other names", does: copies },
    Act { name: "makes up a snapshot", does: made_up },
    Act { name: "stores a tombstone of everything", does: tombstone },
    Act { name: "ends the hold", does: end_hold },
    Act { name: "signs backdated copies", does: backdated },
    Act { name: "signs copies from the future", does: from_the_future },
    Act { name: "signs a flood of copies", does: flood },
    Act { name: "signs a copy for his own recipient", does: swapped_recipient },
    Act { name: "signs manifests that need nothing", does: needs_nothing },
    Act { name: "signs a tombstone of everything", does: signed_tombstone },
    Act { name: "signs a tombstone of everything, and hides it later", does: announced_and_seen },
    Act { name: "signs everything as unfinished, and hides it later", does: announced_as_unfinished },
    Act { name: "signs everything as garbage, and hides it later", does: announced_as_garbage },
    Act { name: "signs what holds good backups as garbage, and hides it later", does: record_as_garbage },
];

impl World<'_> {
    /// The keys of objects that are there.
    fn keys(&self) -> Vec<&String> {
        let is_there = |(_, versions): &(&String, &Vec<Kept>)| versions.last().unwrap().data.is_some();
        self.content.iter().filter(is_there).map(|(key, _)| key).collect()
    }

    /// The IDs of snapshots of a kind (`""`: all), the oldest first.
    fn snapshots(&self, kind: &str) -> Vec<&str> {
        let names = self.content.keys().filter_map(|key| key.strip_prefix(SNAPSHOTS)?.split_once('/'));
        let ids: BTreeSet<&str> = names.map(|(id, _)| id).filter(|id| id.contains(kind)).collect();
        ids.into_iter().collect()
    }

    /// The objects of a snapshot, by name.
    fn objects(&self, id: &str) -> Vec<(String, Bytes)> {
        let prefix = format!("{SNAPSHOTS}{id}/");
        let keys = self.content.iter().filter(|(key, _)| key.starts_with(&prefix));
        keys.map(|(key, versions)| {
            (key[prefix.len()..].to_owned(), versions.last().unwrap().data.clone().unwrap())
        })
        .collect()
    }

    /// Stores a snapshot's objects under another ID, its manifest as `change` leaves it, and signed if so.
    fn copy(&self, from: &str, to: &str, signs: bool, change: impl Fn(&mut Value)) {
        for (name, data) in self.objects(from) {
            if !name.starts_with("manifest.json") {
                self.bucket.write(&format!("{SNAPSHOTS}{to}/{name}"), data);
            }
        }
        let mut manifest = self.manifest(from);
        manifest["id"] = json!(to);
        change(&mut manifest);
        self.put_manifest(to, &manifest, signs);
    }

    fn manifest(&self, id: &str) -> Value {
        let data = self.objects(id).into_iter().find(|(name, _)| name == "manifest.json").unwrap().1;
        serde_json::from_slice(&data).unwrap()
    }

    fn put_manifest(&self, id: &str, manifest: &Value, signs: bool) {
        self.put_signed(&format!("{SNAPSHOTS}{id}/manifest.json"), manifest, signs);
    }

    fn put_signed(&self, key: &str, value: &Value, signs: bool) {
        let bytes = serde_json::to_vec_pretty(value).unwrap();
        if signs {
            self.bucket.write(&format!("{key}.sig"), self.key.sign(&bytes).unwrap());
        }
        self.bucket.write(key, bytes);
    }

    /// An ID of so many days ago.
    fn id(&self, days: i64, kind: &str, dice: &mut Dice) -> String {
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(days * DAY);
        format!("{}-{kind}-{:08x}", at.strftime("%Y%m%dT%H%M%SZ"), dice.below(u32::MAX as usize))
    }

    /// The key of a tombstone that names these in this list, and itself.
    fn tombstone(&self, dice: &mut Dice, list: &str, names: &[&str]) -> (String, Value) {
        let run = self.id(2, "expiry", dice);
        let origin = self.manifest(self.snapshots("dump")[0])["origin"].clone();
        let mut value = json!({
            "format": 1, "origin": origin, "run": run, "counted_from": jiff::Timestamp::now().to_string(),
            "snapshots": [], "batches": [], "unfinished": [], "wal": [], "garbage": [],
            "bytes": 1, "written_by": "lifeboat 0.1.0",
        });
        value[list] = json!(names);
        (format!("{EXPIRY}{run}/tombstone.json"), value)
    }

    fn tombstone_of_everything(&self, dice: &mut Dice, signs: bool) {
        let (key, value) = self.tombstone(dice, "snapshots", &self.snapshots(""));
        self.put_signed(&key, &value, signs);
    }

    /// He signed a tombstone two hours ago that names these in this list.
    fn announced_before(&self, dice: &mut Dice, list: &str, names: &[&str]) {
        let (key, value) = self.tombstone(dice, list, names);
        let bytes = serde_json::to_vec_pretty(&value).unwrap();
        let before = std::time::Duration::from_secs(7_200);
        self.bucket.write_before(&format!("{key}.sig"), self.key.sign(&bytes).unwrap(), before);
        self.bucket.write_before(&key, bytes, before);
    }

    /// The same, and he hides all snapshots but the first now.
    fn announced_and_hidden(&self, dice: &mut Dice, list: &str, names: &[&str], meanwhile: impl FnOnce()) {
        self.announced_before(dice, list, names);
        meanwhile();
        let first = self.snapshots("")[0];
        hide(self, |key| key.starts_with(SNAPSHOTS) && !key.contains(first));
    }
}

fn overwrite(world: &World, dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let key = dice.of(&world.keys());
        let data: &[u8] = dice.of(&[&b""[..], b"{}", b"paid in bitcoin only"]);
        world.bucket.write(key, data.to_vec());
    }
}

fn exchange(world: &World, dice: &mut Dice) {
    let keys = world.keys();
    for _ in 0..=dice.below(3) {
        let (key, other) = (dice.of(&keys), dice.of(&keys));
        // A lease is replaced all the time.
        let other = if key == other { keys[0] } else { other };
        world.bucket.write(key, world.content[other].last().unwrap().data.clone().unwrap());
    }
}

fn hide_objects(world: &World, dice: &mut Dice) {
    for _ in 0..=dice.below(6) {
        let key = dice.of(&world.keys());
        world.bucket.hide(key);
    }
}

fn hide(world: &World, is_it: impl Fn(&str) -> bool) {
    world.content.keys().filter(|key| is_it(key)).for_each(|key| world.bucket.hide(key));
}

fn hide_snapshot(world: &World, dice: &mut Dice) {
    let id = dice.of(&world.snapshots(""));
    hide(world, |key| key.contains(id));
}

fn old_state(world: &World, dice: &mut Dice) {
    let ids = world.snapshots("");
    let newer: Vec<&str> = ids[1 + dice.below(ids.len() - 1)..].to_vec();
    hide(world, |key| newer.iter().any(|id| key.contains(id)));
}

fn hide_everything(world: &World, _: &mut Dice) {
    hide(world, |_| true);
}

fn copies(world: &World, dice: &mut Dice) {
    for _ in 0..=dice.below(20) {
        let from = dice.of(&world.snapshots(""));
        let kind = from.split('-').nth(1).unwrap();
        let to = world.id(dice.below(20) as i64 - 5, kind, dice);
        for (name, data) in world.objects(from) {
            world.bucket.write(&format!("{SNAPSHOTS}{to}/{name}"), data);
        }
    }
}

fn made_up(world: &World, dice: &mut Dice) {
    let from = dice.of(&world.snapshots("dump"));
    world.copy(from, &world.id(dice.below(3) as i64, "dump", dice), false, |_| {});
}

fn tombstone(world: &World, dice: &mut Dice) {
    world.tombstone_of_everything(dice, false);
}

fn end_hold(world: &World, _: &mut Dice) {
    let place = "odoo/instances/prod/holds/case-1/";
    world.bucket.write(&format!("{place}removed.json"), "{\"format\": 1}");
}

/// Copies of a snapshot, so many, of these days.
fn signed_copies(world: &World, dice: &mut Dice, count: usize, days: impl Fn(&mut Dice) -> i64) {
    for _ in 0..count {
        let kind = dice.of(&["dump", "filestore"]);
        let from = dice.of(&world.snapshots(kind));
        let of = days(dice);
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(of * DAY);
        let at = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        world.copy(from, &world.id(of, kind, dice), true, |manifest| {
            for field in ["begun", "point", "ended"] {
                manifest[field] = json!(at);
            }
        });
    }
}

fn backdated(world: &World, dice: &mut Dice) {
    let count = 1 + dice.below(4);
    signed_copies(world, dice, count, |dice| 1 + dice.below(12) as i64);
}

fn from_the_future(world: &World, dice: &mut Dice) {
    let count = 1 + dice.below(4);
    signed_copies(world, dice, count, |dice| -1 - dice.below(400) as i64);
}

fn flood(world: &World, dice: &mut Dice) {
    signed_copies(world, dice, 30, |dice| dice.below(8) as i64);
}

fn swapped_recipient(world: &World, dice: &mut Dice) {
    let from = *world.snapshots("dump").last().unwrap();
    world.copy(from, &world.id(0, "dump", dice), true, |manifest| {
        let now = json!(jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        for field in ["begun", "point", "ended"] {
            manifest[field] = now.clone();
        }
        manifest["recipients"] = json!(["age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq"]);
    });
}

/// Of filestores all, since one that still names the others would keep them; of dumps some.
fn needs_nothing(world: &World, dice: &mut Dice) {
    for id in world.snapshots("filestore") {
        let mut manifest = world.manifest(id);
        let files = manifest["filestore"].as_object_mut().unwrap();
        assert!(files.insert("sources".into(), json!([])).is_some());
        assert!(files.insert("index_chain".into(), json!([id])).is_some());
        world.put_manifest(id, &manifest, true);
    }
    for id in world.snapshots("dump") {
        if dice.below(2) > 0 {
            let mut manifest = world.manifest(id);
            assert!(manifest["dump"].as_object_mut().unwrap().remove("filestore").is_some());
            world.put_manifest(id, &manifest, true);
        }
    }
}

/// A check saw the tombstone meanwhile, as it comes every few minutes. Nobody else can know afterwards.
fn announced_and_seen(world: &World, dice: &mut Dice) {
    let check = || drop(world.site.run(&["verify", "--quick"]).run());
    world.announced_and_hidden(dice, "snapshots", &world.snapshots(""), check);
}

fn announced_as_unfinished(world: &World, dice: &mut Dice) {
    world.announced_and_hidden(dice, "unfinished", &world.snapshots(""), || ());
}

fn announced_as_garbage(world: &World, dice: &mut Dice) {
    let folder = dice.of(&["instances", "instances/prod", "instances/prod/snapshots"]);
    world.announced_and_hidden(dice, "garbage", &[folder], || ());
}

fn record_as_garbage(world: &World, dice: &mut Dice) {
    let keys = world.keys();
    let record = keys.iter().find(|key| key.contains("/suspicions/") && key.ends_with(".json")).unwrap();
    world.announced_before(dice, "garbage", &[record.strip_prefix("odoo/").unwrap()]);
    drop(world.site.run(&["verify", "--quick"]).run());
    hide(world, |key| key.contains("/suspicions/"));
}

fn signed_tombstone(world: &World, dice: &mut Dice) {
    world.tombstone_of_everything(dice, true);
}

/// Runs expire now and a day later; what it said.
fn expire(site: &Site, bucket: &Versioned) -> Vec<Outcome> {
    let run = |offset: &str| site.run(&["expire", "--yes", "--max-percent", "100"]).off_by(offset).run();
    let now = run("+0s");
    bucket.set_ahead(DAY + 3_600);
    let later = run("+25h");
    bucket.set_ahead(0);
    vec![now, later]
}

/// The objects of the content that are hidden now.
fn hidden(content: &Content, bucket: &Versioned) -> BTreeSet<String> {
    let now = bucket.content();
    let is_hidden = |key: &&String| now[*key].last().unwrap().data.is_none();
    content.keys().filter(is_hidden).cloned().collect()
}

/// How many versions there are.
fn versions(bucket: &Versioned) -> usize {
    bucket.content().values().map(Vec::len).sum()
}

fn copy_dir(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

#[test]
fn a_thief_makes_our_expire_delete_nothing_of_ours_and_is_reported() {
    let cluster = Cluster::start_default();
    let bucket = Versioned::default();
    let s3 = S3::versioned(&bucket);
    bucket.set_ahead(-10 * DAY);
    let site = Site::s3(&cluster, &s3, "odoo");
    let tenant = small_tenant(&cluster, &site.data_dir(), "shop", 3);
    let text = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), format!("{text}{CLASS}")).unwrap();
    let mut ids = Vec::new();
    for days in [9, 8, 7, 4, 3, 1, 0] {
        tenant.upload(&cluster, &format!("file-{days}"), format!("content {days}").as_bytes());
        if days == 0 {
            // A suspicious backup: there is a record that holds the one before.
            let gone = "delete from sale_order where state in ('sale', 'done')";
            cluster.psql("shop", &format!("set session_replication_role = replica; {gone}"));
        }
        ids.push(back_up(&site, &bucket, days));
    }
    let hold = ["hold", "add", "case-1", "--snapshot", &ids[0].0, "--reason", "audit", "--by", "anna"];
    site.run(&hold).run().ok();
    let (state, saved) = (site.path("lifeboat-state"), site.path("saved-state"));
    copy_dir(&state, &saved);
    let key = SigningKey::load(&site.path("lifeboat-signing-key")).unwrap();
    let world = World { site: &site, bucket: &bucket, content: bucket.content(), key };

    // Without him: something goes, and nothing is reported.
    for command in [&["verify"][..], &["verify", "--quick"], &["list"]] {
        let quiet = site.run(command).run().ok();
        assert!(!quiet.stdout.contains("warning: "), "{quiet}");
    }
    for outcome in expire(&site, &bucket) {
        outcome.ok();
    }
    let quiet = site.run(&["verify", "--quick"]).off_by("+25h").run().ok();
    assert!(!quiet.stdout.contains("warning: "), "our own expire is no thief: {quiet}");
    let honest = hidden(&world.content, &bucket);
    assert!(honest.iter().any(|key| key.contains(&ids[1].0)), "{honest:?}");
    assert!(!honest.iter().any(|key| key.contains(&ids[0].0)), "it is held: {honest:?}");

    // The times of S3 are whole seconds.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let before = ago(2);
    let times = std::env::var("TEST_TIMES").map_or(TIMES, |times| times.parse().unwrap());
    let first: u64 = std::env::var("TEST_SEED").map_or(0, |seed| seed.parse().unwrap());
    let mut failures = Vec::new();
    for seed in first..first + times {
        bucket.restore(world.content.clone());
        copy_dir(&saved, &state);
        s3.faults().clear_log();
        if let Err(why) = history(&world, &honest, &before, seed) {
            println!("seed {seed}: {why}");
            failures.push(format!("seed {seed}: {}", why.lines().next().unwrap_or_default()));
        }
    }
    assert!(failures.is_empty(), "{} of {times} histories:\n{}", failures.len(), failures.join("\n"));
}

/// Whether the record for status and metrics says that something is wrong.
fn kept_on_the_host(site: &Site) -> bool {
    let bytes = fs::read(site.path("lifeboat-state/prod/last-verify.json")).unwrap();
    let last: Value = serde_json::from_slice(&bytes).unwrap();
    let counts = ["findings", "unasked", "problems", "warnings"];
    !last["failed"].is_null() || counts.iter().any(|count| last["done"][count].as_u64() != Some(0))
}

/// One history; what went wrong.
fn history(world: &World, honest: &BTreeSet<String>, before: &str, seed: u64) -> Result<(), String> {
    let mut dice = Dice(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let mut names = Vec::new();
    // Each act once alone, then mixtures.
    let count = if (seed as usize) < ACTS.len() { 1 } else { 1 + dice.below(4) };
    for number in 0..count {
        let act = ACTS.get(seed as usize + number).filter(|_| count == 1);
        let act = act.unwrap_or_else(|| &ACTS[dice.below(ACTS.len())]);
        let before = versions(world.bucket);
        (act.does)(world, &mut dice);
        assert!(versions(world.bucket) > before, "{} did nothing", act.name);
        names.push(act);
    }
    let said: Vec<&str> = names.iter().map(|act| act.name).collect();
    let his = hidden(&world.content, world.bucket);

    let commands = [&["verify", "--quick"][..], &["list"]];
    let checks: Vec<Outcome> = commands.iter().map(|words| world.site.run(words).run()).collect();
    let kept = kept_on_the_host(world.site);
    let expired = expire(world.site, world.bucket);
    let gone: Vec<String> = hidden(&world.content, world.bucket)
        .into_iter()
        .filter(|key| !honest.contains(key) && !his.contains(key))
        .collect();
    let all: Vec<&Outcome> = checks.iter().chain(&expired).collect();
    let shown = || all.iter().map(|outcome| format!("{outcome}\n")).collect::<String>();
    if !gone.is_empty() {
        return Err(format!("{said:?}: expire deleted {} objects\n{gone:#?}\n{}", gone.len(), shown()));
    }
    let quick = &checks[0];
    if quick.code == Some(0) && !quick.stdout.contains("warning: ") {
        return Err(format!("{said:?}: nobody says so\n{}", shown()));
    }
    if !kept {
        return Err(format!("{said:?}: status and metrics will not say so\n{}", shown()));
    }
    let then = world.site.run(&["verify", "--as-of", before]).run();
    // What he announced before that is a problem then as well.
    let is_whole = match said.iter().any(|name| name.ends_with("hides it later")) {
        true => !then.stdout.contains("bad: ") && then.stdout.contains("problem: tombstone"),
        false => then.code == Some(0),
    };
    if !is_whole {
        return Err(format!("{said:?}: what was there is not readable\n{then}"));
    }
    Ok(())
}
