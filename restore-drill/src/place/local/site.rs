//! The data directory of a whole instance, and a private server on it.
//!
//! The rule: no server runs on the directory with a configuration of production's. The restore puts that
//! aside and starts the server isolated; ours gets the same files, and no network.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat::child::{Asked, Supervised, status_text};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::postgres::server_stop;
use lifeboat::postgres::session::column;
use lifeboat::{clock, disk};
use rustix::process::Signal;

use super::account::Account;
use super::network::Network;
use super::server::{LOCK, START_LIMIT, STOP_LIMIT, fits_socket, launch, mark_kept};
use crate::place::{OWNER, Room, SUPERUSER};

/// How often a starting server is asked.
const LOOK: Duration = Duration::from_millis(100);

/// The data directory of an instance, and the server on it.
#[derive(Debug)]
pub struct Site {
    dir: PathBuf,
    /// Where its server is, once it runs.
    pub room: Room,
    server: Option<Supervised>,
    network: Option<Network>,
    _lock: disk::FileLock,
}

impl Site {
    /// Creates the directory, which must not exist. If this fails, it removes what it created.
    pub(super) fn make(
        dir: &Path,
        bin_dir: &Path,
        (secrets, superuser): (&[PathBuf], String),
    ) -> Result<Site> {
        fits_socket(dir)?;
        disk::create_new_dir(dir, 0o700)?;
        let make = || {
            let lock = disk::try_lock(&dir.join(LOCK))?
                .ok_or_else(|| Error::new(Kind::Busy, format!("another drill uses {}", dir.display())))?;
            let account = Account::for_server(secrets)?;
            for made in [dir.join("pg"), dir.join("run")] {
                disk::create_new_dir(&made, 0o700)?;
                account.own(&made)?;
            }
            account.own(dir)?;
            let room = Room {
                socket_dir: dir.join("run"),
                data_dir: dir.join("data"),
                database: SUPERUSER.to_owned(),
                owner: OWNER.to_owned(),
                superuser,
                bin_dir: bin_dir.to_owned(),
                account,
            };
            Ok(Site { dir: dir.to_owned(), room, server: None, network: None, _lock: lock })
        };
        let made = make();
        if made.is_err() {
            disk::remove_tree(dir)?;
        }
        made
    }

    /// The data directory.
    pub fn pg(&self) -> PathBuf {
        self.dir.join("pg")
    }

    /// What network our server has, for people; nothing before it runs.
    pub fn network(&self) -> String {
        self.network.as_ref().map_or_else(String::new, Network::text)
    }

    /// A new directory for a tablespace.
    pub fn tablespace(&self, number: usize) -> PathBuf {
        self.dir.join(format!("tablespace-{number}"))
    }

    /// A program of PostgreSQL, run as the server's account.
    pub fn program(&self, name: &str) -> tokio::process::Command {
        self.room.account.command(&self.room.bin_dir.join(name), &self.dir)
    }

    /// Stops the server that the restore started, after a checkpoint.
    ///
    /// # Errors
    /// `Postgres` if it does not stop.
    pub async fn stop_restored(&self) -> Result<()> {
        server_stop::stop_fast(&self.pg()).await
    }

    /// Starts our own server on the restored directory, and learns the name of its superuser.
    ///
    /// # Errors
    /// `Postgres` if it does not start, or nobody whom we know may connect.
    pub async fn start(&mut self) -> Result<()> {
        let log = self.dir.join("server.log");
        let log_file = disk::create_new(&log, 0o600)?;
        let network = self.network.insert(Network::probe(self.room.account, &self.dir).await).clone();
        let server = launch(&network, self.room.account, &self.room.bin_dir, &self.dir, (&log, log_file))?;
        let server = self.server.insert(server);
        let names = [self.room.superuser.clone(), SUPERUSER.to_owned()];
        let begun = clock::instant();
        loop {
            if let Ok(Some(status)) = server.ended() {
                let how = status_text(status);
                let said = disk::read_text(&log, 1024 * 1024).unwrap_or_default();
                let said: Vec<&str> = said.lines().rev().take(8).collect();
                return Err(Error::new(Kind::Postgres, format!("the restored server ended with {how}"))
                    .because(said.into_iter().rev().collect::<Vec<_>>().join(" | ")));
            }
            let mut last = None;
            for name in &names {
                self.room.superuser.clone_from(name);
                match first_role(&self.room).await {
                    Ok(superuser) => {
                        self.room.superuser = superuser;
                        return Ok(());
                    }
                    Err(e) => last = Some(e),
                }
            }
            if let Some(e) = last.filter(|_| begun.elapsed() > START_LIMIT) {
                return Err(e.context("connect to the restored server"));
            }
            clock::sleep(LOOK).await;
        }
    }

    /// Stops whatever server runs on the directory, and removes it; with `keep` the directory stays.
    ///
    /// # Errors
    /// If a server does not stop, or the directory cannot be removed: then it still contains restored data.
    pub async fn tear_down(mut self, keep: bool) -> Result<()> {
        if let Some(mut server) = self.server.take() {
            let how = if keep { Signal::INT } else { Signal::QUIT };
            let _ = server.stop(Asked::Child(how), STOP_LIMIT).await; // killed at the latest
        }
        if keep {
            self.stop_restored().await?; // that of the restore, if ours was never started
            return mark_kept(&self.dir);
        }
        server_stop::stop_now(&self.pg()).await?;
        disk::remove_tree(&self.dir).map_err(|e| e.effect("the restored production data was not removed"))
    }
}

/// The role that `initdb` made, which is always a superuser.
async fn first_role(room: &Room) -> Result<String> {
    let mut session = room.connect_superuser("postgres").await?;
    let sql = "SELECT rolname::text FROM pg_catalog.pg_roles WHERE oid = 10";
    let name = column(&session.row("read the name of the superuser", sql).await?, 0)?;
    session.close().await;
    Ok(name)
}
