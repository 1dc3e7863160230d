//! `lifeboat agent`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{App, Done, print};
use crate::backup::follow::{self, Followed};
use crate::catalog::runs::Runs;
use crate::catalog::state::StateDir;
use crate::clock;
use crate::config::Config;
use crate::crontab::Schedule;
use crate::daemon::due::{Job, Rules};
use crate::daemon::metrics::{self, Metrics};
use crate::daemon::needs::{self, Needs};
use crate::daemon::{self, Daemon, http, pages};
use crate::error::{Error, Kind, Result};
use crate::wal::stream::{self, Observed};

/// How long after a failure that does not pass by itself streaming is tried again.
const STREAM_AGAIN: Duration = Duration::from_secs(60);

/// Run in the background: stream WAL, follow filestores, run backups on schedules, serve metrics
///
/// WAL comes through a replication slot of its own (wal.slot, made when it is not there) and is stored
/// within about a second, in pieces while a segment grows. The server is told that WAL is flushed only
/// when the repository holds it, so the slot's name in synchronous_standby_names makes commits wait for
/// that. After a restart of the server or a failure of the store it tries again. The role needs REPLICATION.
///
/// New files of the filestores are stored within seconds, in batches of all tenants. They stay in the
/// repository when Odoo deletes them later, so a database of any time finds the files that its rows name.
///
/// Each line of [schedule] runs `lifeboat backup` at its times, one run at a time. A missed run is done
/// once afterwards, and a failed run is tried again if that could help; each run is recorded in the state
/// directory. /metrics (Prometheus), /livez, /readyz and /healthz answer on agent.listen. SIGTERM stops
/// the current run cleanly and ends the agent; systemd is told when the agent is ready (Type=notify).
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat agent
  systemctl enable --now lifeboat-agent               with deploy/systemd/lifeboat-agent.service
  curl http://127.0.0.1:9345/metrics")]
pub struct Args {}

/// Runs until it is asked to stop.
pub async fn run(_: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let jobs = jobs(&config, app);
    let follows = config.agent.follow_filestore && config.odoo.data_dir.is_some();
    if jobs.is_empty() && !config.wal.stream && !follows {
        let what = "the agent has nothing to do: [schedule] has no line, wal.stream is false, and no filestore is followed";
        return Err(Error::new(Kind::Config, what).next(
            "write schedule.backup = \"30 1 * * *\", for instance; `lifeboat backup` runs one at once",
        ));
    }
    let scheduled = !jobs.is_empty();
    let notes = notes(&config, &jobs);
    for note in &notes {
        tracing::warn!("{note}");
    }
    let state = StateDir::open_for_agent(&config.state_dir, &config.instance)?;
    let mut page = metrics::page();
    let observed = if config.wal.stream { Observed::on(&mut page) } else { Observed::default() };
    let metrics = Arc::new(Metrics::on(page));
    metrics.scheduled(jobs.iter().filter(|job| BACKS_UP.contains(&job.name)).count());
    let mut runs = Runs::open(&state.runs_file()).await?;
    for job in &jobs {
        if let Some(ended) = runs.latest_good(job.name).await?.and_then(|run| run.ended) {
            metrics.succeeded(job.name, ended);
        }
    }
    let program = program()?;
    let schedule = &config.schedule;
    let daemon = Daemon {
        program,
        jobs,
        rules: Rules {
            jitter_max: schedule.jitter_max,
            retries_max: schedule.retries_max,
            retry_delay: schedule.retry_delay,
        },
        deadline: schedule.deadline,
        salt: state.holder().to_owned(),
        runs,
        doubt_file: state.doubt_file(),
        metrics: metrics.clone(),
    };
    let stop = app.cancel.child_token();
    let needs = Needs::default();
    let unwell = unwell(&config, &observed, &needs);
    let pages = serve(&config, pages::pages(metrics.clone(), unwell, notes), stop.clone()).await?;
    tell_systemd(sd_notify::NotifyState::Ready);
    tracing::info!(instance = %config.instance, "the agent is ready");
    let streaming = async {
        if !config.wal.stream {
            stop.cancelled().await;
            return Ok(());
        }
        let streamed =
            with_the_others(&stop, stream_wal(&config, state.holder(), scheduled, app, &observed, &stop));
        tokio::join!(streamed, stream::watch(&config, &observed, &stop)).0
    };
    let following = async {
        if !follows {
            stop.cancelled().await;
            return Ok(());
        }
        let tell = |tenants: &[Followed]| {
            metrics.followed(tenants.iter().map(|one| (one.tenant.as_str(), one.until, one.waiting)));
        };
        follow::run(&config, &state, tell, &stop).await
    };
    let (scheduled, (), (), streamed, followed) = tokio::join!(
        with_the_others(&stop, daemon::run(daemon, stop.clone())),
        pages,
        needs::watch(&config, &state, &needs, &stop),
        with_the_others(&stop, streaming),
        with_the_others(&stop, following),
    );
    tell_systemd(sd_notify::NotifyState::Stopping);
    streamed.and(followed).and(scheduled)?;
    tracing::info!("the agent has ended");
    Ok(Done::Complete)
}

