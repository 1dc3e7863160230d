//! What is said where nothing is configured yet, or to whoever may not read the configuration: what is
//! missing, and the command that mends it, which then works.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use lifeboat_tests::program::bin_dir;
use lifeboat_tests::{Program, skip};

const NOWHERE: &str = "neither ./lifeboat.toml nor /etc/lifeboat/lifeboat.toml exists; run lifeboat init";

#[test]
fn without_a_configuration_init_is_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| Program::lifeboat().cwd(dir.path()).args(args.to_vec()).run();
    for (args, code) in [
        (&[][..], 2),
        (&["status"], 4),
        (&["backup"], 4),
        (&["restore", "--tenant", "x"], 4),
        (&["promote", "x", "--as", "y"], 4),
        (&["list"], 4),
        (&["verify"], 4),
        (&["agent"], 4),
    ] {
        let outcome = run(args).exits(code);
        let first = outcome.stderr.lines().next().unwrap_or_default();
        assert!(first.contains(NOWHERE), "{args:?}: {outcome}");
    }
    run(&["status"]).says("next:   lifeboat init");
    // A file that is named and not there: the same command with the same name writes it.
    let named = ["--config", "not there.toml"];
    let outcome = run(&["status", named[0], named[1]]).exits(4);
    assert!(outcome.stderr.lines().next().unwrap().contains("lifeboat init writes it"), "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("to write that file with new keys, run lifeboat init --config 'not there.toml'"),
        "{outcome}"
    );
    run(&["init", named[0], named[1]]).ok();
    run(&["status", named[0], named[1]]).exits(5).says("next:");
    // The example line.
    let other = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| Program::lifeboat().cwd(other.path()).args(args.to_vec()).run();
    run(&["init"]).ok();
    run(&["status"]).exits(5);
}

#[test]
fn what_is_printed_finds_the_configuration_of_this_run() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| Program::lifeboat().cwd(dir.path()).args(args.to_vec()).run();
    let init = run(&["init", "--config", "a b/lifeboat.toml", "--instance", "prod"]).ok();
    let place = fs::canonicalize(dir.path()).unwrap().join("a b/lifeboat.toml");
    let next = format!("lifeboat --config '{}' backup", place.display());
    let last =
        format!("Next: lifeboat --config '{0}' doctor, then lifeboat --config '{0}' backup", place.display());
    assert_eq!(init.stdout.lines().last(), Some(last.as_str()), "{init}");
    let told = run(&["--config", "a b/lifeboat.toml", "verify"]).exits(5);
    assert!(told.stderr.contains(&next), "{next} is not in {told}");
    let json = run(&["status", "--json", "--config", "a b/lifeboat.toml"]).exits(5).json();
    assert!(json["error"]["next"].as_str().unwrap().contains(&next), "{json}");
    let plain = Program::lifeboat().cwd(place.parent().unwrap()).arg("verify").run().exits(5);
    assert!(!plain.stderr.contains("--config"), "{plain}");
}

#[test]
fn whoever_may_not_read_it_is_told_who_may() {
    if !rustix::process::geteuid().is_root() {
        skip!("another user's file needs root");
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let line = accounts.lines().find(|line| line.starts_with("postgres:")).unwrap();
    let uid: u32 = line.split(':').nth(2).unwrap().parse().unwrap();
    let dir = tempfile::Builder::new().prefix("lbf-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let etc = dir.path().join("etc");
    fs::create_dir(&etc).unwrap();
    fs::write(etc.join("lifeboat.toml"), "instance = \"prod\"\nrepository.url = \"/x\"\n").unwrap();
    chown(&etc, Some(uid), None).unwrap();
    fs::set_permissions(&etc, PermissionsExt::from_mode(0o700)).unwrap();
    let config = etc.join("lifeboat.toml").display().to_string();
    let outcome = Program::at("/usr/bin/setpriv".into())
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"])
        .arg(bin_dir().join("lifeboat"))
        .args(["restore", "--tenant", "it's x", "--config", &config])
        .cwd("/")
        .run()
        .exits(4);
    assert!(outcome.stderr.lines().next().unwrap().contains("run it as postgres"), "{outcome}");
    let next = format!("sudo -u postgres lifeboat restore --tenant 'it'\\''s x' --config {config}");
    assert!(outcome.stderr.contains(&next), "{next} is not in {outcome}");
    // The working directory of somebody else, such as root's home after sudo -u.
    let outcome = Program::at("/usr/bin/setpriv".into())
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"])
        .arg(bin_dir().join("lifeboat"))
        .arg("status")
        .cwd(etc.as_path())
        .run()
        .exits(4);
    assert!(outcome.stderr.contains(NOWHERE), "{outcome}");
}
