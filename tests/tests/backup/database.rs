//! PostgreSQL on its bad days: down, refusing, cut in the middle of a dump, a tenant dropped, and
//! a pg_dump that lies.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use lifeboat::archive::manifest::SnapshotKind;
use lifeboat_tests::{Cluster, Options, Running, children, small_tenant};

use crate::archive::Archive;
use lifeboat_tests::site::{Site, words};

/// Waits until a query gives `t`.
pub fn wait_until(cluster: &Cluster, running: &mut Running, sql: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while cluster.psql("postgres", sql) != "t" {
        assert!(running.is_running(), "it ended before: {}", running.stderr_so_far());
        assert!(Instant::now() < deadline, "not within a minute: {sql}");
        std::thread::sleep(children::POLL);
    }
}

// pg_dump writes its COPY so; the counting beside it (FORMAT binary) is ours.
const DUMPING: &str = "select exists (select from pg_stat_activity \
    where pid <> pg_backend_pid() and datname = 'acme' and state = 'active' and query like 'COPY % TO stdout;')";

#[test]
fn a_dump_cut_by_the_server_never_counts_and_other_tenants_are_stored() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    for (name, seed) in [("acme", 21), ("beta", 22), ("zeta", 23)] {
        small_tenant(&cluster, &site.data_dir(), name, seed);
    }
    cluster.psql(
        "acme",
        "create table big as select i, repeat(md5(i::text), 10) t from generate_series(1, 150000) i",
    );
    let slow = site.backup(&["--json"]).env("LIFEBOAT_BACKUP_READ_BYTES_PER_SECOND_MAX", "8MiB/s");
    let mut running = slow.spawn();
    wait_until(&cluster, &mut running, DUMPING);
    cluster.psql("postgres", "drop database zeta");
    cluster.psql("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'acme' and query like 'COPY % TO stdout;'");
    let outcome = running.finish().exits(3).says("acme");
    let report = outcome.json();
    assert_eq!(report["failures"][0]["name"], "acme");
    assert_eq!(report["failures"][0]["kind"], "postgres", "{outcome}");
    let own_words = ["terminating connection", "server closed the connection"];
    assert!(own_words.iter().any(|said| outcome.stderr.contains(said)), "{outcome}");
    let notes = report["notes"].to_string();
    assert!(notes.contains("zeta was dropped during the backup"), "{notes}");
    let stored: Vec<_> = report["tenants"].as_array().unwrap().iter().map(|t| &t["tenant"]).collect();
    assert_eq!(stored, ["beta"]);
    let archive = Archive::of(&site);
    assert!(
        archive.ids().iter().all(|id| archive
            .manifest(id)
            .tenant
            .as_ref()
            .is_none_or(|t| t.as_str() == "beta"))
    );

    // asked for by name, a dropped tenant is a failure, and the other is stored
    site.backup(&["--tenant", "zeta"]).run().exits(5).says("zeta");
    site.backup(&["--tenant", "zeta", "--tenant", "beta", "--kind", "dump"]).run().exits(3).says("zeta");

    // PostgreSQL restarts in the middle
    let mut running = slow.spawn();
    wait_until(&cluster, &mut running, DUMPING);
    cluster.restart();
    let outcome = running.finish(); // the other tenant meets the server up again, or not yet
    assert!(matches!(outcome.code, Some(3 | 13)), "{outcome}");
    Archive::of(&site);

    // PostgreSQL down
    cluster.stop();
    let down = site.backup(&[]).run().exits(13);
    assert!(down.stderr.contains(&cluster.port().to_string()), "{down}");
    cluster.start_again();
    site.back_up(&[]);
    Archive::of(&site).newest(SnapshotKind::Dump, Some("acme"));
}

#[test]
fn passwords_are_asked_for_kept_and_never_shown() {
    const SECRET: &str = "pa55-only-for-you";
    let options = Options { password: Some(SECRET.into()), ..Options::default() };
    let cluster = Cluster::with(options);
    let mut site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "acme", 24);
    let file = site.path("password");
    let give = |text: &str| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    };
    site.backup(&[]).run().exits(13);
    site.set("LIFEBOAT_POSTGRES_PASSWORD_FILE", file.display());
    give("wrong-secret");
    let outcome = site.backup(&["-vvv"]).run().exits(13).says("password");
    assert!(!words(&outcome).contains("wrong-secret"), "{outcome}");

    give(SECRET);
    cluster.psql(
        "acme",
        "create table big as select i, repeat(md5(i::text), 10) t from generate_series(1, 60000) i",
    );
    let from_the_environment = site.backup(&["-vvv"]).env("LIFEBOAT_POSTGRES_PASSWORD_FILE", "");
    for slow in [site.backup(&["-vvv"]), from_the_environment.env("PGPASSWORD", SECRET)] {
        let mut running = slow.env("LIFEBOAT_BACKUP_READ_BYTES_PER_SECOND_MAX", "16MiB/s").spawn();
        let mut seen = std::collections::BTreeSet::new();
        while running.is_running() {
            for (name, line) in command_lines(running.pid()) {
                assert!(!line.contains(SECRET), "{line}");
                seen.insert(name);
            }
            std::thread::sleep(children::POLL);
        }
        for program in ["lifeboat", "pg_dump", "pg_restore"] {
            assert!(seen.contains(program), "{program} was not looked at: {seen:?}");
        }
        let outcome = running.finish().ok();
        assert!(!words(&outcome).contains(SECRET), "{outcome}");
    }
    for text in [cluster.log(), fs::read_to_string(site.config()).unwrap()] {
        assert!(!text.contains(SECRET));
    }
    let keep = |path: &std::path::Path| {
        let private = path == site.path("password") || path.starts_with(site.data_dir());
        assert!(
            private || !String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).contains(SECRET),
            "{path:?}"
        );
    };
    lifeboat_tests::compare::walk(site.config().parent().unwrap(), &mut |path| keep(path));
}

