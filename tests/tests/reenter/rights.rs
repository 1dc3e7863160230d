//! With exactly the rights that docs/rollback.md names, and with fewer.

use std::collections::BTreeMap;

use lifeboat_tests::odoo::{OdooUser, odoo_major};
use serde_json::{Value, json};

use super::scene::{NO_ODOO, POINT, Scene, assert_agrees, documents, in_the_database, scene};

/// Who enters, and his password.
const USER: &str = "salvage";
/// Each kind with the group that it needs, and what the group is called.
const GROUPS: [(&str, &str, &str, &str); 5] = [
    ("partner", "base", "group_partner_manager", "Contact Creation"),
    ("picking", "stock", "group_stock_user", "Inventory / User"),
    ("sale-order", "sales_team", "group_sale_salesman_all_leads", "Sales / User: All Documents"),
    ("payment", "account", "group_account_invoice", "Invoicing / Billing"),
    ("pos-order", "point_of_sale", "group_pos_user", "Point of Sale / User"),
];
/// How many of each kind are in the tenant with so many of these rights. One picking is of no sale order.
const COUNTS: [[usize; 5]; 6] =
    [[0, 0, 0, 0, 0], [2, 0, 0, 0, 0], [2, 1, 0, 0, 0], [2, 4, 3, 0, 0], [2, 4, 3, 2, 0], [2, 4, 3, 2, 2]];

fn group(admin: &OdooUser<'_>, module: &str, name: &str) -> i64 {
    let found = admin.call("ir.model.data", "check_object_reference", json!([module, name]), json!({}));
    found[1].as_i64().unwrap()
}

/// Makes the user, an internal one with no other right.
fn make_user(admin: &OdooUser<'_>) -> i64 {
    let internal = group(admin, "base", "group_user");
    let groups = json!([[6, 0, [internal]]]);
    admin.create(
        "res.users",
        json!({ "name": "Salvage", "login": USER, "password": USER, "groups_id": groups }),
    )
}

fn give(admin: &OdooUser<'_>, user: i64, (_, module, name, _): (&str, &str, &str, &str)) {
    let groups = json!({ "groups_id": [[4, group(admin, module, name)]] });
    admin.call("res.users", "write", json!([[user], groups]), json!({}));
}

/// How many documents of each kind are in the tenant, after a run.
fn entered(all: &BTreeMap<String, Value>) -> [usize; 5] {
    GROUPS.map(|(kind, ..)| {
        let is_there = |one: &&Value| {
            let outcome = one["outcome"].as_str().unwrap();
            one["kind"] == kind && ["entered", "entered-before"].contains(&outcome)
        };
        all.values().filter(is_there).count()
    })
}

fn run(scene: &Scene, more: &[&str]) -> BTreeMap<String, Value> {
    documents(&scene.command_of(USER, POINT, more).arg("--json").run().exits(3).json())
}

#[test]
fn a_right_that_is_missing_keeps_its_documents_out_and_they_are_entered_once_it_is_given() {
    let Some(scene) = scene() else { lifeboat_tests::skip!("{NO_ODOO}") };
    let admin = scene.odoo.log_in(POINT, "admin", "admin");
    let user = make_user(&admin);
    let before = scene.counts();
    let without = scene.command_of(USER, POINT, &["--yes"]).run();
    without.exits(16).says("user salvage has no mail address in Odoo");
    admin.call("res.users", "write", json!([[user], { "email": "salvage@example.com" }]), json!({}));
    // on Odoo 18, contacts of a company need Invoicing, too: there all rights are given at once
    let steps = if odoo_major() >= Some(18) { vec![0, GROUPS.len()] } else { (0..COUNTS.len()).collect() };
    let mut has = 0;
    for given in steps {
        for group in &GROUPS[has..given] {
            give(&admin, user, *group);
        }
        has = given;
        let expected = &COUNTS[given];
        let planned = run(&scene, &["--dry-run"]);
        let all = run(&scene, &["--yes"]);
        assert_eq!(entered(&all), *expected, "{all:#?}");
        for (name, one) in &all {
            let (outcome, why) = (one["outcome"].as_str().unwrap(), one["why"].as_str().unwrap_or_default());
            let at = GROUPS.iter().position(|(kind, ..)| one["kind"] == *kind).unwrap();
            match outcome {
                "entered" | "entered-before" => assert_agrees(one),
                "left-out" => {}
                "refused" if at == 1 && given == 2 => assert!(why.starts_with("its sale order S"), "{one:#}"),
                "refused" if at < given => assert_eq!(one["old_name"], *scene.made.of_new_product, "{one:#}"),
                "refused" => {
                    assert!(why.contains(GROUPS[at].3) && why.starts_with("the user may not "), "{one:#}");
                    assert_eq!(planned[name]["why"], why, "a dry run says it, too");
                }
                _ => panic!("nothing is left half entered: {one:#}"),
            }
        }
        nothing_half_entered(&scene, &before, expected);
    }
    in_the_database(&scene);
    let after = scene.counts();
    assert_eq!(entered(&run(&scene, &["--yes"])), COUNTS[5]);
    assert_eq!(scene.counts(), after, "nothing is entered twice");
}

/// A kind of which nothing is entered has as many rows as before.
fn nothing_half_entered(scene: &Scene, before: &BTreeMap<&'static str, u64>, entered: &[usize; 5]) {
    let now = scene.counts();
    let tables: [&[&str]; 5] = [
        &["res_partner"],
        &["stock_picking", "stock_move"],
        &["sale_order", "sale_order_line"],
        &["account_payment"],
        &["pos_order", "pos_order_line", "pos_payment"],
    ];
    for (tables, _) in tables.iter().zip(entered).filter(|(_, entered)| **entered == 0) {
        for table in *tables {
            assert_eq!(now[table], before[table], "{table}: {entered:?}");
        }
    }
}
