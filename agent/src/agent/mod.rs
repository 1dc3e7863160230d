//! The agent: one process that streams WAL, follows filestores, runs schedules and serves its pages,
//! side by side, until it is asked to stop.

mod jobs;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::backup::follow::{self, Followed};
use crate::catalog::last_checkpoint::LastCheckpoint;
use crate::catalog::last_expire::LastExpire;
use crate::catalog::last_verify::LastVerify;
use crate::catalog::runs::Runs;
use crate::catalog::state::StateDir;
use crate::checkpoint::drill_program;
use crate::clock;
use crate::config::Config;
use crate::daemon::drilled::{self, Drilled};
use crate::daemon::due::{Job, Rules};
use crate::daemon::metrics::{self, Metrics};
use crate::daemon::needs::{self, Needs};
use crate::daemon::{self, Daemon, checks, http, pages};
use crate::error::{Error, Kind, Result};
use crate::progress::Progress;
use crate::wal::stream::{self, Observed};

/// How long after a permanent failure streaming is tried again.
const STREAM_AGAIN: Duration = Duration::from_secs(60);

/// How the agent starts its runs, and where it reports.
pub struct Calls<'a> {
    /// The arguments of each run before its command, so that it reads the agent's configuration.
    pub arguments: Vec<String>,
    /// Receives the progress of WAL streaming.
    pub progress: Progress,
    /// Called with each error that stops WAL streaming while schedules continue.
    pub tell: &'a dyn Fn(&Error),
}

/// Runs until `cancel` is cancelled.
///
/// # Errors
/// `Config` if there is nothing to do; `Busy` if another agent runs for this instance on this host;
/// else the error that ended one part of the agent. The other parts are then stopped in order.
pub async fn run(config: &Config, calls: Calls<'_>, cancel: &CancellationToken) -> Result<()> {
    let drill_program = config.schedule.drill.as_ref().map(|_| drill_program::find(config)).transpose()?;
    let jobs = jobs::jobs(config, &calls.arguments, drill_program.as_deref());
    let follows = config.agent.follow_filestore && config.odoo.data_dir.is_some();
    if jobs.is_empty() && !config.wal.stream && !follows {
        let what = "the agent has nothing to do: [schedule] is empty, no class has a schedule, wal.stream is false, no filestore is followed";
        return Err(Error::new(Kind::Config, what).next(
            "set a schedule, such as schedule.backup = \"30 1 * * *\"; to back up now, run `lifeboat backup`",
        ));
    }
    let scheduled = !jobs.is_empty();
    let notes = jobs::notes(config, &jobs);
    for note in &notes {
        tracing::warn!("{note}");
    }
    let state = StateDir::open_for_agent(&config.state_dir, &config.instance)?;
    let mut page = metrics::page();
    let observed = if config.wal.stream { Observed::on(&mut page) } else { Observed::default() };
    let drilled = Drilled::on(&mut page);
    let metrics = Arc::new(Metrics::on(page));
    metrics.scheduled(jobs.iter().filter(|job| jobs::backs_up(job)).count());
    let mut runs = Runs::open(&state.runs_file()).await?;
    for job in &jobs {
        if let Some(ended) = runs.latest_good(&job.name).await?.and_then(|run| run.ended) {
            metrics.succeeded(&job.name, ended);
        }
    }
    runs.close().await?;
    let (beside, jobs): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(jobs::runs_beside);
    let (drills, jobs) = jobs.into_iter().partition(jobs::drills);
    let program = program()?;
    let (post, checks) = checks::checks(config, program.clone(), calls.arguments.clone())?.unzip();
    let schedule = &config.schedule;
    let daemon = Daemon {
        program,
        jobs,
        beside,
        drills,
        rules: Rules {
            jitter_max: schedule.jitter_max,
            retries_max: schedule.retries_max,
            retry_delay: schedule.retry_delay,
        },
        deadline: schedule.deadline,
        salt: state.holder().to_owned(),
        runs_file: state.runs_file(),
        doubt_file: state.doubt_file(),
        suspicion_dir: state.suspicion_dir(),
        checkpoint_file: LastCheckpoint::file(&config.state_dir, &config.instance),
        expire_file: LastExpire::file(&config.state_dir, &config.instance),
        verify_file: LastVerify::file(&config.state_dir, &config.instance),
        metrics: metrics.clone(),
    };
    let stop = cancel.child_token();
    let needs = Needs::default();
    let unwell = unwell(config, &observed, &needs);
    let served = http::Served { pages: pages::pages(metrics.clone(), unwell, notes), post };
    let pages = serve(config, served, stop.clone()).await?;
    let checking = async {
        match checks {
            Some(checks) => checks.run(stop.clone()).await,
            None => stop.cancelled().await,
        }
    };
    tell_systemd(sd_notify::NotifyState::Ready);
    tracing::info!(instance = %config.instance, "the agent is ready");
    let streaming = async {
        if !config.wal.stream {
            stop.cancelled().await;
            return Ok(());
        }
        let streamed =
            with_the_others(&stop, stream_wal(config, state.holder(), scheduled, &calls, &observed, &stop));
        tokio::join!(streamed, stream::watch(config, &observed, &stop)).0
    };
    let following = async {
        if !follows {
            stop.cancelled().await;
            return Ok(());
        }
        let tell = |tenants: &[Followed]| {
            metrics.followed(tenants.iter().map(|one| (one.tenant.as_str(), one.until, one.waiting)));
        };
        follow::run(config, &state, tell, &stop).await
    };
    let (scheduled, (), (), (), (), streamed, followed) = tokio::join!(
        with_the_others(&stop, daemon::run(daemon, stop.clone())),
        pages,
        checking,
        needs::watch(config, &state, &needs, &stop),
        drilled::watch(config, &drilled, &stop),
        with_the_others(&stop, streaming),
        with_the_others(&stop, following),
    );
    tell_systemd(sd_notify::NotifyState::Stopping);
    streamed.and(followed).and(scheduled)?;
    tracing::info!("the agent has ended");
    Ok(())
}