/// Program and command line of a process and of everything that it started.
fn command_lines(pid: u32) -> Vec<(String, String)> {
    let read = |pid: &str, file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let all: Vec<(String, String)> = processes
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|name| {
            let stat = String::from_utf8_lossy(&read(&name, "stat")).into_owned();
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.to_owned();
            Some((name, parent))
        })
        .collect();
    let mut family = vec![pid.to_string()];
    for _ in 0..3 {
        let more: Vec<String> = all
            .iter()
            .filter(|(p, parent)| family.contains(parent) && !family.contains(p))
            .map(|(p, _)| p.clone())
            .collect();
        family.extend(more);
    }
    let name = |pid: &str| String::from_utf8_lossy(&read(pid, "comm")).trim().to_owned();
    family
        .iter()
        .map(|pid| (name(pid), String::from_utf8_lossy(&read(pid, "cmdline")).into_owned()))
        .collect()
}

#[test]
fn a_pg_dump_that_lies_or_fails_is_found_out() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "acme", 25);
    site.back_up(&[]);
    let before = Archive::of(&site).ids();
    let bin = site.path("bin");
    fs::create_dir(&bin).unwrap();
    for program in ["pg_restore", "pg_dumpall"] {
        std::os::unix::fs::symlink(cluster.bin(program), bin.join(program)).unwrap();
    }
    site.set("LIFEBOAT_POSTGRES_BIN_DIR", bin.display());
    let real = cluster.bin("pg_dump");
    let fake = |body: &str| {
        let script = format!(
            "#!/bin/sh\nreal={}\nif [ \"$1\" = --version ]; then exec \"$real\" --version; fi\n{body}\n",
            real.display()
        );
        let _ = fs::remove_file(bin.join("pg_dump"));
        fs::write(bin.join("pg_dump"), script).unwrap();
        fs::set_permissions(bin.join("pg_dump"), PermissionsExt::from_mode(0o755)).unwrap();
    };
    let bytes = Archive::of(&site).newest(SnapshotKind::Dump, Some("acme")).plain_bytes;
    for (body, code, said) in [
        (format!("\"$real\" \"$@\" | head -c {}; exit 0", bytes / 2), 10, "pg_restore"),
        ("\"$real\" \"$@\" | head -c -1; exit 0".to_owned(), 10, "pg_restore"),
        ("\"$real\" \"$@\" | head -c 300; exit 0".to_owned(), 10, "pg_restore"),
        ("exit 0".to_owned(), 10, "end of file"),
        ("\"$real\" \"$@\"; echo 'pg_dump: error: made to fail' >&2; exit 1".to_owned(), 13, "made to fail"),
        ("\"$real\" \"$@\"; kill -9 $$".to_owned(), 13, "pg_dump"),
    ] {
        fake(&body);
        site.backup(&["--tenant", "acme"]).run().exits(code).says(said);
        let archive = Archive::of(&site);
        let new = archive.ids().into_iter().filter(|id| !before.contains(id));
        let kinds: Vec<_> = new.map(|id| archive.manifest(&id).kind()).collect();
        assert!(kinds.iter().all(|kind| *kind == SnapshotKind::Globals), "{body}: {kinds:?}");
    }
    // warnings of a dump that is whole are kept
    fake("\"$real\" \"$@\" && echo 'pg_dump: warning: made to warn' >&2");
    let report = site.back_up(&["--tenant", "acme"]);
    assert!(report["tenants"][0]["dump"]["dump"]["warnings"].to_string().contains("made to warn"));
    // one of another major is not used, whoever configured it
    fs::write(bin.join("pg_dump"), "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n").unwrap();
    let outcome =
        site.backup(&["--tenant", "acme", "--kind", "dump", "--json"]).env("PATH", "/nonexistent").run();
    match outcome.code {
        Some(0) => {
            let used = outcome.json()["tenants"][0]["dump"]["dump"]["pg_dump"].to_string();
            assert!(used.contains(&format!("PostgreSQL) {}", cluster.major())), "{used}");
        }
        _ => drop(outcome.exits(13).says("9.6.24")),
    }
}
