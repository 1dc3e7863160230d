//! The store's legal hold: on each version that a hold keeps, from the next expire until no hold keeps it;
//! and in doubt for longer.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use lifeboat_tests::faults::on;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Ministack, Outcome, Program, skip, small_tenant};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::backup::{shop, site, stored};
use super::bucket;

/// Nothing but a window, so that what is older goes when something newer is stored.
const CLASS: &str = "daily = 0\nweekly = 0\nmonthly = 0\nyearly = 0\n";
const SNAPSHOTS: &str = "p/instances/prod/snapshots";

/// Keys and versions.
type Versions = Vec<(String, String)>;

/// A site and a server under one clock, which a test sets.
struct World {
    server: Ministack,
    cluster: Cluster,
    site: Site,
    clock: PathBuf,
    _dir: TempDir,
}

impl World {
    fn start() -> Result<World, String> {
        let dir = tempfile::tempdir().unwrap();
        let clock = dir.path().join("clock");
        fs::write(&clock, "+0\n").unwrap();
        let server = Ministack::start_under_clock_of(&clock)?;
        let cluster = Cluster::start_default();
        cluster.psql("postgres", "alter system set wal_keep_size = '1GB'");
        cluster.psql("postgres", "select pg_reload_conf()");
        let mut site = site(&cluster, &server);
        site.set("LIFEBOAT_EXPIRE_GRACE", "1h");
        site.set("LIFEBOAT_EXPIRE_MAX_PERCENT", "100");
        let text = fs::read_to_string(site.config()).unwrap();
        fs::write(site.config(), text.replace("daily = 3\nweekly = 0\nmonthly = 0\n", CLASS)).unwrap();
        small_tenant(&cluster, &site.data_dir(), "shop", 5);
        Ok(World { server, cluster, site, clock, _dir: dir })
    }

    fn at(&self, hours: &str) {
        fs::write(&self.clock, format!("+{hours}h\n")).unwrap();
    }

    fn run(&self, args: &[&str]) -> Program {
        self.site.run(args).clock_of(&self.clock)
    }

    fn expire(&self) -> Outcome {
        self.run(&["expire", "--yes", "--json"]).run()
    }

    /// What a dump of the only tenant, its filestore and a base backup are called.
    fn back_up(&self) -> [String; 3] {
        let made = self.site.backup(&["--json"]).clock_of(&self.clock).run().ok().json();
        let id = |kind: &str| made["tenants"][0][kind]["id"].as_str().unwrap().to_owned();
        let base = self.site.backup(&["--kind", "base", "--full", "--json"]).clock_of(&self.clock).run();
        let base = base.ok().json()["manifest"]["id"].as_str().unwrap().to_owned();
        [id("dump"), id("filestore"), base]
    }

    /// Stores all WAL that is complete.
    fn push_wal(&self) {
        let last = self.cluster.psql("postgres", "select pg_walfile_name(pg_switch_wal())");
        let mut files: Vec<_> = fs::read_dir(self.cluster.data_dir().join("pg_wal")).unwrap().collect();
        files.sort_by_key(|file| file.as_ref().unwrap().file_name());
        for file in files {
            let name = file.as_ref().unwrap().file_name().into_string().unwrap();
            if name.len() == 24 && name.as_str() <= last.trim() {
                self.run(&["wal", "push"]).arg(file.unwrap().path()).run().ok();
            }
        }
    }

    fn hold(&self, name: &str, snapshot: &str) -> Outcome {
        self.run(&["hold", "add", name, "--snapshot", snapshot, "--reason", "audit", "--by", "anna"])
            .run()
            .ok()
    }

    fn release(&self, name: &str) -> Outcome {
        self.run(&["hold", "remove", name, "--reason", "closed", "--by", "anna"]).run().ok()
    }

    /// The versions below a prefix that have a legal hold, and those that have none.
    fn versions(&self, prefix: &str) -> (Versions, Versions) {
        stored(&self.server, prefix).into_iter().partition(|(key, id)| is_held(&self.server, key, id))
    }

