//! Runs `restore-drill rehearse` as a child process: found, started, heard with bounds, and stopped in order.
//! The agent knows of the drill only this program's name, its flags and the document that it prints.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::archive::rehearsal::{BYTES_MAX, Source};
use crate::child::{Asked, Stopped, Supervised, Tail, status_text};
use crate::clock;
use crate::config::Config;
use crate::environment;
use crate::error::{Error, Kind, Result};
use crate::names::TenantName;
use crate::names::wal::TimelineId;
use crate::progress::Progress;

/// The program.
const NAME: &str = "restore-drill";
/// How much of its standard error is kept: the end, where programs say what went wrong.
const SAID_BYTES_MAX: usize = 4_000;
/// How long it may take to stop its restore and its server and to remove both; then it is killed.
const ASKED: (Asked, Duration) = (Asked::Child(Signal::TERM), Duration::from_secs(150));
/// The column of the lines of the restore that it runs.
const OF_THE_RESTORE: &str = "| ";

/// What it is told to do.
pub(super) struct Order<'a> {
    /// Our configuration.
    pub(super) config: &'a Config,
    /// The program.
    pub(super) program: &'a Path,
    /// The identities.
    pub(super) identity_files: &'a [PathBuf],
    /// The tenant.
    pub(super) tenant: &'a TenantName,
    /// From what it is restored.
    pub(super) source: &'a Source,
    /// The file with its counters at the point.
    pub(super) counters: &'a Path,
}

/// How it ended.
pub(super) struct Ended {
    /// The exit code; `None` if a signal ended it.
    pub(super) code: Option<i32>,
    /// `exit code 3`, or which signal.
    pub(super) how: String,
    /// Whether it was stopped because its time was over.
    pub(super) too_late: bool,
    /// Its standard output; without its beginning, if it was too long.
    pub(super) printed: String,
    /// The last line of its standard error.
    pub(super) last_words: String,
}

/// The program: the one of `checkpoint.drill_program`, the one beside this program, or on the PATH.
///
/// # Errors
/// `NotFound` if there is none.
pub fn find(config: &Config) -> Result<PathBuf> {
    let missing = |what: String| {
        Err(Error::new(Kind::NotFound, what).next("install restore-drill, or set checkpoint.drill_program"))
    };
    if let Some(named) = &config.checkpoint.drill_program {
        return match named.is_file() {
            true => Ok(named.clone()),
            false => missing(format!("{} does not exist (checkpoint.drill_program)", named.display())),
        };
    }
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(NAME)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join(NAME));
    match beside.into_iter().chain(on_path).find(|candidate| candidate.is_file()) {
        Some(found) => Ok(found),
        None => missing(format!("the program {NAME} is neither beside lifeboat nor on the PATH")),
    }
}

fn command(order: &Order<'_>) -> Result<Command> {
    let Order { config, program, identity_files, tenant, source, counters } = *order;
    let own = std::env::current_exe()
        .map_err(|e| Error::new(Kind::Internal, "cannot find the path of this program").because(e))?;
    let mut command = Command::new(program);
    command.args(["rehearse", "--stop-with-stdin", "--tenant", tenant.as_str()]);
    match source {
        Source::Point { lsn, timeline } => command.args([
            "--to-lsn".to_owned(),
            lsn.to_string(),
            "--timeline".to_owned(),
            TimelineId(*timeline).in_names(),
        ]),
        Source::Dump { snapshot } => command.args(["--dump", snapshot.as_str()]),
    };
    if !config.file.as_os_str().is_empty() {
        command.arg("--config").arg(&config.file);
    }
    for identity in identity_files {
        command.arg("--identity").arg(identity);
    }
    for plan in &config.checkpoint.drill_plans {
        command.arg("--plan").arg(plan);
    }
    command.arg("--counters").arg(counters).arg("--lifeboat").arg(own);
    // Flags of ours beat the configuration: so does the environment of the child.
    command.env("LIFEBOAT_REPOSITORY_URL", &config.repository.url);
    command.env("LIFEBOAT_INSTANCE", config.instance.as_str());
    environment::clean(command.as_std_mut(), environment::Child::LifeboatThatOpens);
    Ok(command)
}

/// Runs it to its end. When the time of the checkpoint is over, or a signal stops the checkpoint, it is asked
/// to stop and waited for, so that nothing is left. If this process is killed, it notices that its standard
/// input ends, and stops by itself.
///
/// # Errors
/// `Io` where it cannot be started; `Interrupted`.
pub(super) async fn rehearse(
    order: &Order<'_>,
    until: Instant,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Ended> {
    let name = order.program.display();
    let mut command = command(order)?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Supervised::start(&mut command)
        .map_err(|e| Error::new(Kind::Io, format!("cannot start {name}")).because(e))?;
    let held = child.stdin();
    let (printed, said) = (Tail::of(BYTES_MAX), Tail::of(SAID_BYTES_MAX));
    let (stdout, stderr) = (child.stdout(), child.stderr());
    let tenant = order.tenant;
    let heard = |line: &str| match line.trim_start().strip_prefix(OF_THE_RESTORE) {
        Some(of_the_restore) => {
            progress.stage(format!("rehearsing the restore of {tenant}: {}", of_the_restore.trim_start()));
        }
        None => progress.note(format!("rehearsal: {}", line.trim_start())),
    };
    let listening = async {
        tokio::join!(printed.listen(stdout, |_| {}), said.listen(stderr, heard));
    };
    let limit = until.saturating_duration_since(clock::instant());
    let end = child.end(limit, cancel.cancelled(), ASKED, listening).await;
    drop(held);
    let end = end.map_err(|e| Error::new(Kind::Io, format!("cannot wait for {name}")).because(e))?;
    if end.stopped == Some(Stopped::Cancelled) {
        return Err(Error::new(Kind::Interrupted, "stopped by a signal during the rehearsal")
            .effect("no evidence was stored")
            .safe("running the same command again makes a new restore point"));
    }
    let said = said.text();
    Ok(Ended {
        code: end.status.code(),
        how: status_text(end.status),
        too_late: end.stopped == Some(Stopped::TooLate),
        printed: printed.text(),
        last_words: said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("").trim().to_owned(),
    })
}
