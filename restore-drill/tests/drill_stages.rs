//! A drill from end to end with a script in place of `lifeboat`: every verdict, and that the place
//! is torn down whatever happens.

#![allow(clippy::unwrap_used)] // a test panics where it fails

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat::clock::{self, Timestamp};
use lifeboat::disk;
use lifeboat::error::{Error, Kind};
use lifeboat::names::SnapshotId;
use restore_drill::catalogue::run::Status;
use restore_drill::place::local::Local;
use restore_drill::report::finding::State;
use restore_drill::report::verdict::Verdict;
use restore_drill::report::{Report, markdown};
use restore_drill::setup::{Chosen, Setup};
use restore_drill::snapshot::Snapshot;
use restore_drill::{catalogue, drill, plan};
use tokio_util::sync::CancellationToken;

/// Restores a database of four tables and one file, as `lifeboat restore` would be asked to.
const LIFEBOAT: &str = r#"#!/bin/sh
set -eu
while [ $# -gt 0 ]; do
  case "$1" in --as) name=$2; shift;; --data-dir) data=$2; shift;; --owner) owner=$2; shift;; esac
  shift
done
HOOK
export PGHOST="$LIFEBOAT_POSTGRES_HOST" PGPORT="$LIFEBOAT_POSTGRES_PORT" PGUSER="$LIFEBOAT_POSTGRES_USER"
bin="$LIFEBOAT_POSTGRES_BIN_DIR"
"$bin/createdb" -O "$owner" "$name"
export PGUSER="$owner"
"$bin/psql" -qX -v ON_ERROR_STOP=1 -d "$name" <<'SQL'
CREATE TABLE ir_module_module (name varchar, state varchar, latest_version varchar);
INSERT INTO ir_module_module VALUES ('base', 'installed', '17.0.1.3');
CREATE TABLE ir_config_parameter (key varchar, value text);
INSERT INTO ir_config_parameter VALUES ('database.uuid', 'u'), ('database.secret', 's'), ('database.create_date', 'd');
INSERT INTO ir_config_parameter SELECT name || 'endpoint', 'http://127.0.0.1:9' FROM unnest('{iap.,sms.,snailmail.,iap.partner_autocomplete.,enrich.,reveal.}'::text[]) name;
INSERT INTO ir_config_parameter VALUES ('database.is_neutralized', 'true');
CREATE TABLE ir_attachment (id serial PRIMARY KEY, name varchar, type varchar, file_size int, checksum varchar,
                            store_fname varchar, db_datas bytea);
INSERT INTO ir_attachment (name, type, file_size, checksum, store_fname) VALUES
  ('hello', 'binary', 5, 'aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d', 'aa/aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d');
SQL
mkdir -p "$data/filestore/$name/aa"
printf hello > "$data/filestore/$name/aa/aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
AFTER
echo "restored $name" >&2
echo '{"baseline": {"tables": 3, "differences": []}}'
"#;

struct Case {
    _dir: tempfile::TempDir,
    scratch: PathBuf,
    setup: Setup,
}

/// `hook` runs before and `after` behind what the script restores; `more` goes into the plan.
fn case(hook: &str, after: &str, more: &str) -> Case {
    let dir = common::open_dir();
    let scratch = dir.path().join("s");
    disk::create_new_dir(&scratch, 0o711).unwrap();
    std::fs::set_permissions(&scratch, PermissionsExt::from_mode(0o711)).unwrap();
    let program = dir.path().join("lifeboat");
    let script = LIFEBOAT.replace("HOOK", hook).replace("AFTER", after);
    disk::write_new_durable(&program, script.as_bytes()).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let text = format!("config = \"lifeboat.toml\"\ntenant = \"shop\"\n{more}\n");
    let text = format!(
        "{text}[scratch]\ndir = \"s\"\n{}",
        if more.contains("#keep") { "keep = true\n" } else { "" }
    );
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
    Case { _dir: dir, scratch, setup }
}

async fn snapshot(point: Timestamp) -> Chosen {
    let id = SnapshotId::new(point, "dump");
    let snapshot = Snapshot {
        instance: "production".parse().unwrap(),
        id,
        tenant: Some("shop".parse().unwrap()),
        release: Some("2026.11.20".parse().unwrap()),
        point,
        ended: point,
        by_choice: false,
        postgres_major: common::newest().await.major,
        odoo_version: Some("17.0.1.3".into()),
        database_bytes: 1,
        filestore: Some(SnapshotId::new(point, "filestore")),
        missing_files: 0,
        missing: Vec::new(),
        replayed_to: None,
    };
    let age = clock::now().duration_since(point).try_into().unwrap_or_default();
    Chosen { age: Some(age), ..Chosen::of(snapshot) }
}

