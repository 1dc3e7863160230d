//! A private PostgreSQL server in its own directory, which listens only on a Unix socket in a directory that
//! nobody else may enter.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use lifeboat::child::{Asked, Supervised, status_text};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::{clock, disk};
use rustix::process::Signal;

use super::account::{Account, our_name};
use super::network::Network;
use crate::place::{DATABASE, OWNER, PORT, Room, SUPERUSER};
use crate::process;

const INITDB_LIMIT: Duration = Duration::from_secs(180);
/// A copy that was stopped in a hurry recovers first.
pub(super) const START_LIMIT: Duration = Duration::from_secs(600);
/// A copy that is kept is written to the disk first.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(600);
/// Linux limits the path of a Unix socket to 107 bytes.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// A running private cluster and its directory.
#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
    server: Supervised,
    room: Room,
    network: Network,
    _lock: disk::FileLock,
}

impl Scratch {
    /// Creates the directory `dir`, which must not exist, and starts a PostgreSQL server in it with the
    /// programs in `bin_dir`. If this fails, it removes what it created.
    ///
    /// If the drill is root, the server runs as an account that can read none of `secrets`.
    ///
    /// # Errors
    /// If the directory cannot be created, initdb fails, or the server does not start.
    pub async fn start(dir: &Path, bin_dir: &Path, secrets: &[PathBuf]) -> Result<Scratch> {
        fits_socket(dir)?;
        disk::create_new_dir(dir, 0o700)?;
        let made = make(dir, bin_dir, secrets).await;
        if made.is_err() {
            disk::remove_tree(dir)?;
        }
        made
    }

    /// Starts the server of a directory that [`Scratch::tear_down`] kept, as our own user.
    ///
    /// # Errors
    /// `Busy` if a drill uses it; if the server does not start.
    pub async fn again(dir: &Path, bin_dir: &Path) -> Result<Scratch> {
        let lock = lock(dir)?;
        disk::remove_file(&dir.join(KEEP))?;
        disk::remove_file(&dir.join(LOG))?;
        // Kubernetes may have given the group of a volume rights, which PostgreSQL refuses.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        let cluster = dir.join("pg");
        std::fs::set_permissions(&cluster, private)
            .map_err(|e| Error::file("change the mode of", &cluster, e))?;
        serve(dir, bin_dir, Account::Own, lock, false).await
    }

    /// As after SIGKILL: the lock is released, the server still runs.
    #[cfg(test)]
    pub(crate) fn abandon(self) -> (Supervised, Room) {
        (self.server, self.room)
    }

    /// Where the restored tenant is.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// What network the server has, for people.
    pub fn network(&self) -> String {
        self.network.text()
    }

    /// Stops the server and removes the directory; with `keep` the directory stays.
    ///
    /// # Errors
    /// If the directory cannot be removed: then it still contains restored data.
    pub async fn tear_down(mut self, keep: bool) -> Result<()> {
        // What is removed needs no last checkpoint.
        let how = if keep { Signal::INT } else { Signal::QUIT };
        let _ = self.server.stop(Asked::Child(how), STOP_LIMIT).await; // killed at the latest
        if keep {
            return mark_kept(&self.dir);
        }
        disk::remove_tree(&self.dir).map_err(|e| e.effect("the restored production data was not removed"))
    }
}

/// Who may connect: the user that runs the drill (the socket identifies it), and with a password the role
/// that `lifeboat restore` creates to load the dump.
const HBA: &str = "local all postgres,tenant peer map=drill\nlocal all all scram-sha-256\n";

/// Marks a directory that is kept on request.
pub(crate) const KEEP: &str = "KEEP";
/// What the server says.
const LOG: &str = "server.log";
/// Locked while a drill uses the directory.
pub(crate) const LOCK: &str = "lock";

/// Marks a directory as kept. The mark is ours, not the account's: code in a copy must not make it stay.
pub(super) fn mark_kept(dir: &Path) -> Result<()> {
    let mark = dir.join(KEEP);
    disk::write_new_durable(&mark, b"kept on request; remove it when you no longer need it\n")?;
    let us = rustix::process::geteuid().as_raw();
    std::os::unix::fs::chown(&mark, Some(us), None).map_err(|e| Error::file("change the owner of", &mark, e))
}

/// Refuses a directory whose path is too long for the server's socket.
pub(super) fn fits_socket(dir: &Path) -> Result<()> {
    let socket = dir.join("run").join(format!(".s.PGSQL.{PORT}"));
    if socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return Ok(());
    }
    let what = format!("the path {} is too long for a Unix socket", socket.display());
    Err(Error::new(Kind::Config, what).next("set [scratch] dir in the plan to a shorter path"))
}

fn lock(dir: &Path) -> Result<disk::FileLock> {
    disk::try_lock(&dir.join(LOCK))?
        .ok_or_else(|| Error::new(Kind::Busy, format!("another drill uses {}", dir.display())))
}

