//! A tenant of the real Odoo of this machine, with the modules that a trading company adds.

use std::time::Duration;

use lifeboat::postgres::{PostgresOptions, Session, Tls};
use lifeboat_tests::odoo::{Odoo, odoo_major};
use lifeboat_tests::{Cluster, load_real, real_tenants};
use restore_drill::catalogue;
use restore_drill::catalogue::run::{self, Outcome};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use super::damage;

pub const TENANT: &str = "ordinary";
/// What a prepared tenant has.
const MODULES: &str =
    "sale_management,stock,purchase,point_of_sale,account,sale_stock,purchase_stock,stock_account";
/// What it lacks.
const MORE: &str = "mrp,stock_landed_costs,stock_dropshipping,pos_discount,pos_loyalty,sale_loyalty";
/// How long one check may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Why the test is skipped.
pub const NO_ODOO: &str = "no Odoo: TEST_ODOO_BIN names its odoo-bin, TEST_ODOO_PYTHON its Python";

pub struct Scene {
    cluster: Cluster,
    pub odoo: Odoo,
    pub major: u32,
    _data_dir: tempfile::TempDir,
}

/// The tenant, and Odoo over it; `None` where this machine has no Odoo.
pub fn scene() -> Option<Scene> {
    let major = odoo_major()?;
    let cluster = Cluster::start_default();
    let data_dir = tempfile::tempdir().unwrap();
    let prepared = if major == 17 { "retail_north".to_owned() } else { format!("odoo{major}") };
    if real_tenants().contains(&prepared) {
        load_real(&cluster, data_dir.path(), &prepared, TENANT)?;
    } else {
        Odoo::make_tenant(&cluster, data_dir.path(), TENANT, MODULES);
    }
    Odoo::add_modules(&cluster, data_dir.path(), TENANT, MORE);
    let odoo = Odoo::start(&cluster, data_dir.path())?;
    Some(Scene { cluster, odoo, major, _data_dir: data_dir })
}

impl Scene {
    /// Runs the catalogue as a drill does; then what it does not notice of the damages that it should.
    pub fn checks(&self) -> (Vec<Outcome>, Vec<String>) {
        let catalogue = catalogue::load(None).unwrap();
        let options = PgConnectOptions::new_without_pgpass()
            .host(&self.cluster.host())
            .port(self.cluster.port())
            .username(self.cluster.user())
            .database(TENANT);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let session = PostgresOptions {
                host: Some(self.cluster.host().to_string()),
                port: self.cluster.port(),
                user: self.cluster.user().to_string(),
                tls: Tls::Disable,
                ..PostgresOptions::default()
            };
            let mut session = Session::connect(&session, TENANT).await.unwrap();
            let outcomes = run::run(&mut session, &catalogue, LIMIT).await.unwrap();
            let mut breaker = options.connect().await.unwrap();
            let unnoticed = damage::unnoticed(&mut breaker, &outcomes).await;
            (outcomes, unnoticed)
        })
    }
}
