//! The scheduler's loop: it runs the job that is due first and records its end, until it is asked to stop.
//! There are three such lanes side by side: neither a backup nor a drill of hours may delay the check that
//! reports an attack, nor may they delay each other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::child;
use super::due::{self, Job, LastRun, Next, Rules};
use super::metrics::Metrics;
use crate::catalog::doubt::Doubt;
use crate::catalog::last_checkpoint::LastCheckpoint;
use crate::catalog::last_expire::LastExpire;
use crate::catalog::last_verify::LastVerify;
use crate::catalog::runs::{Run, Runs};
use crate::catalog::suspicion::Alarms;
use crate::clock::{self, Timestamp};
use crate::error::{Kind, Result};

/// The wall clock may be set, so the loop looks at it at least this often.
const NAP_MAX: Duration = Duration::from_secs(20);

/// What the loop works with.
pub struct Daemon {
    /// The program `lifeboat`.
    pub program: PathBuf,
    /// The jobs, one of which runs at a time.
    pub jobs: Vec<Job>,
    /// Jobs that run beside those, again one at a time.
    pub beside: Vec<Job>,
    /// Restore drills, one at a time.
    pub drills: Vec<Job>,
    /// The rules of their runs.
    pub rules: Rules,
    /// How long a run may take.
    pub deadline: Duration,
    /// Differs from host to host, so that their runs do not begin at the same time.
    pub salt: String,
    /// The file in which runs are recorded.
    pub runs_file: PathBuf,
    /// The file that says why base backups distrust file times.
    pub doubt_file: PathBuf,
    /// The directory with the records of suspicious backups.
    pub suspicion_dir: PathBuf,
    /// The file with the outcome of the last release checkpoint.
    pub checkpoint_file: PathBuf,
    /// The file with the outcome of the last run of expire.
    pub expire_file: PathBuf,
    /// The file with what the last check of the repository found.
    pub verify_file: PathBuf,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

/// Runs jobs until `cancel` is cancelled; a job that is running then is stopped and recorded.
///
/// # Errors
/// If runs cannot be recorded any more.
pub async fn run(daemon: Daemon, cancel: CancellationToken) -> Result<()> {
    let mut runs = Runs::open(&daemon.runs_file).await?;
    runs.close_cut_short(clock::now()).await?;
    let others = Runs::open(&daemon.runs_file).await?;
    let of_drills = Runs::open(&daemon.runs_file).await?;
    daemon.tell_doubt();
    let (stop, daemon) = (cancel.child_token(), &daemon);
    let lane = async |lane: Lane<'_>| {
        let done = lane.run(&stop).await;
        stop.cancel(); // if one ends with an error, the other ends in order
        done
    };
    let (main, beside, drills) = tokio::join!(
        lane(Lane { daemon, jobs: &daemon.jobs, runs, of: Of::Main }),
        lane(Lane { daemon, jobs: &daemon.beside, runs: others, of: Of::Checks }),
        lane(Lane { daemon, jobs: &daemon.drills, runs: of_drills, of: Of::Drills }),
    );
    main.and(beside).and(drills)
}

/// Jobs of which one runs at a time.
struct Lane<'d> {
    daemon: &'d Daemon,
    jobs: &'d [Job],
    runs: Runs,
    of: Of,
}

/// What a lane runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// Backups and expiry; it also says that the agent lives.
    Main,
    /// Checks of the repository.
    Checks,
    /// Restore drills.
    Drills,
}

async fn nap(until: SignedDuration, cancel: &CancellationToken) {
    let until = Duration::try_from(until).unwrap_or_default().min(NAP_MAX);
    tokio::select! {
        () = clock::sleep(until) => {}
        () = cancel.cancelled() => {}
    }
}

