//! Which stored objects this host has read and found to be what was signed. Until an object is written again,
//! which its mark shows, a checkpoint need not read it again. SQLite in the state directory; if it is lost,
//! objects are read once more and nothing else happens.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Row};

use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::store::ObjectInfo;

const BUSY_LIMIT: Duration = Duration::from_secs(10);
const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS about (repository TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS object (key TEXT PRIMARY KEY, mark TEXT NOT NULL) STRICT, WITHOUT ROWID",
];

/// The opened catalog of one repository.
pub struct Proven {
    connection: SqliteConnection,
    file: String,
}

/// What of a listing shows that an object was not written again; `None` where the store does not say.
pub fn mark(info: &ObjectInfo) -> Option<String> {
    let etag = info.etag.as_deref()?;
    Some(format!("{} {} {etag}", info.bytes, info.modified.as_microsecond()))
}

impl Proven {
    /// Opens the file; creates it where it does not exist or cannot be used, and empties it where it is of
    /// another repository.
    ///
    /// # Errors
    /// `Io` where SQLite cannot create it.
    pub async fn open(file: &Path, repository: &str) -> Result<Proven> {
        match Proven::opened(file, repository).await {
            Ok(proven) => Ok(proven),
            Err(e) => {
                tracing::warn!("{} cannot be used and is created again: {e:?}", file.display());
                for tail in ["", "-wal", "-shm"] {
                    let mut name = file.as_os_str().to_owned();
                    name.push(tail);
                    disk::remove_file(Path::new(&name))?;
                }
                Proven::opened(file, repository).await
            }
        }
    }

    async fn opened(file: &Path, repository: &str) -> Result<Proven> {
        drop(disk::open_or_create(file)?); // SQLite gives its other files the owner of this one
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_LIMIT)
            .disable_statement_logging();
        let file = file.display().to_string();
        let connection = options.connect().await.map_err(|e| wrong(&file, e))?;
        let mut proven = Proven { connection, file };
        for table in TABLES {
            proven.execute(sqlx::query(table)).await?;
        }
        let known = sqlx::query("SELECT repository FROM about").fetch_optional(&mut proven.connection).await;
        let known: Option<String> = known
            .and_then(|row| row.map(|row| row.try_get(0)).transpose())
            .map_err(|e| wrong(&proven.file, e))?;
        if known.as_deref() != Some(repository) {
            for all in ["DELETE FROM object", "DELETE FROM about"] {
                proven.execute(sqlx::query(all)).await?;
            }
            proven.execute(sqlx::query("INSERT INTO about VALUES (?1)").bind(repository)).await?;
        }
        Ok(proven)
    }

    /// The keys of those that were proven and have not been written since.
    pub async fn unchanged(&mut self, objects: &[(String, String)]) -> Result<HashSet<String>> {
        let sql = "SELECT o.key FROM json_each(?1) AS j JOIN object AS o \
                   ON o.key = j.value ->> 0 AND o.mark = j.value ->> 1";
        let query = sqlx::query(sql).bind(json(objects)?);
        let rows = query.fetch_all(&mut self.connection).await.map_err(|e| wrong(&self.file, e))?;
        let key = |row: &sqlx::sqlite::SqliteRow| row.try_get(0);
        rows.iter().map(key).collect::<std::result::Result<_, _>>().map_err(|e| wrong(&self.file, e))
    }

    /// Records objects, each with its mark, that were read and found to be right.
    pub async fn add(&mut self, objects: &[(String, String)]) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO object SELECT value ->> 0, value ->> 1 FROM json_each(?1)";
        self.execute(sqlx::query(sql).bind(json(objects)?)).await
    }

    /// Forgets objects that turned out to be damaged.
    pub async fn forget(&mut self, keys: &[String]) -> Result<()> {
        let sql = "DELETE FROM object WHERE key IN (SELECT value FROM json_each(?1))";
        let keys = serde_json::to_string(keys)
            .map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))?;
        self.execute(sqlx::query(sql).bind(keys)).await
    }

    async fn execute<'q>(
        &mut self,
        query: sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<()> {
        query.execute(&mut self.connection).await.map(drop).map_err(|e| wrong(&self.file, e))
    }
}

fn json(objects: &[(String, String)]) -> Result<String> {
    serde_json::to_string(objects).map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))
}

fn wrong(file: &str, e: sqlx::Error) -> Error {
    Error::new(Kind::Io, format!("SQLite cannot use {file}")).because(e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_object_counts_until_it_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("proven.sqlite");
        let of = |mark: &str| vec![("a".to_owned(), mark.to_owned()), ("b".to_owned(), "1".to_owned())];
        let mut proven = Proven::open(&file, "one").await.unwrap();
        assert!(proven.unchanged(&of("1")).await.unwrap().is_empty());
        proven.add(&of("1")).await.unwrap();
        assert_eq!(proven.unchanged(&of("1")).await.unwrap().len(), 2);
        assert_eq!(proven.unchanged(&of("2")).await.unwrap(), HashSet::from(["b".to_owned()]));
        proven.forget(&["b".to_owned()]).await.unwrap();
        assert_eq!(proven.unchanged(&of("1")).await.unwrap(), HashSet::from(["a".to_owned()]));
        drop(proven);
        let mut other = Proven::open(&file, "two").await.unwrap();
        assert!(other.unchanged(&of("1")).await.unwrap().is_empty(), "of another repository");
        drop(other);
        for tail in ["-wal", "-shm", ""] {
            disk::remove_file(Path::new(&format!("{}{tail}", file.display()))).unwrap();
        }
        disk::replace_durable(&file, b"not SQLite, but long enough to be looked at as if it were a database")
            .unwrap();
        let mut again = Proven::open(&file, "two").await.unwrap();
        assert!(again.unchanged(&of("1")).await.unwrap().is_empty());
    }
}
