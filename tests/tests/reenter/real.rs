//! What was exported is entered, once, and agrees.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::scene::{LIMIT, NO_ODOO, POINT, TENANT, assert_agrees, documents, in_the_database, scene};

#[test]
fn what_was_exported_is_entered_once_and_agrees_to_the_cent() {
    let Some(scene) = scene() else {
        lifeboat_tests::skip!("{NO_ODOO}");
    };
    let source = scene.source();
    let before = scene.counts();

    let dry = scene.reenter(&["--dry-run", "--json"]).exits(3).json();
    assert_eq!(scene.counts(), before, "a dry run writes nothing");
    assert!(!scene.site.path("out/reentered.json").exists());
    let planned = documents(&dry);
    assert_eq!(planned[&format!("sale-order {}", scene.made.delivered)]["outcome"], "to-enter");
    let why = &planned[&format!("sale-order {}", scene.made.of_new_product)];
    assert_eq!(why["outcome"], "refused");
    assert!(why["why"].as_str().unwrap().contains("NEW-PROD"), "{why}");
    assert_eq!(planned[&format!("sale-order {}", scene.made.cancelled)]["outcome"], "left-out");

    scene.command(TENANT, &["--yes"]).run().exits(16).says("is the one that was exported");
    scene.assert_untouched(&source);
    scene.reenter(&[]).exits(16).says("pass --yes");
    assert_eq!(scene.counts(), before);

    let entered = scene.reenter(&["--yes", "--json"]).exits(3).json();
    let all = documents(&entered);
    for name in [&scene.made.delivered, &scene.made.partly, &scene.made.quotation] {
        let one = &all[&format!("sale-order {name}")];
        assert_eq!(one["outcome"], "entered", "{one:#}");
        assert_agrees(one);
    }
    for one in all.values() {
        match one["outcome"].as_str().unwrap() {
            "entered" => assert_agrees(one),
            "left-out" => {}
            _ => assert!(one["old_name"] == *scene.made.of_new_product, "{one:#}"),
        }
    }
    let kinds =
        |kind: &str| all.values().filter(|one| one["kind"] == kind && one["outcome"] == "entered").count();
    let by_kind = ["partner", "sale-order", "picking", "payment", "pos-order"].map(kinds);
    assert_eq!(by_kind, [2, 3, 4, 1, 2], "{entered:#}");
    let report = scene.site.path("out/reentered.json");
    assert_eq!(std::fs::metadata(&report).unwrap().permissions().mode() & 0o777, 0o600);
    let written: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!(written, entered);
    in_the_database(&scene);

    let after = scene.counts();
    let again = scene.reenter(&["--yes", "--json"]).exits(3).json();
    assert_eq!(scene.counts(), after, "a second run enters nothing");
    for (name, one) in documents(&again) {
        let expected = if all[&name]["outcome"] == "entered" {
            json!("entered-before")
        } else {
            all[&name]["outcome"].clone()
        };
        assert_eq!(one["outcome"], expected, "{one:#}");
        assert_eq!(one["new_id"], all[&name]["new_id"], "{one:#}");
    }
    scene.assert_untouched(&source);
}

#[test]
fn a_run_that_is_killed_at_any_document_enters_nothing_twice() {
    let Some(scene) = scene() else {
        lifeboat_tests::skip!("{NO_ODOO}");
    };
    let entered = || -> u64 {
        let marks = "select count(*) from ir_model_data where module = 'lifeboat_salvage'";
        let more =
            "select count(*) from pos_order where create_date > now() at time zone 'UTC' - interval '1 hour'";
        scene.cluster.psql(POINT, marks).parse::<u64>().unwrap()
            + scene.cluster.psql(POINT, more).parse::<u64>().unwrap()
    };
    for at in [1, 5, 8, 11, 13] {
        let mut run = scene.command(POINT, &["--yes"]).spawn();
        let deadline = Instant::now() + LIMIT;
        while entered() < at && run.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        run.kill9();
    }
    let report = scene.reenter(&["--yes", "--json"]).exits(3).json();
    for one in report["documents"].as_array().unwrap() {
        if matches!(one["outcome"].as_str(), Some("entered" | "entered-before")) {
            assert_agrees(one);
        }
    }
    in_the_database(&scene);
}
