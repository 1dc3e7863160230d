//! `runbooks/break-glass-wal.md` does what it says: its script, as it stands, is a restore_command.

use std::fs;

use lifeboat_tests::program::workspace_root;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options};
use rustix::process::Signal;

use crate::recovered::{base_copy, digest, hand_over, recover, wait_for};
use crate::streaming::{agent, stored, streams};

#[test]
fn wal_is_replayed_by_stock_tools_alone_and_damage_stops_them() {
    let cluster = Cluster::with(Options::default());
    let mut site = Site::local(&cluster);
    site.set("LIFEBOAT_WAL_PIECE_INTERVAL", "0s");
    let running = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    let base = base_copy(&cluster, "base");
    cluster.psql("postgres", "create table t as select i as id from generate_series(1, 200000) i");
    for n in 0..5 {
        cluster.psql("postgres", &format!("insert into t values (-{n})"));
        stored(&cluster);
    }
    let before = digest(&cluster, "t");
    running.signal(Signal::KILL);
    running.finish();
    cluster.kill9();

    let page = fs::read_to_string(workspace_root().join("runbooks/break-glass-wal.md")).unwrap();
    let script = page.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    fs::write(site.path("wal-fetch.sh"), script).unwrap();
    let config = fs::read_to_string(site.config()).unwrap();
    let key = config.lines().find(|line| line.trim_start().starts_with("\"ssh-ed25519")).unwrap();
    let variables = format!(
        "REPO={} IDENTITY={} SIGNING_KEY=\"{}\"",
        site.path("repo").display(),
        site.path("lifeboat-identity.txt").display(),
        key.trim().trim_matches([',', '"'])
    );
    let command = |args: &str| format!("{variables} sh {} {args}", site.path("wal-fetch.sh").display());
    hand_over(&site.path(""));
    recover(&cluster, &base, &command("%f %p"));
    assert_eq!(digest(&cluster, "t"), before, "{}", cluster.log());

    let run = |name: &str| {
        let line = command(&format!("{name} {}", site.path("out").display()));
        std::process::Command::new("sh").args(["-c", &line]).status().unwrap().code().unwrap()
    };
    let timeline = site.path("repo/instances/prod/wal/00000001");
    let mut segments: Vec<_> = fs::read_dir(&timeline).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    let name = segments[0].file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(run(&name), 0);
    assert_eq!(run("000000010000000F00000000"), 1);
    for object in fs::read_dir(&segments[0]).unwrap() {
        let path = object.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(run(&name), 200);
    fs::rename(site.path("repo"), site.path("away")).unwrap();
    assert_eq!(run(&name), 200);
}
