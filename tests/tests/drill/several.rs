//! Several tenants in one run, and several runs on one host.

use serde_json::Value;

use crate::shop::Shop;

fn tenants(answer: &Value) -> Vec<&str> {
    let mut all: Vec<&str> =
        answer["drills"].as_array().unwrap().iter().map(|one| one["tenant"].as_str().unwrap()).collect();
    all.sort_unstable();
    all
}

#[test]
fn every_tenant_has_a_report_and_the_worst_decides() {
    let shop = Shop::made_up(&["t1", "t2", "x3"]);
    shop.cluster.psql(
        "t2",
        "UPDATE stock_quant SET quantity = quantity + 1 WHERE id = (SELECT min(id) FROM stock_quant)",
    );
    shop.back_up(&[]);
    let plan = |text: &str| {
        let whole = format!("config = {:?}\n{text}", shop.site.config().display().to_string());
        let program = shop.drill("t1", "");
        std::fs::write(shop.site.path("drill.toml"), whole).unwrap();
        program
    };

    let all = plan("tenants = [\"t*\", \"lost\"]").run().exits(1);
    assert_eq!(tenants(&all.json()), ["lost", "t1", "t2"], "{}", all.stderr);
    let verdict = |name: &str| {
        let drills = all.json()["drills"].as_array().unwrap().clone();
        drills.into_iter().find(|one| one["tenant"] == name).unwrap()["verdict"].clone()
    };
    assert_eq!([verdict("lost"), verdict("t1"), verdict("t2")], ["could-not-run", "passed", "failed"]);
    assert_eq!(std::fs::read_dir(shop.site.path("repo/instances/prod/drills")).unwrap().count(), 3);

    // x3 was never drilled, so it comes first; then whoever waited longest.
    let sample = plan("tenants = [\"*\"]\nsample = 1").run().ok();
    assert_eq!(tenants(&sample.json()), ["x3"]);
    plan("tenants = [\"nobody*\"]").run().exits(4).says("no tenant in the repository fits the plan");
    plan("tenants = [\"t*\"]").args(["--tenant", "x3"]).run().exits(2).says("x3 is no tenant of");
}

#[test]
fn two_drills_on_one_host_do_not_hinder_each_other() {
    let shop = Shop::made_up(&["t1"]);
    shop.back_up(&[]);
    let (one, two) = (shop.drill("t1", "").spawn(), shop.drill("t1", "").spawn());
    one.finish().ok();
    two.finish().ok();
}
