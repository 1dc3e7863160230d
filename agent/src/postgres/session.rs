//! One connection for statements. It is opened with safe settings, its errors name the place and the
//! statement's purpose, and a statement that is given up is cancelled in the server.
//!
//! Nothing is set on a connection before it is known that no pooler is between us and the server
//! (`postgres/pooler.rs`): a setting would stay for the client that gets the pooler's session next.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::pooler;
pub use crate::postgres::row::{Row, column};
use crate::postgres::safe_settings::{self, QUESTION_WAIT};
use crate::postgres::wire::cancel::CancelKey;
use crate::postgres::wire::login::{Login, Purpose, login};
use crate::postgres::wire::message::{Piece, Wire, said};
use crate::postgres::wire::{code_of, hint};

/// How much longer than the server's time limit we wait for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(20);

/// A single connection. Dropping it cancels the running statement and closes the socket; the server rolls
/// back.
pub struct Session {
    wire: Wire,
    cancel: Option<CancelKey>,
    /// Whether an answer was not read to its end: the session cannot be used any more.
    busy: bool,
    /// How long a statement may take.
    limit: Duration,
    stop: CancellationToken,
    version_num: u32,
    place: String,
    database: String,
}

impl Session {
    /// Connects with safe settings: TCP keepalive, a fixed search path, a time limit for every wait.
    ///
    /// # Errors
    /// `NotFound` if the database does not exist, `Denied` if the role may not connect to it, `Config` if
    /// a pooler answers, `Postgres` for other errors (server down, wrong password, ...), which the text
    /// explains.
    pub async fn connect(options: &PostgresOptions, database: &str) -> Result<Session> {
        let settings = safe_settings::for_session();
        let Login { wire, cancel } =
            login(options, Purpose::Database(database), "lifeboat", &settings).await?;
        let process = cancel.as_ref().map(|key| key.process);
        let mut session = Session {
            wire,
            cancel,
            busy: false,
            limit: options.connect_timeout,
            stop: options.stop.clone(),
            version_num: 0,
            place: options.place(database),
            database: database.to_owned(),
        };
        let row = session.row("check who answers", pooler::QUESTION).await?;
        session.version_num = pooler::refuse(&row, process, &session.place)?;
        session.limit = QUESTION_WAIT;
        let newer = safe_settings::since(session.version_num / 10_000);
        let newer: Vec<String> = newer
            .map(|(_, name, value)| format!("pg_catalog.set_config('{name}', '{value}', false)"))
            .collect();
        if !newer.is_empty() {
            session.rows("set up the session", format!("SELECT {}", newer.join(", "))).await?;
        }
        Ok(session)
    }

    /// A session for queries that concern the whole cluster.
    pub async fn maintenance(options: &PostgresOptions) -> Result<Session> {
        match Session::connect(options, &options.maintenance_database).await {
            // Some clusters have no database `postgres`; `template1` always exists.
            Err(e) if e.kind() == Kind::NotFound => {
                Session::connect(options, "template1").await.map_err(|_| e)
            }
            result => result,
        }
    }

    /// The server's version as a number, as in `150010`.
    pub fn version_num(&self) -> u32 {
        self.version_num
    }

    /// The database that this session is in.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// `database "shop" at db1:5432 as odoo`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether it can be used: not after a connection that was lost, or an answer that was not awaited.
    pub fn is_usable(&self) -> bool {
        !self.busy
    }

    /// Sets the time limit of each further statement, in the server and here.
    pub async fn allow(&mut self, limit: Duration) -> Result<()> {
        if self.limit < limit {
            self.limit = limit;
        }
        self.execute("set a time limit", format!("SET statement_timeout = {}", limit.as_millis())).await?;
        self.limit = limit;
        Ok(())
    }

    /// Runs one or several statements without parameters; returns the number of affected rows.
    /// `what` is a verb in the present tense: "create the database".
    pub async fn execute(&mut self, what: &str, sql: impl Into<String>) -> Result<u64> {
        self.each(what, sql, |_| Ok(())).await
    }

