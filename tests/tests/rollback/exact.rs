//! What was written since the point, to the document.

use std::path::Path;

use lifeboat::postgres::Session;
use lifeboat_tests::checkpointed::{NOW, checkpointed, copies, counters, options};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, load_all_real, small_tenant};

use crate::{COUNTED_AFTER, assert_business, business, plan, planned, tenant};

#[test]
fn what_was_written_since_the_point_is_exact_and_the_restore_is_planned() {
    let cluster = Cluster::start_default();
    cluster.psql("postgres", "alter system set wal_keep_size = '1GB'");
    cluster.psql("postgres", "select pg_reload_conf()");
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    small_tenant(&cluster, &site.data_dir(), "quiet", 3);
    site.back_up(&["--kind", "base"]);

    let evidence = checkpointed(&cluster, &site, "2026.11.20", &["quiet", "shop"]);
    let wal = cluster.data_dir().join("pg_wal").join(cluster.switch_wal());
    site.run(&["wal", "push"]).arg(&wal).run().ok();
    business(&cluster, "shop");
    cluster.psql("shop", "select nextval('ir_sequence_001') from generate_series(1, 4)");
    cluster.psql("shop", "update product_template set list_price = 0; delete from mail_mail");
    let products: u64 = cluster.psql("shop", "select count(*) from product_template").parse().unwrap();
    std::thread::sleep(COUNTED_AFTER);

    // Neither the identity nor anything else is needed.
    std::fs::rename(site.path("lifeboat-identity.txt"), site.path("away.txt")).unwrap();
    let plan_value = planned(&site, "2026.11.20", 0);
    let shop = tenant(&plan_value, "shop");
    assert_business(shop);
    assert_eq!(plan_value["way"], "image");
    assert_eq!(shop["numbers"][0]["sequence"], "ir_sequence_001");
    assert_eq!(shop["numbers"][0]["count"], 4);
    assert!(shop["numbers"][0]["of"].as_str().unwrap().starts_with("sale.order"), "{}", shop["numbers"]);
    let rows = shop["touched"]["tables"].as_array().unwrap();
    let of = |table: &str| rows.iter().find(|row| row["table"] == table).unwrap()["rows"].clone();
    assert_eq!(of("product_template")["updated"], products);
    assert_eq!(of("sale_order")["updated"], 6);
    assert!(of("mail_mail")["deleted"].as_u64().unwrap() > 0);
    assert!(shop["restore"]["snapshot"].as_str().unwrap().contains("-base-"), "{}", shop["restore"]);
    assert_eq!(shop["takes"]["takes"], "not-known");
    let quiet = tenant(&plan_value, "quiet");
    assert!(quiet["written"].as_object().unwrap().values().all(|one| one["after"] == 0), "{quiet}");
    assert_eq!(quiet["touched"]["tables"], serde_json::json!([]));

    let shown = plan(&site, "2026.11.20", &["--tenant", "shop"]).ok();
    for said in [
        "4 sale orders, 3 confirmed, 40.40 EUR; 6 older ones were changed",
        "SO-NEW-1 to SO-NEW-4",
        "restore --release 2026.11.20 --tenant shop --as shop_before_2026.11.20",
        "promote shop_before_2026.11.20 --as shop",
        "payments of shop: what providers",
    ] {
        assert!(shown.stdout.contains(said), "{said:?} is not in {shown}");
    }
    assert!(!shown.stdout.contains("quiet"), "{shown}");
    plan(&site, "2026.11.20", &["--tenant", "nobody"]).exits(5).says("does not cover tenant nobody");
    asked_otherwise(&site, &evidence);
}

/// By cohort, from a file without the repository, and what is refused.
fn asked_otherwise(site: &Site, evidence: &Path) {
    plan(site, "2026.11.20", &["--cohort", "wave1"]).exits(5).says("there is no cohort wave1");
    let config = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), config + "\n[cohort.wave1]\ntenants = ['shop']\n").unwrap();
    let value = plan(site, "2026.11.20", &["--cohort", "wave1", "--json"]).ok().json();
    assert_eq!(value["tenants"].as_array().unwrap().len(), 1);
    plan(site, "2026.11.21", &[]).exits(5).says("there is no checkpoint of release 2026.11.21");
    let file = evidence.to_str().unwrap();
    plan(site, "2026.11.21", &["--evidence", file]).exits(10).says("is the evidence of release 2026.11.20");
    let forged = site.path("forged.json");
    let mut bytes = std::fs::read(evidence).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    std::fs::write(&forged, bytes).unwrap();
    let refused = plan(site, "2026.11.20", &["--evidence", forged.to_str().unwrap()]);
    assert!([Some(10), Some(11)].contains(&refused.code), "{refused}");
    // The repository cannot be reached: everything but the restore is known.
    let gone = site.run(&[
        "rollback",
        "plan",
        "--release",
        "2026.11.20",
        "--json",
        "--repository",
        "/nowhere/at/all",
    ]);
    let value = gone.args(["--evidence", file]).run().exits(3).json();
    assert_business(tenant(&value, "shop"));
    assert!(value["warnings"].to_string().contains("whether shop can be restored"), "{}", value["warnings"]);
}

#[test]
fn a_transaction_that_is_open_at_the_point_is_counted_on_its_own() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut open = runtime.block_on(async { Session::connect(&options(&cluster), "shop").await.unwrap() });
    let insert = copies("sale_order", "true", 2, NOW, "'name', 'OPEN-' || i")
        .replace("insert into sale_order", "insert into public.sale_order");
    let insert = insert.replace("from sale_order o", "from public.sale_order o");
    runtime.block_on(async {
        open.execute("begin", "begin").await.unwrap();
        open.execute("insert", insert).await.unwrap();
    });
    let settled = counters(&cluster, "shop").settled_before.unwrap();
    checkpointed(&cluster, &site, "1", &["shop"]);
    cluster.psql("shop", &copies("sale_order", "true", 3, NOW, "'name', 'LATER-' || i"));
    runtime.block_on(async { open.execute("commit", "commit").await.unwrap() });
    let value = planned(&site, "1", 3);
    let orders = &tenant(&value, "shop")["written"]["sale-order"];
    assert_eq!((&orders["after"], &orders["maybe"]), (&3.into(), &2.into()), "{orders}");
    let after = counters(&cluster, "shop").settled_before.unwrap();
    assert!(settled < after, "it was open: {settled} {after}");
}

#[test]
fn real_tenants_have_exact_numbers_too() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let loaded = load_all_real(&cluster, &site.data_dir());
    if loaded.is_empty() {
        lifeboat_tests::skip!("no real tenant: TEST_ODOO_TENANTS names their folder");
    }
    let names: Vec<&str> = loaded.iter().map(String::as_str).collect();
    checkpointed(&cluster, &site, "8", &names);
    business(&cluster, names[0]);
    std::thread::sleep(COUNTED_AFTER);
    let value = planned(&site, "8", 3);
    assert_business(tenant(&value, names[0]));
    assert_eq!(value["way"], "image");
    for other in &names[1..] {
        let written = tenant(&value, other)["written"].as_object().unwrap();
        assert!(written.values().all(|one| one["after"] == 0), "{other}: {written:?}");
    }
}
