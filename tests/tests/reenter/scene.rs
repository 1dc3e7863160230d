//! A real Odoo whose tenant went back, the export of what it lost, and what a test looks at.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_tests::checkpointed::checkpointed;
use lifeboat_tests::compare::database_digest;
use lifeboat_tests::odoo::{Odoo, odoo_major};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Outcome, Program, load_real, real_tenants};
use serde_json::Value;

use super::business::{Business, business, open_session};

/// The tenant, and its copy at the point.
pub const TENANT: &str = "north";
pub const POINT: &str = "north_point";
const MODULES: &str = "sale_management,stock,point_of_sale,sale_stock,account";
/// How long a re-entry may take on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(600);
/// Why a test is skipped.
pub const NO_ODOO: &str = "no Odoo: TEST_ODOO_BIN names its odoo-bin, TEST_ODOO_PYTHON its Python";

/// All of it.
pub struct Scene {
    pub cluster: Cluster,
    pub site: Site,
    pub odoo: Odoo,
    pub made: Business,
}

/// A tenant with twenty minutes of business after its point, and the export of these.
pub fn scene() -> Option<Scene> {
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
    pub fn command(&self, database: &str, more: &[&str]) -> Program {
        self.command_of("admin", database, more)
    }

    /// The command of a user whose password is his login.
    pub fn command_of(&self, user: &str, database: &str, more: &[&str]) -> Program {
        let url = self.odoo.url();
        let args = ["rollback", "reenter", "--release", "7", "--from", "out", "--url", &url];
        let run = self.site.run(&args).args(["--database", database, "--user", user]);
        run.args(more.to_vec()).env("ODOO_PASSWORD", user).limit(LIMIT)
    }

    /// All of the source but the times at which users logged in, which Odoo notes by itself.
    pub fn source(&self) -> BTreeMap<String, String> {
        let mut all = database_digest(&self.cluster, TENANT);
        all.retain(|name, _| !name.contains("res_users_log"));
        all
    }

    #[track_caller]
    pub fn assert_untouched(&self, source: &BTreeMap<String, String>) {
        let now = self.source();
        let differs: Vec<&String> =
            source.keys().filter(|name| source.get(*name) != now.get(*name)).collect();
        assert!(differs.is_empty(), "the source was touched: {differs:?}");
    }

    pub fn reenter(&self, more: &[&str]) -> Outcome {
        self.command(POINT, more).run()
    }

    /// How many rows of each table the copy has.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
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

/// The documents of a report, by their kinds and old numbers.
pub fn documents(report: &Value) -> BTreeMap<String, Value> {
    let all = report["documents"].as_array().unwrap().iter();
    all.map(|one| {
        (format!("{} {}", one["kind"].as_str().unwrap(), one["old_name"].as_str().unwrap()), one.clone())
    })
    .collect()
}

/// A document is what it was.
#[track_caller]
pub fn assert_agrees(one: &Value) {
    let compared = one["compared"].as_array().unwrap();
    assert!(!compared.is_empty() && compared.iter().all(|pair| pair["old"] == pair["new"]), "{one:#}");
}

/// What the tenant has now, looked at without Odoo: sums of both databases.
pub fn in_the_database(scene: &Scene) {
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
    // but the user who enters
    both("select name, email, ref, city, is_company from res_partner where name <> 'Salvage' order by 1, 2");
}
