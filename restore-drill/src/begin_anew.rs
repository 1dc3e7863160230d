//! The program begins anew without libpq's environment: sqlx takes PGOPTIONS and its like whatever it is told,
//! and what a running program has in its environment cannot be taken out of it safely.

use std::os::unix::process::CommandExt;
use std::process::Command;

use lifeboat::error::{Error, Kind, Result};

/// The names that libpq looks at, and sqlx.
const LIBPQS: &[u8] = b"PG";

/// Returns where there is nothing of libpq's; else the same process runs this very program again, without.
///
/// # Errors
/// `Io` where the program cannot be run again.
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
    Err(Error::new(Kind::Io, "cannot begin anew without libpq's environment")
        .because(again.exec())
        .effect("no drill was run")
        .next("unset the variables whose names begin with PG"))
}
