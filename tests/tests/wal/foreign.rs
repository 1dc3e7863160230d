//! Foreign objects in the way of the stream and of restore_command, and how a stranger checks a name.

use std::fs;

use lifeboat_tests::Cluster;
use lifeboat_tests::program::workspace_root;
use lifeboat_tests::site::Site;
use rustix::process::Signal;

use crate::commands::{COULD_NOT_LOOK, fetch, name, push, segment};
use crate::recovered::wait_for;
use crate::streaming::{agent, stored, streaming_cluster, streams};

/// 300 bytes under a well-formed name, `n` of them.
fn garbage(site: &Site, file: &str, n: usize) {
    let folder = site.path("repo/instances/prod/wal").join(&file[..8]).join(file);
    fs::create_dir_all(&folder).unwrap();
    for _ in 0..n {
        let bytes = lifeboat::names::random_hex(150);
        let stored = &lifeboat::archive::digest::Sha256::of(bytes.as_bytes()).to_string()[..32];
        let plain = lifeboat::names::random_hex(16);
        fs::write(folder.join(format!("00000000-01000000-{plain}-{stored}.zst.age")), bytes).unwrap();
    }
}

fn next(cluster: &Cluster, n: u64) -> String {
    let file = cluster.psql("postgres", "select pg_walfile_name(pg_current_wal_insert_lsn())");
    format!("{}{:016X}", &file[..8], u64::from_str_radix(&file[8..], 16).unwrap() + n)
}

#[test]
fn the_stream_goes_on_where_foreign_objects_lie_and_the_end_is_the_end() {
    let cluster = streaming_cluster();
    let site = Site::local(&cluster);
    let running = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    stored(&cluster);
    for n in 1..4 {
        garbage(&site, &next(&cluster, n), 3);
    }
    for _ in 0..3 {
        cluster.psql("postgres", "select pg_logical_emit_message(true, 'x', 'x')");
        cluster.psql("postgres", "select pg_switch_wal()");
        stored(&cluster);
    }
    running.signal(Signal::TERM);
    let ended = running.finish().ok();
    assert!(ended.stderr.contains("are foreign and are ignored"), "{ended}");
    let status = site.run(&["wal", "status", "--json", "--offline"]).run().exits(3).json();
    assert_eq!(status["timelines"][0]["ranges"].as_array().unwrap().len(), 1, "{status}");
    assert_eq!(status["foreign"].as_array().unwrap().len(), 9, "{status}");

    // what is only foreign is not there, and what is ours beside it comes
    let out = site.path("out");
    let current = next(&cluster, 0);
    let last = format!("{}{:016X}", &current[..8], u64::from_str_radix(&current[8..], 16).unwrap() - 1);
    fetch(&site, &last, &out).ok();
    let behind = next(&cluster, 5);
    garbage(&site, &behind, 200);
    fetch(&site, &behind, &out).exits(1);
    // but for wrong keys, and for a gap
    let config = fs::read_to_string(site.config()).unwrap();
    let key = config.lines().find(|line| line.trim_start().starts_with("\"ssh-ed25519")).unwrap().trim();
    let stranger =
        "\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE4aTQ+idzupOEcW7KRduA3yk4NyK9oQbaXP8dcUVbr3 stranger\"";
    site.edit(key.trim_matches(','), stranger);
    let wrong = fetch(&site, &last, &out);
    assert!(wrong.code.is_some_and(|code| code > COULD_NOT_LOOK), "{wrong}");
}

#[test]
fn a_stranger_checks_a_name_by_the_page() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let path = segment(&cluster, &site.path(""));
    push(&site, &path).ok();
    let page = fs::read_to_string(workspace_root().join("docs/format.md")).unwrap();
    let script = page.split("```sh\n").find(|part| part.starts_with("sig=")).unwrap();
    let script = script.split("```").next().unwrap();
    let folder = site.path("repo/instances/prod/wal/00000001").join(name(&path));
    let object = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().file_name();
    let object = object.to_str().unwrap();
    let config = fs::read_to_string(site.config()).unwrap();
    let key = config.lines().find(|line| line.trim_start().starts_with("\"ssh-ed25519")).unwrap();
    let run = |file: &str, object: &str| {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-ec", script]).current_dir(site.path("repo"));
        shell.envs([("INSTANCE", "prod"), ("FILE", file), ("NAME", object)]);
        shell.env("KEY", key.trim().trim_matches([',', '"'])).output().unwrap()
    };
    let good = run(name(&path), object);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    assert!(!run(&next(&cluster, 9), object).status.success());
    assert!(!run(name(&path), &object.replacen("-0", "-1", 1)).status.success());
}
