//! The programs that are measured: Lifeboat and restic, each with a fresh repository a round.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_tests::{Cluster, Program};

use crate::aside::set_aside;
use crate::measured::{Cost, cost};
use crate::source::{Source, TENANT};

/// One way to back up the filestore and to get it back.
pub trait Contender {
    /// Sets aside what the round before left, and sets up an empty repository.
    fn begin(&mut self);
    /// Backs up the filestore.
    fn backup(&mut self) -> Cost;
    /// Brings it back into an empty place; where it is now.
    fn restore(&mut self) -> (Cost, PathBuf);
    /// How large the repository is.
    fn stored_bytes(&self) -> u64;
}

/// `lifeboat`, with the default configuration but for the low priority.
pub struct Lifeboat<'a> {
    dir: PathBuf,
    source: &'a Source,
    cluster: &'a Cluster,
    program: PathBuf,
    /// The backup of database and filestore that a restore needs.
    pub both: Option<Cost>,
}

impl<'a> Lifeboat<'a> {
    /// Works below `work`.
    pub fn new(work: &Path, source: &'a Source, cluster: &'a Cluster) -> Lifeboat<'a> {
        let program = lifeboat_tests::program::bin_dir().join("lifeboat");
        Lifeboat { dir: work.join("lifeboat"), source, cluster, program, both: None }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.dir.join("lifeboat.toml")).args(args).args(["--json", "--quiet"]);
        command.env("LIFEBOAT_POSTGRES_HOST", self.cluster.host());
        command.env("LIFEBOAT_POSTGRES_PORT", self.cluster.port().to_string());
        command.env("LIFEBOAT_POSTGRES_USER", self.cluster.user());
        command.env("LIFEBOAT_BACKUP_LOW_PRIORITY", "false");
        command
    }

    fn restored(&self) -> PathBuf {
        self.dir.join("restored")
    }
}

impl Contender for Lifeboat<'_> {
    fn begin(&mut self) {
        set_aside(&self.dir);
        self.cluster.psql("postgres", "drop database if exists bench_restored");
        fs::create_dir_all(self.restored()).unwrap();
        fs::create_dir_all(self.dir.join("repository")).unwrap();
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        Program::lifeboat()
            .arg("init")
            .args(["--instance", "bench", "--config", &text(self.dir.join("lifeboat.toml"))])
            .args(["--repository", &text(self.dir.join("repository"))])
            .args(["--state-dir", &text(self.dir.join("state"))])
            .args(["--data-dir", &text(self.source.data_dir.clone())])
            .run()
            .ok();
    }

    fn backup(&mut self) -> Cost {
        cost(&self.command(&["backup", "--kind", "filestore"]), &self.dir)
    }

    fn restore(&mut self) -> (Cost, PathBuf) {
        self.both = Some(cost(&self.command(&["backup"]), &self.dir));
        let restored = self.restored();
        let identity = self.dir.join("lifeboat-identity.txt");
        let args = ["restore", "--tenant", TENANT, "--as", "bench_restored", "--yes", "--no-neutralize"];
        let mut command = self.command(&args);
        command.arg("--identity").arg(identity).arg("--data-dir").arg(&restored);
        let cost = cost(&command, &self.dir);
        (cost, restored.join("filestore/bench_restored"))
    }

    fn stored_bytes(&self) -> u64 {
        tree_bytes(&self.dir.join("repository"))
    }
}

/// `restic`, as it comes.
pub struct Restic {
    dir: PathBuf,
    source: PathBuf,
}

impl Restic {
    /// Works below `work`.
    pub fn new(work: &Path, source: &Source) -> Restic {
        Restic { dir: work.join("restic"), source: source.dir() }
    }

    /// What `restic version` says.
    pub fn version() -> String {
        let said = Command::new("restic").arg("version").output();
        let said =
            said.unwrap_or_else(|e| panic!("restic cannot be run ({e}); install it or pass --no-restic"));
        String::from_utf8_lossy(&said.stdout).trim().to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("restic");
        command.args(args).env("RESTIC_PASSWORD", "benchmark").env("RESTIC_PROGRESS_FPS", "0.1");
        command.env("RESTIC_REPOSITORY", self.dir.join("repository"));
        command.env("RESTIC_CACHE_DIR", self.dir.join("cache"));
        command
    }
}

impl Contender for Restic {
    fn begin(&mut self) {
        set_aside(&self.dir);
        fs::create_dir_all(&self.dir).unwrap();
        cost(&self.command(&["init"]), &self.dir);
    }

    fn backup(&mut self) -> Cost {
        let mut command = self.command(&["backup", "--compression", "auto"]);
        cost(command.arg(&self.source), &self.dir)
    }

    fn restore(&mut self) -> (Cost, PathBuf) {
        let restored = self.dir.join("restored");
        let mut command = self.command(&["restore", "latest", "--target"]);
        let cost = cost(command.arg(&restored), &self.dir);
        (cost, restored.join(self.source.strip_prefix("/").unwrap()))
    }

    fn stored_bytes(&self) -> u64 {
        tree_bytes(&self.dir.join("repository"))
    }
}

fn tree_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| if e.path().is_dir() { tree_bytes(&e.path()) } else { e.metadata().unwrap().len() }).sum()
}
