//! The program as a user meets it: arguments, exit codes, what it prints, what it stores, and that
//! a signal leaves nothing behind. A script stands in for `lifeboat`.

#![allow(clippy::unwrap_used)] // a test panics where it fails

mod common;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use lifeboat::archive::digest::Sha256;
use lifeboat::archive::manifest::{DumpFacts, Facts, SnapshotKind};
use lifeboat::archive::seal::Recipients;
use lifeboat::archive::signature::{SigningKey, TrustedKeys};
use lifeboat::repository::Repository;
use lifeboat::repository::writer::{PackSettings, SnapshotWriter};
use lifeboat::store::{Store, StoreOptions};
use lifeboat::{clock, disk};
use restore_drill::report::Report;
use restore_drill::report::verdict::Verdict;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

/// A plan, a configuration, a script in place of `lifeboat`, and a repository with one dump.
struct Host {
    dir: tempfile::TempDir,
    key: SigningKey,
}

impl Host {
    async fn new(restore: &str, objective: &str) -> Host {
        let dir = common::open_dir();
        let at = |name: &str| dir.path().join(name);
        let key = SigningKey::generate("test").unwrap();
        let put = |name: &str, text: &str| disk::write_new_durable(&at(name), text.as_bytes()).unwrap();
        put("signing", &key.to_openssh().unwrap());
        let public = key.public_text().unwrap();
        put(
            "lifeboat.toml",
            &format!(
                "instance = \"production\"\n[repository]\nurl = \"{}\"\n[signing]\nkey_file = \"{}\"\n\
                 trusted_keys = [{public:?}]\n",
                at("repository").display(),
                at("signing").display()
            ),
        );
        put(
            "plan.toml",
            &format!(
                "config = \"lifeboat.toml\"\ntenant = \"shop\"\n{objective}\n[scratch]\ndir = \"s\"\n[lifeboat]\nprogram = \"lifeboat\"\n"
            ),
        );
        put("lifeboat", &format!("#!/bin/sh\n{restore}\n"));
        for (name, mode) in [("lifeboat", 0o755), ("s", 0o711)] {
            if name == "s" {
                disk::create_new_dir(&at("s"), mode).unwrap();
            }
            std::fs::set_permissions(at(name), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
        let host = Host { dir, key };
        host.store_a_dump().await;
        host
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A manifest with nothing behind it: the script restores without reading it.
    async fn store_a_dump(&self) {
        let url = self.at("repository").display().to_string();
        Store::create_local_root(&url).unwrap();
        let store = Store::open(&url, &StoreOptions::default()).unwrap();
        Repository::init(&store).await.unwrap();
        let repository = Repository::open(store, "production".parse().unwrap()).await.unwrap();
        let origin = repository.bind(Some("1")).await.unwrap();
        let recipients = Recipients::parse([self.key.public_text().unwrap().as_str()]).unwrap();
        let settings = PackSettings { zstd_level: 3, pack_bytes: 1 << 20 };
        let writer = SnapshotWriter::begin(
            &repository,
            &origin,
            &recipients,
            settings,
            SnapshotKind::Dump,
            None,
            None,
        );
        let facts = DumpFacts {
            server_major: common::newest().await.major,
            pg_dump: "pg_dump".into(),
            odoo_version: Some("17.0.1.3".into()),
            bytes: 0,
            sha256: Sha256::of(b""),
            read_back: false,
            database_bytes: 0,
            owner: "odoo".into(),
            warnings: Vec::new(),
            filestore: None,
            cold: None,
        };
        let mut manifest = writer.manifest(clock::now(), Facts::Dump(facts));
        manifest.tenant = Some("shop".parse().unwrap());
        writer.publish(writer.manifest_bytes(&manifest).unwrap(), &self.key).await.unwrap();
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_restore-drill"));
        command.arg("run").arg(self.at("plan.toml")).args(more);
        // Settings of whoever runs the tests are not those of this host.
        for (name, _) in std::env::vars_os() {
            if ["LIFEBOAT_", "PG"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    async fn run(&self, more: &[&str]) -> Output {
        tokio::time::timeout(Duration::from_secs(120), self.command(more).output()).await.unwrap().unwrap()
    }

    fn left(&self) -> Vec<PathBuf> {
        children(&self.at("s"))
    }

    async fn until_server_is_up(&self) {
        let is_up = || self.left().first().is_some_and(|dir| dir.join("run/.s.PGSQL.5432").exists());
        common::until("the scratch server is up", is_up).await;
    }

    /// The one drill that the repository holds a report of.
    fn stored(&self) -> PathBuf {
        let drills = children(&self.at("repository/instances/production/drills"));
        assert_eq!(drills.len(), 1, "{drills:?}");
        drills[0].clone()
    }
}

fn children(dir: &Path) -> Vec<PathBuf> {
    disk::read_dir(dir).unwrap().unwrap_or_default().into_iter().map(|entry| entry.path()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const RESTORE: &str = r#"while [ $# -gt 0 ]; do case "$1" in --as) name=$2;; --owner) owner=$2;; esac; shift; done
"$LIFEBOAT_POSTGRES_BIN_DIR/createdb" -h "$LIFEBOAT_POSTGRES_HOST" -p "$LIFEBOAT_POSTGRES_PORT" -U postgres -O "$owner" "$name"
"$LIFEBOAT_POSTGRES_BIN_DIR/psql" -qX -h "$LIFEBOAT_POSTGRES_HOST" -U postgres -d "$name" -c "SET ROLE $owner;
  CREATE TABLE ir_module_module (name varchar, state varchar, latest_version varchar);
  INSERT INTO ir_module_module VALUES ('base', 'installed', '17.0.1.3');
  CREATE TABLE ir_attachment (id int, name varchar, type varchar, file_size int, checksum varchar,
    store_fname varchar, db_datas bytea)"
echo '{"baseline": {"tables": 2, "differences": []}}'"#;

#[tokio::test]
async fn a_drill_is_told_stored_and_signed() {
    let host = Host::new(RESTORE, "[objective]\nrpo = \"1h\"\nrto = \"10m\"").await;
    let reports = host.at("reports").display().to_string();
    let output = host.run(&["--json", "--report-dir", &reports]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    for words in ["tenant shop", "restore ", "PASSED   RPO ", "(signed)"] {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((report.verdict, report.exit_code), (Verdict::Passed, 0));

    let stored = host.stored();
    let json = disk::read(&stored.join("report.json"), 1 << 22).unwrap();
    let statement: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(statement["predicate"], value);
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    let manifest = report.manifests.first().unwrap();
    assert_eq!(statement["subject"][0]["name"], manifest.id.as_str());
    assert_eq!(statement["subject"][0]["digest"]["sha256"], manifest.manifest_sha256.to_string());
    for file in &report.stored.as_ref().unwrap().files {
        let bytes = disk::read(&stored.join(&file.name), 1 << 22).unwrap();
        assert_eq!(Sha256::of(&bytes), file.sha256, "{}", file.name);
    }
    let signature = disk::read(&stored.join("report.json.sig"), 1 << 20).unwrap();
    let trusted = TrustedKeys::parse([host.key.public_text().unwrap().as_str()]).unwrap();
    trusted.verify("report", &json, &signature).unwrap();
    assert!(disk::read_text(&stored.join("report.md"), 1 << 20).unwrap().contains("# Restore drill PASSED"));
    let beside = host.at("reports").join(&report.drill);
    assert_eq!(disk::read(&beside.join("report.json"), 1 << 22).unwrap(), json);
    assert_eq!(host.left(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn what_the_environment_and_the_tenant_set_changes_nothing() {
    let settings = r#"for setting in "statement_timeout = 1" "default_transaction_read_only = on" "role = tenant" "DateStyle = 'SQL, DMY'"; do
"$LIFEBOAT_POSTGRES_BIN_DIR/psql" -qX -h "$LIFEBOAT_POSTGRES_HOST" -U postgres -d postgres -c "ALTER DATABASE \"$name\" SET $setting"
done"#;
    let found = "env >\"$0.env\"";
    let host =
        Host::new(&format!("{found}\n{}", RESTORE.replace("echo ", &format!("{settings}\necho "))), "").await;
    let given = [
        ("PGOPTIONS", "-c no_such_setting=1"),
        ("PGSSLMODE", "nonsense"),
        ("PGSERVICE", "nowhere"),
        ("LIFEBOAT_POSTGRES_PASSFILE", "/nowhere"),
        ("LIFEBOAT_PASSPHRASE", "opens the identity"),
        ("AWS_REGION", "eu-central-1"),
        ("VAULT_TOKEN", "a secret of others"),
        ("LD_PRELOAD", ""),
    ];
    let output = host.command(&[]).envs(given).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let found = disk::read_text(&host.at("lifeboat.env"), 1 << 20).unwrap();
    for name in ["LIFEBOAT_PASSPHRASE", "AWS_REGION", "LIFEBOAT_POSTGRES_HOST", "PATH"] {
        assert!(found.contains(&format!("{name}=")), "{name} is not in {found}");
    }
    for name in
        ["PGOPTIONS", "PGSSLMODE", "PGSERVICE", "LIFEBOAT_POSTGRES_PASSFILE", "VAULT_TOKEN", "LD_PRELOAD"]
    {
        assert!(!found.contains(&format!("{name}=")), "{name} is in {found}");
    }
}

#[tokio::test]
async fn each_verdict_has_its_exit_code() {
    let late = Host::new(&format!("sleep 2\n{RESTORE}"), "[objective]\nrto = \"1s\"").await;
    let output = late.run(&[]).await;
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let damaged = Host::new("echo 'error[integrity]: packs/0 is cut short' >&2; exit 10", "").await;
    let output = damaged.run(&[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("packs/0 is cut short"));
    assert!(damaged.stored().join("report.json").exists(), "failures are evidence too");
    let unable = Host::new("exit 7", "").await;
    assert_eq!(unable.run(&[]).await.status.code(), Some(4));
    assert_eq!(unable.left(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_wrong_plan_is_exit_code_2_and_an_absent_repository_4() {
    let host = Host::new(RESTORE, "[objective]\nrpo = \"soon\"").await;
    let output = host.run(&[]).await;
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(told.contains("plan.toml, line 4: objective.rpo: \"soon\" is not a duration"), "{told}");
    assert_eq!(host.run(&["--snapshot", "nonsense"]).await.status.code(), Some(2));

    let host = Host::new(RESTORE, "").await;
    let absent = host.run(&["--snapshot", "20200101T000000Z-dump-00000000"]).await;
    assert_eq!(absent.status.code(), Some(4));
    assert!(text(&absent.stderr).contains("there is no snapshot"), "{}", text(&absent.stderr));
    disk::remove_tree(&host.at("repository")).unwrap();
    let reports = host.at("reports").display().to_string();
    let output = host.run(&["--report-dir", &reports]).await;
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    assert_eq!(children(&children(&host.at("reports"))[0]).len(), 4, "all but the signature");
}

#[tokio::test]
async fn a_signal_stops_the_restore_and_leaves_nothing() {
    let host = Host::new("trap 'exit 18' TERM; sleep 100 & wait", "").await;
    let child = host.command(&[]).spawn().unwrap();
    host.until_server_is_up().await;
    clock::sleep(Duration::from_millis(1000)).await;
    let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let output =
        tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains("COULD NOT RUN"), "{told}");
    assert_eq!(host.left(), Vec::<PathBuf>::new());
    assert!(host.stored().join("report.json").exists());
}

#[tokio::test]
async fn a_killed_drill_is_cleaned_up_by_the_next() {
    let host = Host::new("sleep 100", "").await;
    let mut child = host.command(&[]).spawn().unwrap();
    host.until_server_is_up().await;
    child.kill().await.unwrap();
    let left = host.left();
    assert_eq!(left.len(), 1);
    disk::remove_file(&host.at("lifeboat")).unwrap();
    disk::write_new_durable(&host.at("lifeboat"), format!("#!/bin/sh\n{RESTORE}\n").as_bytes()).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(host.at("lifeboat"), open).unwrap();
    let output = host.run(&[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("which a killed drill had left"), "{}", text(&output.stderr));
    assert_eq!(host.left(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn checks_are_listed() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_restore-drill"));
        command.args(arguments).stdin(Stdio::null()).output()
    };
    let output = run(&["checks"]).await.unwrap();
    assert!(
        text(&output.stdout).contains("ACC01   account    hard  *      every posted journal entry balances")
    );
    let json: serde_json::Value =
        serde_json::from_slice(&run(&["checks", "--json"]).await.unwrap().stdout).unwrap();
    assert!(json["checks"].as_array().unwrap().len() > 90);
    let help = text(&run(&["run", "--help"]).await.unwrap().stdout);
    for words in ["3  missed objective", "[objective]", "extra_dir"] {
        assert!(help.contains(words), "{help}");
    }
    assert_eq!(run(&["run"]).await.unwrap().status.code(), Some(2));
}