async fn drilled(case: &Case, age: Duration) -> Report {
    let chosen = snapshot(clock::now() - age).await;
    drill::run(&case.setup, &Local, async { Ok(chosen) }, &CancellationToken::new()).await
}

fn left_in(dir: &Path) -> Vec<PathBuf> {
    disk::read_dir(dir).unwrap().unwrap().into_iter().map(|entry| entry.path()).collect()
}

fn statuses(report: &Report) -> Vec<(&str, State)> {
    report.stages.iter().map(|stage| (stage.name.as_str(), stage.state)).collect()
}

#[tokio::test]
async fn a_good_snapshot_passes_and_nothing_stays_behind() {
    let case = case("", "", "[objective]\nrpo = \"2h\"\nrto = \"10m\"");
    let report = drilled(&case, Duration::from_secs(3600)).await;
    assert_eq!((report.verdict, report.exit_code), (Verdict::Passed, 0), "{:?}", report.reasons);
    let names = [
        "choose",
        "provision",
        "restore",
        "neutralized",
        "files",
        "indexes",
        "checks",
        "before",
        "odoo",
        "transactions",
        "silence",
        "tear down",
    ];
    assert_eq!(statuses(&report), names.map(|name| (name, State::Done)));
    assert!((3_600_000..3_700_000).contains(&report.rpo.measured_ms.unwrap()));
    let in_rto: u64 = report.stages.iter().filter(|stage| stage.in_rto).map(|stage| stage.ms).sum();
    assert!(report.rto.measured_ms.unwrap() >= in_rto);
    let integrity = report.integrity.as_ref().unwrap();
    assert_eq!((integrity.files, integrity.files_right), (1, 1));
    assert!(integrity.amcheck_skipped.is_some() || integrity.indexes > 0);
    assert!(report.summary.hard.passed >= 7 && report.summary.hard.failed == 0, "{:?}", report.summary);
    assert_eq!(left_in(&case.scratch), Vec::<PathBuf>::new());

    let text = markdown::render(&report);
    assert!(text.starts_with("# Restore drill PASSED: tenant shop\n"), "{text}");
    let back: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(back, report);
}

#[tokio::test]
async fn damage_in_the_restored_data_fails() {
    let damage = "\"$bin/psql\" -qX -d \"$name\" -c \"DELETE FROM ir_config_parameter WHERE key = 'database.secret'\"\n\
                  rm \"$data/filestore/$name/aa/\"*";
    let report = drilled(&case("", damage, ""), Duration::ZERO).await;
    assert_eq!((report.verdict, report.exit_code), (Verdict::Failed, 1));
    assert_eq!(report.integrity.as_ref().unwrap().missing, 1);
    let check = report.checks.iter().find(|check| check.id == "CFG01").unwrap();
    assert_eq!(
        (check.status, check.samples.as_slice()),
        (Status::Failed, &["database.secret".to_owned()][..])
    );
    assert_eq!(report.reasons.len(), 2, "{:?}", report.reasons);
}

#[tokio::test]
async fn a_difference_to_the_baseline_fails_and_no_word_of_it_is_no_pass() {
    let differs = "echo '{\"baseline\": {\"tables\": 3, \"differences\": [\"table public.x: 3 rows, and was 4\"]}}'; exit 0";
    let report = drilled(&case("", differs, ""), Duration::ZERO).await;
    assert_eq!(report.verdict, Verdict::Failed);
    assert_eq!(report.baseline.unwrap().differences, ["table public.x: 3 rows, and was 4"]);
    let report = drilled(&case("", "echo '{}'; exit 0", ""), Duration::ZERO).await;
    assert_eq!(report.verdict, Verdict::CouldNotRun, "{:?}", report.reasons);
}

#[tokio::test]
async fn an_old_snapshot_misses_the_objective() {
    let case = case("", "", "[objective]\nrpo = \"1h\"");
    let report = drilled(&case, Duration::from_secs(2 * 3600)).await;
    assert_eq!((report.verdict, report.exit_code), (Verdict::MissedObjective, 3), "{:?}", report.reasons);
}

#[tokio::test]
async fn a_restore_that_could_not_is_told_from_an_archive_that_is_damaged() {
    for (code, verdict) in [(7, Verdict::CouldNotRun), (10, Verdict::Failed)] {
        let case = case(&format!("echo 'error: no luck' >&2; exit {code}"), "", "");
        let report = drilled(&case, Duration::ZERO).await;
        assert_eq!(report.verdict, verdict);
        assert!(report.reasons[0].contains(&format!("exit code {code}")), "{:?}", report.reasons);
        assert!(report.reasons[0].contains("no luck"), "{:?}", report.reasons);
        assert_eq!(
            statuses(&report)[3..11],
            ["neutralized", "files", "indexes", "checks", "before", "odoo", "transactions", "silence"]
                .map(|name| (name, State::NotRun))
        );
        assert_eq!(statuses(&report)[11], ("tear down", State::Done));
        assert_eq!(report.rto.measured_ms, None);
        assert_eq!(left_in(&case.scratch), Vec::<PathBuf>::new());
    }
}