    /// Runs one statement without parameters and returns its rows.
    pub async fn rows(&mut self, what: &str, sql: impl Into<String>) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        self.each(what, sql, |row| {
            rows.push(row);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// The only row of the answer.
    pub async fn row(&mut self, what: &str, sql: impl Into<String>) -> Result<Row> {
        let mut rows = self.rows(what, sql).await?;
        match (rows.pop(), rows.len()) {
            (Some(row), 0) => Ok(row),
            (_, more) => {
                let got = if more > 0 { "several rows" } else { "no row" };
                Err(Error::new(
                    Kind::Postgres,
                    format!("cannot {what} in {}: the server returned {got}", self.place),
                ))
            }
        }
    }

    /// Runs one statement and passes on its rows as they arrive: memory does not grow with their number.
    /// Returns the number of rows, or of affected rows.
    ///
    /// # Errors
    /// `Interrupted` if the session's owner stops; whatever `each` returns. Then the session cannot be
    /// used any more.
    pub async fn each(
        &mut self,
        what: &str,
        sql: impl Into<String>,
        mut each: impl FnMut(Row) -> Result<()>,
    ) -> Result<u64> {
        let pieces = |piece| match piece {
            Piece::Row(row) => each(Row::new(row)),
            Piece::Copy(_) => Ok(()),
        };
        self.pieces(what, sql.into(), pieces).await
    }

    /// Runs a `COPY ... TO STDOUT` and passes on its data, cut anywhere; returns the server's count of rows.
    ///
    /// # Errors
    /// As [`Session::each`].
    pub async fn copy_out(
        &mut self,
        what: &str,
        sql: impl Into<String>,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<u64> {
        let pieces = |piece| match piece {
            Piece::Row(_) => Ok(()),
            Piece::Copy(data) => each(&data),
        };
        self.pieces(what, sql.into(), pieces).await
    }

    async fn pieces(
        &mut self,
        what: &str,
        sql: String,
        each: impl FnMut(Piece) -> Result<()>,
    ) -> Result<u64> {
        if self.busy {
            let place = &self.place;
            return Err(Error::new(
                Kind::Postgres,
                format!("cannot {what} in {place}: the session is unusable after an earlier error"),
            ));
        }
        let (stop, wait) = (self.stop.clone(), self.limit + ANSWER_WAIT);
        self.busy = true;
        let answer = tokio::select! {
            biased;
            answer = tokio::time::timeout(wait, self.wire.ask(&sql, each)) => answer,
            () = stop.cancelled() => {
                self.give_up();
                let place = &self.place;
                return Err(Error::new(Kind::Interrupted, format!("cannot {what} in {place}: stopped by a signal")));
            }
        };
        let Ok(answer) = answer else {
            self.give_up();
            let error = Error::new(Kind::Postgres, format!("cannot {what} in {}", self.place));
            return Err(error
                .because(format!("no answer within {}", clock::span_text(wait)))
                .next("check pg_stat_activity, the server's log and the network"));
        };
        self.busy = self.wire.is_lost() || self.wire.is_given_up();
        answer.map_err(|e| self.failed(what, e))
    }

    /// Converts an error of the server or of the connection into one that names the place and the cause.
    /// Other errors are returned unchanged.
    fn failed(&self, what: &str, source: Error) -> Error {
        let code = code_of(&source);
        let kind = match code {
            None if !self.wire.is_lost() => return source,
            Some("42501") => Kind::Denied,
            Some("53100") => Kind::NoSpace,
            _ => Kind::Postgres,
        };
        let next = match code {
            None => Some("check that PostgreSQL is running, then run again"),
            Some(code) => hint(code),
        };
        let error = Error::new(kind, format!("cannot {what} in {}", self.place));
        let error = match said(&source) {
            Some(said) => error.because(said.clone()),
            None => error.because(source),
        };
        match next {
            Some(next) => error.next(next),
            None => error,
        }
    }

    /// Cancels the running statement in the server.
    fn give_up(&mut self) {
        if let Some(key) = self.cancel.take() {
            key.send();
        }
    }

    /// Ends the session in an orderly way; dropping a session is also fine.
    pub async fn close(mut self) {
        if self.busy {
            return; // dropped, which cancels it
        }
        let good_bye = |buffer: &mut bytes::BytesMut| {
            postgres_protocol::message::frontend::terminate(buffer);
            Ok(())
        };
        // the server notices a closed socket as well
        let _ = tokio::time::timeout(ANSWER_WAIT, self.wire.send(good_bye)).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.busy {
            self.give_up();
        }
    }
}
