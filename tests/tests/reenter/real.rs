//! Against a real Odoo.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use lifeboat_tests::checkpointed::checkpointed;
use lifeboat_tests::compare::database_digest;
use lifeboat_tests::odoo::{Odoo, odoo_major};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Outcome, Program, load_real, real_tenants};
use serde_json::{Value, json};

use super::business::{Business, business, open_session};

/// The tenant, and its copy at the point.
const TENANT: &str = "north";
const POINT: &str = "north_point";
const MODULES: &str = "sale_management,stock,point_of_sale,sale_stock,account";
/// How long a re-entry may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);

struct Scene {
    cluster: Cluster,
    site: Site,
    odoo: Odoo,
    made: Business,
}

/// A tenant with twenty minutes of business after its point, and the export of these.
fn scene() -> Option<Scene> {
    let major = odoo_major()?;
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let prepared = if major == 17 { "retail_north".to_owned() } else { format!("odoo{major}") };
    if real_tenants().contains(&prepared) {
        load_real(&cluster, &site.data_dir(), &prepared, TENANT)?;
    } else {
        Odoo::make_tenant(&cluster, &site.data_dir(), TENANT, MODULES);
    }
    let odoo = Odoo::start(&cluster, &site.data_dir())?;
    open_session(&odoo.log_in(TENANT, "admin", "admin"), major);
    // a copy is made of a database without sessions
    drop(odoo);
    checkpointed(&cluster, &site, "7", &[TENANT]);
    cluster.copy_db(TENANT, POINT, false).unwrap();
    let odoo = Odoo::start(&cluster, &site.data_dir())?;
    let made = business(&odoo.log_in(TENANT, "admin", "admin"), major);
    odoo.log_in(POINT, "admin", "admin");
    let salvage = ["rollback", "salvage", "--release", "7", "--tenant", TENANT, "--against", POINT];
    site.run(&salvage).args(["--to", "out"]).run().ok();
    Some(Scene { cluster, site, odoo, made })
}

impl Scene {
    fn command(&self, database: &str, more: &[&str]) -> Program {
        let url = self.odoo.url();
        let args = ["rollback", "reenter", "--release", "7", "--from", "out", "--url", &url];
        let run = self.site.run(&args).args(["--database", database, "--user", "admin"]);
        run.args(more.to_vec()).env("ODOO_PASSWORD", "admin").limit(LIMIT)
    }

    /// All of the source but the times at which users logged in, which Odoo notes by itself.
    fn source(&self) -> BTreeMap<String, String> {
        let mut all = database_digest(&self.cluster, TENANT);
        all.retain(|name, _| !name.contains("res_users_log"));
        all
    }

    #[track_caller]
    fn assert_untouched(&self, source: &BTreeMap<String, String>) {
        let now = self.source();
        let differs: Vec<&String> =
            source.keys().filter(|name| source.get(*name) != now.get(*name)).collect();
        assert!(differs.is_empty(), "the source was touched: {differs:?}");
    }

    fn reenter(&self, more: &[&str]) -> Outcome {
        self.command(POINT, more).run()
    }

    /// How many rows of each table the copy has.
    fn counts(&self) -> BTreeMap<&'static str, u64> {
        let tables = [
            "res_partner",
            "sale_order",
            "sale_order_line",
            "stock_picking",
            "stock_move",
            "account_payment",
            "pos_order",
            "pos_order_line",
            "pos_payment",
            "account_move",
        ];
        let count =
            |table: &str| self.cluster.psql(POINT, &format!("select count(*) from {table}")).parse().unwrap();
        tables.iter().map(|table| (*table, count(table))).collect()
    }
}

/// The documents of a report, by their old numbers.
fn documents(report: &Value) -> BTreeMap<String, Value> {
    let all = report["documents"].as_array().unwrap().iter();
    all.map(|one| {
        (format!("{} {}", one["kind"].as_str().unwrap(), one["old_name"].as_str().unwrap()), one.clone())
    })
    .collect()
}

#[track_caller]
fn assert_agrees(one: &Value) {
    let compared = one["compared"].as_array().unwrap();
    assert!(!compared.is_empty() && compared.iter().all(|pair| pair["old"] == pair["new"]), "{one:#}");
}

#[test]
fn what_was_exported_is_entered_once_and_agrees_to_the_cent() {
    let Some(scene) = scene() else {
        lifeboat_tests::skip!("no Odoo: TEST_ODOO_BIN names its odoo-bin, TEST_ODOO_PYTHON its Python");
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
    assert_eq!(by_kind, [2, 3, 4, 1, 2], "{entered:#}");
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

/// What the tenant has now, looked at without Odoo: sums of both databases.
fn in_the_database(scene: &Scene) {
    let both = |sql: &str| {
        let old = scene.cluster.psql(TENANT, sql);
        assert_eq!(scene.cluster.psql(POINT, sql), old, "{sql}");
        assert!(!old.is_empty() && old != "0", "{sql}: {old}");
    };
    let Business { of_new_product, cancelled, .. } = &scene.made;
    let old = scene.cluster.psql(
        TENANT,
        &format!(
            "select count(*), sum(amount_total) from sale_order where name not in ('{of_new_product}', '{cancelled}')"
        ),
    );
    assert_eq!(scene.cluster.psql(POINT, "select count(*), sum(amount_total) from sale_order"), old);
    both("select sum(amount_total), count(*) from pos_order where state <> 'draft'");
    both("select sum(amount), count(*) from pos_payment");
    both("select sum(amount), count(*) from account_payment");
    both("select product_id, sum(quantity) from stock_move where state = 'done' group by 1 order by 1");
    both(
        "select count(*), sum(product_uom_qty) from stock_move where state in ('confirmed', 'assigned', 'partially_available', 'waiting')",
    );
    both("select name, email, ref, city, is_company from res_partner order by 1, 2");
}

#[test]
fn a_run_that_is_killed_at_any_document_enters_nothing_twice() {
    let Some(scene) = scene() else {
        lifeboat_tests::skip!("no Odoo: TEST_ODOO_BIN names its odoo-bin, TEST_ODOO_PYTHON its Python");
    };
    let entered = || -> u64 {
        let marks = "select count(*) from ir_model_data where module = 'lifeboat_salvage'";
        let more =
            "select count(*) from pos_order where create_date > now() at time zone 'UTC' - interval '1 hour'";
        scene.cluster.psql(POINT, marks).parse::<u64>().unwrap()
            + scene.cluster.psql(POINT, more).parse::<u64>().unwrap()
    };
    for at in [1, 5, 8, 11, 13] {
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
