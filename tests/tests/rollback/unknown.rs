//! What is not known is said to be unknown, and stops nothing else.

use lifeboat_tests::checkpointed::{NOW, checkpointed, copies, counters};
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, small_tenant};

use crate::{COUNTED_AFTER, assert_business, business, plan, planned, tenant};

#[test]
fn after_a_reset_or_a_restart_changed_rows_are_not_known_and_never_0() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    checkpointed(&cluster, &site, "4", &["shop"]);
    cluster.psql("shop", "update product_template set list_price = 0");
    cluster.psql("shop", "select pg_stat_reset()");
    std::thread::sleep(COUNTED_AFTER);
    let touched = |code| tenant(&planned(&site, "4", code), "shop")["touched"].clone();
    let reset = touched(3);
    assert_eq!(reset["known"], "no", "{reset}");
    assert!(reset["why"].as_str().unwrap().contains("were reset"), "{reset}");
    checkpointed(&cluster, &site, "5", &["shop"]);
    cluster.restart();
    let value = planned(&site, "5", 3);
    let why = tenant(&value, "shop")["touched"]["why"].as_str().unwrap().to_owned();
    assert!(why.starts_with("the server was restarted after the point"), "{why}");
    assert_eq!(tenant(&value, "shop")["written"]["sale-order"]["after"], 0, "sequences tell all the same");
}

#[test]
fn a_tenant_that_is_gone_or_another_one_is_said_to_be() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    for name in ["gone", "other", "shop"] {
        small_tenant(&cluster, &site.data_dir(), name, 9);
    }
    checkpointed(&cluster, &site, "6", &["gone", "other", "shop"]);
    cluster.psql("postgres", "drop database gone");
    cluster.psql("postgres", "drop database other");
    cluster.copy_db("shop", "other", false).unwrap();
    let value = planned(&site, "6", 3);
    assert_eq!(tenant(&value, "gone")["way"], "database");
    assert_eq!(tenant(&value, "gone")["reasons"][0]["because"], "gone");
    let other = tenant(&value, "other");
    assert_eq!((&other["reasons"][0]["because"], &other["way"]), (&"replaced".into(), &"image".into()));
    assert_eq!(other["touched"]["known"], "no", "so it may have to be restored all the same");
    assert_eq!(tenant(&value, "shop")["way"], "image");
    let steps = value["steps"].to_string();
    assert!(steps.contains("--tenant gone --as gone"), "{steps}");
    // without the file of this host
    std::fs::remove_file(site.path("lifeboat-state/prod/checkpoints/6/counters-shop.json")).unwrap();
    let value = planned(&site, "6", 3);
    assert_eq!(tenant(&value, "shop")["way"], "not-known");
    let forged = site.path("lifeboat-state/prod/checkpoints/6/counters-shop.json");
    std::fs::write(&forged, counters(&cluster, "shop").to_json().unwrap()).unwrap();
    let shown = plan(&site, "6", &[]).exits(3);
    assert!(words(&shown).contains("is not what was signed"), "{shown}");
}

#[test]
fn what_is_no_table_of_odoo_is_refused_by_name_and_stops_nothing_else() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "odd", 9);
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    checkpointed(&cluster, &site, "7", &["odd", "shop"]);
    cluster.psql(
        "odd",
        "alter table sale_order rename to hidden; create view sale_order as select * from hidden; \
         alter table pos_order drop column amount_total cascade; \
         alter table pos_order add amount_total numeric generated always as (amount_paid * 2) stored; \
         create domain money_of_his as numeric check (value > -1); \
         alter table account_payment alter amount type money_of_his",
    );
    business_of_the_rest(&cluster, "odd");
    business(&cluster, "shop");
    let value = planned(&site, "7", 3);
    let odd = tenant(&value, "odd");
    let why = |document: &str| odd["written"][document]["why"].as_str().unwrap_or_default().to_owned();
    assert!(why("sale-order").contains("sale_order is a view, not a table"), "{odd}");
    assert!(why("pos-order").contains("column pos_order.amount_total does not have the type"), "{odd}");
    assert!(why("payment").contains("column account_payment.amount does not have the type"), "{odd}");
    assert_eq!(odd["written"]["stock-move"]["after"], 5);
    assert_business(tenant(&value, "shop"));
}

fn business_of_the_rest(cluster: &Cluster, name: &str) {
    cluster.psql(name, &copies("stock_move", "true", 5, NOW, "'state', 'done'"));
}
