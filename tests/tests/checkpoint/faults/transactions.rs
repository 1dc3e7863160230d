//! A restore point inside open transactions of somebody else: what was committed before it comes back, and
//! nothing else, although all of it commits afterwards.

use lifeboat_tests::compare::assert_same;
use lifeboat_tests::filestore::Filestore;
use lifeboat_tests::tenant::{State, state};

use super::session::Open;
use crate::world::World;

/// Everything but sequences: they do not roll back, and replay sets one up to 32 further than it was
/// (PostgreSQL's SEQ_LOG_VALS).
pub fn rows(state: &State) -> std::collections::BTreeMap<String, String> {
    let all = state.database.iter().filter(|(name, _)| !name.starts_with("sequence "));
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[test]
fn only_what_was_committed_before_the_point_comes_back() {
    let world = World::with_server(&["shop"], &[("max_prepared_transactions", "5")]);
    let cluster = &world.cluster;
    let partner = |name: &str| format!("insert into res_partner (name) values ('{name}')");
    cluster.psql("shop", &partner("committed before"));

    let mut open = Open::new(cluster, "shop");
    open.run(&format!("begin; {}; update res_partner set name = name || ' changed'", partner("open")));
    // With subtransactions: one is released, one rolled back, one not ended; enough of them that PostgreSQL
    // logs which belong together (it keeps 64 in memory).
    let mut nested = Open::new(cluster, "shop");
    nested.run(&format!("begin; savepoint a; {}; release a", partner("released")));
    nested.run(&format!("savepoint b; {}; rollback to b", partner("rolled back")));
    for number in 0..70 {
        nested.run(&format!("savepoint s{number}; {}", partner("nested")));
    }
    // Prepared: it survives a restart, and a restore brings it up as prepared again.
    let mut prepared = Open::new(cluster, "shop");
    prepared.run(&format!("begin; {}; prepare transaction 'theirs'", partner("prepared")));
    let before = world.tenants[0].state(cluster);
    assert!(before.database.keys().any(|name| name.contains("res_partner")));
    prepared
        .run("begin; alter table res_users add column theirs int; prepare transaction 'a change of a table'");

    world.pass("r1", &[]);

    open.run("commit");
    nested.run("commit");
    prepared.run("commit prepared 'theirs'");
    prepared.run("commit prepared 'a change of a table'");
    cluster.psql("shop", &partner("committed after"));
    let names = "select count(*) from res_partner where name like 'prepared' or name like 'nested'";
    assert_eq!(cluster.psql("shop", names), "71", "they were committed in the end");
    world.pass("r2", &[]);

    let restore = |release: &str, name: &str| {
        let args = ["restore", "--tenant", "shop", "--release", release, "--as", name, "--yes"];
        let identity = world.site.path("lifeboat-identity.txt");
        world.site.run(&args).arg("--no-neutralize").arg("--identity").arg(identity).run().ok();
        state(cluster, name, &Filestore::of(&world.site.data_dir(), name))
    };
    let back = restore("r1", "back");
    assert_same("the database at r1", &rows(&back), &rows(&before));
    assert_eq!(back.files, before.files);
    let now = world.tenants[0].state(cluster);
    assert_same("the database at r2", &rows(&restore("r2", "later")), &rows(&now));
}
