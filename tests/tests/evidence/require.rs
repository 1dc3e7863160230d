//! `lifeboat evidence require`: what a release asks before it goes ahead.

use std::fs;
use std::time::Duration;

use lifeboat::archive::evidence::gate::Outcome;
use lifeboat::archive::evidence::statement;
use lifeboat_tests::faults::on;
use lifeboat_tests::{Outcome as Ended, S3};

use crate::{Host, PUBLIC_KEY};

const EFFECT: &str = "the release must not go ahead";

fn require(host: &Host, release: &str, args: &[&str]) -> Ended {
    host.run(&["evidence", "require", "--release", release]).args(args.to_vec()).run()
}

#[test]
fn exactly_this_release_image_and_commit_pass() {
    let host = Host::new();
    let stored = host.store("2026.11.29", |_| {});
    let image = format!("registry.example/odoo@sha256:{}", "3".repeat(64));
    let commit = "9fceb02d0ae598e95dc970b74767f19372d61af8";
    let all = ["--image", &image, "--commit", commit, "--max-age", "10min"];
    let json = require(&host, "2026.11.29", &[&all[..], &["--json"]].concat()).ok().json();
    assert_eq!(json["release"], "2026.11.29");
    assert!(json["stored_at"].is_string(), "{json}");
    require(&host, "2026.11.29", &[]).ok();
    fs::write(host.path("ours.json"), &stored.envelope).unwrap();
    require(&host, "2026.11.29", &["--file", "ours.json"]).ok();

    require(&host, "2026.11.30", &[])
        .exits(5)
        .says("there is no checkpoint of release 2026.11.30")
        .says(EFFECT);
    let other = format!("sha256:{}", "4".repeat(64));
    require(&host, "2026.11.29", &["--image", &other]).exits(16).says("is for image sha256:333").says(EFFECT);
    require(&host, "2026.11.29", &["--image", "odoo:17"]).exits(2).says("a tag can be moved");
    require(&host, "2026.11.29", &["--commit", "0123456"]).exits(16).says("not for 0123456").says(EFFECT);
    require(&host, "2026.11.29", &["--max-age", "soon"]).exits(2);
    host.store("blocked", |checkpoint| checkpoint.gates[0].outcome = Outcome::Failed);
    require(&host, "blocked", &[]).exits(16).says("is blocked by: chain").says(EFFECT);
}

#[test]
fn evidence_of_something_else_is_refused() {
    let host = Host::new();
    let old = host.store("old", |_| {});
    let folder = host.folder("new");
    let put = |bytes: &[u8]| {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("checkpoint.json"), bytes).unwrap();
    };
    // An older checkpoint's evidence, served under this ID.
    put(&old.envelope);
    require(&host, "new", &[]).exits(10).says("is the evidence of release old").says(EFFECT);
    // Of another repository, with the same name of the instance and the same key.
    let other = Host::new();
    put(&statement::sign(&other.checkpoint("new", |_| {}), &host.key()).unwrap());
    require(&host, "new", &[]).exits(10).says("evidence of another repository").says(EFFECT);
    put(&statement::sign(&host.checkpoint("new", |_| {}), &other.key()).unwrap());
    require(&host, "new", &[]).exits(11).says("which is not trusted").says(EFFECT);
    let theirs = other.path(PUBLIC_KEY);
    require(&host, "new", &["--key", theirs.to_str().unwrap()]).ok();
    put(&old.envelope[..100]);
    require(&host, "new", &[]).exits(10).says("is damaged").says(EFFECT);
    fs::remove_file(folder.join("checkpoint.json")).unwrap();
    require(&host, "new", &[]).exits(5);
    // lifeboat.json that was altered fits no evidence.
    let meta = host.path("lifeboat-repository/lifeboat.json");
    let text = fs::read_to_string(&meta).unwrap();
    fs::write(&meta, text.replace('\n', " \n")).unwrap();
    require(&host, "old", &[]).exits(10).says("one of them was altered");
}

