//! Odoo on a restored copy: real ones trade, and one that does not start is a failed drill.

#![allow(clippy::unwrap_used)] // a test panics where it fails

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lifeboat::clock;
use lifeboat::disk;
use lifeboat::names::SnapshotId;
use restore_drill::place::local::Local;
use restore_drill::report::Report;
use restore_drill::report::finding::State;
use restore_drill::report::verdict::Verdict;
use restore_drill::setup::{Chosen, Setup};
use restore_drill::snapshot::Snapshot;
use restore_drill::{catalogue, drill, plan};
use tokio_util::sync::CancellationToken;

const BEGIN: &str = r#"#!/bin/sh
set -eu
while [ $# -gt 0 ]; do
  case "$1" in --as) name=$2; shift;; --data-dir) data=$2; shift;; --owner) owner=$2; shift;; esac
  shift
done
export PGHOST="$LIFEBOAT_POSTGRES_HOST" PGPORT="$LIFEBOAT_POSTGRES_PORT" PGUSER="$LIFEBOAT_POSTGRES_USER"
bin="$LIFEBOAT_POSTGRES_BIN_DIR"
"$bin/createdb" -T template0 -O "$owner" "$name"
export PGUSER="$owner"
sql() { "$bin/psql" -qX -v ON_ERROR_STOP=1 -d "$name" "$@" >&2; }
"#;
const END: &str = "echo '{\"baseline\": {\"tables\": 3, \"differences\": []}}'\n";
/// Enough of a tenant to choose a user in.
const SMALL: &str = r#"sql <<'SQL'
CREATE TABLE ir_module_module (name varchar, state varchar, latest_version varchar);
INSERT INTO ir_module_module VALUES ('base', 'installed', '17.0.1.3');
CREATE TABLE res_users (id int, login varchar, password varchar, active bool, share bool, company_id int);
INSERT INTO res_users VALUES (2, 'admin', 'x', true, false, 1);
CREATE TABLE res_groups_users_rel (gid int, uid int);
CREATE TABLE ir_model_data (id int, model varchar, res_id int, module varchar, name varchar);
SQL
"#;
/// What is switched off in a copy, and that matters here.
const QUIET: &str = r#"sql <<'SQL'
UPDATE ir_cron SET active = false WHERE id NOT IN (SELECT res_id FROM ir_model_data
    WHERE model = 'ir.cron' AND module = 'base' AND name = 'autovacuum_job');
UPDATE ir_mail_server SET active = false, smtp_host = 'mail.invalid';
UPDATE fetchmail_server SET active = false;
UPDATE mail_mail SET state = 'cancel' WHERE state = 'outgoing';
SQL
"#;

/// A drill of what the script `restore` makes, with `[odoo]`.
async fn drilled(restore: &str, odoo: &str) -> Report {
    let dir = common::open_dir();
    let scratch = dir.path().join("s");
    disk::create_new_dir(&scratch, 0o711).unwrap();
    std::fs::set_permissions(&scratch, PermissionsExt::from_mode(0o711)).unwrap();
    let program = dir.path().join("lifeboat");
    disk::write_new_durable(&program, format!("{BEGIN}{restore}{END}").as_bytes()).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let text = format!("config = \"c\"\ntenant = \"shop\"\n[scratch]\ndir = \"s\"\n[odoo]\n{odoo}\n");
    disk::write_new_durable(&dir.path().join("plan.toml"), text.as_bytes()).unwrap();
    let plan = plan::file::load(&dir.path().join("plan.toml")).unwrap();
    let setup = Setup {
        plan,
        tenant: Some("shop".parse().unwrap()),
        identities: Vec::new(),
        counters: None,
        catalogue: catalogue::load(None).unwrap(),
        program,
    };
    let point = clock::now();
    let snapshot = Snapshot {
        instance: "production".parse().unwrap(),
        id: SnapshotId::new(point, "dump"),
        tenant: Some("shop".parse().unwrap()),
        release: None,
        point,
        ended: point,
        by_choice: false,
        postgres_major: common::newest().await.major,
        odoo_version: None,
        database_bytes: 1,
        filestore: Some(SnapshotId::new(point, "filestore")),
        missing_files: 0,
        missing: Vec::new(),
        replayed_to: None,
    };
    let chosen = async { Ok(Chosen::of(snapshot)) };
    let report = drill::run(&setup, &Local, chosen, &CancellationToken::new()).await;
    assert_eq!(disk::read_dir(&scratch).unwrap().unwrap().len(), 0, "the room is removed");
    report
}

