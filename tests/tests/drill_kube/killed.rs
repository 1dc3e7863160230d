//! Drills that were killed, and the next one.

use std::time::Duration;

use rustix::process::Signal;

use crate::room::{Room, until};

pub fn what_killed_drills_left_is_removed_and_nothing_else(room: &Room) {
    let short = "time_to_live = \"50s\"\n";
    // At the restore, and at the checks.
    let mut left = Vec::new();
    for part in ["restore", "prove"] {
        let running = room.drill(&room.slow_check(60), short).spawn();
        let mut own = String::new();
        until("the drill has a namespace", || {
            own = room.namespaces().into_iter().find(|name| !left.contains(name)).unwrap_or_default();
            !own.is_empty()
        });
        room.pod(&own, part);
        running.kill9();
        left.push(own);
    }
    room.kube.kubectl(&["create", "namespace", "bystander"], "");

    // Their time is not over: the next drill leaves them alone, and so does a signal, which removes its own.
    let running = room.drill(&room.slow_check(60), "").spawn();
    until("three drills", || room.namespaces().len() == 3);
    let own = room.namespaces().into_iter().find(|name| !left.contains(name)).unwrap();
    room.pod(&own, "restore");
    running.signal(Signal::TERM);
    running.finish().exits(4).says("stopped by a signal");
    assert_eq!(sorted(room.namespaces()), sorted(left.clone()));

    std::thread::sleep(Duration::from_secs(115)); // 50 s and the minute of grace
    let mut done = room.drill("", "").run().ok();
    for name in &left {
        done = done.says(&format!("removed namespace {name}, which a killed drill had left"));
    }
    until("what they left is gone", || room.namespaces().is_empty());
    room.kube.kubectl(&["get", "namespace", "bystander"], "");
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}
