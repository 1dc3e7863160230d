//! Clocks that are wrong or jump: ages and freeze windows are judged by the store's clock, deadlines by none.

use std::fs;
use std::time::Duration;

use lifeboat::clock::{self, Timestamp};

use super::session::Open;
use super::{has_evidence, passes_once};
use crate::world::{TIERS, World, found, until};

/// As always, but the agent's report is not judged: the agent has another clock here than the call.
fn tiers() -> String {
    TIERS.replace("[\"drill\", ", "[\"agent\", \"drill\", ").replace("\"freeze\", \"agent\"", "\"freeze\"")
}

fn window(from: Timestamp, to: Timestamp) -> String {
    let text = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M").to_string();
    format!("{}[freeze.sales]\nfrom = \"{}\"\nto = \"{}\"\n", tiers(), text(from), text(to))
}

#[test]
fn the_stores_clock_says_whether_a_freeze_window_is_open_and_how_old_a_base_backup_is() {
    let minutes = Duration::from_secs(60);
    let now = clock::now();
    // Open in ten minutes, as a host sees it whose clock is ahead (S3 refuses more than 15 minutes).
    let settings = window(now + 8 * minutes, now + 60 * minutes);
    let world = World::on_s3(&["shop"], &settings, &[("LIFEBOAT_CHECKPOINT_BASE_AGE_MAX", "8min")]);
    let ahead = world.checkpoint("r1", &["--json"]).off_by("+10m").run().ok().json();
    assert!(ahead["stored"].is_string(), "{ahead}");
    assert!(found(&ahead, "freeze").contains("the next is sales"), "{}", found(&ahead, "freeze"));
    // As the host sees it, the base backup is ten minutes old, which would block.
    assert!(!found(&ahead, "base").contains("10 min"), "{}", found(&ahead, "base"));
    passes_once(&world, "r1", "a clock that is ahead");

    // Open now, and over as the host sees it, or not begun.
    let text = fs::read_to_string(world.site.config()).unwrap();
    let (before, _) = text.split_once("[freeze.sales]").unwrap();
    let open = window(now - 5 * minutes, now + 5 * minutes).replace(&tiers(), "");
    fs::write(world.site.config(), format!("{before}{open}")).unwrap();
    for offset in ["+10m", "-10m"] {
        let report = world.checkpoint("r2", &["--json"]).off_by(offset).run().exits(19).json();
        assert!(
            found(&report, "freeze").contains("sales is open until"),
            "{offset}: {}",
            found(&report, "freeze")
        );
        assert!(!has_evidence(&world, "r2"), "{offset}");
    }
}

/// A program whose clock says what a file says at each moment.
struct Clock(std::path::PathBuf);

impl Clock {
    fn new(world: &World) -> Clock {
        let clock = Clock(world.site.path("clock"));
        clock.jump("+0");
        clock
    }

    fn jump(&self, offset: &str) {
        fs::write(&self.0, format!("{offset}\n")).unwrap();
    }
}

#[test]
fn a_clock_that_jumps_during_the_call_fools_nobody() {
    let now = clock::now();
    let minutes = Duration::from_secs(60);
    let mut world = World::with(&["shop"], &window(now - 5 * minutes, now + 60 * minutes));
    let clock = Clock::new(&world);
    let mut locks = Open::new(&world.cluster, "shop");
    locks.run("begin; lock table ir_module_module in access exclusive mode");
    let looks = "select count(*) from pg_locks where not granted";
    let started = |more: &[&str]| {
        let call = world.checkpoint("r1", &[&["--json"][..], more].concat()).clock_of(&clock.0).spawn();
        until("it waits for the lock", || world.cluster.psql("shop", looks) == "1");
        call
    };
    // A freeze window that ends while the call runs: no point was made, so nothing passes.
    let call = started(&[]);
    clock.jump("+3h");
    locks.run("commit");
    let report = call.finish().exits(19).json();
    assert!(found(&report, "freeze").contains("sales is open until"), "{}", found(&report, "freeze"));
    assert!(!has_evidence(&world, "r1"));
    // One that begins while the call runs: the point was made, and the release is blocked all the same.
    clock.jump("-3h");
    locks.run("begin; lock table ir_module_module in access exclusive mode");
    let call = started(&[]);
    clock.jump("+0");
    locks.run("commit");
    let report = call.finish().exits(19).json();
    assert!(found(&report, "freeze").contains("sales is open until"), "{}", found(&report, "freeze"));

    // While it waits for WAL, the clock goes a month forwards or back: it waits as long as it may.
    world.site.edit("[freeze.sales]", "[freeze.sales]\nreason = \"sales\"");
    let over = ["--override", "freeze", "--reason", "urgent", "--by", "anna", "--json", "--timeout", "100s"];
    for (release, offset) in [("r2", "+7d"), ("r3", "-7d")] {
        clock.jump("+0");
        world.kill_agent();
        let before = world.points();
        let call = world.checkpoint(release, &over).clock_of(&clock.0).spawn();
        until("the point is made", || world.points() > before);
        clock.jump(offset);
        world.start_agent();
        let outcome = call.finish();
        let report = outcome.json();
        assert!(found(&report, "wal").contains("stored up to"), "{outcome}");
        match offset {
            // A directory has no clock but this host's: a base backup of the last minute is a week old.
            "+7d" => assert_eq!(outcome.code, Some(0), "{outcome}"),
            // What comes from the future is not new.
            _ => {
                assert_eq!(outcome.code, Some(19), "{outcome}");
                assert!(found(&report, "base").contains("so a clock is wrong"), "{outcome}");
            }
        }
        world.pass(release, &over[..6]);
    }
}
