//! One run of a server on a restored directory: until it reaches its target, needs higher settings, or
//! ends by itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::archive::base::Database;
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::disk;
use crate::environment::Child;
use crate::error::{Error, Kind, Result};
use crate::inventory::target::Action;
use crate::names::Lsn;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::server_start::{ServerStart, start};
use crate::postgres::server_stop::{stop_fast, stop_now};
use crate::postgres::session::{Session, column};
use crate::postgres::tools::Tools;
use crate::progress::Progress;
use crate::recovery::instance::arrival::{Goal, Reached};
use crate::recovery::instance::proof::Allowed;
use crate::recovery::instance::raise::raise;
use crate::recovery::instance::settings::PORT;
use crate::recovery::instance::tree;

/// How often recovery is checked.
const LOOK: Duration = Duration::from_millis(300);
/// How long a started server may take to write its `postmaster.pid`.
const PID_WAIT: Duration = Duration::from_secs(15);
/// How long recovery may make no progress; then we stop waiting, and the server stays up.
const STALL_MAX: Duration = Duration::from_secs(15 * 60);
/// The superuser of nearly every server.
const USUAL_SUPERUSER: &str = "postgres";
/// How much of the end of the server's log an error shows.
const LOG_LINES: usize = 12;
/// The largest log that is read.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// A restored directory on which a server is run.
pub(super) struct Server<'a> {
    pub(super) config: &'a Config,
    pub(super) data_dir: &'a Path,
    pub(super) owner: Option<(u32, u32)>,
    pub(super) tools: &'a Tools,
    /// Its target; `None` if it has already recovered.
    pub(super) goal: Option<Goal<'a>>,
    pub(super) action: Action,
    pub(super) allowed: Allowed<'a>,
    pub(super) scratch: bool,
    /// Its databases, from the backup.
    pub(super) databases: &'a [Database],
    /// Its `restore_command`; wins over its configuration.
    pub(super) restore_command: Option<String>,
    pub(super) progress: &'a Progress,
    pub(super) cancel: &'a CancellationToken,
}

/// How a run of the server ended.
pub(super) enum End {
    /// It has reached its target.
    There { socket_dir: PathBuf, role: String, seen: Seen },
    /// Settings were too low to continue; they were raised.
    Raised(Vec<String>),
}