fn of_part<'a>(report: &'a Report, part: &str) -> Vec<(State, &'a str)> {
    let own = report.findings.iter().filter(|finding| finding.part == part);
    own.map(|finding| (finding.state, finding.what.as_str())).collect()
}

/// What becomes of a command that is no Odoo.
async fn started(command: &str, said: &str) -> Report {
    let begun = clock::instant();
    let report = drilled(SMALL, &format!("command = {command}\nboot_timeout = \"25s\"")).await;
    let found = of_part(&report, "odoo");
    assert_eq!((found.len(), found[0].0), (1, State::Failed), "{found:?}");
    assert!(found[0].1.contains(said) && found[0].1.len() < 400, "{:?} should say {said:?}", found[0].1);
    assert_eq!(report.verdict, Verdict::Failed);
    for part in ["transactions", "silence"] {
        assert_eq!(of_part(&report, part)[0].0, State::NotRun);
    }
    println!("{:?}: {}", begun.elapsed(), found[0].1);
    report
}

#[tokio::test]
async fn an_odoo_that_ends_is_a_failed_drill_with_the_cause_in_a_line() {
    let script = "for i in $(seq 2000); do echo INFO $i; done; echo Traceback; \
                  echo 'ModuleNotFoundError: No module named lxml'; echo bye; exit 3";
    let said = "Odoo ended with exit code 3: ModuleNotFoundError: No module named lxml";
    started(&format!("[\"sh\", \"-c\", \"{script}\", \"sh\"]"), said).await;
}

#[tokio::test]
async fn an_odoo_that_hangs_is_killed_with_its_children() {
    let dir = common::open_dir();
    let pid = dir.path().join("pid");
    disk::write_new_durable(&pid, b"").unwrap();
    std::fs::set_permissions(&pid, PermissionsExt::from_mode(0o666)).unwrap();
    // It leaves the process group, as a daemon does. Its number is that of a namespace: its words name it.
    let seconds = 600_000 + std::process::id();
    let script = format!("setsid sleep {seconds} & echo $! > {}; echo loading; wait", pid.display());
    let said = "Odoo did not answer within 25 s: loading";
    started(&format!("[\"sh\", \"-c\", \"{script}\", \"sh\"]"), said).await;
    let child = disk::read_text(&pid, 100).unwrap().trim().to_owned();
    assert!(child.parse::<u32>().is_ok(), "{child:?}");
    let words = format!("sleep\0{seconds}\0");
    let gone = || {
        let all = disk::read_dir(Path::new("/proc")).unwrap().unwrap();
        !all.iter().any(|one| {
            disk::read(&one.path().join("cmdline"), 4096).is_ok_and(|found| found == words.as_bytes())
        })
    };
    common::until("its child is gone", gone).await;
}

#[tokio::test]
async fn an_error_page_is_no_answer() {
    let dir = common::open_dir();
    let program = dir.path().join("odoo.py");
    let server = "import http.server, socket\n\
        class H(http.server.BaseHTTPRequestHandler):\n    \
            def do_GET(self):\n        self.send_response(500); self.end_headers(); self.wfile.write(b'<h1>Error</h1>')\n\
        s = http.server.HTTPServer(('127.0.0.1', 0), H, bind_and_activate=False)\n\
        s.socket = socket.socket(fileno=3)\n\
        print('2026-11-30 11:20:01,123 4711 ERROR drill odoo.http: no registry', flush=True)\n\
        s.serve_forever()\n";
    disk::write_new_durable(&program, server.as_bytes()).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o644)).unwrap();
    let said = "Odoo answers HTTP 500 to /web/health: no registry";
    started(&format!("[\"python3\", \"{}\"]", program.display()), said).await;
}

#[tokio::test]
async fn a_command_that_does_not_exist_says_nothing_of_the_copy() {
    let report = drilled(SMALL, "command = [\"/nonexistent/odoo-bin\"]").await;
    let found = of_part(&report, "odoo");
    assert_eq!(found[0].0, State::Unknown, "{found:?}");
    assert!(found[0].1.contains("odoo.command of the plan cannot be run"), "{found:?}");
}

