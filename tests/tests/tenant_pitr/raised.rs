//! `max_connections` was raised in production after the base backup: one tenant comes back to a moment after
//! that, and recovery does not hang.

use crate::shared::{Shared, write};

#[test]
fn a_tenant_comes_back_to_a_moment_after_settings_were_raised() {
    let shared = Shared::start();
    shared.back_up(&["--kind", "base"]);
    shared.back_up(&["--kind", "filestore", "--tenant", "t1"]);
    shared.cluster.psql("postgres", "alter system set max_connections = 130");
    shared.cluster.restart();
    write(&shared.cluster, "t1");
    let truth = shared.state("t1");
    let then = shared.now();
    write(&shared.cluster, "t1");
    shared.archive();
    let report =
        shared.restore("t1", &["--to-time", &then, "--as", "back", "--no-neutralize"]).run().ok().json();
    assert_eq!(report["recovered"]["raised"].to_string(), "[\"max_connections to 130\"]");
    assert_eq!(report["recovered"]["writable"], true);
    shared.assert_is("back", &truth);
}
