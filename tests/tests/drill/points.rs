//! A drill to a point in time, from base backup, WAL and filestore.

use std::time::Duration;

use crate::shop::{Shop, state};

#[test]
fn a_random_second_is_restored_recorded_and_can_be_repeated() {
    let shop = Shop::open();
    let tenant = shop.tenants[0].clone();
    shop.back_up(&["--kind", "base"]);
    shop.back_up(&["--kind", "filestore"]);
    std::thread::sleep(Duration::from_millis(2500)); // a window of seconds
    shop.cluster.psql(&tenant, "UPDATE res_partner SET write_date = now() WHERE id = 1");
    shop.archive();

    let first = shop.drill(&tenant, "target = \"random\"").run().ok().json();
    assert_eq!(first["verdict"], "passed", "{:#}", first["reasons"]);
    let (seed, to) = (first["seed"].clone(), first["snapshot"]["replayed_to"]["time"].clone());
    assert!(seed.is_u64() && to.is_string(), "{:#}", first["snapshot"]);
    for part in ["archive", "baseline", "files", "hard checks"] {
        assert_eq!(state(&first, part), "done", "{part}");
    }
    assert_eq!(state(&first, "base checks"), "not-run", "nothing is recorded of this second");
    assert!(first["rpo"]["measured_ms"].is_u64() && first["rto"]["measured_ms"].is_u64());

    let again = shop.drill(&tenant, &format!("target = {to}")).run().ok().json();
    assert_eq!((&again["snapshot"]["replayed_to"]["time"], &again["seed"]), (&to, &serde_json::Value::Null));
}

#[test]
fn a_time_and_the_latest_wal_differ_by_what_was_done_between() {
    let shop = Shop::made_up(&["t1"]);
    shop.back_up(&["--kind", "base"]);
    shop.back_up(&["--kind", "filestore"]);
    let healthy = shop.now();
    shop.cluster.psql(
        "t1",
        "UPDATE stock_quant SET quantity = quantity + 1 WHERE id = (SELECT min(id) FROM stock_quant)",
    );
    shop.archive();
    shop.drill("t1", &format!("target = {healthy:?}")).run().ok();
    let broken = shop.drill("t1", "target = \"latest\"").run().exits(1);
    assert_eq!(state(&broken.json(), "hard checks"), "failed");

    shop.drill("t1", "target = \"2020-01-01T00:00:00Z\"").run().exits(4).says("consistent from");
    shop.drill("t9", "target = \"latest\"").run().exits(4).says("t9");
}

#[test]
fn without_wal_there_is_no_random_second() {
    let shop = Shop::made_up(&["t1"]);
    shop.back_up(&[]);
    shop.drill("t1", "target = \"random\"").run().exits(4).says("the recovery window is empty");
    shop.drill("t1", "").run().ok();
}
