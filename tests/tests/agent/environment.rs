//! What each child finds in its environment: the secrets that it needs, and no others.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use lifeboat_tests::program::Running;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};
use rustix::process::Signal;

use crate::{every_minute, until_told};

/// What stands in the parent's environment and is nobody's business, with what is.
const MARKERS: [(&str, &str); 8] = [
    ("AWS_SECRET_ACCESS_KEY", "marker-store"),
    ("AZURE_CLIENT_SECRET", "marker-store-2"),
    ("LIFEBOAT_PASSPHRASE", "marker-passphrase"),
    ("VAULT_TOKEN", "marker-foreign"),
    ("NOTIFY_SOCKET", "/nonexistent/marker-notify"),
    ("PGPASSWORD", "marker-password"),
    ("LIFEBOAT_LOG", "info"),
    ("TZ", "Europe/Berlin"),
];

/// Wraps PostgreSQL's programs: each leaves its environment in a file of its own.
fn wrapped(site: &Site, cluster: &Cluster) -> std::path::PathBuf {
    let (bin, dumps) = (site.path("bin"), site.path("dumps"));
    fs::create_dir(&bin).unwrap();
    fs::create_dir(&dumps).unwrap();
    for program in ["pg_dump", "pg_dumpall", "pg_restore"] {
        let path = bin.join(program);
        let real = cluster.bin(program);
        let (dumps, real) = (dumps.display(), real.display());
        fs::write(&path, format!("#!/bin/sh\nenv > {dumps}/{program}-$$\nexec {real} \"$@\"\n")).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    bin
}

fn variables(text: &str, separator: char) -> BTreeMap<String, String> {
    let lines = text.split(separator).filter_map(|line| line.split_once('='));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn all_below(dir: &Path) -> Vec<(String, BTreeMap<String, String>)> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, variables(&fs::read_to_string(path).unwrap(), '\n'))
        })
        .collect()
}

/// That of the first child, while it runs.
fn environment_of_a_run(agent: &Running) -> BTreeMap<String, String> {
    let begun = Instant::now();
    loop {
        let tasks = fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap().flatten();
        let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let all: String = children.map(|text| text + " ").collect();
        for pid in all.split_whitespace() {
            let environ = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap_or_default();
            let name = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if name.contains("backup") && !environ.is_empty() {
                return variables(&environ, '\0');
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(100), "{}", agent.stderr_so_far());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_scheduled_run_and_the_programs_of_postgresql_get_what_they_need_and_nothing_else() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 5);
    let bin = wrapped(&site, &cluster);
    site.set("LIFEBOAT_POSTGRES_BIN_DIR", bin.display());
    let address = every_minute(&site, "");
    for (name, value) in MARKERS {
        site.set(name, value);
    }
    let agent = site.run(&["agent"]).limit(Duration::from_secs(300)).spawn();
    // Only root may look into a process that is closed to debuggers, as ours are.
    let run = rustix::process::geteuid().is_root().then(|| environment_of_a_run(&agent));
    until_told(&address, "lifeboat_job_success_timestamp_seconds{job=\"backup\"}", &agent);
    agent.signal(Signal::TERM);
    agent.finish().exits(0);

    let has = |found: &BTreeMap<String, String>, name: &str| found.contains_key(name);
    match run {
        None => lifeboat_tests::skip::announce(module_path!(), "only root sees the environment of a run"),
        Some(run) => {
            for needed in
                ["AWS_SECRET_ACCESS_KEY", "AZURE_CLIENT_SECRET", "PGPASSWORD", "LIFEBOAT_LOG", "PATH", "TZ"]
            {
                assert!(has(&run, needed), "a scheduled run lacks {needed}: {run:?}");
            }
            for secret in ["LIFEBOAT_PASSPHRASE", "VAULT_TOKEN", "NOTIFY_SOCKET"] {
                assert!(!has(&run, secret), "a scheduled run has {secret}");
            }
        }
    }
    let dumped = all_below(&site.path("dumps"));
    for program in ["pg_dump-", "pg_dumpall-", "pg_restore-"] {
        assert!(
            dumped.iter().any(|(name, _)| name.starts_with(program)),
            "{program} did not run: {dumped:?}"
        );
    }
    for (name, found) in &dumped {
        assert!(has(found, "PATH") && has(found, "TZ"), "{name}: {found:?}");
        let odd = found.iter().filter(|(variable, value)| {
            let of_ours = variable.starts_with("LIFEBOAT_") || variable.starts_with("AWS_");
            // The password is the connection's: pg_dump needs it.
            of_ours || (value.starts_with("marker") && *variable != "PGPASSWORD")
        });
        assert_eq!(odd.collect::<Vec<_>>(), [], "{name}");
        assert!(!has(found, "NOTIFY_SOCKET"), "{name}");
    }
}
