//! The commands that a restore prints for a copy's server are pasted into a shell as they stand: by root,
//! whose PATH has no pg_ctl, and whose name is no role.

use std::time::Duration;

use lifeboat_tests::{Outcome, Program};

use crate::archiving::{Archiving, DIGEST, LIMIT, wait_until};
use crate::copy::Copied;

/// In a shell of a plain Debian; what a server says goes to a file, which it keeps open.
fn paste(copied: &Copied, command: &str) -> Outcome {
    let said = copied.data_dir().with_extension("said");
    let script = format!("{{ {command}; }} >{} 2>&1 </dev/null", said.display());
    let mut outcome = Program::at("/bin/sh".into())
        .args(["-c", &script])
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .cwd("/")
        .limit(Duration::from_secs(100))
        .run();
    outcome.stdout = std::fs::read_to_string(said).unwrap_or_default();
    outcome
}

/// What stands behind these words, to the end of the line.
fn after<'a>(text: &'a str, words: &str) -> &'a str {
    let (_, rest) = text.split_once(words).unwrap_or_else(|| panic!("{words:?} is not in {text}"));
    rest.lines().next().unwrap()
}

/// A restore that tells a person what it did.
fn told(archiving: &Archiving, copied: &Copied, args: &[&str]) -> String {
    let program = archiving.site.run(&["restore", "--yes", "--identity", "lifeboat-identity.txt"]);
    program.arg("--instance-to").arg(copied.data_dir()).args(args.to_vec()).limit(LIMIT).run().ok().stdout
}

#[test]
fn commands_that_are_printed_for_a_server_run_as_they_stand() {
    let archiving = Archiving::start(None);
    archiving.base();
    let last = archiving.step();
    archiving.archive();

    // started by the restore
    let copied = Copied::new();
    let text = told(&archiving, &copied, &["--start"]);
    let psql = after(&text, "reach it: ");
    let read = format!("PGDATABASE=ignored {} -XAtc \"{DIGEST}\"", psql.replace("-d postgres", "-d shop"));
    assert_eq!(paste(&copied, &read).ok().stdout.trim(), last.ledger);
    assert_eq!(paste(&copied, &format!("{psql} -XAtc 'select 7'")).ok().stdout.trim(), "7");
    paste(&copied, after(&text, "stop it: ")).ok();
    assert!(!copied.data_dir().join("postmaster.pid").exists(), "{text}");

    // started by hand, looked at, and stopped, as as-production says
    let copied = Copied::new();
    let text = told(&archiving, &copied, &["--target-action", "pause", "--to-lsn", &last.lsn]);
    let start = after(&text, "at its first start: ");
    copied.started(&archiving.cluster, copied.data_dir().to_str().unwrap()); // stopped whatever happens
    let plan = || archiving.site.run(&["as-production", "--dry-run"]).arg(copied.data_dir()).run();
    let refused = plan().exits(16).says("has not recovered");
    assert!(refused.stderr.contains(&format!("start it: {start};")), "{start} is not in {refused}");
    paste(&copied, start).ok();
    let running = plan().exits(16).says("a server runs in");
    let resume = after(&refused.stderr, "its data is right: ").split("; when").next().unwrap();
    let paused = "select pg_get_wal_replay_pause_state() = 'paused'";
    wait_until("it is paused", || copied.psql("postgres", paused) == "t");
    paste(&copied, resume).ok();
    wait_until("it is open", || copied.psql("postgres", "select pg_is_in_recovery()") == "f");
    let stop = after(&refused.stderr, "stop it: ").trim_end();
    assert!(running.stderr.contains(stop), "{stop} is not in {running}");
    paste(&copied, stop).ok();
    assert!(!copied.data_dir().join("postmaster.pid").exists());
    plan().ok();
}
