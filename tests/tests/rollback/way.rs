//! Whether the image alone is enough.

use lifeboat_tests::checkpointed::checkpointed;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};

use crate::{plan, planned, tenant};

#[test]
fn a_dropped_column_and_an_upgraded_module_send_the_database_back() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    checkpointed(&cluster, &site, "2", &["shop"]);
    cluster.psql(
        "shop",
        "alter table sale_order drop column client_order_ref; alter table sale_order add x_flag boolean",
    );
    let value = planned(&site, "2", 3);
    let reasons = tenant(&value, "shop")["reasons"].as_array().unwrap().clone();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert_eq!(
        (&reasons[0]["column"], &reasons[0]["change"]),
        (&"client_order_ref".into(), &"dropped".into())
    );
    assert_eq!(tenant(&value, "shop")["way"], "database");
    cluster.psql("shop", "update ir_module_module set latest_version = '17.0.9.9' where name = 'base'");
    let shown = plan(&site, "2", &[]).exits(3);
    for said in
        ["column sale_order.client_order_ref was dropped", "module base was", "and is 17.0.9.9", "stop Odoo"]
    {
        assert!(shown.stdout.contains(said), "{said:?} is not in {shown}");
    }
    assert!(shown.stdout.lines().all(|line| !line.contains("the image alone")), "{shown}");
}

#[test]
fn an_added_column_asks_for_a_check_alone() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    checkpointed(&cluster, &site, "3", &["shop"]);
    cluster.psql("shop", "alter table sale_order add x_flag boolean");
    assert_eq!(planned(&site, "3", 3)["way"], "image-after-check");
    cluster.psql("shop", "alter table sale_order add x_must int not null default 1");
    assert_eq!(planned(&site, "3", 3)["way"], "image-after-check", "an older program need not fill it");
    cluster.psql("shop", "alter table sale_order alter x_must drop default");
    assert_eq!(planned(&site, "3", 3)["way"], "database");
}
