//! A tenant whose owner, no superuser, put code wherever a restore or a drill runs it: it runs, and never
//! with more rights than a role has that was made for it.

use std::path::{Path, PathBuf};

use lifeboat_tests::installed::available_majors;
use lifeboat_tests::site::Site;
use lifeboat_tests::tenant::{self, Tenant};
use lifeboat_tests::{Cluster, Options};

use crate::{drill, restore};

const RUNS_CODE: &str = include_str!("../../fixtures/hostile/runs_code.sql");

/// A tenant that belongs to the role `evil`, with traps that write `file` where they may.
fn hostile_tenant(cluster: &Cluster, site: &Site, name: &str, file: &Path) {
    cluster.psql("postgres", "create role evil login");
    let made = Tenant { name: name.to_owned(), data_dir: site.data_dir() };
    tenant::build(&made, 41, &mut |database, sql| match database {
        "postgres" => cluster.psql(database, &format!("{sql}; alter database {name} owner to evil; ")),
        _ => as_evil(cluster, database, sql),
    });
    as_evil(cluster, name, &RUNS_CODE.replace("FILE", &file.display().to_string()));
}

fn as_evil(cluster: &Cluster, database: &str, sql: &str) -> String {
    if cluster.major() < 15 {
        cluster.psql(database, "alter schema public owner to evil");
    }
    cluster.psql_as("evil", database, sql)
}

/// What the traps said, without the server's prefix.
fn traps(log: &str) -> Vec<String> {
    let said = log.lines().filter_map(|line| Some(line.split_once("LOG:  TRAP ")?.1.to_owned()));
    said.collect()
}

#[track_caller]
fn assert_without_rights(log: &str, database: &str, file: &Path, ran: &[&str]) {
    let said = traps(log);
    for trap in ran {
        let begin = format!("{trap} in {database} runs as ");
        assert!(said.iter().any(|said| said.starts_with(&begin)), "{trap} did not run: {said:#?}");
    }
    let fired: Vec<_> = said.iter().filter(|said| said.starts_with("a trigger on ")).collect();
    assert!(fired.is_empty(), "neutralizing fires none: {fired:#?}");
    let with_rights: Vec<_> = said.iter().filter(|said| said.contains("super t")).collect();
    assert!(with_rights.is_empty(), "{with_rights:#?}");
    assert!(!file.exists(), "{}", std::fs::read_to_string(file).unwrap_or_default());
}

const LOADED: [&str; 3] = ["a CHECK constraint", "an index expression", "a generated column"];

#[test]
fn a_restore_runs_a_tenants_code_without_rights_on_every_major() {
    for major in available_majors() {
        println!("PostgreSQL {major}");
        let settings = vec![("log_statement".to_owned(), "all".to_owned())];
        let cluster = Cluster::with(Options { major: Some(major), settings, ..Options::default() });
        let site = Site::local(&cluster);
        let file = PathBuf::from(cluster.host()).join("pwned");
        hostile_tenant(&cluster, &site, "evilt", &file);
        site.back_up(&[]);
        cluster.restart(); // its log begins anew
        let _ = std::fs::remove_file(&file); // what the backup itself lets run is another test's
        let done = restore(&site, &["--tenant", "evilt", "--as", "copy", "--json"]).run().ok().json();
        assert_eq!(done["plan"]["loads"], "own-role");
        let log = cluster.log();
        assert_without_rights(&log, "copy__lifeboat_incomplete", &file, &LOADED);
        // No password is in the log, only what proves one.
        let secrets: Vec<&str> = log.lines().filter(|line| line.contains(" PASSWORD ")).collect();
        assert!(!secrets.is_empty());
        assert!(
            secrets.iter().all(|l| l.contains("PASSWORD 'SCRAM-SHA-256$") || l.contains("PASSWORD NULL")),
            "{secrets:#?}"
        );
        let owners = "select string_agg(distinct pg_get_userbyid(relowner)::text, ',') from pg_class c \
                      join pg_namespace n on n.oid = relnamespace where nspname = 'public'";
        assert_eq!(cluster.psql("copy", owners), "evil");
        assert_eq!(crate::own_role::loaders(&cluster), "");
        // The traps work: with all rights, when somebody says so.
        cluster.restart();
        restore(&site, &["--tenant", "evilt", "--as", "trusted", "--load-as-superuser"]).run().ok();
        assert!(traps(&cluster.log()).iter().any(|said| said.contains("super t")), "the traps catch nothing");
        assert!(file.exists(), "the traps write nothing");
    }
}

#[test]
fn a_drill_runs_a_tenants_code_without_rights_and_without_our_environment() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let file = PathBuf::from(cluster.host()).join("pwned");
    hostile_tenant(&cluster, &site, "evilt", &file);
    site.back_up(&[]);
    let _ = std::fs::remove_file(&file);
    let scratch = PathBuf::from(cluster.host()).join("s");
    std::fs::create_dir(&scratch).unwrap();
    std::fs::set_permissions(&scratch, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let more = format!("[scratch]\ndir = {:?}\nkeep = true\n", scratch.display().to_string());
    let secrets = [("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI"), ("LIFEBOAT_PASSPHRASE", "correct horse")];
    let mut running = drill(&site, "evilt", &more).envs(secrets).spawn();
    let kept = || std::fs::read_dir(&scratch).unwrap().next().map(|entry| entry.unwrap().path());
    let mut environment = Vec::new();
    while running.is_running() {
        let pid = kept().and_then(|dir| std::fs::read_to_string(dir.join("pg/postmaster.pid")).ok());
        if let Some(pid) = pid.as_deref().and_then(|text| text.lines().next()) {
            let found = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            if !found.is_empty() {
                environment = found;
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let outcome = running.finish();
    let log = std::fs::read_to_string(kept().unwrap().join("server.log")).unwrap();
    assert_without_rights(&log, "drill", &file, &["an operator"]);
    assert_without_rights(&log, "drill__lifeboat_incomplete", &file, &LOADED);
    outcome.ok();
    let environment = String::from_utf8_lossy(&environment).replace('\0', "\n");
    let names: Vec<&str> = environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert!(names.contains(&"PATH"), "{names:?}");
    let few = ["PATH", "TMPDIR", "HOME", "LANG", "TZ"];
    // PostgreSQL sets some of its own, which all begin with PG or LC.
    let strange = |name: &&&str| !few.contains(*name) && !name.starts_with("PG") && !name.starts_with("LC_");
    assert_eq!(names.iter().filter(strange).collect::<Vec<_>>(), Vec::<&&str>::new());
}