/// A real Odoo and the tenants of its version, or none with the reason.
fn real(test: &str) -> Option<(String, Vec<PathBuf>)> {
    let (bin, python) = (std::env::var("TEST_ODOO_BIN").ok(), std::env::var("TEST_ODOO_PYTHON").ok());
    let Some(bin) = bin else {
        common::skip(test, "TEST_ODOO_BIN names no odoo-bin");
        return None;
    };
    let program = std::fs::canonicalize(python.as_ref().unwrap_or(&bin)).unwrap();
    let is_closed = |dir: &Path| disk::mode(dir).unwrap().is_none_or(|mode| mode & 0o005 != 0o005);
    if rustix::process::geteuid().is_root() && program.ancestors().any(is_closed) {
        common::skip(test, "TEST_ODOO_PYTHON is in a directory that other accounts may not enter");
        return None;
    }
    let command = match python {
        Some(python) => format!("command = [{python:?}, {bin:?}]"),
        None => format!("command = [{bin:?}]"),
    };
    // odoo18.dump is of version 18; the others are of 17.
    let is_of = |path: &PathBuf, major: &str| {
        path.file_name().unwrap().to_string_lossy().contains(&format!("odoo{major}"))
    };
    let mut dumps = common::real_dumps();
    match bin.contains("18") {
        true => dumps.retain(|path| is_of(path, "18")),
        false => dumps.retain(|path| !is_of(path, "18")),
    }
    if dumps.is_empty() {
        common::skip(test, "TEST_ODOO_TENANTS has no dump of this version");
        return None;
    }
    Some((command, dumps))
}

/// The script that restores a dump with its files.
fn restore(dump: &Path) -> String {
    format!(
        "\"$bin/pg_restore\" --no-owner --exit-on-error -d \"$name\" '{}'\n\
         mkdir -p \"$data/filestore/$name\"; zstd -dc < '{}' | tar xf - -C \"$data/filestore/$name\"\n{QUIET}",
        dump.display(),
        dump.with_extension("filestore.tar.zst").display()
    )
}

/// Needs a real Odoo and real tenants: `TEST_ODOO_BIN`, `TEST_ODOO_PYTHON`, `TEST_ODOO_TENANTS`.
#[tokio::test]
async fn real_tenants_trade_and_stay_silent() {
    let Some((command, dumps)) = real(module_path!()) else { return };
    for dump in dumps {
        let report = drilled(&restore(&dump), &command).await;
        for step in &report.transactions {
            println!("{:<18} {:<16} {:?} {:>5} ms  {}", step.flow, step.name, step.state, step.ms, step.what);
        }
        for part in ["odoo", "transactions", "silence"] {
            println!("{part}: {:?}", of_part(&report, part));
            let found = of_part(&report, part);
            assert!(found.iter().all(|(state, _)| *state == State::Done), "{}: {found:?}", dump.display());
        }
        // The script neutralizes what matters here and no more, and the drill says so.
        let others: Vec<_> = report.reasons.iter().filter(|why| !why.starts_with("neutralized: ")).collect();
        assert!(others.is_empty(), "{others:?}");
        assert!(report.transactions.iter().all(|step| step.state == State::Done));
        for name in ["delivery", "payment", "receipt", "bill", "closing", "invoice as HTML"] {
            assert!(report.transactions.iter().any(|step| step.name == name), "{name} of {}", dump.display());
        }
        let traffic = report.traffic.unwrap();
        assert_eq!((traffic.packets_out, traffic.interfaces), (0, vec!["lo".to_owned()]));
        assert!(traffic.actions > 10, "{}", traffic.actions);
    }
}

/// The same, with damage that no check of the data at rest would have to see.
#[tokio::test]
async fn a_rewound_sequence_fails_the_trade_by_its_name() {
    let Some((command, dumps)) = real(module_path!()) else { return };
    let damage = "sql -c \"SELECT setval('sale_order_id_seq', 1)\" -c \"SELECT setval('stock_move_id_seq', 3)\" \
        -c \"UPDATE ir_cron SET active = true WHERE id = (SELECT max(id) FROM ir_cron)\"\n";
    let report = drilled(&format!("{}{damage}", restore(&dumps[0])), &command).await;
    let found = of_part(&report, "transactions");
    println!("{found:?}");
    let named = |flow: &str, key: &str| {
        let is_named = |(state, what): &(State, &str)| {
            *state == State::Failed && what.contains(flow) && what.contains(key)
        };
        assert!(found.iter().any(is_named), "{flow}, {key}: {found:?}");
    };
    named("order to payment, step order", "sale_order_pkey");
    named("purchase to bill", "stock_move_pkey");
    assert_eq!(report.verdict, Verdict::Failed);
}
