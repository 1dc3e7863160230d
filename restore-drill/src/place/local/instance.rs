//! A place for a whole instance: an empty data directory, into which `lifeboat restore --instance-to`
//! restores, and a private server on it.
//!
//! The rule: no server runs on the directory with a configuration of production's. The restore puts that
//! aside and starts the server isolated; ours gets the same files, and no network.

use std::path::{Path, PathBuf};

use lifeboat::child::{Asked, Supervised, status_text};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::postgres::server_stop;
use lifeboat::postgres::session::column;
use lifeboat::{clock, disk};
use rustix::process::Signal;

use super::account::Account;
use super::network::Network;
use super::server::{LOCK, START_LIMIT, STOP_LIMIT, fits_socket, launch, mark_kept};
use super::{PREFIX, prepare};
use crate::drill::stage::{Drill, PROVISION, Stage, Stop, TEAR_DOWN};
use crate::place::{OWNER, Room, SUPERUSER};
use crate::report::Report;
use crate::setup::{Chosen, Setup};
use crate::snapshot::Snapshot;
use crate::stages::instance::inside;
use crate::vault;

/// How often a starting server is asked.
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);

/// The data directory of an instance, and the server on it.
#[derive(Debug)]
pub struct Site {
    dir: PathBuf,
    /// Where its server is, once it runs.
    pub room: Room,
    server: Option<Supervised>,
    _lock: disk::FileLock,
}

/// Provisions, has the stages run inside, and tears down.
pub(super) async fn carry_out(drill: &mut Drill<'_>, chosen: &Chosen) {
    let plan = &drill.setup.plan;
    let dir = plan.scratch_dir.join(format!("{PREFIX}{}", drill.report.drill));
    let provision = Provision { setup: drill.setup, dir: &dir, snapshot: &chosen.snapshot };
    let Some(mut site) = drill.stage(provision).await else { return };
    inside(drill, &mut site, chosen).await;
    drill.stage(TearDown { site, keep: plan.keep }).await;
}

impl Site {
    /// Creates the directory, which must not exist. If this fails, it removes what it created.
    fn make(dir: &Path, bin_dir: &Path, (secrets, superuser): (&[PathBuf], String)) -> Result<Site> {
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
            Ok(Site { dir: dir.to_owned(), room, server: None, _lock: lock })
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
        let network = Network::probe(self.room.account, &self.dir).await;
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
}

/// The role that `initdb` made, which is always a superuser.
async fn first_role(room: &Room) -> Result<String> {
    let mut session = room.connect_superuser("postgres").await?;
    let sql = "SELECT rolname::text FROM pg_catalog.pg_roles WHERE oid = 10";
    let name = column(&session.row("read the name of the superuser", sql).await?, 0)?;
    session.close().await;
    Ok(name)
}

/// Makes the empty data directory.
struct Provision<'a> {
    setup: &'a Setup,
    dir: &'a Path,
    snapshot: &'a Snapshot,
}

impl Stage for Provision<'_> {
    const NAME: &'static str = PROVISION;
    const STOP: Stop = Stop::ByItself;
    type Output = Site;

    async fn run(self, _: &mut Report) -> Result<(Site, String)> {
        let Provision { setup, dir, snapshot } = self;
        let (tools, secrets) = prepare(setup, snapshot).await?;
        // Production's backups connect as this role; the restore falls back to the usual superuser.
        let role = vault::load(&setup.plan.config)?.postgres.user;
        let site = Site::make(dir, &tools.dir, (&secrets, role))?;
        Ok((
            site,
            format!(
                "an empty data directory for PostgreSQL {} in {}",
                snapshot.postgres_major,
                dir.display()
            ),
        ))
    }
}

/// Stops whatever server runs on the directory, and removes it.
struct TearDown {
    site: Site,
    keep: bool,
}

impl Stage for TearDown {
    const NAME: &'static str = TEAR_DOWN;
    const STOP: Stop = Stop::Never;
    const IN_RTO: bool = false;
    const ERROR_FAILS: bool = true;
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let TearDown { mut site, keep } = self;
        if let Some(mut server) = site.server.take() {
            let _ = server.stop(Asked::Child(Signal::INT), STOP_LIMIT).await; // killed at the latest
        }
        let dir = site.dir.display();
        if keep {
            site.stop_restored().await?; // that of the restore, if ours was never started
            report.kept = Some(dir.to_string());
            mark_kept(&site.dir)?;
            return Ok(((), format!("server stopped; {dir} kept, as requested")));
        }
        server_stop::stop_now(&site.pg()).await?;
        disk::remove_tree(&site.dir).map_err(|e| e.effect("the restored production data was not removed"))?;
        Ok(((), "server stopped, restored data removed".to_owned()))
    }
}
