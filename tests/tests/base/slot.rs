//! A base backup's own slot has the limit that all slots have: what is said when the server ends it for that.

use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, Options};

use crate::full::{begin_slowly, wait_until};

#[test]
fn a_base_backup_whose_slot_is_lost_says_so_and_what_to_set() {
    let settings = vec![("max_slot_wal_keep_size".to_owned(), "16MB".to_owned())];
    let cluster = Cluster::with(Options { settings, ..Options::default() });
    let slot = "select count(*) from pg_replication_slots where slot_name like 'lifeboat_base%'";
    for source in ["files", "protocol"] {
        println!("{source}");
        let mut site = Site::local(&cluster);
        let running = begin_slowly(&cluster, &mut site, source);
        let sql = "select count(pg_logical_emit_message(false, 'x', repeat(md5(i::text), 16384))) from generate_series(1, 120) i";
        cluster.psql("postgres", sql);
        cluster.psql("postgres", "checkpoint");
        wait_until("its slot is gone", || cluster.psql("postgres", slot) == "0");
        let done = running.finish().exits(13);
        let said = words(&done);
        assert!(said.contains("max_slot_wal_keep_size lets its slot keep only 16.0 MiB"), "{done}");
        assert!(said.contains("raise max_slot_wal_keep_size"), "{done}");
        // As it was advised.
        cluster.psql("postgres", "alter system set max_slot_wal_keep_size = '1GB'");
        cluster.psql("postgres", "select pg_reload_conf()");
        wait_until("it is set", || cluster.psql("postgres", "show max_slot_wal_keep_size") == "1GB");
        site.back_up(&["--kind", "base"]);
        cluster.psql("postgres", "alter system set max_slot_wal_keep_size = '16MB'");
        cluster.psql("postgres", "select pg_reload_conf()");
    }
}
