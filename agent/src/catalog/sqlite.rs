//! A SQLite file of the state directory that belongs to one repository and can be rebuilt: what the files of
//! [`super::held`] and [`super::proven`] share.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Row};

use crate::disk;
use crate::error::{Error, Kind, Result};

/// How long another process may hold the file.
pub const BUSY_LIMIT: Duration = Duration::from_secs(10);
/// Result codes that say nothing against the file: SQLITE_PERM, BUSY, LOCKED, NOMEM, READONLY, IOERR, FULL
/// and CANTOPEN.
const NOT_ITS_FAULT: [i32; 8] = [3, 5, 6, 7, 8, 10, 13, 14];

/// What is in a file: the statements that make its tables, and the names of those that one repository fills.
/// A table `about` comes besides.
pub struct Tables {
    /// `CREATE TABLE IF NOT EXISTS …`.
    pub create: &'static [&'static str],
    /// `DELETE FROM …`, for a file of another repository.
    pub empty: &'static [&'static str],
}

/// Opens the file; creates it where it does not exist or is damaged, and empties it where it is of another
/// repository. One that another process holds for too long is an error, and stays as it is.
///
/// # Errors
/// `Io` where SQLite cannot open or use it.
pub async fn open(file: &Path, repository: &str, tables: &Tables) -> Result<SqliteConnection> {
    let name = file.display().to_string();
    match opened(file, repository, tables).await {
        Ok(connection) => Ok(connection),
        Err(Failed::Ours(e)) => Err(e),
        Err(Failed::Sqlite(e)) if !is_damage(&e) => Err(wrong(&name, e)),
        Err(Failed::Sqlite(e)) => {
            tracing::warn!("{name} is damaged and is created again: {e}");
            for tail in ["", "-wal", "-shm"] {
                let mut name = file.as_os_str().to_owned();
                name.push(tail);
                disk::remove_file(Path::new(&name))?;
            }
            opened(file, repository, tables).await.map_err(|e| match e {
                Failed::Ours(e) => e,
                Failed::Sqlite(e) => wrong(&name, e),
            })
        }
    }
}

enum Failed {
    Ours(Error),
    Sqlite(sqlx::Error),
}

impl From<sqlx::Error> for Failed {
    fn from(e: sqlx::Error) -> Failed {
        Failed::Sqlite(e)
    }
}

async fn opened(file: &Path, repository: &str, tables: &Tables) -> Result<SqliteConnection, Failed> {
    drop(disk::open_or_create(file).map_err(Failed::Ours)?); // SQLite gives its other files the owner of this one
    // If a power cut loses a page, something is done twice: not worth a sync each time.
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_LIMIT)
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    let about = "CREATE TABLE IF NOT EXISTS about (repository TEXT NOT NULL) STRICT";
    for sql in std::iter::once(&about).chain(tables.create) {
        sqlx::query(*sql).execute(&mut connection).await?;
    }
    let row = sqlx::query("SELECT repository FROM about").fetch_optional(&mut connection).await?;
    let known: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
    if known.as_deref() != Some(repository) {
        for sql in tables.empty.iter().chain(&["DELETE FROM about"]) {
            sqlx::query(*sql).execute(&mut connection).await?;
        }
        sqlx::query("INSERT INTO about VALUES (?1)").bind(repository).execute(&mut connection).await?;
    }
    Ok(connection)
}

/// Whether the file is to blame, and not another process, the disk or its rights.
fn is_damage(e: &sqlx::Error) -> bool {
    match e.as_database_error().map(|e| e.code().and_then(|code| code.parse::<i32>().ok())) {
        Some(Some(code)) => !NOT_ITS_FAULT.contains(&(code & 0xff)), // the rest says more exactly how
        Some(None) => true,
        None => !matches!(e, sqlx::Error::Io(_)),
    }
}

/// The error of a file that SQLite cannot use.
pub fn wrong(file: &str, e: sqlx::Error) -> Error {
    Error::new(Kind::Io, format!("SQLite cannot use {file}")).because(e)
}

/// A value as the text that `json_each` takes.
pub fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: Tables = Tables {
        create: &["CREATE TABLE IF NOT EXISTS one (a TEXT NOT NULL) STRICT"],
        empty: &["DELETE FROM one"],
    };

    async fn rows(connection: &mut SqliteConnection) -> usize {
        sqlx::query("SELECT a FROM one").fetch_all(connection).await.unwrap().len()
    }

    #[tokio::test]
    async fn a_damaged_file_is_made_again_and_one_that_is_only_held_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.sqlite");
        let mut first = open(&file, "r", &TABLES).await.unwrap();
        sqlx::query("INSERT INTO one VALUES ('x')").execute(&mut first).await.unwrap();
        assert_eq!(rows(&mut open(&file, "r", &TABLES).await.unwrap()).await, 1);
        assert_eq!(rows(&mut open(&file, "other", &TABLES).await.unwrap()).await, 0);

        // somebody holds it: an error, and what is in it stays
        let mut held = open(&file, "r", &TABLES).await.unwrap();
        sqlx::query("INSERT INTO one VALUES ('y')").execute(&mut held).await.unwrap();
        sqlx::query("BEGIN EXCLUSIVE").execute(&mut held).await.unwrap();
        let started = crate::clock::instant();
        let busy = open(&file, "other", &TABLES).await.unwrap_err();
        assert_eq!((busy.kind(), started.elapsed() >= BUSY_LIMIT), (Kind::Io, true), "{busy:?}");
        sqlx::query("COMMIT").execute(&mut held).await.unwrap();
        assert_eq!(rows(&mut open(&file, "r", &TABLES).await.unwrap()).await, 1);

        drop((first, held));
        for tail in ["-wal", "-shm"] {
            disk::remove_file(Path::new(&format!("{}{tail}", file.display()))).unwrap();
        }
        disk::replace_durable(&file, b"not SQLite, but long enough to be looked at as if it were a database")
            .unwrap();
        assert_eq!(rows(&mut open(&file, "r", &TABLES).await.unwrap()).await, 0);
    }
}
