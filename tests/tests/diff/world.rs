//! The tenants of these tests: real ones where this machine has some, and a made-up one, which has only the
//! tables that are needed here. Nothing is committed: an edit and the look at it are one transaction.

use lifeboat::error::Result;
use lifeboat::odoo::baseline::Baseline;
use lifeboat::postgres::{Session, look};
use lifeboat_tests::checkpointed::options;
use lifeboat_tests::real::load_all_real;
use lifeboat_tests::{Cluster, skip, small_tenant};

/// What a tenant of these tests has in addition.
const MORE: &str = include_str!("more.sql");

/// A cluster with these tenants; their names.
pub fn tenants() -> (Cluster, tempfile::TempDir, Vec<String>) {
    let cluster = Cluster::start_default();
    let data_dir = tempfile::tempdir().unwrap();
    let mut names = load_all_real(&cluster, data_dir.path());
    if names.is_empty() {
        skip::announce("real tenants", "a made-up one is used alone; TEST_ODOO_TENANTS names their folder");
    }
    names.push(small_tenant(&cluster, data_dir.path(), "acme", 41).name);
    for name in &names {
        cluster.psql(name, MORE);
    }
    (cluster, data_dir, names)
}

/// The baseline of a tenant.
pub async fn baseline(cluster: &Cluster, tenant: &str) -> Baseline {
    let mut session = Session::connect(&options(cluster), tenant).await.unwrap();
    look::begin(&mut session).await.unwrap();
    Baseline::take(&mut session).await.unwrap()
}

/// The baseline that a tenant would have after this edit.
pub async fn edited(cluster: &Cluster, tenant: &str, sql: &str) -> Result<Baseline> {
    let mut session = Session::connect(&options(cluster), tenant).await.unwrap();
    let begin = "begin; set local session_replication_role = replica; set local search_path = public; \
                 set local client_min_messages = error";
    session.execute("begin", begin).await.unwrap();
    session.execute("edit", sql).await?;
    session.execute("look as a backup does", "set local search_path = pg_catalog, pg_temp").await.unwrap();
    let taken = Baseline::take(&mut session).await.unwrap();
    session.execute("undo it", "rollback").await.unwrap();
    Ok(taken)
}
