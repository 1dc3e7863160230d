//! `lifeboat agent`.

use super::{App, Done, print};
use crate::agent::{self, Calls};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Run as a service: WAL, filestores, scheduled backups, metrics
///
/// WAL: the agent streams it through a replication slot (wal.slot, created if it is missing) and stores it
/// within about a second, also while a segment is still growing. The role needs REPLICATION. The server is
/// told that WAL is flushed only when the repository holds it: commits wait for the repository if
/// synchronous_standby_names names the slot. After a restart of the server or a failure of the store the
/// agent tries again.
///
/// Filestores: new files of all tenants are stored within seconds. They stay in the repository when Odoo
/// deletes them, so a database restored to any time finds the files that its rows name.
///
/// Schedules: each line of [schedule], and of the classes, runs `lifeboat backup` at its times, one run at a
/// time. A missed run is made up once; a failed run is repeated if that could help. The state directory
/// records each run.
///
/// /metrics (Prometheus), /livez, /readyz and /healthz answer on agent.listen. SIGTERM stops the current run
/// cleanly and ends the agent. systemd is told when the agent is ready (Type=notify).
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat agent
  # with deploy/systemd/lifeboat-agent.service
  systemctl enable --now lifeboat-agent
  curl http://127.0.0.1:9345/metrics")]
pub struct Args {}

/// Runs until it is asked to stop.
pub async fn run(_: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let shown = config.wal.stream.then(|| app.progress("WAL", None));
    let progress = shown.as_deref().cloned().unwrap_or_else(|| Progress::new("WAL", None));
    let tell = |error: &Error| print::error(error, false);
    let calls = Calls { arguments: common(&config, app), progress, tell: &tell };
    agent::run(&config, calls, &app.cancel).await?;
    Ok(Done::Complete)
}

/// What every run is called with, so that it reads the configuration that the agent reads.
fn common(config: &Config, app: &App) -> Vec<String> {
    let mut arguments = vec!["--no-progress".to_owned()];
    let file = (!config.file.as_os_str().is_empty()).then(|| config.file.display().to_string());
    let flags = [
        ("--config", file),
        ("--repository", app.inputs.repository.clone()),
        ("--instance", app.inputs.instance.clone()),
    ];
    for (flag, value) in flags {
        arguments.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
    }
    arguments
}
