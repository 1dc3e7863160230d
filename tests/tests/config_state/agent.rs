//! The agent captures the configuration by itself.

use std::time::{Duration, Instant};

use crate::{World, id};

/// A line of cron has whole minutes: this is the longest that a run may take to end.
const NEXT_RUN: Duration = Duration::from_secs(100);

#[test]
fn a_schedule_captures_the_configuration_and_drift_shows() {
    let world = World::start();
    world.site.edit("[wal]", "[wal]\nstream = false");
    world.site.edit("[agent]", "[agent]\nfollow_filestore = false");
    world.site.edit("[schedule]", "[schedule]\nconfiguration = \"* * * * *\"\njitter_max = \"0s\"");
    let by_hand = id(&world.capture(&[]));
    let next = world.site.run(&["window", "--json"]).run().json();
    assert!(next.to_string().contains("schedule.configuration"), "{next:#}");

    let agent = world.site.run(&["agent", "--no-progress"]).limit(Duration::from_secs(300)).spawn();
    let captured = || {
        let listed = world.config(&["list", "--json"]).json().to_string();
        let mut words = listed.split('"').filter(|word| word.contains("-config-"));
        words.find(|word| *word != by_hand).map(str::to_owned)
    };
    let begun = Instant::now();
    let scheduled = loop {
        if let Some(id) = captured() {
            break id;
        }
        assert!(begun.elapsed() < NEXT_RUN, "nothing was captured: {}", agent.stderr_so_far());
        std::thread::sleep(Duration::from_millis(500));
    };
    drop(agent);
    world.config(&["diff", &scheduled, "now"]).ok();
    world.write("odoo.conf", "[options]\ndb_host = elsewhere\n");
    let told = world.config(&["diff", &scheduled, "now"]).exits(3);
    assert!(told.stdout.contains("odoo.conf"), "{told}");
    world.nothing_leaked();
}

#[test]
fn a_schedule_without_anything_to_capture_is_refused() {
    let mut world = World::start();
    world.site.set("LIFEBOAT_CONFIGURATION_FILES", "");
    world.site.edit("[schedule]", "[schedule]\nconfiguration = \"* * * * *\"");
    world.site.run(&["agent"]).run().exits(4).says("schedule.configuration").says("nothing to capture");
}