impl Lane<'_> {
    async fn run(mut self, cancel: &CancellationToken) -> Result<()> {
        while !cancel.is_cancelled() {
            let now = clock::now();
            let next = self.first_due(now).await?;
            self.tell(now);
            match next {
                Some((job, next)) if next.begin <= now => self.one(&job, &next, cancel).await?,
                Some((_, next)) => nap(now.duration_until(next.begin), cancel).await,
                None => nap(SignedDuration::MAX, cancel).await,
            }
        }
        self.runs.close().await
    }

    /// The job with the earliest next run.
    async fn first_due(&mut self, now: Timestamp) -> Result<Option<(Job, Next)>> {
        let Daemon { rules, salt, metrics, .. } = self.daemon;
        let mut first: Option<(Job, Next)> = None;
        for job in self.jobs {
            let known_since = self.runs.known_since(&job.name, job.schedule.text(), now).await?;
            let latest = self.runs.latest(&job.name, 1).await?.pop();
            let last = latest.as_ref().and_then(|run| last_run(job, run));
            let Some(next) = due::next(job, rules, known_since, last.as_ref(), now, salt) else {
                continue;
            };
            metrics.next(&job.name, next.begin);
            if first.as_ref().is_none_or(|(_, other)| next.begin < other.begin) {
                first = Some((job.clone(), next));
            }
        }
        Ok(first)
    }

    /// Each file is read by the lane whose jobs write it, so that no job delays it.
    fn tell(&self, now: Timestamp) {
        match self.of {
            Of::Main => {
                self.daemon.metrics.alive(now);
                self.daemon.tell_checkpoint();
                self.daemon.tell_expire();
                self.daemon.tell_suspicion(now);
            }
            Of::Checks => self.daemon.tell_verify(),
            Of::Drills => {}
        }
    }

    async fn one(&mut self, job: &Job, next: &Next, cancel: &CancellationToken) -> Result<()> {
        let Daemon { program, deadline, metrics, .. } = self.daemon;
        let began = clock::now();
        let id = self.runs.begin(&job.name, next.due, next.attempt, began).await?;
        metrics.begun(&job.name, began);
        let again = if next.attempt > 1 { format!(", attempt {}", next.attempt) } else { String::new() };
        tracing::info!(job = job.name.as_str(), "started (due {}{again})", clock::text(next.due));
        let run = async {
            match &job.drill_program {
                None => child::run(program, &job.arguments, *deadline, cancel).await,
                Some(drill) => child::run_drill(drill, &job.arguments, *deadline, cancel).await,
            }
        };
        let (code, said) = match self.turning(run).await {
            Ok(ended) => (ended.exit_code, ended.said),
            Err(e) => (Some(e.kind().exit_code().into()), format!("{e}: {}", e.causes().join(": "))),
        };
        let ended = clock::now();
        self.runs.end(id, ended, code, &said).await?;
        let took = Duration::try_from(ended.duration_since(began)).unwrap_or_default();
        metrics.ended(&job.name, ended, took, code);
        self.daemon.tell_doubt();
        let how = code.map_or("ended by a signal".to_owned(), |code| format!("exit code {code}"));
        match code {
            Some(0) => tracing::info!(job = job.name.as_str(), "finished after {}", clock::span_text(took)),
            _ => tracing::error!(job = job.name.as_str(), "{how} after {}: {said}", clock::span_text(took)),
        }
        Ok(())
    }

    /// Waits for a run; meanwhile the metric that the loop runs stays up to date.
    async fn turning<T>(&self, run: impl Future<Output = T>) -> T {
        let mut run = std::pin::pin!(run);
        loop {
            tokio::select! {
                done = &mut run => return done,
                () = clock::sleep(NAP_MAX), if self.of == Of::Main => self.daemon.metrics.alive(clock::now()),
            }
        }
    }
}

impl Daemon {
    fn tell_checkpoint(&self) {
        match LastCheckpoint::read(&self.checkpoint_file) {
            Ok(last) => self.metrics.checkpoint(&last),
            Err(e) => tracing::warn!("{e:?}"),
        }
    }

    fn tell_expire(&self) {
        match LastExpire::read(&self.expire_file) {
            Ok(last) => self.metrics.expire(&last),
            Err(e) => tracing::warn!("{e:?}"),
        }
    }

    fn tell_verify(&self) {
        match LastVerify::read(&self.verify_file) {
            Ok(last) => self.metrics.verify(&last),
            Err(e) => tracing::warn!("{e:?}"),
        }
    }

    fn tell_doubt(&self) {
        // An unreadable record counts as doubt: then no times are trusted.
        self.metrics.doubted(!matches!(Doubt::read(&self.doubt_file), Ok(None)));
    }

    fn tell_suspicion(&self, now: Timestamp) {
        match Alarms::all(&self.suspicion_dir, None, now) {
            Ok((all, _)) => {
                let open = all.iter().map(|one| (one.tenant.as_str(), one.alarms.len()));
                self.metrics.suspicious(open);
            }
            Err(e) => tracing::warn!("the records of suspicious backups cannot be read: {}", e.line()),
        }
    }
}

fn last_run(job: &Job, run: &Run) -> Option<LastRun> {
    Some(LastRun {
        due: run.due,
        attempt: run.attempt,
        ended: run.ended?,
        // The exit codes of a drill are its own, and its report is stored: the next one is on its schedule.
        wants_retry: job.drill_program.is_none() && wants_retry(run.exit_code),
    })
}

/// Whether running again could help, by the exit code (docs/exit-codes.md).
fn wants_retry(exit_code: Option<i32>) -> bool {
    let may_pass = [
        Kind::Io,
        Kind::Unreachable,
        Kind::NoSpace,
        Kind::Postgres,
        Kind::Busy,
        Kind::Conflict,
        Kind::Interrupted,
    ];
    exit_code.is_none_or(|code| may_pass.iter().any(|kind| i32::from(kind.exit_code()) == code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::Schedule;

    #[test]
    fn a_failed_drill_is_not_tried_again() {
        let at = Timestamp::UNIX_EPOCH;
        let run = Run {
            id: 1,
            job: "drill".to_owned(),
            due: at,
            attempt: 1,
            began: at,
            ended: Some(at),
            exit_code: Some(1), // of a drill: failed; of lifeboat: an error of this machine
            said: String::new(),
        };
        let schedule = Schedule::parse("30 1 * * *", jiff::tz::TimeZone::UTC).unwrap();
        let job = Job { name: "drill".to_owned(), schedule, arguments: Vec::new(), drill_program: None };
        let drill = Job { drill_program: Some("/usr/bin/restore-drill".into()), ..job.clone() };
        assert!(last_run(&job, &run).unwrap().wants_retry);
        assert!(!last_run(&drill, &run).unwrap().wants_retry);
    }
}
