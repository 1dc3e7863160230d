//! A record of each scheduled run: SQLite in the state directory. If it is lost, only history is lost: the
//! schedules continue from that day.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};

use crate::clock::Timestamp;
use crate::disk;
use crate::error::{Error, Kind, Result};

/// Runs that are kept per job.
const KEPT: i64 = 1_000;
const BUSY_LIMIT: Duration = Duration::from_secs(10);
/// The text for a run that never ended: the agent or the machine was stopped.
const CUT_SHORT: &str = "the agent ended before this run was finished";

/// One run of a job.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Run {
    /// Its number in this catalog.
    pub id: i64,
    /// The job's name.
    pub job: String,
    /// The moment that it was due.
    pub due: Timestamp,
    /// 1 for the first try.
    pub attempt: u32,
    /// When it began.
    pub began: Timestamp,
    /// When it ended; `None` while it runs.
    pub ended: Option<Timestamp>,
    /// The exit code of `lifeboat`; `None` while it runs, and where a signal ended it.
    pub exit_code: Option<i32>,
    /// Its last line of output.
    pub said: String,
}

/// The opened catalog of runs.
pub struct Runs {
    connection: SqliteConnection,
    file: String,
}

impl Runs {
    /// Opens the file; creates it where it does not exist.
    ///
    /// # Errors
    /// `Io` where SQLite cannot open or use the file.
    pub async fn open(file: &Path) -> Result<Runs> {
        drop(disk::open_or_create(file)?); // SQLite gives its other files the owner of this one
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_LIMIT)
            .disable_statement_logging();
        let file = file.display().to_string();
        let connection = options.connect().await.map_err(|e| wrong(&file, e))?;
        let mut runs = Runs { connection, file };
        runs.execute(
            "CREATE TABLE IF NOT EXISTS job (name TEXT PRIMARY KEY, schedule TEXT NOT NULL, known_since INTEGER NOT NULL) STRICT",
            &[],
        )
        .await?;
        runs.execute(
            "CREATE TABLE IF NOT EXISTS run (id INTEGER PRIMARY KEY, job TEXT NOT NULL, due INTEGER NOT NULL, \
             attempt INTEGER NOT NULL, began INTEGER NOT NULL, ended INTEGER, exit_code INTEGER, said TEXT NOT NULL) STRICT",
            &[],
        )
        .await?;
        runs.execute("CREATE INDEX IF NOT EXISTS run_of_job ON run (job, id)", &[]).await?;
        Ok(runs)
    }

    /// Closes entries of runs that have no end: for the one process that runs jobs, when it starts.
    pub async fn close_cut_short(&mut self, now: Timestamp) -> Result<()> {
        let values = [Value::Time(now), Value::Text(CUT_SHORT)];
        self.execute("UPDATE run SET ended = ?1, said = ?2 WHERE ended IS NULL", &values).await
    }

    /// Since when a job is known with this schedule: from now on, where job or schedule is new.
    pub async fn known_since(&mut self, job: &str, schedule: &str, now: Timestamp) -> Result<Timestamp> {
        let values = [Value::Text(job), Value::Text(schedule), Value::Time(now)];
        self.execute(
            "INSERT INTO job VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE \
             SET schedule = ?2, known_since = ?3 WHERE schedule <> ?2",
            &values,
        )
        .await?;
        let row = sqlx::query("SELECT known_since FROM job WHERE name = ?1").bind(job);
        let row = row.fetch_one(&mut self.connection).await.map_err(|e| wrong(&self.file, e))?;
        time(&row, "known_since").map_err(|e| wrong(&self.file, e))
    }

    /// Records that a run begins; returns its number.
    pub async fn begin(&mut self, job: &str, due: Timestamp, attempt: u32, now: Timestamp) -> Result<i64> {
        let values = [Value::Text(job), Value::Time(due), Value::Number(attempt.into()), Value::Time(now)];
        self.execute("INSERT INTO run (job, due, attempt, began, said) VALUES (?1, ?2, ?3, ?4, '')", &values)
            .await?;
        let row = sqlx::query("SELECT last_insert_rowid() AS id").fetch_one(&mut self.connection).await;
        let id = row.and_then(|row| row.try_get("id")).map_err(|e| wrong(&self.file, e))?;
        self.execute(
            "DELETE FROM run WHERE job = ?1 AND id <= ?2",
            &[Value::Text(job), Value::Number(id - KEPT)],
        )
        .await?;
        Ok(id)
    }

    /// Records how a run ended.
    pub async fn end(&mut self, id: i64, now: Timestamp, exit_code: Option<i32>, said: &str) -> Result<()> {
        let code = exit_code.map_or(Value::Nothing, |code| Value::Number(code.into()));
        let values = [Value::Number(id), Value::Time(now), code, Value::Text(said)];
        self.execute("UPDATE run SET ended = ?2, exit_code = ?3, said = ?4 WHERE id = ?1", &values).await
    }

    /// The jobs that are known, by name.
    pub async fn jobs(&mut self) -> Result<Vec<String>> {
        let rows = sqlx::query("SELECT name FROM job ORDER BY name").fetch_all(&mut self.connection).await;
        let names = rows.and_then(|rows| rows.iter().map(|row| row.try_get("name")).collect());
        names.map_err(|e| wrong(&self.file, e))
    }

    /// The latest runs of a job, the newest first.
    pub async fn latest(&mut self, job: &str, count: u32) -> Result<Vec<Run>> {
        let query =
            sqlx::query("SELECT * FROM run WHERE job = ?1 ORDER BY id DESC LIMIT ?2").bind(job).bind(count);
        let rows = query.fetch_all(&mut self.connection).await;
        rows.and_then(|rows| rows.iter().map(run).collect()).map_err(|e| wrong(&self.file, e))
    }

    /// The latest run of a job that ended with 0.
    pub async fn latest_good(&mut self, job: &str) -> Result<Option<Run>> {
        let query =
            sqlx::query("SELECT * FROM run WHERE job = ?1 AND exit_code = 0 ORDER BY id DESC LIMIT 1")
                .bind(job);
        let row = query.fetch_optional(&mut self.connection).await;
        row.and_then(|row| row.as_ref().map(run).transpose()).map_err(|e| wrong(&self.file, e))
    }

    /// Closes the file.
    pub async fn close(self) -> Result<()> {
        self.connection.close().await.map_err(|e| wrong(&self.file, e))
    }

    async fn execute(&mut self, statement: &'static str, values: &[Value<'_>]) -> Result<()> {
        let mut query = sqlx::query(statement);
        for value in values {
            query = match value {
                Value::Text(text) => query.bind(*text),
                Value::Number(number) => query.bind(*number),
                Value::Time(time) => query.bind(time.as_microsecond()),
                Value::Nothing => query.bind(None::<i64>),
            };
        }
        query.execute(&mut self.connection).await.map(drop).map_err(|e| wrong(&self.file, e))
    }
}

