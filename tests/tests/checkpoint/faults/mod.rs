//! Faults of everything that a checkpoint touches: no release passes by mistake, and the next call goes on.
//! `TEST_TIMES=200` runs so many cases of each test that has seeded cases.

mod arriving;
mod clock;
mod damage;
mod kills;
mod server;
mod session;
mod slot;
mod store;
mod transactions;

use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use lifeboat_tests::{Outcome, Program, S3};

use crate::world::World;

/// How many cases a test runs: so many in the gate.
fn cases(in_the_gate: usize) -> usize {
    std::env::var("TEST_TIMES").ok().and_then(|n| n.parse().ok()).unwrap_or(in_the_gate)
}

/// So that a checkpoint takes every step itself: it stores what the agent would have followed, and the
/// configuration, of which it captures its own file.
const ALL_STEPS: [(&str, &str); 2] =
    [("LIFEBOAT_AGENT_FOLLOW_FILESTORE", "false"), ("LIFEBOAT_CONFIGURATION_FILES", "lifeboat.toml")];

/// A checkpoint that reaches the store through a door of its own.
fn through(world: &World, door: &S3, release: &str, more: &[&str]) -> Program {
    world.checkpoint(release, more).env("LIFEBOAT_REPOSITORY_ENDPOINT", door.endpoint())
}

/// Whether evidence of the release is stored.
fn has_evidence(world: &World, release: &str) -> bool {
    world.evidence(release).is_file()
}

/// After a fault is over: one call passes, its evidence is believed, and a second call gives the same record.
#[track_caller]
fn passes_once(world: &World, release: &str, after: &str) -> serde_json::Value {
    let existed = has_evidence(world, release);
    let outcome: Outcome = world.checkpoint(release, &["--json"]).run();
    assert_eq!(outcome.code, Some(0), "{after}: {outcome}");
    let report = outcome.json();
    assert_eq!(report["existed"], existed, "{after}");
    world.site.run(&["evidence", "require", "--release", release]).run().ok();
    assert_eq!(world.pass(release, &[])["sha256"], report["sha256"], "{after}");
    let folder = world.evidence(release).parent().unwrap().to_owned();
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("baseline-"))
        .collect();
    names.sort();
    assert_eq!(names, ["checkpoint.json", "evidence.md", "schema.json", "svr.json"], "{after}");
    report
}

/// Gives a file or a folder with all that is in it to the owner of `like`: a server runs as its own user.
fn own_as(path: &Path, like: &Path) {
    let meta = like.metadata().unwrap();
    chown(path, Some(meta.uid()), Some(meta.gid())).unwrap();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            own_as(&entry.unwrap().path(), like);
        }
    }
}
