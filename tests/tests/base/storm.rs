//! Files that are cut, extended, dropped and rewritten while they are copied, by a seed, by both ways
//! in turn: whatever is stored starts, and its books balance. On the newest major; `TEST_SEED=7` is
//! another storm, on every major.

use std::sync::atomic::{AtomicBool, Ordering};

use lifeboat_tests::filestore::Seeded;
use lifeboat_tests::installed::available_majors;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options};

use crate::contents::{check_pages, lay_out};
use crate::copy::Copied;
use crate::protocol::Stops;

/// What two tables hold together, whatever is moved between them.
const SUM: &str = "select (select sum(v) from a) + (select sum(v) from b)";
/// One of these at a time. Each leaves the sum as it is.
const DEEDS: [&[&str]; 9] = [
    &["begin; update a set v = v - 5 where id % 7 = 3; update b set v = v + 5 where id % 7 = 3; commit"],
    &[
        "begin; lock a; create temp table kept as select * from a; truncate a; insert into a select * from kept; commit",
    ],
    &[
        "begin; lock b; create temp table kept as select * from b where id > 3000; delete from b where id > 3000; \
       insert into b select * from kept; commit",
    ],
    &["vacuum full a"],
    &["cluster b using b_pkey", "vacuum b"],
    &["reindex table a"],
    &["create table more as select a.* from a, generate_series(1, 3)", "drop table more"],
    &[
        "begin; insert into a select id + 1000000, 0, filler from a; delete from a where id > 1000000; commit",
        "vacuum a",
    ],
    &["checkpoint"],
];

#[test]
fn a_storm_of_rewritten_files_is_copied_whole() {
    let given = std::env::var("TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed: u64 = given.unwrap_or(17);
    println!("seed {seed}: TEST_SEED sets another");
    let mut majors = available_majors();
    if given.is_none() {
        majors.drain(..majors.len() - 1);
    }
    for major in majors {
        println!("PostgreSQL {major}");
        let summaries =
            if major >= 17 { vec![("summarize_wal".to_owned(), "on".to_owned())] } else { vec![] };
        let cluster =
            Cluster::with(Options { major: Some(major), settings: summaries, ..Options::default() });
        cluster.create_db("shop");
        for table in ["a", "b"] {
            let columns = "id bigint primary key, v bigint, filler text default repeat('x', 200)";
            cluster.psql("shop", &format!("create table {table} ({columns}); insert into {table} select g, 1000 from generate_series(1, 5000) g"));
        }
        let mut site = Site::local(&cluster);
        site.set("LIFEBOAT_BACKUP_READ_BYTES_PER_SECOND_MAX", "30MiB/s"); // so that much happens meanwhile
        let stop = AtomicBool::new(false);
        let mut last = String::new();
        std::thread::scope(|scope| {
            let (cluster, stop) = (&cluster, &stop);
            for worker in 0..2 {
                let mut random = Seeded::new(seed * 100 + worker);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        // two of them may meet in a deadlock: then one of them did nothing
                        for sql in DEEDS[random.below(DEEDS.len() as u64) as usize] {
                            let _ = cluster.try_psql("shop", sql);
                        }
                        if random.below(5) == 0 {
                            let name = format!("storm{worker}");
                            let _ = cluster.copy_db("template1", &name, random.below(2) == 1);
                            let _ = cluster.try_psql("postgres", &format!("drop database if exists {name}"));
                        }
                    }
                });
            }
            let _stops = Stops(stop);
            for source in ["files", "protocol", "files"] {
                site.set("LIFEBOAT_BACKUP_BASE_SOURCE", source);
                let report = site.back_up(&["--kind", "base"]);
                assert_eq!(report["manifest"]["base"]["bad_page_count"], 0, "{report}");
                last = report["manifest"]["id"].as_str().unwrap().to_owned();
            }
        });
        let copied = Copied::new();
        lay_out(&site, &last, copied.data_dir());
        copied.start(&cluster);
        assert_eq!(copied.psql("shop", SUM), "10000000", "seed {seed} on {major}");
        assert_eq!(
            copied.psql("shop", "select (select count(*) from a) || ' ' || (select count(*) from b)"),
            "5000 5000"
        );
        copied.amcheck("shop");
        copied.stop();
        check_pages(&cluster, copied.data_dir());
    }
}
