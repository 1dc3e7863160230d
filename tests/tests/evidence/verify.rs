//! `lifeboat evidence verify`: offline, with the public key alone.

use std::fs;

use lifeboat::archive::evidence::gate::Outcome;
use lifeboat_tests::Program;

use crate::{Host, PUBLIC_KEY};

#[test]
fn a_file_and_a_public_key_are_enough() {
    let host = Host::new();
    let stored = host.store("2026.11.29", |_| {});
    let away = tempfile::tempdir().unwrap();
    fs::write(away.path().join("checkpoint.json"), &stored.envelope).unwrap();
    fs::copy(host.path(PUBLIC_KEY), away.path().join("key.pem")).unwrap();
    let run = |args: &[&str]| {
        Program::lifeboat()
            .cwd(away.path())
            .args(["evidence", "verify", "checkpoint.json"])
            .args(args.to_vec())
    };
    let shown = run(&["--key", "key.pem"]).run().ok().stdout;
    for part in [
        "verdict       The release may go ahead, although these gates did not pass: base.",
        "release       2026.11.29",
        "image         sha256:3333",
        "scorecard     readiness 90 %, risk high, confidence of rollback low, 2 tenants",
        "base          failed, overridden by release-manager (the next one runs tonight)",
        "wal           passed: WAL up to 2/A7000200",
        "freeze        not-required: ",
        stored.evidence.keyid.as_str(),
    ] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    let json = run(&["--key", "key.pem", "--json"]).run().ok().json();
    assert_eq!((&json["verdict"], &json["overridden"][0]), (&"overridden".into(), &"base".into()));
    assert_eq!(json["checkpoint"]["point"]["lsn"], "2/A7000130");
    // Without a key it says where one is missing.
    run(&[]).run().exits(4).says("lifeboat.toml");
    run(&["--key", "none.pem"]).run().exits(4).says("none.pem");
}

#[test]
fn a_forged_a_damaged_and_a_blocking_one_have_their_own_exit_codes() {
    let host = Host::new();
    let stored = host.store("2026.11.29", |_| {});
    let verify = |bytes: &[u8], key: &str| {
        fs::write(host.path("file.json"), bytes).unwrap();
        host.run(&["evidence", "verify", "file.json", "--key", key]).run()
    };
    verify(&stored.envelope, PUBLIC_KEY).ok();
    let other = Host::new();
    let theirs = other.path(PUBLIC_KEY);
    verify(&stored.envelope, theirs.to_str().unwrap()).exits(11).says("which is not trusted");
    let mut flipped = stored.envelope.clone();
    let payload = flipped.windows(12).position(|bytes| bytes == b"\"payload\": \"").unwrap() + 100;
    flipped[payload] = if flipped[payload] == b'A' { b'B' } else { b'A' };
    verify(&flipped, PUBLIC_KEY).exits(11).says("does not match its content");
    verify(&stored.envelope[..stored.envelope.len() - 1], PUBLIC_KEY).exits(10).says("is damaged");
    verify(b"", PUBLIC_KEY).exits(10);
    let blocked = host.store("blocked", |checkpoint| checkpoint.gates[1].outcome = Outcome::Unknown);
    let outcome = verify(&blocked.envelope, PUBLIC_KEY).exits(16);
    assert!(outcome.stdout.contains("The release is blocked by: wal."), "{outcome}");
    host.run(&["evidence", "verify", "none.json", "--key", PUBLIC_KEY]).run().exits(5);
}
