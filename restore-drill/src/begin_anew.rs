//! Restarts the program without libpq's environment: sqlx always reads PGOPTIONS and similar variables,
//! and a running program cannot safely remove variables from its own environment.

use std::os::unix::process::CommandExt;
use std::process::Command;

use lifeboat::error::{Error, Kind, Result};

/// The variables that libpq and sqlx read.
const LIBPQS: &[u8] = b"PG";

/// Returns if there are no such variables; else replaces the process with this program, started without them.
///
/// # Errors
/// `Io` if the program cannot be started again.
pub(crate) fn without_libpqs() -> Result<()> {
    let names: Vec<_> = std::env::vars_os().map(|(name, _)| name).collect();
    let libpqs = names.iter().filter(|name| name.as_encoded_bytes().starts_with(LIBPQS));
    let mut again = Command::new("/proc/self/exe");
    let mut count = 0;
    for name in libpqs {
        again.env_remove(name);
        count += 1;
    }
    if count == 0 {
        return Ok(());
    }
    let mut args = std::env::args_os();
    again.arg0(args.next().unwrap_or_default()).args(args);
    Err(Error::new(Kind::Io, "cannot restart without libpq's environment")
        .because(again.exec())
        .effect("no drill was run")
        .next("unset all variables whose names begin with PG"))
}
