//! A copy becomes the real thing, and nothing that was written for the copy stays: not in the directory, not
//! in the next base backup, not in what is restored from that.

use std::fs;

use lifeboat_tests::Program;
use lifeboat_tests::program::bin_dir;
use serde_json::Value;

use crate::archiving::{Archiving, DIGEST, LIMIT, as_server, wait_until};
use crate::copy::Copied;
use crate::to_itself::say;

/// `lifeboat as-production`.
fn as_production(archiving: &Archiving, copied: &Copied, args: &[&str]) -> Program {
    archiving.site.run(&["as-production", "--json"]).arg(copied.data_dir()).args(args.to_vec()).limit(LIMIT)
}

/// Nothing of a copy is in this directory.
fn assert_clean(copied: &Copied) {
    let dir = copied.data_dir();
    assert!(!dir.join("lifeboat-put-aside").exists());
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_file() {
            let text = String::from_utf8_lossy(&fs::read(&entry).unwrap()).into_owned();
            assert!(
                !text.contains("written by lifeboat") && !text.contains("wal fetch"),
                "{entry:?}: {text}"
            );
        }
    }
}

/// Started as a service would: production's configuration alone, but for the socket's place.
fn start_as_service(archiving: &Archiving, copied: &Copied) {
    let own = copied.data_dir().parent().unwrap();
    let options =
        format!("-c unix_socket_directories='{}' -c port=5432 -c listen_addresses=''", own.display());
    let log = own.join("service.log");
    let program = as_server(&archiving.cluster.bin_dir().join("pg_ctl")).limit(LIMIT);
    let program = program.args(["-w", "-t", "100", "-D"]).arg(copied.data_dir()).arg("-l").arg(&log);
    let done = program.arg("-o").arg(options).arg("start").run();
    assert!(done.code == Some(0), "{done}\n{}", fs::read_to_string(log).unwrap_or_default());
    copied.started(&archiving.cluster, own.to_str().unwrap());
}

#[test]
fn restored_as_production_backed_up_restored_again_nothing_of_the_copy_is_left() {
    let archiving = Archiving::start(None);
    archiving.cluster.psql(
        "shop",
        "create subscription s connection 'host=/nowhere dbname=x' publication p with (connect = false)",
    );
    archiving.cluster.psql("shop", "alter subscription s enable");
    archiving.base();
    let last = archiving.step();
    archiving.archive();
    archiving.cluster.stop();
    let first = Copied::new();
    let dir = first.data_dir().display().to_string();
    archiving.restore_to(first.data_dir(), &["--as-production"]).run().exits(16).says("nobody typed");
    assert!(!first.data_dir().exists());
    let done =
        archiving.restore_to(first.data_dir(), &["--as-production", "--yes-production", &dir]).run().ok();
    let report = done.json();
    let does = report["production"]["plan"]["takeover"]["does"].to_string();
    assert!(does.contains("wal push") && does.contains("no replication slots"), "{does}");
    let enable = report["production"]["enable"].to_string();
    assert!(enable.contains("ALTER SUBSCRIPTION") && enable.contains("'shop'"), "{enable}");
    assert!(!first.data_dir().join("postmaster.pid").exists(), "it is not started");
    let wal = first.data_dir().join("pg_wal");
    let older = fs::read_dir(&wal).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for segment in older.filter(|name| name.starts_with("00000001")) {
        assert!(wal.join(format!("archive_status/{segment}.done")).exists(), "{segment} would be archived");
    }
    assert_clean(&first);

    // undone: a copy again; then the real thing again, as a step of its own
    as_production(&archiving, &first, &["--undo"]).run().ok();
    let hba = fs::read_to_string(first.data_dir().join("pg_hba.conf")).unwrap();
    assert!(hba.contains("written by lifeboat"), "{hba}");
    as_production(&archiving, &first, &[]).run().exits(16).says("nobody typed");
    as_production(&archiving, &first, &["--yes-production", &dir]).run().ok();
    assert_clean(&first);
    as_production(&archiving, &first, &["--dry-run"]).run().exits(16).says("is not a copy");
    // killed when all but the last was back: no server is ever opened on production's configuration
    let aside = first.data_dir().join("lifeboat-put-aside");
    fs::create_dir(&aside).unwrap();
    let note = r#"{"what": "", "files": ["postgresql.conf", "postgresql.auto.conf", "pg_hba.conf"]}"#;
    fs::write(aside.join("note.json"), note).unwrap();
    let again = as_production(&archiving, &first, &["--yes-production", &dir]).run().ok().json();
    assert_eq!(again["plan"]["opens"], false, "{again}");
    assert_clean(&first);

    start_as_service(&archiving, &first);
    assert_eq!(first.psql("shop", DIGEST), last.ledger);
    assert_eq!(first.psql("postgres", "show archive_mode"), "on");
    assert_eq!(first.psql("postgres", "show max_logical_replication_workers"), "4");
    assert_eq!(first.psql("shop", "select subenabled from pg_subscription"), "f");
    let history = archiving.site.path("repo/instances/prod/wal/history/00000002.history");
    wait_until("the history of its timeline is archived", || history.is_dir());
    let base = base_of(&archiving, &first);
    first.psql("shop", "insert into ledger (filler) values ('afterwards')");
    let ledger = first.psql("shop", DIGEST);
    let segment = first.psql("postgres", "select pg_walfile_name(pg_switch_wal())");
    let archived = format!("select coalesce(last_archived_wal, '') >= '{segment}' from pg_stat_archiver");
    wait_until("it is archived", || first.psql("postgres", &archived) == "t");
    first.stop();

    let second = Copied::new();
    let dir = second.data_dir().display().to_string();
    let args = ["--as-production", "--yes-production", &dir];
    let again = archiving.restore_to(second.data_dir(), &args).run().ok().json();
    assert_eq!(again["restored"]["plan"]["snapshot"], base["id"]);
    assert_clean(&second);
    start_as_service(&archiving, &second);
    assert_eq!(second.psql("shop", DIGEST), ledger);
}

