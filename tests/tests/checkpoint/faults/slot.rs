//! The agent's slot is lost: dropped, or invalidated because it kept too much WAL.

use super::passes_once;
use crate::world::{World, found, until};

#[test]
fn a_slot_that_the_server_gave_up_blocks_until_there_is_a_new_base_backup() {
    let mut world = World::new(&["shop"]);
    world.pass("r1", &[]);
    world.kill_agent();
    let set = |name: &str, value: &str| {
        world.cluster.psql("postgres", &format!("alter system set {name} = '{value}'"));
        world.cluster.psql("postgres", "select pg_reload_conf()");
    };
    set("max_slot_wal_keep_size", "16MB");
    set("max_wal_size", "32MB");
    let status = "select wal_status from pg_replication_slots where slot_name = 'lifeboat'";
    until("the slot is lost", || {
        world
            .cluster
            .psql("postgres", "select pg_logical_emit_message(true, 'x', 'x'); select pg_switch_wal()");
        world.cluster.psql("postgres", "checkpoint");
        world.cluster.psql("postgres", status) == "lost"
    });
    // Even where the tier lets somebody override the agent's gate.
    let over = ["--override", "agent", "--reason", "urgent", "--by", "anna", "--timeout", "2s"];
    let report = world.blocked("r2", &over, "wal");
    assert!(found(&report, "agent").contains("slot lifeboat is lost"), "{}", found(&report, "agent"));
    assert!(found(&report, "wal").contains("was not stored after"), "{}", found(&report, "wal"));

    // A new slot streams from now on: the WAL of the point is stored, but none leads to it.
    world.cluster.psql("postgres", "select pg_drop_replication_slot('lifeboat')");
    set("max_slot_wal_keep_size", "-1");
    world.start_agent();
    let report = world.blocked("r2", &["--override", "agent", "--reason", "urgent", "--by", "anna"], "chain");
    let chain = found(&report, "chain");
    assert!(chain.contains("cannot be reached") && chain.contains("WAL is stored up to"), "{chain}");
    world.site.back_up(&["--kind", "base"]);
    passes_once(&world, "r2", "a new base backup");
}
