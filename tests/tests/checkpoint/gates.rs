//! Each gate blocks for its own reason, and says it.

use crate::world::{World, found};

#[test]
fn approvals_freeze_windows_and_regions_block_and_only_what_the_tier_allows_is_overridden() {
    let settings = "\n[tier.standard]\nnot_required = [\"drill\"]\noverride = [\"freeze\"]\n\
        [tier.strict]\napprovals = 2\nnot_required = [\"drill\"]\n\
        [freeze.peak]\nschedule = \"* * * * *\"\nlasts = \"2min\"\nreason = \"sales\"\n\
        [cohort.wave1]\ntenants = [\"shop\"]\n";
    let world = World::with(&["shop", "depot"], settings);
    let report = world.blocked("r1", &[], "freeze");
    assert!(found(&report, "freeze").contains("peak (sales) is open until"));
    assert!(found(&report, "migration").contains("the tier requires 1"), "what is not known may be one");
    let points = || world.cluster.log().matches("restore point \"").count();
    assert_eq!(points(), 0, "a release that is refused anyway leaves nothing");
    let release = ["--migration-approved-by", "ben"];
    let over = ["--override", "freeze", "--reason", "payments fail", "--by", "anna"];
    world.blocked("r1", &[&over[..], &["--tier", "standard"]].concat(), "migration");
    world
        .checkpoint("r1", &[&over[..], &["--tier", "strict"]].concat())
        .run()
        .exits(2)
        .says("does not allow an override");
    world.checkpoint("r1", &["--override", "freeze"]).run().exits(2);
    world.checkpoint("r1", &["--override", "chain", "--reason", "x", "--by", "y"]).run().exits(2);
    world.blocked("r1", &[&release[..], &["--tier", "strict"]].concat(), "approval");
    let report = world.pass("r1", &[&over[..], &release[..], &["--cohort", "wave1"]].concat());
    let gate = report["checkpoint"]["gates"]
        .as_array()
        .unwrap()
        .iter()
        .find(|gate| gate["gate"] == "freeze")
        .unwrap();
    assert_eq!(gate["overridden"]["reason"], "payments fail");
    assert_eq!(report["checkpoint"]["scope"]["tenants"], serde_json::json!(["shop"]));
    // the record of one wave is not that of another
    world.pass("r1", &["--tenant", "shop"]);
    world.checkpoint("r1", &["--tenant", "depot"]).run().exits(16).says("does not cover depot");
    world.checkpoint("r1", &[]).run().exits(16).says("does not cover depot");
    world.checkpoint("r2", &["--cohort", "wave2"]).run().exits(2).says("known cohorts: wave1");
}

#[test]
fn a_repository_in_a_region_that_is_not_allowed_blocks_and_so_does_one_that_names_none() {
    let mut world = World::new(&["shop"]);
    world.site.set("LIFEBOAT_CHECKPOINT_REGIONS_ALLOWED", "eu-central-1,eu-west-1");
    let report = world.blocked("r1", &[], "region");
    assert!(found(&report, "region").contains("repository.region is not set"), "{report}");
    world.site.set("LIFEBOAT_REPOSITORY_REGION", "us-east-1");
    let report = world.blocked("r1", &[], "region");
    let told = "the repository is in us-east-1; allowed: eu-central-1, eu-west-1";
    assert_eq!(found(&report, "region"), told);
    let over = ["--override", "region", "--reason", "x", "--by", "y"];
    world.checkpoint("r1", &over).run().exits(2).says("does not allow an override of gate region");
    assert_eq!(world.points(), 0, "nothing is stored there");
    world.site.set("LIFEBOAT_REPOSITORY_REGION", "eu-west-1");
    let report = world.pass("r1", &[]);
    assert_eq!(report["checkpoint"]["repositories"][0]["region"], "eu-west-1");
}