/// A base backup of the server that runs on it.
fn base_of(archiving: &Archiving, copied: &Copied) -> Value {
    let program = as_server(&bin_dir().join("lifeboat")).cwd(archiving.site.path("")).limit(LIMIT);
    let program =
        program.env("LIFEBOAT_POSTGRES_HOST", copied.socket()).env("LIFEBOAT_POSTGRES_PORT", "5432");
    program.args(["backup", "--kind", "base", "--full", "--json"]).run().ok().json()["manifest"].clone()
}

#[test]
fn what_leads_elsewhere_or_would_not_start_is_refused_with_the_mend() {
    let archiving = Archiving::start(None);
    let production = archiving.cluster.data_dir();
    say(&archiving.cluster, "postgresql.conf", &format!("data_directory = '{}'", production.display()));
    archiving.base();
    archiving.archive();
    let copied = Copied::new();
    let dir = copied.data_dir().display().to_string();
    let args = ["--as-production", "--yes-production", &dir];
    archiving.restore_to(copied.data_dir(), &args).run().exits(16).says("names another data directory");
    assert!(!copied.data_dir().exists());
    // as a copy, looked at, then the real thing
    let done = archiving
        .restore_to(copied.data_dir(), &["--start", "--target-action", "pause", "--to", "immediate"]);
    let report = done.run().ok().json();
    copied.started(&archiving.cluster, report["started"]["socket_dir"].as_str().unwrap());
    as_production(&archiving, &copied, &["--dry-run"]).run().exits(16).says("a server runs in");
    copied.stop();
    as_production(&archiving, &copied, &["--dry-run"]).run().exits(16).says("has not recovered");
    copied.start(&archiving.cluster);
    copied.started(&archiving.cluster, copied.data_dir().parent().unwrap().to_str().unwrap());
    copied.psql("postgres", "select pg_wal_replay_resume()");
    wait_until("it is open", || copied.psql("postgres", "select pg_is_in_recovery()") == "f");
    copied.stop();
    as_production(&archiving, &copied, &["--dry-run"]).run().exits(16).says("names another data directory");
    let conf = copied.data_dir().join("lifeboat-put-aside/postgresql.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, text.replace("data_directory = '/", "include '/nowhere/x.conf' #")).unwrap();
    as_production(&archiving, &copied, &["--dry-run"]).run().exits(16).says("includes /nowhere/x.conf");
    fs::write(&conf, "# nothing\n").unwrap();
    as_production(&archiving, &copied, &["--yes-production", &dir]).run().ok();
    assert_clean(&copied);
}
