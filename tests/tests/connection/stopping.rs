//! What is given up is cancelled in the server.

use std::time::{Duration, Instant};

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};
use rustix::process::Signal;

use super::{Holder, until};

/// Sessions of ours that are still at something.
const NOBODY: &str = "select not exists (select from pg_stat_activity where application_name = 'lifeboat' and state = 'active')";
const WAITING: &str = "select exists (select from pg_stat_activity where application_name = 'lifeboat' \
                       and wait_event_type = 'Lock')";

#[test]
fn a_command_that_is_stopped_leaves_nothing_running_in_the_server() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "acme", 5);
    let held = Holder::begin(&cluster, "acme", "lock table ir_module_module in access exclusive mode");
    for args in [&["doctor"][..], &["backup"]] {
        let running = site.run(args).spawn();
        until(&cluster, WAITING);
        let begun = Instant::now();
        running.signal(Signal::TERM);
        running.finish().exits(18);
        assert!(begun.elapsed() < Duration::from_secs(10), "{args:?}: {:?}", begun.elapsed());
        until(&cluster, NOBODY);
        assert!(begun.elapsed() < Duration::from_secs(10), "{args:?}: {:?}", begun.elapsed());
    }
    drop(held);
}
