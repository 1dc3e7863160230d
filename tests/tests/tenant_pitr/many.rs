//! One tenant of many: what is fetched follows the one, not the many.

use serde_json::Value;

use crate::shared::{Shared, write};

/// Beyond the tenant's own files: those that all share, WAL, and neighbours in the same frames.
const MORE_BYTES_MAX: u64 = 50_000_000;

#[test]
fn one_of_ten_fetches_little_more_than_its_own() {
    let shared = Shared::start();
    let cluster = &shared.cluster;
    // nothing that could be made smaller: what is fetched is as large as what lies in the files
    cluster.psql("t4", "create table bulk (b bytea); alter table bulk alter b set storage external; insert into bulk select decode(string_agg(md5(random()::text), ''), 'hex') from generate_series(1, 1500000) g group by g / 400; checkpoint");
    for n in 1..=8 {
        cluster.copy_db("t4", &format!("copy{n}"), true).unwrap();
    }
    let packs =
        shared.lifeboat(&["backup", "--kind", "base", "--json"]).env("LIFEBOAT_BACKUP_PACK_BYTES", "64MiB");
    let base = packs.run().ok().json();
    write(cluster, "copy5");
    let truth = shared.digest("copy5");
    shared.archive();
    let outcome = shared.restore("copy5", &["--to", "latest", "--as", "back", "--no-neutralize"]).run();
    assert!(matches!(outcome.code, Some(0 | 3)), "{outcome}"); // nobody backed its filestore up
    let report = outcome.json();
    lifeboat_tests::compare::assert_same("back", &shared.digest("back"), &truth);

    let number = |value: &Value| value.as_u64().unwrap();
    let (fetched, own) = (number(&report["base_fetched_bytes"]), number(&report["plan"]["own_bytes"]));
    let objects = base["manifest"]["objects"].as_array().unwrap();
    let all: u64 = objects.iter().map(|object| number(&object["bytes"])).sum();
    println!("fetched {fetched} for {own} of its own, of {all} stored");
    assert!(all > 4 * own, "the others are too small to show anything: {all} of {own}");
    assert!(fetched <= own + MORE_BYTES_MAX, "fetched {fetched} for {own}");
    assert!(
        number(&report["plan"]["scratch"]["fetch_bytes"]).abs_diff(fetched) < 1 << 20,
        "the plan said so"
    );
}