/// Streams WAL until it is stopped. Beside schedules, what keeps it from streaming is told again and
/// again and ends nothing: a lost slot must not keep backups from running.
async fn stream_wal(
    config: &Config,
    holder: &str,
    scheduled: bool,
    app: &App,
    observed: &Observed,
    stop: &CancellationToken,
) -> Result<()> {
    let shown = app.progress("WAL", None);
    loop {
        match stream::run(config, holder, shown.clone(), observed, stop).await {
            Err(e) if scheduled => print::error(&e, false),
            done => return done,
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = clock::sleep(STREAM_AGAIN) => {}
        }
    }
}

/// Whichever part ends first, with an error, ends the others in order.
async fn with_the_others(stop: &CancellationToken, part: impl Future<Output = Result<()>>) -> Result<()> {
    let done = part.await;
    stop.cancel();
    done
}

/// The pages, answering until they are stopped; nothing where they are off.
async fn serve(
    config: &Config,
    pages: http::Pages,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()>> {
    let listener = match config.agent.listen {
        Some(address) => Some(http::listen(address).await?),
        None => None,
    };
    if let Some(address) = config.agent.listen.filter(|address| !address.ip().is_loopback()) {
        tracing::info!(
            "other machines can read the agent's pages at {address} (agent.listen): they show names of \
            tenants and times"
        );
    }
    Ok(async move {
        match listener {
            Some(listener) => http::serve(listener, pages, stop).await,
            None => stop.cancelled().await,
        }
    })
}

/// What `/readyz` asks beside the scheduler.
fn unwell(config: &Config, observed: &Observed, needs: &Needs) -> pages::Unwell {
    let (stream, most) = (config.wal.stream, config.wal.stall_max);
    let (observed, needs) = (observed.clone(), needs.clone());
    Arc::new(move || {
        let stalled = if stream { observed.stalled(most) } else { None };
        stalled.into_iter().chain(needs.missing()).collect()
    })
}

/// The jobs that store databases.
const BACKS_UP: [&str; 3] = ["backup", "base", "base_full"];

/// What is allowed and rarely meant.
fn notes(config: &Config, jobs: &[Job]) -> Vec<String> {
    if jobs.iter().any(|job| BACKS_UP.contains(&job.name)) {
        return Vec::new();
    }
    let restores = match config.wal.stream {
        true => "WAL is streamed, but without a base backup nothing can be restored from it",
        false => {
            "files of filestores are stored, but without a dump or a base backup no tenant can be restored"
        }
    };
    vec![format!(
        "this agent never backs up a database: schedule.backup, schedule.base and schedule.base_full are \
        not set; {restores}. Set schedule.backup = \"30 1 * * *\" and schedule.base = \"0 2 * * *\", or \
        run `lifeboat backup` from cron or a timer"
    )]
}

fn jobs(config: &Config, app: &App) -> Vec<Job> {
    let job = |name, schedule: &Option<Schedule>, more: &[&str]| {
        let schedule = schedule.clone()?;
        let arguments = common(config, app).into_iter().chain(["backup".to_owned()]);
        let arguments = arguments.chain(more.iter().map(|&word| word.to_owned())).collect();
        Some(Job { name, schedule, arguments })
    };
    let schedule = &config.schedule;
    let all = [
        job("backup", &schedule.backup, &[]),
        job("filestore", &schedule.filestore, &["--kind", "filestore"]),
        job("base", &schedule.base, &["--kind", "base"]),
        job("base_full", &schedule.base_full, &["--kind", "base", "--full"]),
    ];
    all.into_iter().flatten().collect()
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

/// This very program, also after an upgrade has replaced its file.
fn program() -> Result<PathBuf> {
    let program = std::env::current_exe()
        .map_err(|e| Error::new(Kind::Io, "cannot tell where this program lies").because(e))?;
    // Linux says "/usr/bin/lifeboat (deleted)" once the file was replaced: the new one is meant.
    let text = program.to_string_lossy();
    Ok(text.strip_suffix(" (deleted)").map_or(program.clone(), PathBuf::from))
}

fn tell_systemd(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd could not be told");
    }
}
