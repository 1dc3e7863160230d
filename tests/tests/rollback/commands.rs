//! The commands of the plan, run as they are printed.

use std::time::Duration;

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options, Outcome, small_tenant};
use serde_json::Value;

use crate::{COUNTED_AFTER, business, plan, planned, tenant};

/// One approval is enough; there was no drill.
const TIER: &str =
    "\n[tier.standard]\nnot_required = [\"drill\", \"migration\"]\noverride = [\"freeze\", \"agent\"]\n";

/// Runs a printed command with more arguments.
fn run_printed(site: &Site, command: &str, more: &[&str]) -> Outcome {
    let words: Vec<&str> = command.strip_prefix("lifeboat ").unwrap().split(' ').collect();
    site.run(&words).args(more.to_vec()).run()
}

#[test]
fn the_commands_of_the_plan_bring_the_tenant_back_to_a_real_checkpoint() {
    let wal = [("wal_level", "replica"), ("max_wal_senders", "5")];
    let settings = wal.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::with(Options { settings, ..Options::default() });
    let site = Site::local(&cluster);
    let config = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), config + TIER).unwrap();
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    site.back_up(&["--kind", "base"]);
    let agent = site.run(&["agent", "--no-progress"]).spawn();
    let streams = "select count(*) from pg_replication_slots where slot_name = 'lifeboat' and active";
    let begun = std::time::Instant::now();
    while cluster.psql("postgres", streams) != "1" {
        assert!(begun.elapsed() < Duration::from_secs(60), "the agent does not stream");
        std::thread::sleep(Duration::from_millis(50));
    }
    site.run(&["checkpoint", "--release", "9", "--approved-by", "anna"]).run().ok();
    business(&cluster, "shop");
    cluster.psql(
        "shop",
        "alter table product_template drop column weight; update product_template set list_price = 0",
    );
    std::thread::sleep(COUNTED_AFTER);

    let value = planned(&site, "9", 0);
    let shop = tenant(&value, "shop");
    assert_eq!(shop["way"], "database");
    assert_eq!(shop["written"]["sale-order"]["after"], 4, "{shop}");
    assert_eq!((&shop["is_exact"], &shop["late_seconds"]), (&true.into(), &Value::Null), "before the point");
    let commands: Vec<&str> =
        value["steps"].as_array().unwrap().iter().filter_map(|step| step["command"].as_str()).collect();
    let identity = site.path("lifeboat-identity.txt");
    run_printed(&site, commands[0], &["--yes", "--identity", identity.to_str().unwrap()]).ok();
    let salvaged = run_printed(&site, commands[1], &["--json"]).ok().json();
    let orders = &salvaged["kinds"]["sale-orders"]["documents"]["sale-order"];
    assert_eq!((&orders["new"], &orders["changed"]), (&4.into(), &6.into()), "{salvaged:#}");
    assert_eq!(orders["totals"]["EUR"], shop["written"]["sale-order"]["sums"]["EUR"], "as the plan says");
    let counted = |kind: &str, document: &str| salvaged["kinds"][kind]["documents"][document]["new"].clone();
    assert_eq!(counted("pos-orders", "pos-order"), shop["written"]["pos-order"]["after"]);
    assert_eq!(counted("payments", "payment"), shop["written"]["payment"]["after"]);
    assert_eq!(counted("pickings", "picking"), shop["written"]["picking"]["after"]);
    assert_eq!(counted("invoices", "invoice"), shop["written"]["invoice"]["after"]);
    assert!(site.path("shop_after_9/summary.json").exists());
    let promoted =
        run_printed(&site, commands[2], &["--yes-replace", "shop", "--disconnect", "--json"]).ok().json();
    let new = "select count(*) from sale_order where name like 'SO-NEW-%'";
    assert_eq!(cluster.psql("shop", new), "0", "the state of the point");
    assert_ne!(cluster.psql("shop", "select sum(list_price) from product_template"), "0");
    assert_eq!(cluster.psql("shop", "select count(weight) from product_template where false"), "0");
    put_back(&site, &cluster);
    let undo = promoted["undo"].as_str().unwrap().to_owned();
    let step = value["steps"].as_array().unwrap().iter().find(|step| step["command"] == commands[2]).unwrap();
    let printed = step["undo"].as_str().unwrap();
    let (begin, _) = printed.split_once("TIME").unwrap();
    assert!(undo.starts_with(begin), "{undo} is not {printed}");
    run_printed(&site, &undo, &["--yes-replace", "shop"]).ok();
    assert_eq!(cluster.psql("shop", new), "4", "as before");
    assert_eq!(tenant(&planned(&site, "9", 0), "shop")["way"], "database", "and so is the way");
    drop(agent);
}

/// After the rollback nothing is to be undone, also when people work again; but if the release comes again,
/// it is.
fn put_back(site: &Site, cluster: &Cluster) {
    business(cluster, "shop");
    let value = planned(site, "9", 0);
    let shop = tenant(&value, "shop");
    assert_eq!((&value["way"], &shop["way"]), (&"nothing".into(), &"nothing".into()), "{shop:#}");
    let reason = &shop["reasons"][0];
    assert_eq!(reason["because"], "replaced");
    assert!(reason["kept_as"].as_str().unwrap().starts_with("shop.replaced-"), "{reason}");
    assert!(value["steps"].as_array().unwrap().iter().all(|step| step["only_if"].is_string()), "{value:#}");
    let shown = plan(site, "9", &[]).ok();
    for said in [
        "  way         nothing: the tenant was restored",
        "  since       ",
        "only if the previous image is not running yet",
    ] {
        assert!(shown.stdout.contains(said), "{said:?} is not in {shown}");
    }
    cluster.psql("shop", "delete from sale_order where name like 'SO-NEW-%'");
    let version = |set: &str| {
        cluster
            .psql("shop", &format!("update ir_module_module set latest_version = {set} where name = 'base'"));
    };
    version("latest_version || '.1'");
    assert_eq!(planned(site, "9", 0)["way"], "database", "the release was deployed again");
    version("left(latest_version, -2)");
    assert_eq!(planned(site, "9", 0)["way"], "nothing");
}
