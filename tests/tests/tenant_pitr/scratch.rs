//! The scratch cluster is gone whatever happens, and what cannot be reached makes none.

use std::time::Duration;

use rustix::process::Signal;

use crate::shared::{Shared, serves, wait_until, write};

#[test]
fn a_target_that_cannot_be_reached_is_refused_before_anything_is_made() {
    let shared = Shared::start();
    let early = shared.now();
    shared.back_up(&["--kind", "base"]);
    shared.archive();
    shared.restore("t1", &["--to-time", &early]).run().exits(16).says("consistent from");
    shared.restore("t1", &["--to-lsn", "FF/0"]).run().exits(16).says("WAL is stored up to");
    shared.restore("t1", &["--timeline", "1"]).run().exits(2);
    // a name that there never was is known only when the WAL was replayed
    shared.restore("t9", &["--to", "latest"]).run().exits(5).says("database t9 did not exist");
    assert!(shared.scratches().is_empty());
    assert!(!shared.cluster.psql("postgres", "select datname from pg_database").contains("incomplete"));
}

/// The scratch server has the roles of the base backup, so it may refuse the one that restores.
#[test]
fn a_role_that_the_base_backup_lacks_can_restore() {
    let shared = Shared::start();
    let cluster = &shared.cluster;
    shared.back_up(&["--kind", "base"]);
    shared.back_up(&["--kind", "filestore", "--tenant", "t1"]);
    write(cluster, "t1");
    let (truth, then) = (shared.state("t1"), cluster.psql("postgres", "select pg_current_wal_insert_lsn()"));
    cluster.psql("postgres", "create role made_later superuser login");
    write(cluster, "t1");
    shared.archive();
    let args = ["--to-lsn", &then, "--as", "back", "--no-neutralize"];
    shared.restore("t1", &args).env("LIFEBOAT_POSTGRES_USER", "made_later").run().ok();
    shared.assert_is("back", &truth);
}

#[test]
fn a_scratch_cluster_does_not_outlive_its_restore() {
    let shared = Shared::start();
    let cluster = &shared.cluster;
    shared.back_up(&["--kind", "base"]);
    shared.back_up(&["--kind", "filestore", "--tenant", "t1"]);
    write(cluster, "t1");
    let truth = shared.state("t1");
    shared.archive();
    let server_runs = || {
        let mut at = None;
        wait_until("the scratch server runs", || {
            at = shared.scratches().pop().map(|(_, dir)| dir).filter(|dir| serves(&dir.join("data")));
            at.is_some()
        });
        at.unwrap()
    };

    let running = shared.restore("t1", &["--to", "latest", "--as", "back"]).spawn();
    let dir = server_runs();
    running.signal(Signal::TERM);
    running.finish().exits(18);
    assert!(!dir.exists() && shared.scratches().is_empty() && !serves(&dir));

    let running = shared.restore("t1", &["--to", "latest", "--as", "back"]).spawn();
    let dir = server_runs();
    std::thread::sleep(Duration::from_millis(100));
    running.kill9();
    assert!(dir.exists());
    // under another name: what a killed run left is everybody's to remove
    shared.restore("t1", &["--to", "latest", "--as", "other", "--no-neutralize"]).run().ok();
    assert!(!dir.exists() && shared.scratches().is_empty() && !serves(&dir));
    shared.assert_is("other", &truth);
}

