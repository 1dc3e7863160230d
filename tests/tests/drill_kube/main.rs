//! `restore-drill run` in a real Kubernetes (`TEST_KUBE` names the folder that starts it), with real pods.
//! Without it these tests are skipped, and counted as that.
#![allow(clippy::unwrap_used)] // a failing test panics

mod cron;
mod hostile;
mod image;
mod killed;
mod proves;
mod rights;
mod room;

use lifeboat_tests::kube::Kube;
use lifeboat_tests::skip;

use room::Room;

/// What is tried in it.
type Story = fn(&Room);

/// All of it in one cluster: it takes half a minute to start.
#[test]
fn a_drill_in_kubernetes() {
    if !rustix::process::geteuid().is_root() {
        skip!("only root can start a Kubernetes with a node")
    }
    let Some(kube) = Kube::with_node() else {
        skip!("TEST_KUBE does not name a folder that starts a Kubernetes")
    };
    let room = Room::open(kube);
    let stories: [(&str, Story); 15] = [
        ("a dump", proves::a_dump_passes_in_a_namespace_of_its_own),
        ("points", proves::points_in_time_pass),
        ("damage", proves::a_damaged_archive_fails_by_name),
        ("no secret", proves::what_proves_has_no_secret_and_no_way_out),
        ("an open network", proves::an_open_network_is_seen),
        ("rights", rights::the_shipped_rights_are_enough_and_each_is_named),
        ("cron", cron::a_drill_runs_from_within_the_cluster),
        ("no image", hostile::a_missing_image_is_seen_within_seconds),
        ("quota", hostile::a_quota_that_is_too_small_is_named),
        ("deleted pod", hostile::a_pod_that_is_deleted_is_told),
        ("memory", hostile::a_pod_without_memory_is_told),
        ("not ours", hostile::a_namespace_that_is_not_ours_stays),
        ("terminating", hostile::a_namespace_that_does_not_go_fails_the_drill),
        ("killed", killed::what_killed_drills_left_is_removed_and_nothing_else),
        ("no api", hostile::an_api_server_that_goes_away_is_told), // the last: the cluster is gone then
    ];
    // STORY="rights,killed" runs these two.
    let only = std::env::var("STORY").ok();
    let mut failed = Vec::new();
    for (name, story) in stories {
        if only.as_ref().is_none_or(|only| only.split(',').any(|one| one == name)) {
            println!("-- {name}");
            // One that fails does not hide the others.
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| story(&room))).is_err() {
                failed.push(name);
                room.forget();
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
