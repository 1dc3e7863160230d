//! Evidence of checkpoints, from outside: a checkpoint that the library made is stored in a real repository,
//! and the built program and tools of strangers verify it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test panics, and touches files as a user does

mod chain;
mod export;
mod keys;
mod require;
mod verifiers;
mod verify;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use lifeboat::archive::evidence::key::EvidenceKey;
use lifeboat::archive::evidence::predicate::{Checkpoint, Previous};
use lifeboat::archive::evidence::scorecard::scorecard;
use lifeboat::config::{Config, Inputs};
use lifeboat::repository::Repository;
use lifeboat::repository::releases::StoredCheckpoint;
use lifeboat_tests::program::workspace_root;
use lifeboat_tests::{Program, S3};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The same checkpoint as in the unit tests.
const SAMPLE: &str = include_str!("../../../agent/src/archive/evidence/sample.json");
const PUBLIC_KEY: &str = "lifeboat-evidence-key.pub.pem";

/// A host with a configuration, keys and an empty repository of a made-up cluster.
struct Host {
    dir: TempDir,
    runtime: Runtime,
}

impl Host {
    fn new() -> Host {
        Host::init(tempfile::tempdir().unwrap(), &[]).bound()
    }

    fn on_s3(s3: &S3) -> Host {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("s3-keys");
        let value = |name: &str| s3.env().into_iter().find(|(n, _)| n == name).unwrap().1;
        let (id, secret) = (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"));
        fs::write(&keys, format!("access_key_id = {id}\nsecret_access_key = {secret}\n")).unwrap();
        fs::set_permissions(&keys, PermissionsExt::from_mode(0o600)).unwrap();
        let settings = [
            format!("--repository={}", s3.url("evidence")),
            format!("--set=repository.endpoint={}", s3.endpoint()),
            "--set=repository.allow_http=true".to_owned(),
            format!("--set=repository.credentials_file={}", keys.display()),
            "--set=repository.request_timeout=2s".to_owned(),
            "--set=repository.retry_deadline=4s".to_owned(),
        ];
        Host::init(dir, &settings).bound()
    }

    fn init(dir: TempDir, args: &[String]) -> Host {
        let host = Host { dir, runtime: Runtime::new().unwrap() };
        host.run(&["init", "--instance", "prod"]).args(args.to_vec()).run().ok();
        host
    }

    /// As after a first backup.
    fn bound(self) -> Host {
        let repository = self.repository();
        self.runtime.block_on(repository.bind(Some("7312345678901234567"))).unwrap();
        self
    }

    /// One whose repository holds the committed snapshots: those of instance `golden`.
    fn with_snapshots() -> Host {
        let golden = workspace_root().join("tests/golden/format-1");
        let key = fs::read_to_string(golden.join("TEST-ONLY-signing-key.pub")).unwrap();
        let host = Host::init(
            tempfile::tempdir().unwrap(),
            &["--set=instance=golden".to_owned(), format!("--set=signing.trusted_keys={}", key.trim())],
        );
        fs::remove_dir_all(host.path("lifeboat-repository")).unwrap();
        let copy = Program::at("/bin/cp".into()).arg("-r").arg(golden.join("repository"));
        copy.arg(host.path("lifeboat-repository")).run().ok();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Program {
        Program::lifeboat().cwd(self.dir.path()).args(args.to_vec())
    }

    fn config(&self) -> Config {
        let config = Some(self.path("lifeboat.toml"));
        Config::load(&Inputs { config, ..Inputs::default() }).unwrap()
    }

    fn repository(&self) -> Repository {
        let config = self.config();
        self.runtime.block_on(Repository::configured(&config)).unwrap()
    }

    /// Takes the evidence keys out of the configuration: as an older version wrote it.
    fn forget_keys(&self) {
        let file = self.path("lifeboat.toml");
        let mut text = fs::read_to_string(&file).unwrap();
        let keys = [
            "key_file = \"lifeboat-evidence-key.pem\"\n".to_owned(),
            format!("trusted_key_files = [\n  \"{PUBLIC_KEY}\",\n]\n"),
        ];
        for key in keys {
            assert!(text.contains(&key), "{key} is not in {text}");
            text = text.replace(&key, "");
        }
        fs::write(&file, text).unwrap();
    }

    fn key(&self) -> EvidenceKey {
        EvidenceKey::load(&self.path("lifeboat-evidence-key.pem")).unwrap()
    }

    /// The checkpoint of a release here, changed so.
    fn checkpoint(&self, release: &str, change: impl FnOnce(&mut Checkpoint)) -> Checkpoint {
        let mut checkpoint: Checkpoint = serde_json::from_str(SAMPLE).unwrap();
        checkpoint.origin = self.runtime.block_on(self.repository().origin()).unwrap();
        checkpoint.release.id = release.parse().unwrap();
        let now = lifeboat::clock::now();
        (checkpoint.begun, checkpoint.ended, checkpoint.previous) = (now, now, None);
        change(&mut checkpoint);
        checkpoint.scorecard = scorecard(&checkpoint);
        checkpoint
    }

    /// Stores one.
    fn store(&self, release: &str, change: impl FnOnce(&mut Checkpoint)) -> StoredCheckpoint {
        let checkpoint = self.checkpoint(release, change);
        let (repository, key) = (self.repository(), self.key());
        self.runtime.block_on(repository.store_checkpoint(&checkpoint, &key)).unwrap()
    }

    /// The folder of a release in a repository that is a directory.
    fn folder(&self, name: &str) -> PathBuf {
        self.path("lifeboat-repository/instances/prod/releases").join(name)
    }
}

/// What the next checkpoint says of this one.
fn previous(stored: &StoredCheckpoint) -> Option<Previous> {
    let evidence = &stored.evidence;
    Some(Previous { release: evidence.checkpoint.release.id.clone(), sha256: evidence.sha256 })
}
