//! `lifeboat restore` and `restore-drill run`, run as a user runs them, against real PostgreSQL, a
//! local repository and a real S3 server; and on their bad days. A restore that fails publishes
//! nothing; what it refuses it leaves as it was.

mod again;
mod copies;
mod damage;
mod every_major;
mod files;
mod forged;
mod hostile;
mod hostile_places;
mod kills;
mod own_role;
mod partial;
mod promote;
mod promote_kills;
mod refusals;
mod restore_role;
mod round_trip;
mod target;
mod terminal;
mod words;

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Outcome, Program};

/// A restore with the identity that `init` made, not asked for.
pub fn restore(site: &Site, args: &[&str]) -> Program {
    site.run(&["restore", "--yes", "--identity", "lifeboat-identity.txt"]).args(args.to_vec())
}

/// A drill of this tenant's newest snapshot, with objectives; `more` is added to its plan.
pub fn drill(site: &Site, tenant: &str, more: &str) -> Program {
    site.drill(tenant, &format!("[objective]\nrpo = \"24h\"\nrto = \"30m\"\n{more}"))
}

/// Databases of the cluster that a person could open.
pub fn databases(cluster: &Cluster) -> Vec<String> {
    let sql = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1";
    cluster.psql("postgres", sql).lines().map(str::to_owned).collect()
}

/// Nothing new can be opened, and no filestore has its final name.
#[track_caller]
pub fn assert_nothing_published(
    cluster: &Cluster,
    site: &Site,
    before: &[String],
    target: &str,
    outcome: &Outcome,
) {
    assert_eq!(databases(cluster), before, "{}", outcome.stderr);
    assert!(!site.data_dir().join("filestore").join(target).exists(), "{}", outcome.stderr);
}
