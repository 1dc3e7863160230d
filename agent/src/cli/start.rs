//! What happens before a command runs: a private process, logging, the runtime, and signals.

use std::convert::Infallible;
use std::io::IsTerminal;
use std::process::exit;
use std::time::Duration;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::progress::Mode;
use super::{App, Cli, Command, Done, log, print};
use crate::clock;
use crate::config::Inputs;
use crate::error::{Error, Kind, Result};
use crate::program::version::{COMMIT, VERSION};

/// How long threads may still block, on a disk that hangs say, once the command has ended.
const STRAGGLERS: Duration = Duration::from_secs(5);

/// How long a command that was asked to stop may take to do so; the agent has limits of its own.
const STOP_MAX: Duration = Duration::from_secs(60);

/// Says a panic in the words of every other error: it is a bug of ours.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        if STARVED.iter().any(|words| text.contains(words)) {
            // Who waits for what that thread was to do would wait for ever.
            print::error(&starved(&text), false);
            exit(i32::from(super::wal::exit_code(Kind::Io)));
        }
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let error = Error::new(Kind::Internal, format!("a bug in lifeboat {VERSION} (commit {COMMIT})"))
            .because(format!("{text} ({place})"))
            .effect("the command stopped; what was stored before is intact")
            .next("report it with this text; RUST_BACKTRACE=1 adds where it was");
        print::error(&error, false);
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
            print::err(&std::backtrace::Backtrace::force_capture().to_string());
        }
    }));
}

/// What the standard library and tokio say in a panic when no thread can be had.
const STARVED: [&str; 2] = ["failed to spawn thread", "can't spawn worker thread"];

fn starved(text: &str) -> Error {
    Error::new(Kind::Io, "the system refused to start a thread: memory or the number of processes is limited")
        .because(text.to_owned())
        .effect("the command stopped; what was stored before is intact")
        .next(
            "raise the limit (MemoryMax= and TasksMax= of the unit, the container's, ulimit -v and -u), \
             or lower backup.workers, wal.workers and restore.workers",
        )
        .safe("running again is safe")
}

/// Runs the command to its end, or until a signal has made it stop.
pub fn on_runtime(cli: Cli) -> Result<Done> {
    let global = cli.global;
    let inputs = Inputs {
        config: global.config,
        repository: global.repository,
        instance: global.instance,
        as_of: cli.command.past(),
        ..Inputs::from_process()
    };
    super::commands::called_with(&match &cli.command {
        // The rest stands in the file that it writes.
        Command::Init(_) => Inputs { config: inputs.config.clone(), ..Inputs::default() },
        _ => inputs.clone(),
    });
    // The log of a daemon is its screen.
    let is_agent = matches!(cli.command, Command::Agent(_));
    let verbose = global.verbose.saturating_add(is_agent.into());
    log::start(inputs.variable("LIFEBOAT_LOG")?.as_deref(), verbose, global.quiet)?;
    if let Some(at) = inputs.as_of.filter(|_| !global.quiet) {
        print::err(&format!("the repository as it was at {}", clock::text(at)));
    }
    make_private();
    if let Command::Wal(args) = &cli.command
        && let Some(done) = super::wal::run_at_once(args, &inputs, global.json)?
    {
        return Ok(done);
    }
    // the TLS of every connection; a second installation would be refused, and would be the same
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::new(Kind::Io, "cannot start the runtime").because(e))?;
    let done = runtime.block_on(async {
        let cancel = CancellationToken::new();
        let signals = Signals::listen()?; // before the command does anything that would need a stop
        let app = App {
            inputs,
            json: global.json,
            progress: Mode::choose(global.quiet, global.no_progress, std::io::stderr().is_terminal()),
            cancel: cancel.clone(),
        };
        tokio::select! {
            biased;
            done = super::run(cli.command, &app) => done,
            never = signals.stop(&cancel) => match never {},
            error = overdue(&cancel, is_agent) => Err(error),
        }
    });
    runtime.shutdown_timeout(STRAGGLERS);
    done
}

/// The error of a command that does not stop although it was asked to: it is dropped where it is, which
/// cancels its statements and kills its children.
async fn overdue(cancel: &CancellationToken, never: bool) -> Error {
    cancel.cancelled().await;
    if never {
        std::future::pending::<()>().await;
    }
    clock::sleep(STOP_MAX).await;
    let wait = clock::span_text(STOP_MAX);
    Error::new(Kind::Interrupted, format!("the command did not stop within {wait} and was ended"))
        .safe("running again is safe")
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Signals> {
        let listen =
            |kind| signal(kind).map_err(|e| Error::new(Kind::Io, "cannot listen for signals").because(e));
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// The first one asks the command to stop, the second one ends the process.
    async fn stop(mut self, cancel: &CancellationToken) -> Infallible {
        loop {
            let name = tokio::select! {
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.terminate.recv() => "SIGTERM",
            };
            if cancel.is_cancelled() {
                print::err(&format!("{name} again: stopping at once"));
                exit(i32::from(super::wal::exit_code(Kind::Interrupted)));
            }
            print::err(&format!("{name}: stopping; once more to stop at once"));
            cancel.cancel();
        }
    }
}

/// Keys and plaintext pass through this memory: no core dump, no debugger of the same user, and
/// no file that others can read.
pub(super) fn make_private() {
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, nothing) {
        tracing::warn!(%error, "core dumps could not be turned off");
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "this process could not be closed to debuggers");
    }
}
