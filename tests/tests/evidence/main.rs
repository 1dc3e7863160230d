//! Evidence of checkpoints, from outside: a checkpoint that the library made is stored in a real repository,
//! and the built program and tools of strangers verify it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test panics, and touches files as a user does

mod chain;
mod export;
mod keys;
mod require;
mod verifiers;
mod verify;

use std::path::PathBuf;

use lifeboat::archive::evidence::key::EvidenceKey;
use lifeboat::archive::evidence::predicate::{Checkpoint, Previous};
use lifeboat::archive::evidence::scorecard::scorecard;
use lifeboat::config::{Config, Inputs};
use lifeboat::repository::Repository;
use lifeboat::repository::releases::StoredCheckpoint;
use lifeboat_tests::{Program, S3};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The same checkpoint as in the unit tests.
const SAMPLE: &str = include_str!("../../../agent/src/archive/evidence/sample.json");
const PUBLIC_KEY: &str = "lifeboat-evidence-key.pub.pem";

/// A host with a configuration, keys and an empty repository of a made-up cluster.
struct Host {
    dir: TempDir,
    env: Vec<(String, String)>,
    runtime: Runtime,
}

impl Host {
    fn new() -> Host {
        Host::with(&[], Vec::new())
    }

    fn on_s3(s3: &S3) -> Host {
        Host::with(&["--repository", &s3.url("evidence"), "--set", "repository.region=us-east-1"], s3.env())
    }

    fn with(args: &[&str], env: Vec<(String, String)>) -> Host {
        let host = Host { dir: tempfile::tempdir().unwrap(), env, runtime: Runtime::new().unwrap() };
        host.run(&["init", "--instance", "prod"]).args(args.to_vec()).run().ok();
        let repository = host.repository();
        host.runtime.block_on(repository.bind(Some("7312345678901234567"))).unwrap();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Program {
        Program::lifeboat().cwd(self.dir.path()).envs(self.env.clone()).args(args.to_vec())
    }

    fn config(&self) -> Config {
        let environment = self.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let config = Some(self.path("lifeboat.toml"));
        Config::load(&Inputs { config, environment, ..Inputs::default() }).unwrap()
    }

    fn repository(&self) -> Repository {
        let config = self.config();
        self.runtime.block_on(Repository::configured(&config)).unwrap()
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
