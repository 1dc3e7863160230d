//! Starting a restored instance: on a private socket, without network, until recovery is where it
//! was to go. It stays up.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::server_start::{ServerStart, start};
use crate::postgres::server_stop::stop_now;
use crate::postgres::session::{Session, column};
use crate::postgres::tools::Tools;
use crate::progress::Progress;
use crate::recovery::instance::plan::InstancePlan;
use crate::recovery::instance::target::Action;

/// How often recovery is looked at.
const LOOK: Duration = Duration::from_millis(300);
/// A server that was started has its `postmaster.pid` after this long.
const PID_WAIT: Duration = Duration::from_secs(15);
/// Recovery that does not get on for this long is given up; the server stays up.
const STALL_MAX: Duration = Duration::from_secs(15 * 60);
/// End of the server's log that an error shows.
const LOG_LINES: usize = 12;
/// Largest log that is looked at.
const LOG_BYTES_MAX: u64 = 64 << 20;
/// The port, which names the socket.
const PORT: u16 = 5432;

/// A server that is where it was to go.
#[derive(Clone, Debug, Serialize)]
pub struct Started {
    /// The directory of its socket.
    pub socket_dir: PathBuf,
    /// Its port.
    pub port: u16,
    /// What it says.
    pub log: PathBuf,
    /// Whether it takes writes.
    pub writable: bool,
    /// Where replay ended.
    pub replayed_to: Lsn,
    /// The last commit that was replayed, by the clock of the server that made it; `None` where
    /// there was none after the backup began.
    pub last_commit: Option<Timestamp>,
    /// How long replay took.
    pub seconds: f64,
}

/// The programs that are needed, found before anything is restored.
pub async fn tools(config: &Config, plan: &InstancePlan) -> Result<Tools> {
    let major = plan.server_version.chars().take_while(char::is_ascii_digit).collect::<String>();
    Tools::server(&PostgresOptions::from(&config.postgres), major.parse().unwrap_or(0)).await
}

/// Starts the server and waits for the target.
///
/// # Errors
/// `Postgres` with the end of the server's log where it stopped by itself.
pub async fn start_and_wait(
    config: &Config,
    plan: &InstancePlan,
    tools: &Tools,
    action: Action,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Started> {
    let begun = clock::instant();
    progress.stage("starting PostgreSQL");
    let mut log = plan.data_dir.as_os_str().to_owned();
    log.push(".log");
    let server = ServerStart {
        tools: tools.clone(),
        data_dir: plan.data_dir.clone(),
        log: log.into(),
        port: PORT,
        owner: plan.owner,
    };
    let socket_dir = start(&server).await?;
    let options = PostgresOptions {
        host: Some(socket_dir.display().to_string()),
        port: PORT,
        user: config.postgres.user.clone(),
        maintenance_database: config.postgres.maintenance_database.clone(),
        ..PostgresOptions::default()
    };
    let mut last = Lsn(0);
    let mut moved = clock::instant();
    let mut seen_running = false;
    loop {
        if cancel.is_cancelled() {
            return Err(Error::new(Kind::Interrupted, "stopped while waiting for recovery")
                .effect(format!("the server on {} goes on recovering", plan.data_dir.display())));
        }
        if let Ok(mut session) = Session::maintenance(&options).await {
            let seen = look(&mut session).await;
            session.close().await;
            // A server that was promoted just now ends nobody's session, but one that stops does.
            if let Ok(seen) = seen {
                if !seen.recovering || (seen.paused && action == Action::Pause) {
                    return Ok(Started {
                        socket_dir,
                        port: PORT,
                        log: server.log,
                        writable: !seen.recovering,
                        replayed_to: seen.replayed_to,
                        last_commit: seen.last_commit,
                        seconds: begun.elapsed().as_secs_f64(),
                    });
                }
                progress.stage(format!("replayed to {}", seen.replayed_to));
                if seen.replayed_to != last {
                    last = seen.replayed_to;
                    moved = clock::instant();
                }
            }
        }
        match disk::metadata(&plan.data_dir.join("postmaster.pid"))? {
            Some(_) => seen_running = true,
            None if seen_running || begun.elapsed() > PID_WAIT => {
                stop_now(&plan.data_dir).await?; // what is left of it: the directory of its socket
                return Err(stopped(plan, &server.log));
            }
            None => {}
        }
        if moved.elapsed() > STALL_MAX {
            return Err(Error::new(Kind::Postgres, format!("recovery does not get on beyond {last}"))
                .because(log_end(&server.log))
                .effect("the server is still up")
                .next(format!("see {}", server.log.display())));
        }
        clock::sleep(LOOK).await;
    }
}

fn stopped(plan: &InstancePlan, log: &Path) -> Error {
    let end = log_end(log);
    let error = Error::new(Kind::Postgres, format!("PostgreSQL stopped before it reached {}", plan.target))
        .because(end.clone())
        .effect(format!("the files in {} are whole; recovery ended early", plan.data_dir.display()));
    match end.contains("recovery ended before configured recovery target was reached") {
        true => error
            .next("there is no commit after the target in the stored WAL: the same restore with --to latest is that state"),
        false => error.next(format!("see {}", log.display())),
    }
}

fn log_end(log: &Path) -> String {
    let text = disk::read(log, LOG_BYTES_MAX).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

struct Seen {
    recovering: bool,
    paused: bool,
    replayed_to: Lsn,
    last_commit: Option<Timestamp>,
}

async fn look(session: &mut Session) -> Result<Seen> {
    let recovering =
        column::<bool>(&session.row("look at recovery", "SELECT pg_is_in_recovery()").await?, 0)?;
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
    let row = session.row("look at recovery", sql).await?;
    let micros = column::<Option<i64>>(&row, 2)?;
    Ok(Seen {
        recovering,
        paused: column(&row, 1)?,
        replayed_to: column::<Option<String>>(&row, 0)?.unwrap_or_else(|| "0/0".to_owned()).parse()?,
        last_commit: micros.and_then(|micros| Timestamp::from_microsecond(micros).ok()),
    })
}
