//! A store that is slow, refuses, answers nothing, or is not there, at each step of a checkpoint. What could
//! not be looked up is unknown and blocks; nothing is called damaged because of it; the next call goes on.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_tests::Outcome;
use lifeboat_tests::children::HANGS;
use lifeboat_tests::cluster::free_port;
use lifeboat_tests::faults::{Served, on};

use super::{ALL_STEPS, cases, has_evidence, passes_once, through};
use crate::world::{TIERS, World, found, gates};

/// What kind of request it is: the same for every release and snapshot.
fn step(served: &Served) -> String {
    let word = |part: &str| {
        let is_number = part.len() >= 6 && part.bytes().take(6).all(|b| b.is_ascii_digit());
        let known = ["-base-", "-arrivals-", "-config-", "baseline-", "uploadId", "X-Amz"];
        match known.iter().find(|known| part.contains(**known)) {
            Some(known) => known.trim_matches('-').to_owned(),
            None if part.len() > 100 || is_number => "N".to_owned(),
            None if part.strip_prefix('r').is_some_and(|rest| rest.parse::<u32>().is_ok()) => "R".to_owned(),
            None => part.to_owned(),
        }
    };
    let target = served.target().replace("%2F", "/");
    let words: Vec<String> = target.split(['/', '&', '?']).map(word).collect();
    format!("{} {}", served.method, words.join("/"))
}

/// How the store fails.
const FAULTS: [&str; 4] = ["403", "503", "dropped", "silent"];

/// So that a test of a store that does not answer ends.
const SHORT: [(&str, &str); 2] =
    [("LIFEBOAT_REPOSITORY_REQUEST_TIMEOUT", "1s"), ("LIFEBOAT_REPOSITORY_RETRY_DEADLINE", "1s")];

/// Blocked, and no gate says that something is missing or damaged: nobody could look.
#[track_caller]
fn not_known(outcome: &Outcome, what: &str) {
    for (gate, result, found) in gates(&outcome.json()) {
        assert_ne!(result, "failed", "{what}: gate {gate}: {found}");
    }
}

#[test]
fn a_store_that_fails_at_any_step_lets_no_release_pass() {
    let world = World::on_s3(&["shop"], TIERS, &[&ALL_STEPS[..], &SHORT].concat());
    let door = world.door();
    world.tenants[0].upload(&world.cluster, "new.pdf", b"before r0");
    through(&world, &door, "r0", &[]).run().ok();
    let steps: BTreeSet<String> = door.faults().log().iter().map(step).collect();
    let steps: Vec<String> = steps.into_iter().collect();
    assert!(steps.len() >= 40, "{steps:#?}");
    let mut fired = 0;
    for case in 0..cases(6) {
        // Every step with every fault in the long run.
        let wanted = &steps[(case * 37 + 11) % steps.len()];
        let fault = FAULTS[(case + case / steps.len()) % FAULTS.len()];
        let release = format!("r{}", case + 1);
        world.tenants[0].upload(&world.cluster, "new.pdf", format!("before {release}").as_bytes());
        let meant = wanted.clone();
        let requests = on("*", "").only(move |served| step(served) == meant);
        let planned = door.plan(match fault {
            "403" => requests.respond(403),
            "503" => requests.respond(503),
            "dropped" => requests.drop_connection(),
            _ => requests.hang(),
        });
        let outcome = through(&world, &door, &release, &["--json", "--timeout", "20s"]).run();
        door.faults().clear();
        let what = format!("case {case}: {fault} at {wanted}");
        println!("{what}: exit code {:?}, {} times", outcome.code, planned.fired());
        fired += usize::from(planned.fired() > 0);
        assert!(outcome.took < HANGS, "{what}: {outcome}");
        match outcome.code {
            // What is not needed, such as the drill that this tier does not require.
            Some(0) => assert!(has_evidence(&world, &release), "{what}: {outcome}"),
            Some(19) => not_known(&outcome, &what),
            // Nothing was decided, or all but the last steps was done.
            code => assert!([Some(6), Some(7)].contains(&code), "{what}: {outcome}"),
        }
        passes_once(&world, &release, &what);
    }
    assert!(fired * 2 > cases(6), "only {fired} faults met a request");
}

