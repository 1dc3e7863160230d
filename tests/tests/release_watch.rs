//! `lifeboat release watch` over real servers: what dropped, what fails, what waits, and what is not known.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a failing test panics

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use lifeboat::clock::{self, Timestamp};
use lifeboat_tests::checkpointed::{checkpointed, copies};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Program, small_tenant};
use serde_json::Value;

/// A tenant, its checkpoint, and a release that began 20 minutes ago.
struct Released {
    cluster: Cluster,
    site: Site,
    since: Timestamp,
}

fn released(tenants: &[&str]) -> Released {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    for name in tenants {
        small_tenant(&cluster, &site.data_dir(), name, 9);
    }
    checkpointed(&cluster, &site, "7", tenants);
    let since = clock::now() - Duration::from_secs(20 * 60);
    Released { cluster, site, since }
}

impl Released {
    /// Documents of a tenant, each second one from `from` seconds after the release on.
    fn documents(&self, tenant: &str, table: &str, count: u32, from: i64) {
        let begin = self.since.as_second() + from;
        let when = format!("to_timestamp({begin} + i % 500) at time zone 'UTC'");
        let name = format!("'name', '{table} {from} ' || i, 'state', 'done'");
        self.cluster.psql(tenant, &copies(table, "true", count, &when, &name));
    }

    /// As many as before, before the release and a week before.
    fn before(&self, tenant: &str, table: &str, count: u32) {
        self.documents(tenant, table, count, -590);
        self.documents(tenant, table, count, 10 - 7 * 24 * 3600);
    }

    /// The watch of the ten minutes after the release, which are over: it looks once.
    fn watch(&self, more: &[&str]) -> Program {
        let since = clock::text(self.since);
        let watch =
            self.site.run(&["release", "watch", "--release", "7", "--since", &since, "--for", "10min"]);
        watch.args(more.to_vec())
    }

    #[track_caller]
    fn verdict(&self, code: i32) -> Value {
        self.watch(&["--json"]).run().exits(code).json()
    }
}

fn finding<'a>(value: &'a Value, tenant: &str, indicator: &str) -> &'a Value {
    let findings = value["look"]["tenants"][tenant]["findings"].as_array().unwrap();
    findings
        .iter()
        .find(|one| one["indicator"] == indicator)
        .unwrap_or_else(|| panic!("{indicator}: {value}"))
}

#[test]
fn a_business_that_runs_as_before_continues() {
    let released = released(&["shop"]);
    released.before("shop", "sale_order", 100);
    released.before("shop", "stock_move", 40);
    released.documents("shop", "sale_order", 90, 10);
    released.documents("shop", "stock_move", 60, 10);
    let value = released.verdict(0);
    let orders = finding(&value, "shop", "sale-order");
    assert_eq!(orders["counts"], serde_json::json!({ "now": 90, "before": 100, "week": 100 }));
    assert_eq!((&orders["drop_percent"], &value["verdict"]), (&10.into(), &"continue".into()));
    assert_eq!(value["look"]["covers_seconds"], 600);
    let payments = finding(&value, "shop", "payment");
    assert_eq!(payments["expected"], Value::Null, "there is nothing to compare with");
    let shown = released.watch(&[]).run().ok();
    assert!(shown.stdout.contains("90 sale orders (before 100, a week before 100)"), "{shown}");
    assert!(shown.stdout.contains("too few to compare"), "{shown}");
}

#[test]
fn a_drop_pauses_and_a_deep_one_is_rolled_back_with_the_plan() {
    let released = released(&["shop", "well"]);
    for tenant in ["shop", "well"] {
        released.before(tenant, "sale_order", 100);
    }
    released.documents("well", "sale_order", 100, 10);
    released.documents("shop", "sale_order", 60, 10);
    let value = released.verdict(3);
    assert_eq!((&value["verdict"], &value["plan"]), (&"pause".into(), &Value::Null));
    let why = finding(&value, "shop", "sale-order")["why"].as_str().unwrap().to_owned();
    assert_eq!(why, "60 sale orders instead of 100: 40 % less");
    released.cluster.psql("shop", "delete from sale_order where name like 'sale_order 10 %' and id % 2 = 0");
    let value = released.verdict(20);
    assert_eq!(value["verdict"], "roll-back");
    assert_eq!(value["plan"]["release"], "7");
    assert_eq!(finding(&value, "well", "sale-order")["verdict"], "continue");
    let shown = released.watch(&[]).run().exits(20);
    for said in ["release 7: roll-back: the release should be undone", "rollback of release 7", "steps"] {
        assert!(shown.stdout.contains(said), "{said:?} is not in {shown}");
    }
    // thresholds are the configuration's
    let value = released.watch(&["--json"]).env("LIFEBOAT_WATCH_LEAST", "101").run().ok().json();
    assert_eq!(finding(&value, "shop", "sale-order")["expected"], Value::Null);
    let refused = released.watch(&[]).env("LIFEBOAT_WATCH_ROLLBACK_DROP_PERCENT", "10").run();
    refused.exits(4).says("smaller than watch.pause_drop_percent");
}