enum Value<'a> {
    Text(&'a str),
    Number(i64),
    Time(Timestamp),
    Nothing,
}

fn time(row: &SqliteRow, column: &str) -> sqlx::Result<Timestamp> {
    let micros: i64 = row.try_get(column)?;
    Timestamp::from_microsecond(micros).map_err(|e| sqlx::Error::Decode(e.into()))
}

fn run(row: &SqliteRow) -> sqlx::Result<Run> {
    let ended: Option<i64> = row.try_get("ended")?;
    Ok(Run {
        id: row.try_get("id")?,
        job: row.try_get("job")?,
        due: time(row, "due")?,
        attempt: row.try_get("attempt")?,
        began: time(row, "began")?,
        ended: ended.map(|_| time(row, "ended")).transpose()?,
        exit_code: row.try_get("exit_code")?,
        said: row.try_get("said")?,
    })
}

fn wrong(file: &str, e: sqlx::Error) -> Error {
    Error::new(Kind::Io, format!("cannot use the catalog of runs {file}"))
        .because(e)
        .effect("scheduled runs cannot be recorded")
        .next("check the disk; you may remove the file: it holds only the history of runs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn runs_are_kept_over_restarts_and_those_cut_short_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("runs.sqlite");
        let at = |seconds: i64| Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        let mut runs = Runs::open(&file).await.unwrap();
        assert_eq!(runs.known_since("backup", "0 1 * * *", at(0)).await.unwrap(), at(0));
        let first = runs.begin("backup", at(1), 1, at(2)).await.unwrap();
        runs.end(first, at(3), Some(0), "all well").await.unwrap();
        let second = runs.begin("backup", at(10), 1, at(11)).await.unwrap();
        drop(runs); // killed

        let mut runs = Runs::open(&file).await.unwrap();
        assert_eq!(runs.latest("backup", 1).await.unwrap()[0].ended, None);
        runs.close_cut_short(at(20)).await.unwrap();
        let latest = runs.latest("backup", 10).await.unwrap();
        assert_eq!(latest.iter().map(|run| run.id).collect::<Vec<_>>(), [second, first]);
        assert_eq!(
            (latest[0].ended, latest[0].exit_code, latest[0].said.as_str()),
            (Some(at(20)), None, CUT_SHORT)
        );
        assert_eq!(runs.latest_good("backup").await.unwrap().unwrap().id, first);
        assert_eq!(runs.latest_good("filestore").await.unwrap(), None);
        assert_eq!(runs.known_since("backup", "0 1 * * *", at(30)).await.unwrap(), at(0), "known already");
        assert_eq!(
            runs.known_since("backup", "0 2 * * *", at(31)).await.unwrap(),
            at(31),
            "another schedule"
        );
        runs.close().await.unwrap();
        crate::disk::replace_durable(
            &file,
            "no database, but long enough for a header".repeat(20).as_bytes(),
        )
        .unwrap();
        let error = Runs::open(&file).await.err().unwrap();
        assert!(error.to_string().contains("runs.sqlite"), "{error}");
    }
}
