//! The place a drill restores into: a directory of its own with a private PostgreSQL that listens
//! on a unix socket alone, in a directory that nobody else may enter.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use lifeboat::error::{Error, Kind, Result};
use lifeboat::{clock, disk};
use rustix::process::Signal;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection};
use tokio::process::{Child, Command};

use crate::process;

/// The superuser of the private cluster, and the account it runs as where the drill runs as root.
pub const SUPERUSER: &str = "postgres";
/// Only the number in the socket's name: nothing listens on TCP.
pub const PORT: u16 = 5432;

const INITDB_LIMIT: Duration = Duration::from_secs(180);
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// Linux cuts the path of a unix socket at 107 bytes.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Where the restored tenant is: what every later stage needs to know of it.
#[derive(Clone, Debug)]
pub struct Place {
    /// The directory of the server's unix socket.
    pub socket_dir: PathBuf,
    /// Odoo's data directory of the restored tenant.
    pub data_dir: PathBuf,
}

impl Place {
    /// A connection to one of its databases, as superuser.
    ///
    /// # Errors
    /// [`Kind::Postgres`] where the server does not answer or has no such database.
    pub async fn connect(&self, database: &str) -> Result<PgConnection> {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(&self.socket_dir)
            .port(PORT)
            .username(SUPERUSER)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
            .application_name("restore-drill")
            .disable_statement_logging();
        let what = || format!("cannot connect to database {database} of the scratch PostgreSQL");
        match tokio::time::timeout(CONNECT_LIMIT, options.connect()).await {
            Ok(connected) => connected.map_err(|e| Error::new(Kind::Postgres, what()).because(e)),
            Err(_) => Err(Error::new(Kind::Postgres, what())
                .because(format!("no answer in {}", clock::span_text(CONNECT_LIMIT)))),
        }
    }
}

/// A running private cluster and its directory.
#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
    server: Child,
    place: Place,
    _lock: disk::FileLock,
}

impl Scratch {
    /// Makes the directory `dir`, which must not be there, and starts a PostgreSQL of the
    /// programs in `bin_dir` in it. What is half made when it fails is removed.
    ///
    /// # Errors
    /// Where the directory cannot be made, initdb fails, or the server does not come up.
    pub async fn start(dir: &Path, bin_dir: &Path) -> Result<Scratch> {
        let socket = dir.join("run").join(format!(".s.PGSQL.{PORT}"));
        if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            let what = format!("the path {} is too long for a unix socket", socket.display());
            return Err(
                Error::new(Kind::Config, what).next("set [scratch] dir in the plan to a shorter path")
            );
        }
        disk::create_new_dir(dir, 0o700)?;
        let made = make(dir, bin_dir).await;
        if made.is_err() {
            disk::remove_tree(dir)?;
        }
        made
    }

    /// Where the restored tenant is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Stops the server and removes the directory, or leaves the directory where `keep` says so.
    ///
    /// # Errors
    /// Where the directory cannot be removed: it then still holds restored data.
    pub async fn tear_down(mut self, keep: bool) -> Result<()> {
        process::stop(&mut self.server, Signal::INT, STOP_LIMIT).await;
        if keep {
            return disk::write_new_durable(&self.dir.join(KEEP), b"kept on request; remove it when done\n");
        }
        disk::remove_tree(&self.dir).map_err(|e| e.effect("restored production data is still there"))
    }
}

const KEEP: &str = "KEEP";
const LOCK: &str = "lock";

