//! Logging: to standard error, by `LIFEBOAT_LOG` or `-v`, above the progress bar.

use std::io::Write;

use tracing_subscriber::EnvFilter;

use super::bar;
use crate::error::shown::{inert, printable_lines};
use crate::error::{Error, Kind, Result};

/// Starts logging. `filter` is `LIFEBOAT_LOG`, which beats `-v`.
pub fn start(filter: Option<&str>, verbose: u8, quiet: bool) -> Result<()> {
    let default = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "warn,lifeboat=info",
        (false, 2) => "info,lifeboat=debug",
        (false, _) => "debug,lifeboat=trace",
    };
    let filter = EnvFilter::try_new(filter.unwrap_or(default)).map_err(|e| {
        let what = format!(
            "environment variable LIFEBOAT_LOG = {:?} is not a log filter",
            filter.unwrap_or_default()
        );
        Error::new(Kind::Config, what).because(e).next(
            "write a level (error, warn, info, debug, trace), or pairs such as lifeboat::store=debug,warn",
        )
    })?;
    // a second start, in a process that runs several tests, keeps the first
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| AboveBar)
        .with_ansi(false)
        .try_init();
    Ok(())
}

/// Standard error with the bar out of the way; an event comes in one write.
struct AboveBar;

impl Write for AboveBar {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let text = printable_lines(&String::from_utf8_lossy(data));
        bar::above_bar(|| std::io::stderr().lock().write_all(inert(&text).as_bytes())).map(|()| data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