#[test]
fn a_drill_that_failed_and_a_base_backup_that_is_too_old_block() {
    let world = World::with(&["shop"], "\n[tier.standard]\nnot_required = [\"migration\"]\n");
    // The backup's restore breaks a rule, so its drill fails.
    let broken =
        "update stock_quant set quantity = quantity + 1 where id = (select min(id) from stock_quant)";
    world.cluster.psql("shop", broken);
    world.site.back_up(&["--tenant", "shop"]);
    let drill = world.site.drill("shop", "").run();
    assert_ne!(drill.code, Some(0), "{drill}");
    let report = world.blocked("r1", &[], "drill");
    let told = found(&report, "drill");
    assert!(told.starts_with("drill ") && told.contains(" of shop: failed"), "{told}");
    // A directory has no clock but this host's.
    let late = world.checkpoint("r1", &["--json"]).off_by("+9d").run().exits(19).json();
    let told = found(&late, "base");
    assert!(told.contains("the limit is 8 d 0 h (checkpoint.base_age_max)"), "{told}");
    let told = found(&late, "drill");
    assert!(told.contains("failed, 9 d 0 h ago"), "{told}");
}

#[test]
fn a_dead_agent_a_lost_slot_and_a_missing_drill_block() {
    let mut world = World::with(&["shop"], "\n[tier.standard]\nnot_required = [\"migration\"]\n");
    let report = world.blocked("r1", &[], "drill");
    assert!(found(&report, "drill").contains("no restore drill is stored that a trusted key signed"));
    world.kill_agent();
    let report = world.blocked("r1", &["--timeout", "2s"], "agent");
    assert!(found(&report, "agent").contains("nobody streams"), "{}", found(&report, "agent"));
    assert!(found(&report, "wal").contains("was not stored after"), "{}", found(&report, "wal"));
    world.cluster.psql("postgres", "select pg_drop_replication_slot('lifeboat')");
    let report = world.blocked("r1", &["--timeout", "2s"], "agent");
    assert!(found(&report, "agent").contains("there is no replication slot"));
}

#[test]
fn a_dry_run_says_what_would_block_and_makes_nothing() {
    let mut managed = World::bare(&["shop"], crate::world::TIERS);
    managed.site.set("LIFEBOAT_WAL_STREAM", "false");
    managed.site.back_up(&[]);
    let out = managed.checkpoint("r1", &["--dry-run"]).run().ok();
    assert!(out.stdout.contains("dumps are taken instead of a restore point"), "{}", out.stdout);
    let world = World::new(&["shop"]);
    let out = world.checkpoint("r1", &["--dry-run"]).run().ok();
    assert!(out.stdout.contains("no gate that was checked blocks it"), "{}", out.stdout);
    assert!(!world.site.stored.join("instances/prod/releases").exists());
    assert_eq!(world.cluster.log().matches("restore point").count(), 0);
    let out = world.site.run(&["checkpoint", "--release", "r1", "--dry-run"]).run().exits(19);
    assert!(out.stdout.contains("BLOCKED release r1: gate approval"), "{}", out.stdout);
}

#[test]
fn a_file_that_is_neither_stored_nor_on_disk_blocks_and_one_on_disk_is_stored() {
    let mut world = World::new(&["shop"]);
    world.kill_agent();
    let shop = &world.tenants[0];
    let kept = shop.upload(&world.cluster, "kept.pdf", b"on disk, and the agent is dead");
    let lost = shop.upload(&world.cluster, "lost.pdf", b"gone before anybody stored it");
    std::fs::remove_file(shop.filestore().path(&lost)).unwrap();
    let report = world.blocked("r1", &["--timeout", "3s"], "filestore");
    let told = found(&report, "filestore");
    assert!(told.contains(&lost) && !told.contains(&kept), "{told}");
    world.cluster.psql("shop", &format!("delete from ir_attachment where store_fname = '{lost}'"));
    world.start_agent();
    let report = world.pass("r1", &[]);
    assert!(report["checkpoint"]["tenants"][0]["files"]["named"].as_u64().unwrap() > 0);
}