    fn is_nothing_held(&self) {
        let held = self.versions("p/").0;
        assert!(held.iter().all(|(key, _)| key == "p/lifeboat.json"), "{held:?}");
    }

    /// All versions of a snapshot are held, or none is.
    fn all_held(&self, prefix: &str) -> bool {
        let (held, others) = self.versions(prefix);
        assert!(held.is_empty() != others.is_empty(), "{prefix}: held {held:?}, not held {others:?}");
        others.is_empty()
    }
}

fn is_held(server: &Ministack, key: &str, id: &str) -> bool {
    let (_, answer) = server.ask("GET", &format!("/{key}?legal-hold&versionId={id}"), &[], "");
    answer.contains("<Status>ON</Status>")
}

macro_rules! world {
    () => {
        match World::start() {
            Ok(world) => world,
            Err(why) => skip!("{why}"),
        }
    };
}

fn legal_holds(done: &Value) -> (u64, u64) {
    let count = |name: &str| done["locks"]["legal_holds"][name].as_u64().unwrap();
    (count("set"), count("lifted"))
}

#[test]
fn what_is_held_gets_a_legal_hold_and_loses_it_when_no_hold_keeps_it() {
    let world = world!();
    let [dump, files, base] = world.back_up();
    world.push_wal();
    world.at("3");
    let [new_dump, _, new_base] = world.back_up();
    world.push_wal();
    let folder = |id: &str| format!("{SNAPSHOTS}/{id}/");
    let said = world.hold("case-dump", &dump);
    assert!(said.stdout.contains("the next lifeboat expire sets the store's legal hold on it"), "{said}");
    world.hold("case-base", &base);
    // An older version of something that is held.
    let signature = format!("{}manifest.json.sig", folder(&dump));
    let text = world.server.expect("GET", &format!("/{signature}"), &[], "");
    world.server.expect("PUT", &format!("/{signature}"), &[], &text);

    // `lifeboat.json` and the second version have no lock yet.
    let done = world.expire().exits(3).json();
    assert_eq!((&done["locks"]["too_short"], &done["locks"]["failed"]), (&2.into(), &0.into()), "{done}");
    let (all, others) = world.versions("p/");
    assert_eq!(legal_holds(&done), (all.len() as u64, 0), "{done}");
    for id in [&dump, &files, &base] {
        assert!(world.all_held(&folder(id)), "{id}");
    }
    assert_eq!(stored(&world.server, &signature).len(), 2);
    for id in [&new_dump, &new_base] {
        assert!(!world.all_held(&folder(id)), "{id}");
    }
    // The WAL of that base backup, and not that of the later one.
    let (wal, later_wal) = world.versions("p/instances/prod/wal/0");
    assert!(!wal.is_empty() && !later_wal.is_empty(), "{wal:?} {later_wal:?}");
    assert!(
        wal.iter().max() < later_wal.iter().min() || wal.len() < later_wal.len(),
        "{wal:?} {later_wal:?}"
    );
    // What makes the place a repository, and the hold itself.
    for key in
        ["p/lifeboat.json", "p/instances/prod/instance.json", "p/instances/prod/holds/case-dump/hold.json"]
    {
        assert!(world.all_held(key), "{key}");
    }
    assert!(others.iter().any(|(key, _)| key.ends_with("/lease")), "{others:?}");
    // A thief with all rights but one: a lock of the mode governance is no obstacle to him.
    let bypass = [("x-amz-bypass-governance-retention", "true")];
    for (key, id) in &all {
        let (status, _) = world.server.ask("DELETE", &format!("/{key}?versionId={id}"), &bypass, "");
        assert_eq!(status, 403, "{key} was deleted");
    }
    let again = world.expire().ok().json();
    assert_eq!(legal_holds(&again), (0, 0), "{again}");

    // A removed hold holds for one more grace.
    let said = world.release("case-dump");
    assert!(
        said.stdout.contains("one expire.grace from now, lifeboat expire lifts the store's legal hold"),
        "{said}"
    );
    world.release("case-base");
    let early = world.expire().ok().json();
    // The records of both removals.
    assert_eq!(legal_holds(&early), (4, 0), "{early}");
    world.at("5");
    let text = world.run(&["expire", "--yes"]).run().ok().stdout;
    // All but that of `lifeboat.json`, which other instances need as well.
    assert!(text.contains(&format!("; 0 legal holds set, {} lifted", all.len() + 3)), "{text}");
    world.is_nothing_held();
    // The lock stays.
    let (key, id) = &all[0];
    assert_eq!(world.server.ask("DELETE", &format!("/{key}?versionId={id}"), &[], "").0, 403, "{key}");
}

