//! PostgreSQL's archiver without PostgreSQL: `archive_command` for each file that is ready, one
//! after the other, until all are archived.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use super::server::{as_server_user, finish};

/// The first argument of the copy of this program that does it.
pub const FLAG: &str = "--archive-loop";
/// How often a file is tried.
const TRIES: u32 = 3;

/// The command that archives everything that is ready in this data directory.
pub fn command(push: &str, data_dir: &Path) -> Command {
    let mut command = as_server_user(&std::env::current_exe().unwrap());
    command.arg(FLAG).arg(data_dir).arg(push);
    command
}

/// The copy.
pub fn run(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let (Some(data_dir), Some(push)) = (args.next().map(PathBuf::from), args.next()) else {
        return ExitCode::from(2);
    };
    std::env::set_current_dir(&data_dir).unwrap();
    let push = push.into_string().unwrap();
    for name in ready(&data_dir) {
        let line = push.replace("%p", &format!("pg_wal/{name}"));
        let archived = (0..TRIES).any(|_| {
            Command::new("/bin/sh").args(["-c", &line]).status().is_ok_and(|status| status.success())
        });
        if !archived {
            eprintln!("not archived: {line}");
            return ExitCode::FAILURE;
        }
        let status = data_dir.join("pg_wal/archive_status");
        fs::rename(status.join(format!("{name}.ready")), status.join(format!("{name}.done"))).unwrap();
    }
    ExitCode::SUCCESS
}

/// What is ready, in order.
pub fn ready(data_dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(data_dir.join("pg_wal/archive_status")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut ready: Vec<String> =
        names.filter_map(|name| name.strip_suffix(".ready").map(str::to_owned)).collect();
    ready.sort();
    ready
}

/// Marks segments of `pg_wal` as ready: those for which `wanted` says so, and no others.
pub fn mark_ready(data_dir: &Path, wanted: impl Fn(&str) -> bool) {
    let status = data_dir.join("pg_wal/archive_status");
    for entry in fs::read_dir(&status).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for entry in fs::read_dir(data_dir.join("pg_wal")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.len() == 24 && wanted(&name) {
            let file = status.join(format!("{name}.ready"));
            fs::write(&file, "").unwrap();
            let mut chown = Command::new("/bin/chown");
            finish(chown.arg("--reference").arg(data_dir).arg(&file));
        }
    }
}

/// Archives all segments of `pg_wal` up to `last`.
pub fn push_up_to(push: &str, data_dir: &Path, last: &str) {
    mark_ready(data_dir, |name| name <= last);
    finish(&mut command(push, data_dir));
}
