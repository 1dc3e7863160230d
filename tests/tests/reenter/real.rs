//! What was exported is entered, once, and agrees.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::business::{PRICE, REFERENCE, STREET};
use super::scene::{LIMIT, NO_ODOO, POINT, Scene, TENANT, assert_agrees, documents, in_the_database, scene};

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
    assert_eq!(by_kind, [2, 3, 4, 2, 2], "{entered:#}");
    by_hand(&scene, &entered);
    payments(&scene, &all);
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

/// What existed at the point and was changed after it is listed with what changed, and so is new master data.
fn by_hand(scene: &Scene, report: &Value) {
    let changed = report["changed"].as_array().unwrap();
    let of = |kind: &str, name: &str| {
        let found =
            changed.iter().find(|one| one["kind"] == kind && one["name"].as_str().unwrap().contains(name));
        found.unwrap_or_else(|| panic!("{kind} {name}: {changed:#?}"))
    };
    let column = |one: &Value, name: &str| {
        let found = one["columns"].as_array().unwrap().iter().find(|column| column["column"] == name);
        found.unwrap_or_else(|| panic!("{name}: {one:#}")).clone()
    };
    let moved = of("partners", &scene.made.moved);
    assert!(moved["why"].as_str().unwrap().starts_with("changed after the point"), "{moved:#}");
    let street = column(moved, "street");
    assert!(street["now"] == STREET && street["at_point"] != STREET, "{street:#}");
    let order = of("sale-orders", &scene.made.changed);
    assert_eq!(column(order, "client_order_ref")["now"], REFERENCE);
    let price = |one: &&Value| one["kind"] == "products" && one["change"] == "changed";
    let price = column(changed.iter().find(price).unwrap(), "list_price");
    assert_eq!(price["now"], PRICE.to_string());
    assert_ne!(price["at_point"], price["now"]);
    let paid = of("invoices", &scene.made.paid);
    assert_eq!(column(paid, "payment_state")["at_point"], "not_paid");
    for kind in ["products", "product-variants"] {
        assert_eq!(of(kind, "NEW-PROD")["change"], "new");
    }
    let partners = changed.iter().filter(|one| one["kind"] == "partners" && one["change"] == "new");
    assert_eq!(partners.count(), 0, "new partners are entered");

    let shown = scene.reenter(&["--dry-run"]).exits(3);
    let text: Vec<&str> = shown.stdout.split_whitespace().collect();
    let text = text.join(" ");
    let before = street["at_point"].as_str().map_or("empty".to_owned(), |street| format!("{street:?}"));
    let said = [
        "not entered".to_owned(),
        format!("res partner {:?} (id", scene.made.moved),
        format!("street {before} -> {STREET:?}"),
        "list_price".to_owned(),
        "repeat by hand what people changed".to_owned(),
        format!("it paid invoice {:?}", scene.made.paid),
    ];
    for said in said {
        assert!(text.contains(&said), "{said:?} is not in {shown}");
    }
}

/// Each payment says which invoices it paid in the source, and that it is reconciled with none.
fn payments(scene: &Scene, all: &BTreeMap<String, Value>) {
    let payments: Vec<&Value> = all.values().filter(|one| one["kind"] == "payment").collect();
    let notes = |one: &Value| one["notes"].to_string();
    let (with, without): (Vec<&Value>, Vec<&Value>) =
        payments.into_iter().partition(|one| !one["paid"].as_array().unwrap().is_empty());
    let [with] = with.as_slice() else { panic!("one payment paid an invoice: {with:#?}") };
    let paid = &with["paid"][0];
    assert_eq!(
        (&paid["name"], &paid["at_point"]),
        (&scene.made.paid.as_str().into(), &true.into()),
        "{paid:#}"
    );
    let total = format!("{} {}", paid["amount"].as_str().unwrap(), paid["currency"].as_str().unwrap());
    assert_eq!(with["total"], total, "all of it paid this invoice");
    assert!(
        notes(with).contains(&scene.made.paid) && notes(with).contains("reconcile it by hand"),
        "{with:#}"
    );
    assert!(notes(without[0]).contains("it paid no invoice"), "{:#}", without[0]);
    let id = with["new_id"].as_i64().unwrap();
    let reconciled = "select count(*) from account_partial_reconcile p join account_move_line l \
        on l.id in (p.debit_move_id, p.credit_move_id) where l.payment_id = ";
    assert_eq!(scene.cluster.psql(POINT, &format!("{reconciled}{id}")), "0");
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
    for at in [1, 5, 8, 11, 14] {
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
