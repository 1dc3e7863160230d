//! The commands that a person types to start, stop or reach a server. They are complete, because pg_ctl is
//! not always on the PATH (on Debian it is not), root cannot run it, and psql's default role is the user's
//! name.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::names::{shell_path, shell_word};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::tools::usual_dirs;

/// Longest `PG_VERSION`.
const VERSION_BYTES_MAX: u64 = 64;

/// `pg_ctl -D DIR start` or `stop`; if we are root, as the user who owns the directory.
/// `bin_dir` is the directory of PostgreSQL's programs, if it is known or configured.
pub fn pg_ctl(bin_dir: Option<&Path>, data_dir: &Path, action: &str) -> String {
    let owner = disk::metadata(data_dir).ok().flatten().map(|meta| meta.uid());
    let owner = owner.filter(|uid| rustix::process::geteuid().is_root() && *uid != 0);
    line(&program(bin_dir, data_dir), owner, data_dir, action)
}

/// `psql` to the maintenance database, as the configured role.
pub fn psql(options: &PostgresOptions) -> String {
    psql_in(options, &options.maintenance_database)
}

/// `psql` to this database.
pub fn psql_in(options: &PostgresOptions, database: &str) -> String {
    let [host, user, database] = [options.host_text(), &options.user, database].map(shell_word);
    format!("psql -h {host} -p {} -U {user} -d {database}", options.port)
}

/// The program for this data directory: the configured one, the one of its version, or the one on the PATH.
fn program(bin_dir: Option<&Path>, data_dir: &Path) -> PathBuf {
    let version = disk::read_text(&data_dir.join("PG_VERSION"), VERSION_BYTES_MAX).unwrap_or_default();
    let usual = version.trim().parse().map(usual_dirs).into_iter().flatten();
    let mut programs = bin_dir.map(Path::to_owned).into_iter().chain(usual).map(|dir| dir.join("pg_ctl"));
    programs.find(|path| path.exists()).unwrap_or_else(|| "pg_ctl".into())
}

fn line(program: &Path, owner: Option<u32>, data_dir: &Path, action: &str) -> String {
    let as_owner = match owner.map(|uid| (uid, disk::user_name(uid))) {
        None => String::new(),
        Some((_, Ok(Some(name)))) => format!("runuser -u {} -- ", shell_word(&name)),
        Some((uid, _)) => format!("sudo -u '#{uid}' "),
    };
    format!("{as_owner}{} -D {} {action}", shell_path(program), shell_path(data_dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_whole() {
        let (program, data) = (Path::new("/usr/lib/postgresql/15/bin/pg_ctl"), Path::new("/srv/pg/my back"));
        assert_eq!(
            line(program, None, data, "stop"),
            "/usr/lib/postgresql/15/bin/pg_ctl -D '/srv/pg/my back' stop"
        );
        assert_eq!(
            line(program, Some(0), Path::new("/d"), "start"),
            "runuser -u root -- /usr/lib/postgresql/15/bin/pg_ctl -D /d start"
        );
        assert_eq!(
            line(Path::new("pg_ctl"), Some(4_000_000_000), Path::new("/d"), "stop"),
            "sudo -u '#4000000000' pg_ctl -D /d stop"
        );
        let options =
            PostgresOptions { host: Some("/tmp/x".into()), user: "o'k".into(), ..PostgresOptions::default() };
        assert_eq!(psql(&options), "psql -h /tmp/x -p 5432 -U 'o'\\''k' -d postgres");
    }

    #[test]
    fn the_program_is_that_of_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        disk::write_new_durable(&dir.path().join("PG_VERSION"), b"7\n").unwrap();
        assert_eq!(program(Some(Path::new("/nowhere")), dir.path()), Path::new("pg_ctl"));
        let bin = tempfile::tempdir().unwrap();
        disk::write_new_durable(&bin.path().join("pg_ctl"), b"").unwrap();
        assert_eq!(program(Some(bin.path()), dir.path()), bin.path().join("pg_ctl"));
    }
}
