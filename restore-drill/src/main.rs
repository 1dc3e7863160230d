//! `restore-drill`: proves that snapshots can be restored, by restoring them.

use std::process::ExitCode;

fn main() -> ExitCode {
    restore_drill::cli::main()
}
