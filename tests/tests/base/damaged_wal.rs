//! WAL that is damaged while a base backup runs: replay would stop before the copy is consistent, so there is
//! none.

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, damage};

use crate::full::begin_slowly;

#[test]
fn a_base_backup_whose_wal_is_damaged_is_not_stored_both_ways() {
    for source in ["files", "protocol"] {
        println!("{source}");
        let cluster = Cluster::start_default();
        cluster.psql("postgres", "create table t (n int, filler text)");
        let mut site = Site::local(&cluster);
        let running = begin_slowly(&cluster, &mut site, source);
        let at =
            "select file_name || ' ' || file_offset from pg_walfile_name_offset(pg_current_wal_insert_lsn())";
        let at = cluster.psql("postgres", at);
        cluster.psql("postgres", "set synchronous_commit = on; insert into t select g, md5(g::text) from generate_series(1, 5000) g");
        let (segment, offset) = at.split_once(' ').unwrap();
        let offset: u64 = offset.parse().unwrap();
        damage::flip_bit(&cluster.data_dir().join("pg_wal").join(segment), (offset + 100_000) * 8);
        let done = running.finish().exits(10);
        done.says("the WAL of this base backup is damaged");
        let list = site.run(&["list"]).run();
        assert!(!list.stdout.contains("stop") && !list.stdout.contains("full, timeline"), "{list}");
        // the next one begins after the damage
        site.back_up(&["--kind", "base"]);
    }
}