#[test]
fn what_expire_has_deleted_keeps_no_legal_hold_for_ever() {
    let world = world!();
    let [dump, ..] = world.back_up();
    world.push_wal();
    world.hold("case", &dump);
    world.at("3");
    world.back_up();
    world.expire().exits(3);
    let held: BTreeSet<_> = world.versions("p/").0.into_iter().collect();
    world.release("case");

    // It cannot be lifted before and while expire deletes.
    world.at("5");
    world.server.s3().plan(on("PUT", "legal-hold").respond(403));
    let announced = world.expire().exits(3);
    assert!(announced.stderr.contains("LEGAL HOLD NOT LIFTED: "), "{announced}");
    assert!(announced.stderr.contains("s3:PutObjectLegalHold may be missing"), "{announced}");
    let locks = &announced.json()["locks"];
    let others = held.len() as u64 - 1;
    assert_eq!((&locks["failed"], &locks["legal_holds"]["not_lifted"]), (&0.into(), &others.into()));
    let status = world.run(&["status"]).run();
    assert!(
        status.stdout.contains(&format!("could not lift the legal hold of {others} objects")),
        "{status}"
    );
    world.at("7");
    let deleted = world.expire().exits(3).json();
    assert!(deleted["done"]["snapshots"].as_u64().unwrap() > 0, "{deleted}");
    let (status, _) = world.server.ask("HEAD", &format!("/{SNAPSHOTS}/{dump}/manifest.json"), &[], "");
    assert_eq!(status, 404, "it is hidden");
    assert!(world.all_held(&format!("{SNAPSHOTS}/{dump}/")));

    // A record of a hold that nobody can read may hold anything.
    world.server.s3().faults().clear();
    world.at("9");
    let foreign = "/p/instances/prod/holds/foreign/hold.json";
    world.server.expect("PUT", foreign, &[], "{}");
    let doubt = world.run(&["expire", "--yes"]).run().exits(3);
    assert!(doubt.stdout.contains("none lifted: not everything"), "{doubt}");
    assert_eq!(world.versions("p/").0.into_iter().collect::<BTreeSet<_>>(), held);
    world.server.expect("DELETE", foreign, &[], "");

    let done = world.expire().ok().json();
    assert_eq!(legal_holds(&done), (0, others), "{done}");
    world.is_nothing_held();
}

#[test]
fn what_somebody_else_deleted_keeps_its_legal_hold() {
    let world = world!();
    let [dump, _, base] = world.back_up();
    world.push_wal();
    world.hold("case", &dump);
    world.hold("case-base", &base);
    world.expire().exits(3);
    let (wal, _) = world.versions("p/instances/prod/wal/0");
    let index = stored(&world.server, &format!("{SNAPSHOTS}/{dump}/index")).remove(0);
    // As a rule of the bucket would do.
    for (key, _) in wal.iter().chain([&index]) {
        world.server.expect("DELETE", &format!("/{key}"), &[], "");
    }
    let done = world.expire().json();
    assert_eq!(legal_holds(&done), (0, 0), "{done}");
    for (key, id) in wal.iter().chain([&index]) {
        assert!(is_held(&world.server, key, id), "{key}");
    }
    // Until nothing is held any more.
    world.release("case");
    world.release("case-base");
    world.at("3");
    world.expire();
    world.is_nothing_held();
}

