//! One tenant of forty at a point in time: what is fetched of the base backup for it.

use std::path::Path;

use serde_json::Value;

use super::archiver;
use super::programs::{Contender, Lifeboat};
use super::report::verdict;
use super::server::{Server, finish};
use crate::measured::cost_if;

/// What may be fetched beside the tenant's own bytes.
const BESIDE_MAX: u64 = 50 << 20;

/// Archives the WAL since the last base backup, and brings one tenant back beside itself.
pub fn measure(ours: &Lifeboat, server: &Server, work: &Path) -> String {
    // That of a run that failed may be there still.
    let tenant = server.databases().into_iter().rfind(|name| !name.ends_with("_at")).unwrap();
    finish(&mut server.client("dropdb", &["--if-exists", &format!("{tenant}_at")]));
    server.psql(&tenant, "drop table if exists marked");
    server.psql(&tenant, "create table marked as select now() as at");
    let at = server.psql(
        "postgres",
        "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    );
    server.psql(&tenant, "drop table marked");
    let last = server.psql("postgres", "select pg_walfile_name(pg_switch_wal())");
    server.settle();
    archiver::push_up_to(&ours.push_command(), &server.data_dir, &last);
    let copy = format!("{tenant}_at");
    let data = work.join("lifeboat/restored-odoo");
    super::server::make_own_dir(&data);
    let mut command = ours.command(&["restore", "--tenant", &tenant, "--to-time", &at, "--as", &copy]);
    command
        .args(["--yes", "--json", "--no-neutralize", "--identity", &ours.identity(), "--data-dir"])
        .arg(&data);
    let with_warnings = 3; // its filestore was never backed up, and that is said
    let cost = cost_if(&command, ours.dir(), &[0, with_warnings]);
    let told: Value = serde_json::from_str(&cost.stdout).unwrap();
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("no number in {told}"));
    let fetched = number(&told["base_fetched_bytes"]);
    let own = number(&told["plan"]["own_bytes"]);
    assert_eq!(server.psql(&copy, "select count(*) from marked"), "1", "it is not the state at {at}");
    finish(&mut server.client("dropdb", &[&copy]));
    format!(
        "One tenant of the forty at a point in time: {cost}; {:.1} MB fetched of the base backups, its own files are {:.1} MB; \
         at most 50 MiB more than its own: {}",
        fetched as f64 / 1e6,
        own as f64 / 1e6,
        verdict(fetched <= own + BESIDE_MAX)
    )
}