#[test]
fn the_same_command_runs_again_wherever_it_was_killed() {
    let shared = Shared::start();
    let cluster = &shared.cluster;
    shared.back_up(&["--kind", "base"]);
    shared.back_up(&["--kind", "filestore", "--tenant", "t1"]);
    for _ in 0..3 {
        write(cluster, "t1");
        shared.archive();
    }
    let truth = shared.state("t1");
    let place = tempfile::Builder::new().prefix("lbs-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
    std::fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let args = ["--to", "latest", "--as", "back", "--no-neutralize"];
    let command = || shared.restore("t1", &args).env("TMPDIR", place.path());
    let scratch = || shared.scratches().pop().map(|(_, dir)| dir).unwrap_or_default();
    let records = || {
        let entries = std::fs::read_dir(shared.site.path("lifeboat-state/restore")).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with(".lock")).collect::<Vec<_>>()
    };
    let is_made = |name: &str| {
        cluster.psql("postgres", &format!("select count(*) from pg_database where datname = '{name}'")) == "1"
    };
    let moments: [(&str, &dyn Fn() -> bool); 5] = [
        ("files are fetched", &|| scratch().join("data/base").exists()),
        ("WAL is fetched", &|| scratch().join("data.lifeboat-wal/copy").exists()),
        ("the server runs", &|| serves(&scratch().join("data"))),
        ("it is dumped", &|| records().iter().any(|name| name.ends_with(".work"))),
        ("it is loaded", &|| is_made("back__lifeboat_incomplete")),
    ];
    let mut left = Vec::new();
    for (what, met) in moments {
        let mut running = command().spawn();
        wait_until(what, || {
            assert!(running.is_running(), "it ended before: {what}: {}", running.stderr_so_far());
            let earlier = left.contains(&scratch());
            !earlier && met()
        });
        let dir = scratch();
        running.kill9();
        println!("killed when {what}: {}", dir.display());
        left.push(dir);
    }
    command().run().ok();
    shared.assert_is("back", &truth);
    for dir in left.iter().filter(|dir| !dir.as_os_str().is_empty()) {
        assert!(!dir.exists() && !serves(dir), "{}", dir.display());
    }
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "directories of sockets");
    assert_eq!(records(), [""; 0], "records");
    assert!(!is_made("back__lifeboat_incomplete"));
}

#[test]
fn a_scratch_server_that_dies_leaves_nothing() {
    let shared = Shared::start();
    shared.back_up(&["--kind", "base"]);
    write(&shared.cluster, "t1");
    shared.archive();
    // sockets lie in the directory for temporary files
    let place = tempfile::Builder::new().prefix("lbs-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
    std::fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let sockets = || std::fs::read_dir(place.path()).unwrap().count();
    // recovery fails on its own: the server ends, and takes its postmaster.pid with it
    let args = ["--to", "latest", "--as", "back", "--restore-command", "exit 200"];
    let outcome = shared.restore("t1", &args).env("TMPDIR", place.path()).run().exits(13);
    assert!(outcome.stderr.contains("PostgreSQL stopped before"), "{outcome}");
    assert_eq!((sockets(), shared.scratches().len()), (0, 0));
    // killed with the server, the next one clears up
    let running =
        shared.restore("t1", &["--to", "latest", "--as", "back"]).env("TMPDIR", place.path()).spawn();
    let mut dir = None;
    wait_until("the server wrote down how it was started", || {
        dir = shared.scratches().pop().map(|(_, dir)| dir);
        dir.as_ref().is_some_and(|dir| dir.join("data/postmaster.opts").exists())
    });
    running.kill9();
    let dir = dir.unwrap();
    assert_eq!(sockets(), 1);
    let stopped = rustix::process::geteuid().is_root();
    let stop = || {
        let pg_ctl = shared.cluster.bin_dir().join("pg_ctl");
        let program = match stopped {
            true => lifeboat_tests::Program::at("/usr/bin/setpriv".into())
                .args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"])
                .arg(pg_ctl),
            false => lifeboat_tests::Program::at(pg_ctl),
        };
        program.args(["-w", "-t", "10", "-m", "immediate", "stop", "-D"]).arg(dir.join("data")).cwd("/").run()
    };
    // A server that has just been started may not take the signal yet. A restore_command that was under way
    // ends a little later.
    let mut said = None;
    let ended = || !serves(&dir) && !dir.join("data/postmaster.pid").exists();
    while !ended() && said.as_ref().is_none_or(|(n, _)| *n < 6) {
        said = Some((said.map_or(1, |(n, _)| n + 1), stop()));
    }
    wait_until(&format!("the end of the server: {said:?}"), ended);
    let done = shared.restore("t1", &["--to", "latest", "--as", "other"]).env("TMPDIR", place.path()).run();
    assert!(matches!(done.code, Some(0 | 3)), "{done}");
    assert_eq!((sockets(), shared.scratches().len()), (0, 0));
}
