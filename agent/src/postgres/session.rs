//! One connection: opened with safe settings, asked with errors that say where and what.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Decode, Postgres, Row, Type};

use crate::error::{Error, Kind, Result};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::quote::literal;

/// A wait for a lock of ours may make others queue behind us: bounded everywhere.
const LOCK_TIMEOUT: &str = "5s";

/// A single connection, no pool. Dropping it closes the socket, and the server rolls back.
pub struct Session {
    connection: PgConnection,
    place: String,
    database: String,
}

impl Session {
    /// Connects, and sets what keeps a long session alive and names unambiguous.
    ///
    /// # Errors
    /// `NotFound` where the database does not exist, `Denied` where the role may not connect to
    /// it, `Postgres` for the rest (server down, password wrong, ...); the text tells which.
    pub async fn connect(options: &PostgresOptions, database: &str) -> Result<Session> {
        let place = options.place(database);
        let to = options.for_sqlx(database)?;
        let wait = options.connect_timeout;
        let connection = tokio::time::timeout(wait, PgConnection::connect_with(&to))
            .await
            .map_err(|_| {
                Error::new(Kind::Postgres, format!("cannot connect to {place}"))
                    .because(format!("no answer within {} s", wait.as_secs()))
                    .next("check host, port and firewall")
            })?
            .map_err(|e| connect_error(&place, e))?;
        let mut session = Session { connection, place, database: database.to_owned() };
        // Nothing that a database's owner made may be found: postgres/look.rs.
        let mut settings = vec![
            ("search_path", "pg_catalog, pg_temp"),
            ("lock_timeout", LOCK_TIMEOUT),
            ("statement_timeout", "0"),
            ("idle_in_transaction_session_timeout", "0"),
            ("tcp_keepalives_idle", "60"),
        ];
        let version = session.version_num();
        if version >= 140_000 {
            settings.push(("idle_session_timeout", "0"));
        }
        if version >= 170_000 {
            settings.push(("transaction_timeout", "0"));
        }
        let sql: Vec<String> = settings
            .iter()
            .map(|(name, value)| format!("set_config('{name}', {}, false)", literal(value)))
            .collect();
        session.rows("set up the session", format!("SELECT {}", sql.join(", "))).await?;
        Ok(session)
    }

    /// A session for questions that concern the whole cluster.
    pub async fn maintenance(options: &PostgresOptions) -> Result<Session> {
        match Session::connect(options, &options.maintenance_database).await {
            // Some clusters drop `postgres`; `template1` is always there.
            Err(e) if e.kind() == Kind::NotFound => {
                Session::connect(options, "template1").await.map_err(|_| e)
            }
            result => result,
        }
    }

    /// The server's version as a number, as in `150010`; 0 where it did not say.
    pub fn version_num(&self) -> u32 {
        self.connection.server_version_num().unwrap_or(0)
    }

    /// The database that this session is in.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// `database "shop" at db1:5432 as odoo`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The connection itself, for streams.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Runs one or several statements without parameters; the number of rows they affected.
    /// `what` is a verb in the present: "create the database".
    pub async fn execute(&mut self, what: &str, sql: impl Into<String>) -> Result<u64> {
        let done = sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut self.connection).await;
        done.map(|result| result.rows_affected()).map_err(|e| self.failed(what, e))
    }

    /// Asks one statement without parameters.
    pub async fn rows(&mut self, what: &str, sql: impl Into<String>) -> Result<Vec<PgRow>> {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.into())).fetch_all(&mut self.connection).await;
        rows.map_err(|e| self.failed(what, e))
    }

    /// The only row of the answer.
    pub async fn row(&mut self, what: &str, sql: impl Into<String>) -> Result<PgRow> {
        let mut rows = self.rows(what, sql).await?;
        match (rows.pop(), rows.len()) {
            (Some(row), 0) => Ok(row),
            (_, more) => {
                let got = if more > 0 { "several rows" } else { "no row" };
                Err(Error::new(
                    Kind::Postgres,
                    format!("cannot {what} in {}: the server gave {got}", self.place),
                ))
            }
        }
    }

    /// What went wrong in this session, as an error that names the place and the cause.
    pub fn failed(&self, what: &str, source: sqlx::Error) -> Error {
        let code = code(&source);
        let kind = match code.as_deref() {
            Some("42501") => Kind::Denied,
            Some("53100") => Kind::NoSpace,
            _ => Kind::Postgres,
        };
        let error = Error::new(kind, format!("cannot {what} in {}", self.place)).because(text(&source));
        match code.as_deref() {
            Some("55P03") => error.next("another session holds a lock; look at pg_locks and run again"),
            Some("57P01" | "57P02" | "57P03") => error.next("the server ended the session; see its log"),
            Some("42501") => error.next(
                "grant the agent's role what it lacks: deploy/postgresql/roles.sql for dumps, replication-grants.sql for base backups and WAL",
            ),
            None => error.next("see whether PostgreSQL is running, then run again"),
            _ => error,
        }
    }

    /// Says good-bye to the server; dropping a session is also fine.
    pub async fn close(self) {
        let _ = self.connection.close().await; // the server notices a closed socket as well
    }
}

/// One column of a row, by position.
pub fn column<'r, T>(row: &'r PgRow, index: usize) -> Result<T>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.try_get(index).map_err(|e| {
        Error::new(Kind::Postgres, format!("the server answered with an unexpected column {index}"))
            .because(e.to_string())
    })
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|e| e.code()).map(|code| code.into_owned())
}

/// The server's own words: message, detail and hint, with its error code.
fn text(error: &sqlx::Error) -> String {
    let Some(error) = error.as_database_error() else {
        return error.to_string();
    };
    let Some(pg) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() else {
        return error.to_string();
    };
    let mut text = format!("{} (SQLSTATE {})", pg.message(), pg.code());
    for more in [pg.detail(), pg.hint()].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(more);
    }
    text
}

fn connect_error(place: &str, source: sqlx::Error) -> Error {
    let code = code(&source).unwrap_or_default();
    let (kind, next) = match code.as_str() {
        "3D000" => (Kind::NotFound, "list the databases: psql --list"),
        "42501" => (Kind::Denied, "GRANT CONNECT ON DATABASE to the agent's role"),
        "28P01" => (Kind::Postgres, "put the right password into the configured password file"),
        "28000" => (Kind::Postgres, "let the agent's role in: pg_hba.conf, or the role's LOGIN"),
        "53300" => (Kind::Postgres, "too many connections: raise max_connections or run again later"),
        "57P03" => (Kind::Postgres, "the server is starting or stopping: run again"),
        _ => (Kind::Postgres, "see whether PostgreSQL is running and listens there"),
    };
    Error::new(kind, format!("cannot connect to {place}"))
        .because(text(&source))
        .next(next)
        .safe("nothing was changed; running again is safe")
}