async fn make(dir: &Path, bin_dir: &Path) -> Result<Scratch> {
    let lock = disk::try_lock(&dir.join(LOCK))?
        .ok_or_else(|| Error::new(Kind::Busy, format!("another drill uses {}", dir.display())))?;
    let account = Account::for_server().await?;
    let (cluster, run) = (dir.join("pg"), dir.join("run"));
    for made in [&cluster, &run] {
        disk::create_new_dir(made, 0o700)?;
        account.own(made)?;
    }
    account.own(dir)?;
    let log = dir.join("server.log");
    let log_file = disk::create_new(&log, 0o600)?;

    let mut initdb = account.command(&bin_dir.join("initdb"), dir);
    initdb.arg("-D").arg(&cluster).args(["-U", SUPERUSER, "-A", "trust", "-E", "UTF8"]);
    initdb.args(["--locale=C", "--data-checksums", "--no-instructions"]);
    let ended = process::run(&mut initdb, INITDB_LIMIT).await?;
    if !ended.is_success() {
        let what = format!("initdb failed in {} with {}", cluster.display(), ended.how());
        return Err(Error::new(Kind::Postgres, what)
            .because(ended.last_words())
            .next(format!("see that user {SUPERUSER} may enter the directories above it")));
    }

    // Durable like production: turning fsync off would flatter the measured recovery time.
    let mut postgres = account.command(&bin_dir.join("postgres"), dir);
    postgres.arg("-D").arg(&cluster).arg("-p").arg(PORT.to_string());
    for setting in ["listen_addresses=", "archive_mode=off", "max_wal_size=2GB", "logging_collector=off"] {
        postgres.arg("-c").arg(setting);
    }
    postgres.arg("-c").arg(format!("unix_socket_directories={}", run.display()));
    let log_too = log_file.try_clone().map_err(|e| Error::file("open", &log, e))?;
    postgres.stdout(Stdio::from(log_file)).stderr(Stdio::from(log_too));
    let server = process::spawn(&mut postgres)?;
    let place = Place { socket_dir: run, data_dir: dir.join("data") };
    let mut scratch = Scratch { dir: dir.to_owned(), server, place, _lock: lock };
    match until_up(&mut scratch).await {
        Ok(()) => Ok(scratch),
        Err(e) => {
            process::stop(&mut scratch.server, Signal::INT, STOP_LIMIT).await;
            let said = disk::read_text(&log, 1024 * 1024).unwrap_or_default();
            let last: Vec<&str> = said.lines().rev().take(8).collect();
            Err(e.context("start the scratch PostgreSQL").effect(format!(
                "the server said: {}",
                last.into_iter().rev().collect::<Vec<_>>().join(" | ")
            )))
        }
    }
}