impl Server<'_> {
    /// Its answers.
    pub(super) fn log(&self) -> PathBuf {
        let mut log = self.data_dir.as_os_str().to_owned();
        log.push(".log");
        log.into()
    }

    /// How it is reached as `role`.
    pub(super) fn options(&self, socket_dir: &Path, role: &str) -> PostgresOptions {
        PostgresOptions {
            host: Some(socket_dir.display().to_string()),
            port: PORT,
            user: role.to_owned(),
            maintenance_database: self.config.postgres.maintenance_database.clone(),
            ..PostgresOptions::default()
        }
    }

    /// A session and its role. The configured role is one of the server that is restored to: on the restored
    /// server it may be missing, or have few rights. Then it is the usual superuser, if that one can connect.
    async fn enter(&self, socket_dir: &Path) -> Result<(Session, String)> {
        let configured = self.config.postgres.user.as_str();
        let options = |role: &str| self.options(socket_dir, role).stopped_by(self.cancel);
        let mut first = Session::maintenance(&options(configured)).await;
        let enough = match &mut first {
            Ok(session) => is_superuser(session).await?,
            Err(_) => false,
        };
        if enough || configured == USUAL_SUPERUSER {
            return first.map(|session| (session, configured.to_owned()));
        }
        let Ok(session) = Session::maintenance(&options(USUAL_SUPERUSER)).await else {
            return first.map(|session| (session, configured.to_owned()));
        };
        if let Ok(lesser) = first {
            lesser.close().await;
        }
        Ok((session, USUAL_SUPERUSER.to_owned()))
    }

    /// Starts it and waits until it has reached its target, needs higher settings, or ends.
    pub(super) async fn run(&self) -> Result<End> {
        self.progress.stage("starting PostgreSQL");
        let log = self.log();
        let socket_dir = start(&ServerStart {
            tools: self.tools.clone(),
            data_dir: self.data_dir.to_owned(),
            log: log.clone(),
            port: PORT,
            owner: self.owner,
            restore_command: self.restore_command.clone(),
            environment: match (self.scratch && self.restore_command.is_some(), self.owner) {
                (true, _) => Child::ScratchServer,
                (false, None) => Child::Server,
                (false, Some(_)) => Child::ServerOfAnother,
            },
        })
        .await?;
        let begun = clock::instant();
        let mut last = Lsn(0);
        let mut moved = clock::instant();
        let mut seen_running = false;
        loop {
            if self.cancel.is_cancelled() {
                return Err(Error::new(Kind::Interrupted, "stopped while waiting for recovery")
                    .effect(format!("the server on {} continues its recovery", self.data_dir.display())));
            }
            if let Ok((mut session, role)) = self.enter(&socket_dir).await {
                let seen = look(&mut session).await;
                session.close().await;
                // A server that was just promoted ends no session, but one that stops does.
                if let Ok(seen) = seen {
                    let replayed_to = seen.place.replayed_to;
                    if let Some(end) = self.judge(&seen).await? {
                        return Ok(end.unwrap_or(End::There { socket_dir, role, seen }));
                    }
                    self.progress.stage(format!("replayed to {replayed_to}"));
                    if replayed_to != last {
                        last = replayed_to;
                        moved = clock::instant();
                    }
                }
            }
            match disk::metadata(&self.data_dir.join("postmaster.pid"))? {
                Some(_) => seen_running = true,
                None if seen_running || begun.elapsed() > PID_WAIT => {
                    stop_now(self.data_dir).await?; // its socket directory is left
                    let raised = raise(&tree::open(self.data_dir)?, self.owner)?;
                    return match raised.is_empty() {
                        true => Err(self.stopped(&log)),
                        false => Ok(End::Raised(raised)),
                    };
                }
                None => {}
            }
            if moved.elapsed() > STALL_MAX {
                return Err(Error::new(Kind::Postgres, format!("recovery makes no progress after {last}"))
                    .because(log_end(&log))
                    .effect("the server is still running")
                    .next(format!("see {}", log.display())));
            }
            clock::sleep(LOOK).await;
        }
    }

    /// Whether this is the end of the run: `Some(None)` if it has reached its target.
    async fn judge(&self, seen: &Seen) -> Result<Option<Option<End>>> {
        if seen.recovering && !seen.paused {
            return Ok(None);
        }
        // A pause may be at the target, or because settings are too low: never mistake one for the other.
        if seen.recovering {
            let raised = raise(&tree::open(self.data_dir)?, self.owner)?;
            if !raised.is_empty() {
                stop_fast(self.data_dir).await?;
                return Ok(Some(Some(End::Raised(raised))));
            }
        }
        let mut short = self.goal.as_ref().and_then(|goal| goal.is_short(seen.place));
        if short.is_none() && seen.recovering && self.action != Action::Pause {
            short = Some("it paused although no pause was requested".to_owned());
        }
        match short {
            None => Ok(Some(None)),
            Some(why) => {
                stop_fast(self.data_dir).await?;
                let log = self.log();
                Err(Error::new(Kind::Postgres, "recovery ended before it reached its target")
                    .because(format!("{why}; {}", log_end(&log)))
                    .effect(format!(
                        "the server was stopped; the files in {} are intact",
                        self.data_dir.display()
                    ))
                    .next(format!("see {}", log.display())))
            }
        }
    }

    fn stopped(&self, log: &Path) -> Error {
        let end = log_end(log);
        let target = self.goal.as_ref().map_or("its end".to_owned(), |goal| goal.asked.to_string());
        let error = Error::new(Kind::Postgres, format!("PostgreSQL stopped before it reached {target}"))
            .because(end.clone())
            .effect(format!("the files in {} are intact; recovery ended early", self.data_dir.display()));
        // Its messages are in English: lc_messages of its command line, and its environment before that is
        // read.
        if end.contains("recovery ended before configured recovery target was reached") {
            return error.next(
                "the stored WAL has no commit after the target: run the same restore with --to latest, which \
                gives that state",
            );
        }
        if end.contains("resource manager with ID") {
            return error.next(format!(
                "an extension writes its own kind of WAL: add its library with --preload LIBRARY. \
                Production loads {}",
                self.goal.as_ref().map_or("what its configuration says", |goal| goal.libraries)
            ));
        }
        error.next(format!("see {}", log.display()))
    }
}

fn log_end(log: &Path) -> String {
    let text = disk::read(log, LOG_BYTES_MAX).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// The state of a server's recovery.
pub(super) struct Seen {
    pub(super) recovering: bool,
    paused: bool,
    pub(super) place: Reached,
}

async fn is_superuser(session: &mut Session) -> Result<bool> {
    let sql = "SELECT current_setting('is_superuser') = 'on'";
    column(&session.row("check whether the role is a superuser", sql).await?, 0)
}

async fn look(session: &mut Session) -> Result<Seen> {
    let recovering = column::<bool>(&session.row("check recovery", "SELECT pg_is_in_recovery()").await?, 0)?;
    let paused = match (recovering, session.version_num() >= 140_000) {
        (false, _) => "false",
        (true, true) => "pg_get_wal_replay_pause_state() = 'paused'",
        (true, false) => "pg_is_wal_replay_paused()",
    };
    let sql = format!(
        "SELECT coalesce(pg_last_wal_replay_lsn(), pg_current_wal_lsn())::text, {paused}, \
         (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::int8"
    );
    let sql = if recovering { sql.replace(", pg_current_wal_lsn()", "") } else { sql };
    let row = session.row("check recovery", sql).await?;
    let micros = column::<Option<i64>>(&row, 2)?;
    Ok(Seen {
        recovering,
        paused: column(&row, 1)?,
        place: Reached {
            replayed_to: column::<Option<String>>(&row, 0)?.unwrap_or_else(|| "0/0".to_owned()).parse()?,
            last_commit: micros.and_then(|micros| Timestamp::from_microsecond(micros).ok()),
        },
    })
}
