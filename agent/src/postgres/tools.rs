//! Finds PostgreSQL's own programs of exactly the server's major version.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::environment;
use crate::error::{Error, Kind, Result};
use crate::postgres::connect::PostgresOptions;

const VERSION_WAIT: Duration = Duration::from_secs(20);
/// The programs that dump and restore.
const CLIENTS: [&str; 3] = ["pg_dump", "pg_dumpall", "pg_restore"];
/// The programs that run a server.
const SERVER: [&str; 2] = ["postgres", "pg_ctl"];

/// Programs from one directory, all of one major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// Their directory.
    pub dir: PathBuf,
    /// The major version of all of them.
    pub major: u32,
    /// The version text of the first program: `pg_dump (PostgreSQL) 15.10`.
    pub version: String,
}

impl Tools {
    /// Finds pg_dump, pg_dumpall and pg_restore for a server of this major version. It searches `bin_dir`,
    /// the directories of Debian and PGDG packages, and PATH; the first directory with the right version
    /// wins.
    ///
    /// # Errors
    /// `Postgres`, naming the server's version and every version that was found, with its directory.
    pub async fn clients(options: &PostgresOptions, server_major: u32) -> Result<Tools> {
        find(options, server_major, &CLIENTS).await.map_err(|looked_at| {
            let what = "found no pg_dump, pg_dumpall and pg_restore of PostgreSQL";
            Error::new(Kind::Postgres, format!("{what} {server_major}, the server's version"))
                .because(looked_at)
                .effect("no dump was made: the server may refuse another version, or its dump may not be restorable")
                .next(format!("install postgresql-client-{server_major}, or set postgres.bin_dir to its directory"))
        })
    }

    /// Finds postgres and pg_ctl for a data directory of this major version, in the same places.
    ///
    /// # Errors
    /// `Postgres`, naming every version that was found, with its directory.
    pub async fn server(options: &PostgresOptions, major: u32) -> Result<Tools> {
        find(options, major, &SERVER).await.map_err(|looked_at| {
            Error::new(
                Kind::Postgres,
                format!("found no postgres and pg_ctl of PostgreSQL {major}, the backup's version"),
            )
            .because(looked_at)
            .effect("nothing was done: another version cannot start the restored data directory")
            .next(format!("install postgresql-{major}, or set postgres.bin_dir to its directory"))
        })
    }

    pub(crate) fn pg_dump(&self) -> PathBuf {
        self.dir.join("pg_dump")
    }

    pub(crate) fn pg_dumpall(&self) -> PathBuf {
        self.dir.join("pg_dumpall")
    }

    pub(crate) fn pg_restore(&self) -> PathBuf {
        self.dir.join("pg_restore")
    }
}

/// The first directory with these programs of this major version, else the searched directories and what they
/// contain.
async fn find(
    options: &PostgresOptions,
    wanted: u32,
    programs: &[&str],
) -> std::result::Result<Tools, String> {
    let mut looked_at = Vec::new();
    for dir in directories(options, wanted, programs) {
        match look(&dir, programs).await {
            Ok((major, version)) if major == wanted => return Ok(Tools { dir, major, version }),
            Ok((_, version)) => looked_at.push(format!("{}: {version}", dir.display())),
            Err(why) => looked_at.push(format!("{}: {why}", dir.display())),
        }
    }
    Err(format!("searched {}", looked_at.join("; ")))
}

/// Where Debian and PGDG packages install the programs of a major version.
pub(super) fn usual_dirs(major: u32) -> [PathBuf; 2] {
    [format!("/usr/lib/postgresql/{major}/bin").into(), format!("/usr/pgsql-{major}/bin").into()]
}

fn directories(options: &PostgresOptions, major: u32, programs: &[&str]) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = options.bin_dir.iter().cloned().collect();
    dirs.extend(usual_dirs(major));
    if let Some(path) = std::env::var_os("PATH") {
        dirs.extend(
            std::env::split_paths(&path)
                .filter(|dir| programs.iter().any(|program| dir.join(program).exists())),
        );
    }
    let mut seen = std::collections::HashSet::new();
    dirs.retain(|dir| seen.insert(dir.clone()));
    dirs
}

/// The common version of these programs in `dir`, or why there is none.
async fn look(dir: &Path, programs: &[&str]) -> std::result::Result<(u32, String), String> {
    let mut found: Option<(u32, String)> = None;
    for program in programs {
        let path = dir.join(program);
        if !path.exists() {
            return Err(format!("no {program}"));
        }
        let run = clean_command(&path).arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(VERSION_WAIT, run)
            .await
            .map_err(|_| format!("{program} --version does not end"))?
            .map_err(|e| format!("{program} cannot be run: {e}"))?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let major = major_of(&text).ok_or_else(|| format!("{program} --version says {text:?}"))?;
        match &found {
            Some((first, other)) if *first != major => return Err(format!("{other} beside {text}")),
            Some(_) => {}
            None => found = Some((major, text)),
        }
    }
    found.ok_or_else(|| "nothing".into())
}

/// The major version of a version text: 15 for `pg_dump (PostgreSQL) 15.10 (Debian 15.10-0+deb12u1)`; it
/// accepts `18beta1` and `17devel`.
fn major_of(text: &str) -> Option<u32> {
    let version = text.split_once("(PostgreSQL) ")?.1;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// A program of PostgreSQL that connects to no server, in a clean environment.
pub(crate) fn clean_command(path: &Path) -> Command {
    let mut command = Command::new(path);
    environment::clean(command.as_std_mut(), environment::Child::Program);
    command.env("LC_ALL", "C"); // its own messages can be recognized; the server's cannot
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_programs_write_them() {
        assert_eq!(major_of("pg_dump (PostgreSQL) 15.10 (Debian 15.10-0+deb12u1)"), Some(15));
        assert_eq!(major_of("pg_restore (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of("pg_dump (PostgreSQL) 9.6.24"), Some(9));
        assert_eq!(major_of("command not found"), None);
    }

    #[tokio::test]
    async fn a_directory_of_mixed_versions_is_refused_by_name() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let versions =
            [("pg_dump", "15.1"), ("pg_dumpall", "15.2"), ("pg_restore", "16.1"), ("postgres", "15.1")];
        for (program, version) in versions {
            let mut file = crate::disk::create_new(&dir.path().join(program), 0o755).unwrap();
            write!(file, "#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n").unwrap();
        }
        let options = PostgresOptions { bin_dir: Some(dir.path().into()), ..PostgresOptions::default() };
        let error = Tools::clients(&options, 99).await.unwrap_err();
        assert!(error.what().contains("PostgreSQL 99"), "{error}");
        let cause = error.causes().join(" ");
        assert!(cause.contains("pg_dump (PostgreSQL) 15.1 beside pg_restore (PostgreSQL) 16.1"), "{cause}");
        let error = Tools::server(&options, 99).await.unwrap_err();
        assert!(error.what().contains("postgres and pg_ctl of PostgreSQL 99"), "{error}");
        let cause = error.causes().join(" ");
        assert!(cause.contains(&format!("{}: no pg_ctl", dir.path().display())), "{cause}");
    }
}