async fn until_up(scratch: &mut Scratch) -> Result<()> {
    let begun = clock::instant();
    loop {
        if let Ok(Some(status)) = scratch.server.try_wait() {
            let how = match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit code {code}"),
                (None, signal) => format!("signal {}", signal.unwrap_or(0)),
            };
            return Err(Error::new(Kind::Postgres, format!("the server ended with {how}")));
        }
        match scratch.place.connect("postgres").await {
            Ok(_) => return Ok(()),
            Err(e) if begun.elapsed() > START_LIMIT => return Err(e),
            Err(_) => clock::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Removes what drills that were killed left below `parent`: their servers are stopped and their
/// directories, which hold restored data, removed. Those kept on request, those in use and those of
/// other accounts stay. Returns the directories removed, and an error for each that could not be.
///
/// # Errors
/// Where `parent` cannot be listed.
pub async fn sweep(parent: &Path, prefix: &str) -> Result<Vec<Result<PathBuf>>> {
    let owner = Account::for_server().await?.uid();
    let mut swept = Vec::new();
    for entry in disk::read_dir(parent)?.unwrap_or_default() {
        let dir = entry.path();
        let ours = disk::metadata(&dir)?.is_some_and(|meta| meta.is_dir() && meta.uid() == owner);
        if ours && entry.file_name().to_string_lossy().starts_with(prefix) {
            swept.extend(sweep_one(&dir).await.map(|done| done.map(|()| dir)));
        }
    }
    Ok(swept)
}

/// `None` where the directory is kept or in use.
async fn sweep_one(dir: &Path) -> Option<Result<()>> {
    let lock = dir.join(LOCK);
    let is_there = |path: &Path| disk::metadata(path).map(|meta| meta.is_some());
    let take = || match (is_there(&dir.join(KEEP))?, is_there(&lock)?) {
        (false, true) => disk::try_lock(&lock),
        _ => Ok(None), // kept; or not made by us, or just being made
    };
    match take() {
        Err(e) => Some(Err(e)),
        Ok(None) => None,
        Ok(Some(_held)) => {
            stop_orphan(&dir.join("pg")).await;
            Some(disk::remove_tree(dir))
        }
    }
}

/// Stops the server of a cluster directory whose drill is gone. The process is asked only when its
/// command line names this very directory: numbers of ended processes are given out again.
async fn stop_orphan(cluster: &Path) {
    let Ok(file) = disk::read_text(&cluster.join("postmaster.pid"), 4096) else { return };
    let Some(raw) = file.lines().next().and_then(|line| line.trim().parse::<i32>().ok()) else { return };
    let Some(pid) = rustix::process::Pid::from_raw(raw) else { return };
    let is_it = || {
        let line = disk::read(&PathBuf::from(format!("/proc/{raw}/cmdline")), 64 * 1024).unwrap_or_default();
        let wanted = cluster.as_os_str().as_encoded_bytes();
        line.split(|byte| *byte == 0).any(|argument| argument == wanted)
    };
    let begun = clock::instant();
    if is_it() {
        let _ = rustix::process::kill_process(pid, Signal::QUIT);
    }
    while is_it() && begun.elapsed() < STOP_LIMIT {
        clock::sleep(Duration::from_millis(100)).await;
    }
}

/// The account that the server runs as: PostgreSQL refuses to run as root.
enum Account {
    Own,
    Other { uid: u32, gid: u32 },
}

impl Account {
    async fn for_server() -> Result<Account> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account::Own);
        }
        let mut numbers = [0u32; 2];
        for (number, flag) in numbers.iter_mut().zip(["-u", "-g"]) {
            let mut id = Command::new("id");
            id.args([flag, SUPERUSER]);
            let ended = process::run(&mut id, Duration::from_secs(30)).await?;
            *number = ended.stdout.trim().parse().map_err(|_| {
                let what = format!("there is no user {SUPERUSER} on this machine");
                Error::new(Kind::Postgres, what)
                    .because(ended.last_words())
                    .next("install PostgreSQL, or run the drill as another user than root")
            })?;
        }
        Ok(Account::Other { uid: numbers[0], gid: numbers[1] })
    }

    fn uid(&self) -> u32 {
        match self {
            Account::Own => rustix::process::geteuid().as_raw(),
            Account::Other { uid, .. } => *uid,
        }
    }

    fn own(&self, path: &Path) -> Result<()> {
        match self {
            Account::Own => Ok(()),
            Account::Other { uid, gid } => std::os::unix::fs::chown(path, Some(*uid), Some(*gid))
                .map_err(|e| Error::file("change the owner of", path, e)),
        }
    }

    /// A command of PostgreSQL's, without what the environment may say about other servers.
    fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir).env("LC_ALL", "C");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        if let Account::Other { uid, gid } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bin_dir() -> PathBuf {
        for major in (13..=20).rev() {
            if let Ok(dir) = crate::programs::find(major, None).await {
                return dir;
            }
        }
        panic!("no PostgreSQL server is installed: apt-get install postgresql");
    }

    fn open_dir() -> tempfile::TempDir {
        let dir = tempfile::Builder::new().prefix("rd-").tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(dir.path(), open).unwrap();
        dir
    }

    #[tokio::test]
    async fn what_a_killed_drill_left_is_removed_and_what_is_in_use_or_kept_stays() {
        let parent = open_dir();
        let bin_dir = bin_dir().await;
        let at = |name: &str| parent.path().join(name);
        let killed = Scratch::start(&at("d-killed"), &bin_dir).await.unwrap();
        let used = Scratch::start(&at("d-used"), &bin_dir).await.unwrap();
        let kept = Scratch::start(&at("d-kept"), &bin_dir).await.unwrap();
        kept.tear_down(true).await.unwrap();

        // As SIGKILL does: the lock is let go, the server runs on, nobody waits for it.
        let Scratch { mut server, place, _lock, .. } = killed;
        drop(_lock);
        assert!(place.connect("postgres").await.is_ok());
        let reaper = tokio::spawn(async move { server.wait().await });

        let swept = sweep(parent.path(), "d-").await.unwrap();
        let removed: Vec<PathBuf> = swept.into_iter().map(|done| done.unwrap()).collect();
        assert_eq!(removed, [at("d-killed")]);
        reaper.await.unwrap().unwrap();
        assert!(used.place().connect("postgres").await.is_ok());
        assert!(at("d-kept").join("pg").exists());
        used.tear_down(false).await.unwrap();
        assert!(!at("d-used").exists());
    }

    #[tokio::test]
    async fn nothing_is_left_of_a_place_that_could_not_be_made() {
        let parent = open_dir();
        let dir = parent.path().join("d");
        let error = Scratch::start(&dir, Path::new("/nonexistent")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(!dir.exists());
        let long = parent.path().join("x".repeat(120));
        assert_eq!(Scratch::start(&long, Path::new("/nonexistent")).await.unwrap_err().kind(), Kind::Config);
    }
}