async fn make(dir: &Path, bin_dir: &Path, secrets: &[PathBuf]) -> Result<Scratch> {
    let lock = lock(dir)?;
    let account = Account::for_server(secrets)?;
    let (cluster, run) = (dir.join("pg"), dir.join("run"));
    for made in [&cluster, &run] {
        disk::create_new_dir(made, 0o700)?;
        account.own(made)?;
    }
    account.own(dir)?;

    let mut initdb = account.command(&bin_dir.join("initdb"), dir);
    initdb.arg("-D").arg(&cluster).args([
        "-U",
        SUPERUSER,
        "--auth-local=peer",
        "--auth-host=reject",
        "-E",
        "UTF8",
    ]);
    // Production's server is there already: how fast this one gets to the disk says nothing.
    initdb.args(["--locale=C", "--data-checksums", "--no-instructions", "--no-sync"]);
    let ended = process::run(&mut initdb, INITDB_LIMIT).await?;
    if !ended.is_success() {
        let what = format!("initdb failed in {} with {}", cluster.display(), ended.how());
        return Err(Error::new(Kind::Postgres, what)
            .because(ended.last_words())
            .next("make sure that the user that runs the server may enter all parent directories"));
    }
    let user = our_name().await?.replace('"', "\"\"");
    let ident = [SUPERUSER, OWNER].map(|role| format!("drill \"{user}\" {role}\n")).concat();
    for (name, text) in [("pg_hba.conf", HBA), ("pg_ident.conf", &ident)] {
        let path = cluster.join(name);
        disk::replace_durable(&path, text.as_bytes())?;
        account.own(&path)?;
    }
    serve(dir, bin_dir, account, lock, true).await
}

/// Starts the server of a cluster; with `new` also makes its roles.
async fn serve(
    dir: &Path,
    bin_dir: &Path,
    account: Account,
    lock: disk::FileLock,
    new: bool,
) -> Result<Scratch> {
    let (run, log) = (dir.join("run"), dir.join(LOG));
    let log_file = disk::create_new(&log, 0o600)?;
    let network = Network::probe(account, dir).await;
    let server = launch(&network, account, bin_dir, dir, (&log, log_file))?;
    let room = Room {
        socket_dir: run,
        data_dir: dir.join("data"),
        database: DATABASE.to_owned(),
        owner: OWNER.to_owned(),
        superuser: SUPERUSER.to_owned(),
        bin_dir: bin_dir.to_owned(),
        account,
    };
    let mut scratch = Scratch { dir: dir.to_owned(), server, room, network, _lock: lock };
    let ready = match until_up(&mut scratch).await {
        Ok(()) if new => make_owner(&scratch.room).await,
        Ok(()) => Ok(()),
        Err(e) => Err(e),
    };
    match ready {
        Ok(()) => Ok(scratch),
        Err(e) => {
            let _ = scratch.server.stop(Asked::Child(Signal::INT), STOP_LIMIT).await; // killed at the latest
            let said = disk::read_text(&log, 1024 * 1024).unwrap_or_default();
            let last: Vec<&str> = said.lines().rev().take(8).collect();
            Err(e.context("start the scratch PostgreSQL").effect(format!(
                "the server's log ends with: {}",
                last.into_iter().rev().collect::<Vec<_>>().join(" | ")
            )))
        }
    }
}

/// Starts the server on the cluster in `dir`.
pub(super) fn launch(
    network: &Network,
    account: Account,
    bin_dir: &Path,
    dir: &Path,
    (log, log_file): (&Path, File),
) -> Result<Supervised> {
    // Durable like production: turning fsync off would flatter the measured recovery time.
    let mut postgres = network.command(account, &bin_dir.join("postgres"), dir);
    postgres.arg("-D").arg(dir.join("pg")).arg("-p").arg(PORT.to_string());
    for setting in
        ["listen_addresses=", "archive_mode=off", "max_wal_size=2GB", "logging_collector=off", "jit=off"]
    {
        postgres.arg("-c").arg(setting);
    }
    postgres.arg("-c").arg(format!("unix_socket_directories={}", dir.join("run").display()));
    let log_too = log_file.try_clone().map_err(|e| Error::file("open", log, e))?;
    postgres.stdout(Stdio::from(log_file)).stderr(Stdio::from(log_too));
    process::spawn(&mut postgres)
}

async fn make_owner(room: &Room) -> Result<()> {
    let mut superuser = room.connect_superuser("postgres").await?;
    superuser.execute("create the role of the restored tenant", format!("CREATE ROLE {OWNER} LOGIN")).await?;
    Ok(())
}

async fn until_up(scratch: &mut Scratch) -> Result<()> {
    let begun = clock::instant();
    loop {
        if let Ok(Some(status)) = scratch.server.ended() {
            let how = status_text(status);
            return Err(Error::new(Kind::Postgres, format!("the server ended with {how}")));
        }
        match scratch.room.connect_superuser("postgres").await {
            Ok(_) => return Ok(()),
            Err(e) if begun.elapsed() > START_LIMIT => return Err(e),
            Err(_) => clock::sleep(Duration::from_millis(100)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_dir() -> tempfile::TempDir {
        let dir = tempfile::Builder::new().prefix("rd-").tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(dir.path(), open).unwrap();
        dir
    }

    #[tokio::test]
    async fn nothing_is_left_of_a_place_that_could_not_be_made() {
        let parent = open_dir();
        let dir = parent.path().join("d");
        let error = Scratch::start(&dir, Path::new("/nonexistent"), &[]).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{error:?}");
        assert!(!dir.exists());
        let long = parent.path().join("x".repeat(120));
        assert_eq!(
            Scratch::start(&long, Path::new("/nonexistent"), &[]).await.unwrap_err().kind(),
            Kind::Config
        );
    }
}