#[test]
fn a_quiet_hour_a_week_before_is_no_drop() {
    let released = released(&["shop"]);
    released.documents("shop", "sale_order", 100, -590);
    released.documents("shop", "sale_order", 25, 10 - 7 * 24 * 3600);
    released.documents("shop", "sale_order", 24, 10);
    let value = released.verdict(0);
    assert_eq!(finding(&value, "shop", "sale-order")["expected"], 25);
}

#[test]
fn failures_pause() {
    let released = released(&["shop"]);
    let failed = |state: &str, count: u32, minutes: i64| {
        let when = format!("to_timestamp({}) at time zone 'UTC'", released.since.as_second() + minutes * 60);
        format!(
            "insert into queue_job (state, write_date) select '{state}', {when} from generate_series(1, {count});"
        )
    };
    let create = "create table queue_job (id serial primary key, state varchar, write_date timestamp);";
    let jobs =
        [failed("failed", 15, 2), failed("failed", 90, 30), failed("done", 90, 2), failed("failed", 5, -2)];
    released.cluster.psql("shop", &format!("{create}{}", jobs.join("")));
    let value = released.verdict(0);
    assert_eq!(finding(&value, "shop", "failed-job")["counts"]["now"], 15, "within the watch, and failed");
    released.cluster.psql("shop", &failed("failed", 10, 3));
    let value = released.verdict(3);
    let why = finding(&value, "shop", "failed-job")["why"].as_str().unwrap().to_owned();
    assert_eq!(why, "25 failed jobs; before the release 5");
    assert_eq!(finding(&value, "shop", "failed-mail")["verdict"], "continue");
}

#[test]
fn a_session_that_waits_long_for_a_lock_pauses() {
    let released = released(&["shop"]);
    let psql = |sql: &str| {
        let mut psql = released.cluster.client("psql");
        psql.args(["-XAtq", "-d", "shop", "-c", sql]);
        lifeboat_tests::children::spawn_lasting(psql).unwrap()
    };
    let mut holder = psql("begin; select from sale_order where id = 1 for update; select pg_sleep(60)");
    std::thread::sleep(Duration::from_millis(500));
    let mut waiter = psql("update sale_order set note = 'x' where id = 1");
    std::thread::sleep(Duration::from_secs(3));
    let limit = |most: &str| released.watch(&["--json"]).env("LIFEBOAT_WATCH_LOCK_WAIT_MAX", most).run();
    let value = limit("1s").exits(3).json();
    assert_eq!(finding(&value, "shop", "lock-wait")["counts"]["now"], 1);
    assert_eq!(finding(&limit("10min").ok().json(), "shop", "lock-wait")["verdict"], "continue");
    for child in [&mut holder, &mut waiter] {
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[test]
fn what_cannot_be_read_is_never_continue_and_stops_nothing_else() {
    let released = released(&["gone", "odd", "shop"]);
    released.before("shop", "sale_order", 100);
    released.documents("shop", "sale_order", 100, 10);
    released.cluster.psql(
        "odd",
        "alter table sale_order rename to hidden; create view sale_order as select * from hidden",
    );
    released.cluster.psql("postgres", "drop database gone");
    let value = released.verdict(3);
    let unknown = |tenant: &str| value["look"]["tenants"][tenant]["not_known"].to_string();
    assert!(unknown("odd").contains("sale orders: sale_order is a view, not a table"), "{value}");
    assert!(unknown("gone").contains("the database does not exist"), "{value}");
    assert_eq!(unknown("shop"), "[]");
    assert_eq!(finding(&value, "odd", "stock-move")["verdict"], "continue");
    let alone = released.watch(&["--tenant", "shop"]).run();
    alone.ok();
    released.cluster.stop();
    released.watch(&["--tenant", "shop", "--json"]).run().exits(3);
}

#[test]
fn it_looks_again_until_its_time_is_over_and_writes_metrics() {
    let released = released(&["shop"]);
    let file = released.site.path("boat.prom");
    let since = clock::text(clock::now());
    let watch = released.site.run(&[
        "release",
        "watch",
        "--release",
        "7",
        "--for",
        "20s",
        "--every",
        "4s",
        "--since",
        &since,
    ]);
    let watch = watch.arg("--metrics").arg(&file);
    let running = watch.spawn();
    std::thread::sleep(Duration::from_secs(3));
    let when = "clock_timestamp() at time zone 'UTC'";
    released.cluster.psql("shop", &copies("sale_order", "true", 30, when, "'name', 'LIVE' || i"));
    let done = running.finish().ok();
    let looks = done.stderr.matches("since the release: continue").count();
    assert!((3..=8).contains(&looks), "{looks} looks: {done}");
    assert!(done.stderr.contains("shop: 30 sale orders"), "{done}");
    assert!(done.took >= Duration::from_secs(19), "{done}");
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(
        page.contains("lifeboat_release_count{tenant=\"shop\",indicator=\"sale-order\",time=\"now\"} 30"),
        "{page}"
    );
    assert!(page.contains("verdict=\"continue\"} 1"), "{page}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644, "others read it");
    assert!(!Path::new(&format!("{}.new", file.display())).exists());
    released.watch(&["--every", "0s"]).run().exits(2);
    let later = released.site.run(&["release", "watch", "--release", "7", "--since", "2099-01-01T00:00:00Z"]);
    later.run().exits(2).says("--since is in the future: 2099");
}