#[tokio::test]
async fn cancelled_it_stops_the_restore_and_tears_down() {
    let dir = common::open_dir();
    let mark = dir.path().join("told to stop");
    let hook = format!("trap 'touch \"{}\"; exit 18' TERM; sleep 120 & wait", mark.display());
    let case = case(&hook, "", "");
    let cancel = CancellationToken::new();
    let chosen = snapshot(clock::now()).await;
    let stopper = async {
        let is_up =
            || left_in(&case.scratch).first().is_some_and(|dir| dir.join("run/.s.PGSQL.5432").exists());
        common::until("the scratch server is up", is_up).await;
        clock::sleep(Duration::from_millis(1500)).await;
        cancel.cancel();
    };
    let (report, ()) = tokio::join!(drill::run(&case.setup, &Local, async { Ok(chosen) }, &cancel), stopper);
    assert_eq!(report.verdict, Verdict::CouldNotRun);
    assert_eq!(report.reasons, ["restore: lifeboat restore was stopped by a signal"]);
    assert!(mark.exists());
    assert_eq!(left_in(&case.scratch), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_place_that_was_asked_for_stays_and_no_snapshot_is_could_not_run() {
    let case = case("", "", "#keep");
    let report = drilled(&case, Duration::ZERO).await;
    let kept = PathBuf::from(report.kept.unwrap());
    assert_eq!(left_in(&case.scratch), std::slice::from_ref(&kept));
    assert!(kept.join("data/filestore/drill/aa").exists());
    let none = async { Err(Error::new(Kind::NotFound, "no snapshot of shop")) };
    let report = drill::run(&case.setup, &Local, none, &CancellationToken::new()).await;
    assert_eq!((report.verdict, report.snapshot), (Verdict::CouldNotRun, None));
    assert_eq!(left_in(&case.scratch), [kept]);
}

/// Needs `<name>.dump` and `<name>.filestore.tar.zst` of real tenants; see `TEST_ODOO_TENANTS`.
#[tokio::test]
async fn real_tenants_pass_and_one_flipped_bit_in_a_file_fails() {
    let dumps = common::real_dumps();
    if dumps.is_empty() {
        common::skip(module_path!(), "TEST_ODOO_TENANTS names no directory with real dumps");
        return;
    }
    for dump in dumps {
        let restore = format!(
            "export PGHOST=\"$LIFEBOAT_POSTGRES_HOST\" PGPORT=\"$LIFEBOAT_POSTGRES_PORT\" PGUSER=postgres\n\
             \"$LIFEBOAT_POSTGRES_BIN_DIR/createdb\" -T template0 -O \"$owner\" \"$name\"\n\
             export PGUSER=\"$owner\"\n\
             \"$LIFEBOAT_POSTGRES_BIN_DIR/pg_restore\" --no-owner --exit-on-error -d \"$name\" '{dump}'\n\
             mkdir -p \"$data/filestore/$name\"; zstd -dc '{files}' | tar xf - -C \"$data/filestore/$name\"\n",
            dump = dump.display(),
            files = dump.with_extension("filestore.tar.zst").display()
        );
        let end = "echo '{\"baseline\": {\"tables\": 481, \"differences\": []}}'; exit 0";
        let report = drilled(&case(&format!("{restore}{end}"), "", ""), Duration::ZERO).await;
        // The script does not neutralize, and the drill says so.
        let live = |reason: &&String| reason.starts_with("neutralized: ");
        let others: Vec<_> = report.reasons.iter().filter(|reason| !live(reason)).collect();
        assert!(others.is_empty() && report.reasons.len() > 3, "{:?}", report.reasons);
        let integrity = report.integrity.clone().unwrap();
        assert!(integrity.files > 1000 && integrity.files_right + integrity.empty_absent == integrity.files);
        assert!(report.summary.hard.passed >= 55, "{:?}", report.summary);

        let flip = "file=$(find \"$data/filestore/$name\" -type f -size +100k | grep -v checklist | sort | head -1)\n\
                    printf x | dd of=\"$file\" bs=1 seek=70000 conv=notrunc status=none\n";
        let report = drilled(&case(&format!("{restore}{flip}{end}"), "", ""), Duration::ZERO).await;
        let integrity = report.integrity.clone().unwrap();
        assert_eq!((report.verdict, integrity.wrong_content), (Verdict::Failed, 1), "{:?}", report.reasons);
        println!("{}", markdown::render(&report));
    }
}