#[test]
fn a_hold_whose_record_somebody_hid_keeps_its_legal_holds() {
    let world = world!();
    let [dump, _, base] = world.back_up();
    world.hold("case", &dump);
    world.hold("case-base", &base);
    world.expire().exits(3);
    for (key, _) in stored(&world.server, "p/instances/prod/holds/case/") {
        world.server.expect("DELETE", &format!("/{key}"), &[], "");
    }
    let done = world.expire().json();
    assert_eq!(legal_holds(&done), (0, 0), "{done}");
    assert!(done["locks"]["legal_holds"]["in_doubt"].to_string().contains("holds/case"), "{done}");
    assert!(world.all_held(&format!("{SNAPSHOTS}/{dump}/")));
}

#[test]
fn a_version_that_refuses_its_legal_hold_is_named_and_stops_no_other() {
    let world = world!();
    let [dump, ..] = world.back_up();
    world.hold("case", &dump);
    world.expire().exits(3);
    world.release("case");
    world.at("3");
    world.expire().ok();
    world.is_nothing_held();
    world.hold("again", &dump);
    let pack = format!("{dump}/packs/000000.tar.zst.age");
    let refused = world.server.s3().plan(on("PUT", &format!("{pack}?legal-hold")).respond(403));
    // Another one is throttled, and a third says that it is done.
    world.server.s3().plan(on("PUT", "manifest.json?legal-hold").first(2).respond(503));
    let forgotten = world.server.s3().plan(on("PUT", "manifest.json.sig?legal-hold").respond(200));
    let outcome = world.expire().exits(3);
    assert!(refused.fired() > 0 && forgotten.fired() > 0);
    let done = outcome.json();
    let failures = done["locks"]["failures"].as_array().unwrap();
    let why = |name: &str| {
        let of = failures.iter().find(|one| one["key"].as_str().unwrap().ends_with(name));
        of.unwrap_or_else(|| panic!("{name} in {failures:?}"))["why"].as_str().unwrap()
    };
    assert!(why(&pack).contains("s3:GetObjectLegalHold or s3:PutObjectLegalHold may be missing"), "{done}");
    assert!(why("manifest.json.sig").contains("is not set when it is read back"), "{done}");
    assert!(outcome.stderr.contains(&format!("NOT LOCKED LONG ENOUGH: instances/prod/snapshots/{pack}: ")));
    for (key, id) in stored(&world.server, &format!("{SNAPSHOTS}/{dump}/")) {
        let should = !key.ends_with(&pack) && !key.ends_with("manifest.json.sig");
        assert_eq!(is_held(&world.server, &key, &id), should, "{key}");
    }
    world.server.s3().faults().clear();
    let done = world.expire().ok().json();
    assert_eq!(legal_holds(&done), (failures.len() as u64, 0), "{done}");
}

#[test]
fn a_store_without_legal_holds_is_named_once() {
    let world = world!();
    let [dump, ..] = world.back_up();
    world.hold("case", &dump);
    world.server.s3().plan(on("*", "legal-hold").respond(501));
    let outcome = world.expire().exits(3);
    let done = outcome.json();
    assert_eq!(done["locks"]["failed"], 1, "{done}");
    assert_eq!(outcome.stderr.matches("the store has no legal holds").count(), 1, "{outcome}");
    // There is nothing to lift.
    world.release("case");
    world.at("3");
    let done = world.expire().ok().json();
    assert_eq!(done["locks"]["failed"], 0, "{done}");
}

#[test]
fn where_there_never_was_a_hold_no_version_is_asked() {
    let server = bucket!();
    let (_cluster, site) = shop(&server, 5);
    site.back_up(&[]);
    let done = site.run(&["expire", "--yes", "--json"]).run().exits(3).json();
    assert!(
        done["locks"]["checked"].as_u64().unwrap() > 0 && done["locks"]["legal_holds"].is_null(),
        "{done}"
    );
    assert_eq!(server.s3().faults().count("*", "legal-hold"), 0);
    assert_eq!(done["locks"]["too_short_keys"], json!(["lifeboat.json"]), "{done}");
}
