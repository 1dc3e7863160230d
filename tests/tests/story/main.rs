//! The story that this product exists for, as an engineer on call types it. Two tenants; release 1 has a
//! checkpoint and is good; release 2 sets the prices of a promotion to 0 and drops a column, and is found
//! after twenty minutes of orders. The plan names exact numbers; the tenant goes back to the point beside the
//! corrupted one; the orders of the twenty minutes are salvaged; the evidence verifies offline by four
//! programs.
//!
//! Only shipped commands are run, and those of the plan as they are printed.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test panics, and touches files as a user does

mod business;
mod exported;
mod offline;
mod shop;
mod typed;

use std::time::Duration;

use lifeboat_tests::compare::assert_same;
use lifeboat_tests::{load_all_real, small_tenant};
use serde_json::Value;

use business::{CHANGED, Ledger, decimal};
use shop::Shop;

const R1: &str = "2026.11.20";
const R2: &str = "2026.11.27";
/// The images, as a pipeline names them.
const IMAGE_1: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const IMAGE_2: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";
/// The server counts what a session did when that ends, or within a second.
const COUNTED_AFTER: Duration = Duration::from_millis(1500);

#[test]
fn a_bad_release_is_undone_and_the_orders_are_kept_on_synthetic_tenants() {
    play(Shop::open(|cluster, data_dir| {
        ["retail_north", "retail_south"]
            .iter()
            .zip(1..)
            .map(|(name, seed)| small_tenant(cluster, data_dir, name, seed))
            .collect()
    }));
}

#[test]
fn a_bad_release_is_undone_and_the_orders_are_kept_on_real_tenants() {
    if lifeboat_tests::real_tenants().len() < 2 {
        lifeboat_tests::skip!("no two real tenants: TEST_ODOO_TENANTS names their folder");
    }
    play(Shop::open(|cluster, data_dir| {
        let tenant = |name| lifeboat_tests::Tenant { name, data_dir: data_dir.to_owned() };
        load_all_real(cluster, data_dir).into_iter().map(tenant).collect()
    }));
}