#[test]
fn the_pipelines_copy_must_be_the_stored_one() {
    let host = Host::new();
    host.store("2026.11.29", |_| {});
    let old = host.store("old", |_| {});
    fs::write(host.path("old.json"), &old.envelope).unwrap();
    require(&host, "2026.11.29", &["--file", "old.json"]).exits(10).says("is the evidence of release old");
    let another = host.checkpoint("2026.11.29", |checkpoint| checkpoint.written_by = "another".to_owned());
    fs::write(host.path("another.json"), statement::sign(&another, &host.key()).unwrap()).unwrap();
    let outcome = require(&host, "2026.11.29", &["--file", "another.json"]).exits(10);
    outcome.says("is another checkpoint of release 2026.11.29").says(EFFECT);
}

#[test]
fn an_old_one_stays_old_when_it_is_stored_again() {
    let host = Host::new();
    let hour = Duration::from_secs(3_600);
    host.store("again", |checkpoint| checkpoint.ended = lifeboat::clock::now() - hour);
    require(&host, "again", &["--max-age", "2h"]).ok();
    require(&host, "again", &["--max-age", "30min"]).exits(16).says("is too old: taken at").says(EFFECT);
    // A host whose clock is ahead cannot make one that stays new: the store's time counts.
    host.store("ahead", |checkpoint| checkpoint.ended = lifeboat::clock::now() + 24 * hour);
    let file = host.folder("ahead").join("checkpoint.json");
    let file = fs::File::options().write(true).open(file).unwrap();
    file.set_modified(std::time::SystemTime::now() - hour).unwrap();
    require(&host, "ahead", &["--max-age", "30min"]).exits(16).says("is too old");
}

#[test]
fn release_ids_of_every_shape_have_their_own_evidence() {
    let host = Host::new();
    let long = "é/ ".repeat(66) + "xy";
    let ids = [
        "feature/12 sale",
        "feature/12-sale",
        "feature-12-sale",
        "../../x",
        "発売 ☂",
        "Größe",
        &long,
        "A",
        "a",
    ];
    assert_eq!(long.chars().count(), 200);
    for id in ids {
        host.store(id, |checkpoint| checkpoint.release.ticket = Some(id.to_owned()));
    }
    for id in ids {
        let json = require(&host, id, &["--json"]).ok().json();
        assert_eq!(json["checkpoint"]["release"]["ticket"], id);
    }
    let folders = fs::read_dir(host.folder("")).unwrap().count();
    assert_eq!(folders, ids.len(), "nothing was written elsewhere");
    for bad in ["", " a", "a\u{7}", "\u{202e}a", "../..", &"x".repeat(201)] {
        require(&host, bad, &[]).exits(2);
    }
    require(&host, "feature/13 sale", &[]).exits(5).says("--release 'feature/13 sale'");
}

#[test]
fn it_reads_only_what_an_init_container_may_read_and_could_not_look_is_no_evidence() {
    let s3 = S3::start();
    let host = Host::on_s3(&s3);
    host.store("feature/1", |_| {});
    s3.faults().clear_log();
    require(&host, "feature/1", &["--max-age", "10min"]).ok();
    require(&host, "none", &[]).exits(5);
    for served in s3.faults().log() {
        let target = served.target();
        let allowed = ["/lifeboat.json", "/instances/prod/instance.json", "/instances/prod/releases/"];
        let is_read = ["GET", "HEAD"].contains(&served.method.as_str());
        assert!(is_read && allowed.iter().any(|part| target.contains(part)), "{} {target}", served.method);
    }
    let list = host.run(&["evidence", "list"]).run().ok();
    assert!(list.stdout.contains("feature/1"), "{list}");
    let refused = s3.plan(on("GET", "checkpoint.json").respond(403));
    require(&host, "feature/1", &[]).exits(6).says(EFFECT);
    assert!(refused.fired() > 0);
    s3.faults().clear();
    s3.plan(on("GET", "checkpoint.json").respond(503));
    require(&host, "feature/1", &[]).exits(7).says(EFFECT);
    s3.faults().clear();
    let flip = s3.plan(on("GET", "checkpoint.json").flip(300));
    let outcome = require(&host, "feature/1", &[]);
    assert!([Some(10), Some(11)].contains(&outcome.code) && flip.fired() > 0, "{outcome}");
}
