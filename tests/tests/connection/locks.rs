//! A backup waits for a locked table as long as pg_dump does, not five seconds.

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};

use super::{Holder, until};

#[test]
fn a_table_that_is_locked_for_a_while_is_waited_for() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "acme", 5);
    for table in ["res_partner", "ir_attachment"] {
        let held = Holder::begin(&cluster, "acme", &format!("lock table {table} in access exclusive mode"));
        let running = site.backup(&["--no-progress"]).spawn();
        // longer than what waited five seconds before
        until(
            &cluster,
            "select coalesce(bool_or(clock_timestamp() - query_start > interval '6 s'), false) from pg_stat_activity \
             where wait_event_type = 'Lock' and application_name = 'lifeboat'",
        );
        drop(held);
        running.finish().ok();
    }
}