/// Streams WAL until it is stopped. If there are schedules, an error of streaming is reported again and
/// again but ends nothing: a lost slot must not stop the backups.
async fn stream_wal(
    config: &Config,
    holder: &str,
    scheduled: bool,
    calls: &Calls<'_>,
    observed: &Observed,
    stop: &CancellationToken,
) -> Result<()> {
    loop {
        // A task of its own: it is woken by the server's message itself, and a directory that does not answer
        // stops neither pages nor schedules.
        let streaming = {
            let (config, holder, progress) = (config.clone(), holder.to_owned(), calls.progress.clone());
            let (observed, stop) = (observed.clone(), stop.clone());
            tokio::spawn(async move { stream::run(&config, &holder, progress, &observed, &stop).await })
        };
        let streamed = AbortOnDropHandle::new(streaming).await.unwrap_or_else(|e| {
            Err(Error::new(Kind::Internal, "the task that streams WAL panicked").because(e))
        });
        match streamed {
            Err(e) if scheduled => (calls.tell)(&e),
            done => return done,
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = clock::sleep(STREAM_AGAIN) => {}
        }
    }
}

/// The first part that ends with an error ends the others in order.
async fn with_the_others(stop: &CancellationToken, part: impl Future<Output = Result<()>>) -> Result<()> {
    let done = part.await;
    stop.cancel();
    done
}

/// Serves the pages until stopped; does nothing if they are off.
async fn serve(
    config: &Config,
    served: http::Served,
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
            Some(listener) => http::serve(listener, served, stop).await,
            None => stop.cancelled().await,
        }
    })
}

/// What `/readyz` checks in addition to the scheduler.
fn unwell(config: &Config, observed: &Observed, needs: &Needs) -> pages::Unwell {
    let (stream, most) = (config.wal.stream, config.wal.stall_max);
    let (observed, needs) = (observed.clone(), needs.clone());
    Arc::new(move || {
        let stalled = if stream { observed.stalled(most) } else { None };
        stalled.into_iter().chain(needs.missing()).collect()
    })
}

/// The path of this program, also after an upgrade replaced its file.
fn program() -> Result<PathBuf> {
    let program = std::env::current_exe()
        .map_err(|e| Error::new(Kind::Io, "cannot find the path of this program").because(e))?;
    // Linux says "/usr/bin/lifeboat (deleted)" after the file was replaced: use the new file.
    let text = program.to_string_lossy();
    Ok(text.strip_suffix(" (deleted)").map_or(program.clone(), PathBuf::from))
}

fn tell_systemd(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}
