//! The scratch cluster is gone whatever happens, and what cannot be reached makes none.

use std::time::Duration;

use rustix::process::Signal;

use crate::shared::{Shared, serves, wait_until, write};

#[test]
fn a_target_that_cannot_be_reached_is_refused_before_anything_is_made() {
    let shared = Shared::start();
    let early = shared.now();
    shared.back_up(&["--kind", "base"]);
    shared.archive();
    shared.restore("t1", &["--to-time", &early]).run().exits(16).says("consistent from");
    shared.restore("t1", &["--to-lsn", "FF/0"]).run().exits(16).says("WAL is stored up to");
    shared.restore("t1", &["--timeline", "1"]).run().exits(2);
    // a name that there never was is known only when the WAL was replayed
    shared.restore("t9", &["--to", "latest"]).run().exits(5).says("there was no database t9");
    assert!(shared.scratches().is_empty());
    assert!(!shared.cluster.psql("postgres", "select datname from pg_database").contains("incomplete"));
}

#[test]
fn a_scratch_cluster_does_not_outlive_its_restore() {
    let shared = Shared::start();
    let cluster = &shared.cluster;
    shared.back_up(&["--kind", "base"]);
    shared.back_up(&["--kind", "filestore", "--tenant", "t1"]);
    write(cluster, "t1");
    let truth = shared.state("t1");
    shared.archive();
    let server_runs = || {
        let mut at = None;
        wait_until("the scratch server runs", || {
            at = shared.scratches().pop().map(|(_, dir)| dir).filter(|dir| serves(&dir.join("data")));
            at.is_some()
        });
        at.unwrap()
    };

    let running = shared.restore("t1", &["--to", "latest", "--as", "back"]).spawn();
    let dir = server_runs();
    running.signal(Signal::TERM);
    running.finish().exits(18);
    assert!(!dir.exists() && shared.scratches().is_empty() && !serves(&dir));

    let running = shared.restore("t1", &["--to", "latest", "--as", "back"]).spawn();
    let dir = server_runs();
    std::thread::sleep(Duration::from_millis(100));
    running.kill9();
    assert!(dir.exists());
    // under another name: what a killed run left is everybody's to remove
    shared.restore("t1", &["--to", "latest", "--as", "other", "--no-neutralize"]).run().ok();
    assert!(!dir.exists() && shared.scratches().is_empty() && !serves(&dir));
    shared.assert_is("other", &truth);
}
