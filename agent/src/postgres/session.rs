//! One connection for statements: opened with safe settings, asked with errors that say where and what, and cancelled
//! in the server when it is given up.
//!
//! Nothing is set on a connection before it is known that no pooler is between us and the server
//! (`postgres/pooler.rs`): what a session sets there would stay for whoever gets it next.

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

/// How much longer than the server may work on a statement its answer may take to come.
const ANSWER_WAIT: Duration = Duration::from_secs(20);

/// A single connection, no pool. Dropping it cancels what runs in it and closes the socket; the server rolls back.
pub struct Session {
    wire: Wire,
    cancel: Option<CancelKey>,
    /// Whether a statement was sent whose answer was not read to its end: nothing can be asked any more.
    busy: bool,
    /// How long a statement may take.
    limit: Duration,
    stop: CancellationToken,
    version_num: u32,
    place: String,
    database: String,
}

impl Session {
    /// Connects, with settings that keep it alive, names unambiguous and every wait bounded.
    ///
    /// # Errors
    /// `NotFound` where the database does not exist, `Denied` where the role may not connect to it, `Config` where a
    /// pooler answers, `Postgres` for the rest (server down, password wrong, ...); the text tells which.
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
        let row = session.row("look who answers", pooler::QUESTION).await?;
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

    /// Lets each statement from now on take so long, in the server and here.
    pub async fn allow(&mut self, limit: Duration) -> Result<()> {
        if self.limit < limit {
            self.limit = limit;
        }
        self.execute("set a time limit", format!("SET statement_timeout = {}", limit.as_millis())).await?;
        self.limit = limit;
        Ok(())
    }

    /// Runs one or several statements without parameters; the number of rows they affected.
    /// `what` is a verb in the present: "create the database".
    pub async fn execute(&mut self, what: &str, sql: impl Into<String>) -> Result<u64> {
        self.each(what, sql, |_| Ok(())).await
    }

    /// Asks one statement without parameters.
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
                    format!("cannot {what} in {}: the server gave {got}", self.place),
                ))
            }
        }
    }

    /// Asks one statement and hands on its rows as they come: memory does not grow with their number. How many rows
    /// there were, or were affected.
    ///
    /// # Errors
    /// `Interrupted` where the session's owner stops; whatever `each` returns. Then the session is of no more use.
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

    /// Runs a `COPY ... TO STDOUT` and hands on what comes, cut anywhere; how many rows the server says it were.
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
                format!("cannot {what} in {place}: the session was given up"),
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

    /// What went wrong in this session, as an error that names the place and the cause. Errors that are not the
    /// server's or the connection's are somebody else's and stay as they are.
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

    /// Cancels in the server what runs here.
    fn give_up(&mut self) {
        if let Some(key) = self.cancel.take() {
            key.send();
        }
    }

    /// Says good-bye to the server; dropping a session is also fine.
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
