//! What a checkpoint leaves, and what a second call gives.

use std::fs;

use crate::world::{TIERS, World, found, gates};

#[test]
fn a_release_that_can_be_undone_passes_and_the_tenant_comes_back_as_it_was_at_the_point() {
    let world = World::new(&["shop", "depot"]);
    let shop = &world.tenants[0];
    let new = shop.upload(&world.cluster, "new.pdf", b"written before the release");
    let before = shop.state(&world.cluster);
    let report = world.pass("2026.11.20", &["--commit", "4f3a9c1", "--ticket", "CHG-7"]);
    let checkpoint = &report["checkpoint"];
    assert_eq!(report["existed"], false);
    assert_eq!(checkpoint["scope"]["tenants"], serde_json::json!(["depot", "shop"]));
    assert_eq!(checkpoint["scope"]["all"], true);
    assert!(
        gates(&report).iter().all(|(_, outcome, _)| ["passed", "not-required"].contains(&outcome.as_str()))
    );
    let state = |name: &str| {
        let all = checkpoint["tenants"].as_array().unwrap();
        all.iter().find(|state| state["tenant"] == name).unwrap().clone()
    };
    assert_eq!(state("shop")["files"]["missing"], 0);
    assert!(state("shop")["files"]["named"].as_u64().unwrap() > 0);
    assert!(world.evidence("2026.11.20").is_file());
    let beside = |name: &str| world.evidence("2026.11.20").with_file_name(name);
    let page = fs::read_to_string(beside("evidence.md")).unwrap();
    assert!(page.contains("2026.11.20") && page.contains("CHG-7"), "{page}");
    for name in ["svr.json", "schema.json"] {
        assert!(beside(name).is_file(), "{name}");
    }

    // a second call gives the same record, and makes nothing
    let again = world.pass("2026.11.20", &["--commit", "4f3a9c1"]);
    assert_eq!((again["existed"].clone(), &again["checkpoint"]), (true.into(), checkpoint));
    world.checkpoint("2026.11.20", &["--commit", "0000000"]).run().exits(16).says("another commit");
    let file = world.evidence("2026.11.20").display().to_string();
    let key = world.site.path("lifeboat-evidence-key.pub.pem").display().to_string();
    world.site.run(&["evidence", "verify", &file, "--key", &key]).run().ok();
    world.site.run(&["evidence", "require", "--release", "2026.11.20", "--commit", "4f3a9c1"]).run().ok();

    world
        .site
        .run(&["restore", "--tenant", "shop", "--before-release", "r9"])
        .run()
        .exits(5)
        .says("no checkpoint");

    // the bad release
    world.cluster.psql("shop", "update res_partner set name = 'bad'; drop table res_users cascade");
    fs::remove_file(shop.filestore().path(&new)).unwrap();
    let plan =
        world.site.run(&["restore", "--tenant", "shop", "--before-release", "2026.11.20", "--dry-run"]);
    plan.args(["--stored-only", "--json"]).run().ok();
    let restore = ["restore", "--tenant", "shop", "--release", "2026.11.20", "--as", "back", "--yes"];
    world
        .site
        .run(&restore)
        .arg("--no-neutralize")
        .arg("--identity")
        .arg(world.site.path("lifeboat-identity.txt"))
        .run()
        .ok();
    let back = lifeboat_tests::tenant::state(
        &world.cluster,
        "back",
        &lifeboat_tests::filestore::Filestore::of(&world.site.data_dir(), "back"),
    );
    // replay sets a sequence up to 32 further than it was (PostgreSQL's SEQ_LOG_VALS)
    let but_sequences = |state: &lifeboat_tests::tenant::State| {
        let all = state.database.iter().filter(|(name, _)| !name.starts_with("sequence "));
        all.map(|(name, value)| (name.clone(), value.clone())).collect::<std::collections::BTreeMap<_, _>>()
    };
    lifeboat_tests::compare::assert_same("the database", &but_sequences(&back), &but_sequences(&before));
    lifeboat_tests::compare::assert_same("the files", &back.files, &before.files);
}

#[test]
fn each_checkpoint_names_the_one_before_it_and_what_changed_since() {
    let world = World::new(&["shop"]);
    world.pass("r1", &[]);
    world.cluster.psql("shop", "update ir_module_module set latest_version = '17.0.9.9' where name = 'base'");
    let second = world.pass("r2", &[]);
    assert_eq!(second["checkpoint"]["previous"]["release"], "r1");
    let changes = &second["checkpoint"]["tenants"][0]["module_changes"];
    assert_eq!((&changes[0]["name"], &changes[0]["to"]), (&"base".into(), &"17.0.9.9".into()));
    world.site.run(&["evidence", "list"]).run().ok();
    let odd = "release/2026 é".to_owned() + &"x".repeat(180);
    world.pass(&odd, &[]);
    assert_eq!(world.pass(&odd, &[])["existed"], true);
}

#[test]
fn two_calls_at_once_make_one_and_a_killed_one_is_finished() {
    let world = World::new(&["shop"]);
    let calls = [world.checkpoint("r1", &["--json"]).spawn(), world.checkpoint("r1", &["--json"]).spawn()];
    let reports = calls.map(|call| call.finish().ok().json());
    assert_eq!(reports[0]["checkpoint"], reports[1]["checkpoint"]);
    let points = |world: &World| world.cluster.log().matches("restore point \"lifeboat-").count();
    assert_eq!(points(&world), 1);

    // killed while it waits for WAL that does not come
    let mut world = world;
    world.kill_agent();
    let waits = world.checkpoint("r2", &["--timeout", "50s"]).spawn();
    crate::world::until("the point is made", || points(&world) == 2);
    waits.kill9();
    world.start_agent();
    let report = world.pass("r2", &[]);
    assert_eq!(
        points(&world),
        3,
        "what is looked at around a point belongs to it: the next call makes its own"
    );
    let point = report["checkpoint"]["point"]["name"].as_str().unwrap();
    assert!(world.cluster.log().rsplit("restore point \"").next().unwrap().starts_with(point), "{point}");
    assert!(found(&report, "wal").contains("stored up to"));
}

#[test]
fn without_a_physical_backup_dumps_are_taken_and_what_that_costs_is_said() {
    let mut world = World::bare(&["shop"], TIERS);
    world.site.set("LIFEBOAT_WAL_STREAM", "false");
    let before = world.tenants[0].state(&world.cluster);
    let report = world.pass("r1", &[]);
    assert!(report["checkpoint"]["point"].is_null());
    assert!(report["notes"][0].as_str().unwrap().contains("there is no physical backup"));
    assert!(found(&report, "filestore").contains("are stored"));
    let dump = report["checkpoint"]["tenants"][0]["dump"]["id"].as_str().unwrap();
    world.cluster.psql("shop", "update res_partner set name = 'bad'");
    let restore =
        ["restore", "--tenant", "shop", "--snapshot", dump, "--as", "back", "--yes", "--no-neutralize"];
    world.site.run(&restore).arg("--identity").arg(world.site.path("lifeboat-identity.txt")).run().ok();
    let files = lifeboat_tests::filestore::Filestore::of(&world.site.data_dir(), "back");
    assert_eq!(lifeboat_tests::tenant::state(&world.cluster, "back", &files), before);
    world
        .site
        .run(&["restore", "--tenant", "shop", "--before-release", "r1"])
        .run()
        .exits(16)
        .says("has no restore point");
}