fn play(shop: Shop) {
    let (bad, other) = (&shop.tenants[0], &shop.tenants[1]);
    let cluster = &shop.cluster;

    // Release 1 is good. People work on it for an hour: all of that stays.
    shop.released(R1, IMAGE_1);
    business::minutes(cluster, bad, 101..=105);
    business::minutes(cluster, other, 101..=102);

    // Release 2: a checkpoint, then the release itself asks for it, then it does harm.
    shop.released(R2, IMAGE_2);
    let at_point = shop.state(&bad.name);
    let zeroed: u64 = cluster
        .psql(
            &bad.name,
            "with p as (update product_template set list_price = 0, write_date = now() at time zone 'UTC' \
             where id % 3 = 0 returning 1) select count(*) from p; alter table product_template drop column weight",
        )
        .parse()
        .unwrap();
    let ledger = business::minutes(cluster, bad, 1..=20);
    business::corrects(cluster, bad);
    let of_other = business::minutes(cluster, other, 1..=7);
    std::thread::sleep(COUNTED_AFTER);

    // 3 a.m.: what is lost, and what is to be done?
    let plan = shop.run(&["rollback", "plan", "--release", R2, "--json"]).run().ok().json();
    let shown = shop.run(&["rollback", "plan", "--release", R2]).run().ok();
    let tenant = |name: &str| {
        let mut all = plan["tenants"].as_array().unwrap().iter();
        all.find(|one| one["tenant"] == name).unwrap_or_else(|| panic!("{name}: {plan:#}"))
    };
    let planned = tenant(&bad.name);
    assert_exact(planned, &ledger, shop.currencies(&bad.name), CHANGED);
    assert_exact(tenant(&other.name), &of_other, shop.currencies(&other.name), 0);
    assert_eq!(planned["way"], "database", "{planned:#}");
    assert_eq!(planned["reasons"][0]["column"], "weight", "{planned:#}");
    assert_eq!(tenant(&other.name)["way"], "image", "the column is dropped in one tenant alone");
    let rows = planned["touched"]["tables"].as_array().unwrap();
    let products = rows.iter().find(|one| one["table"] == "product_template").unwrap();
    assert_eq!(products["rows"]["updated"], zeroed, "the prices");
    assert!(planned["takes"]["seconds"].as_f64().is_some(), "a drill was measured: {}", planned["takes"]);
    let orders = format!("20 sale orders, 20 confirmed, {} ", decimal(ledger.sold));
    assert!(
        shown.stdout.contains(&orders) && shown.stdout.contains("column product_template.weight was dropped")
    );
    assert!(shown.stdout.contains(&format!("deploy the image of release {R1}")), "{shown}");

    // The steps of this tenant, in order, as they are printed. Odoo is stopped: nobody writes from here on.
    let steps: Vec<&Value> = plan["steps"].as_array().unwrap().iter().collect();
    let sure = steps.iter().filter(|step| step["only_if"].is_null());
    let commands: Vec<&str> = sure.filter_map(|step| step["command"].as_str()).collect();
    assert_eq!(commands.len(), 3, "{steps:#?}");
    commands.iter().for_each(|line| assert!(shown.stdout.contains(line), "{line:?} is not in {shown}"));
    let (corrupted, of_others) = (shop.state(&bad.name), shop.state(&other.name));
    let copy = format!("{}_before_{R2}", bad.name);
    typed::type_it(&shop, commands[0], Some(("Do this? [y/N]", "y\n")));
    assert_same("beside the corrupted one", &shop.state(&bad.name), &corrupted);
    assert_same("the point", &shop.state(&copy), &at_point);
    typed::type_it(&shop, commands[1], None);
    exported::assert_exported(&shop, &bad.name, &ledger, planned);
    let said =
        typed::type_it(&shop, commands[2], Some(("Type the name of the tenant", &format!("{}\n", bad.name))));
    assert_same("the tenant is at the point", &shop.state(&bad.name), &at_point);
    let kept = shop.replaced(&bad.name);
    assert_same("the corrupted one is kept", &shop.state(&kept), &corrupted);
    exported::assert_files_are_kept(&shop, &kept, &ledger);
    let undo = format!("lifeboat promote {kept} --as {}", bad.name);
    assert!(said.replace("\r\n", "\n").contains(&undo), "{undo:?} is not in {said}");

    // Nothing of the other tenant was touched, and what people wrote there is not lost.
    assert_same("the other tenant", &shop.state(&other.name), &of_others);
    let lost = shop.run(&["rollback", "plan", "--release", R2, "--tenant", &other.name, "--json"]).run().ok();
    assert_exact(&lost.json()["tenants"][0], &of_other, shop.currencies(&other.name), 0);

    offline::assert_verifies(&shop);
    // The business goes on, and so do the backups.
    business::minutes(cluster, bad, 201..=202);
    shop.run(&["backup", "--tenant", &bad.name]).run().ok();
}

/// The plan says of a tenant what people wrote, to the cent.
#[track_caller]
fn assert_exact(tenant: &Value, ledger: &Ledger, [order, payment, till]: [String; 3], changed: u64) {
    let written = &tenant["written"];
    assert_eq!(tenant["is_exact"], true, "{tenant:#}");
    let expected = [
        ("sale-order", ledger.orders, Some((order, ledger.sold))),
        ("payment", ledger.payments, Some((payment, ledger.paid))),
        ("pos-order", ledger.receipts, (ledger.receipts > 0).then_some((till, ledger.takings))),
        ("picking", ledger.orders, None),
        ("stock-move", 2 * ledger.orders, None),
        ("invoice", 0, None),
        ("bill", 0, None),
        ("attachment", ledger.orders, None),
    ];
    for (document, count, sum) in expected {
        let one = &written[document];
        assert_eq!((&one["after"], &one["maybe"]), (&count.into(), &0.into()), "{document}: {written:#}");
        if let Some((currency, cents)) = sum {
            assert_eq!(
                one["sums"],
                serde_json::json!({ currency: decimal(cents) }),
                "{document}: {written:#}"
            );
        }
    }
    assert_eq!(written["attachment"]["bytes"], ledger.attached_bytes);
    assert_eq!(written["sale-order"]["changed"], changed);
}
