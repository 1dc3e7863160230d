//! A tenant in the shape of Odoo, owned by a role that is no superuser and set every trap that it
//! may set.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lifeboat_tests::{Cluster, Options, Tenant, small_tenant};

/// Its owner.
pub const OWNER: &str = "evil";
const TRAPS: &str = include_str!("trap.sql");

/// A server that logs each statement with the session, program, database and role.
pub fn cluster(more: &[(&str, &str)]) -> Cluster {
    let settings = [
        ("log_statement", "all"),
        ("log_line_prefix", "%c|%a|%d|%u|"),
        ("log_min_messages", "log"),
        ("log_autovacuum_min_duration", "-1"),
        ("autovacuum", "off"), // it evaluates index expressions as their owner: the log would say so
    ];
    let settings = settings.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Cluster::with(Options { settings, ..Options::default() })
}

/// Where a trap that ran with a superuser's rights leaves a line, on whatever server of this host.
pub fn evidence(cluster: &Cluster) -> PathBuf {
    Path::new(&cluster.host()).join("evidence/sprung")
}

/// The tenant `name` whose owner set his traps.
pub fn tenant(cluster: &Cluster, data_dir: &Path, name: &str) -> Tenant {
    cluster.psql(
        "postgres",
        "do $$ begin create role evil login; exception when duplicate_object then null; end $$",
    );
    let tenant = small_tenant(cluster, data_dir, name, 7);
    cluster.psql("postgres", &format!("alter database \"{name}\" owner to {OWNER}"));
    cluster.psql(
        name,
        "do $$ declare r record; begin \
           alter schema public owner to evil; \
           for r in select c.oid::regclass as name from pg_class c where c.relnamespace = 'public'::regnamespace \
             and c.relkind in ('r', 'v', 'm', 'f', 'p') loop execute format('alter table %s owner to evil', r.name); end loop; \
           for r in select c.oid::regclass as name from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'S' \
             and not exists (select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i')) \
             loop execute format('alter sequence %s owner to evil', r.name); end loop; end $$",
    );
    let sprung = evidence(cluster);
    std::fs::create_dir_all(sprung.parent().unwrap()).unwrap();
    std::fs::set_permissions(sprung.parent().unwrap(), PermissionsExt::from_mode(0o777)).unwrap();
    as_owner(cluster, name, &TRAPS.replace("{SPRUNG}", sprung.to_str().unwrap()));
    tenant
}

/// Runs SQL as the owner, with nothing but his rights.
pub fn as_owner(cluster: &Cluster, database: &str, sql: &str) {
    let mut psql = cluster.client("psql");
    psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", OWNER, "-d", database, "-c", sql]);
    let done = psql.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