#[test]
fn a_store_that_is_slow_only_takes_longer_until_the_time_is_up_and_one_that_is_not_there_blocks() {
    let world = World::on_s3(&["shop"], TIERS, &SHORT);
    let door = world.door();
    door.plan(on("*", "").delay(Duration::from_millis(60)));
    let outcome = through(&world, &door, "r1", &["--json"]).run().ok();
    assert!(outcome.took > Duration::from_secs(1), "{outcome}");
    passes_once(&world, "r1", "a slow store");
    door.faults().clear();

    // So slow that the time is up before everything was read: what was not read is not known.
    let timeout = Duration::from_secs(3);
    let state = world.site.path("another-state");
    let reads =
        door.plan(on("GET", "-base-").only(|served| !served.path.contains("manifest")).delay(timeout));
    let slow = through(&world, &door, "r2", &["--json", "--timeout", "3s"])
        .env("LIFEBOAT_REPOSITORY_REQUEST_TIMEOUT", "20s")
        .env("LIFEBOAT_STATE_DIR", &state);
    let outcome = slow.run().exits(19);
    assert!(reads.fired() > 0);
    not_known(&outcome, "no time left");
    assert!(found(&outcome.json(), "chain").contains("there was no time left"), "{outcome}");
    door.faults().clear();

    // A base backup that nobody may read is not one that does not exist.
    door.plan(on("GET", "-base-").only(|served| served.path.ends_with("manifest.json")).respond(403));
    not_known(&through(&world, &door, "r2", &["--json"]).run().exits(19), "no right to read");
    door.faults().clear();

    // Nobody listens, and nobody answers.
    let port = free_port();
    let nowhere =
        world.checkpoint("r2", &[]).env("LIFEBOAT_REPOSITORY_ENDPOINT", format!("http://127.0.0.1:{port}"));
    nowhere.run().exits(7).says("no answer");
    door.plan(on("*", "").hang());
    let silent = through(&world, &door, "r2", &[]).run().exits(7);
    assert!(silent.took < HANGS, "{silent}");
    door.faults().clear();
    door.plan(on("*", "").respond(403));
    through(&world, &door, "r2", &[]).run().exits(6);
    assert_eq!(world.points(), 3, "of r1 and of the two that could be begun: without a store none is made");
    passes_once(&world, "r2", "a store that was not there");
}

#[test]
fn of_two_hosts_at_once_the_record_of_one_is_the_one() {
    let world = World::on_s3(&["shop"], TIERS, &[]);
    let door = world.door();
    let (state, other) = (world.site.path("another-state"), world.checkpoint("r1", &["--json"]));
    let second: Arc<Mutex<Option<Outcome>>> = Arc::default();
    let of = second.clone();
    // The first is about to store its evidence when the second one, of another host, begins.
    let planned = door.plan(on("PUT", "r1/checkpoint.json").nth(1).call(move |_| {
        *of.lock().unwrap() = Some(other.clone().env("LIFEBOAT_STATE_DIR", &state).run());
    }));
    let slow = through(&world, &door, "r1", &["--json"]).env("LIFEBOAT_REPOSITORY_REQUEST_TIMEOUT", "60s");
    let first = slow.run().ok().json();
    assert_eq!(planned.fired(), 1);
    let second = second.lock().unwrap().take().unwrap().ok().json();
    assert_eq!((&first["existed"], &second["existed"]), (&true.into(), &false.into()));
    assert_eq!((&first["sha256"], &first["checkpoint"]), (&second["sha256"], &second["checkpoint"]));
    passes_once(&world, "r1", "two hosts at once");
}
