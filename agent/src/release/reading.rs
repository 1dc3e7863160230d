//! Reads a tenant in parts: where one part fails, the next begins with a new session.
//!
//! A session is unusable after an error in the middle of rows, and its transaction after any error. One
//! connection at a time, each statement with a time limit, and locks are waited for only shortly: a migration
//! that holds a table makes it "not known", and does not get us into its way.

use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::names::TenantName;
use crate::odoo::tenants;
use crate::postgres::look;
use crate::postgres::{PostgresOptions, Session};

/// How long a lock is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The reading of one tenant.
pub struct Reading<'a> {
    options: &'a PostgresOptions,
    tenant: &'a TenantName,
    statement_max: Duration,
    session: Option<Session>,
}

/// Whether a tenant can be connected to.
pub enum Connected {
    /// It can.
    Yes,
    /// The server and its catalog say that there is no such database.
    Gone,
    /// It cannot, for this reason.
    No(Error),
}

impl<'a> Reading<'a> {
    /// Begins; nothing is connected yet.
    pub fn new(options: &'a PostgresOptions, tenant: &'a TenantName, statement_max: Duration) -> Reading<'a> {
        Reading { options, tenant, statement_max, session: None }
    }

    /// Connects.
    pub async fn connect(&mut self) -> Connected {
        let error = match self.session().await {
            Ok(_) => return Connected::Yes,
            Err(e) => e,
        };
        if error.kind() != Kind::NotFound {
            return Connected::No(error);
        }
        match tenants::gone(self.options, self.tenant.as_str(), error).await {
            Ok(_) => Connected::Gone,
            Err(e) => Connected::No(e),
        }
    }

    /// A session without a transaction, connected if need be.
    ///
    /// # Errors
    /// As [`Session::connect`].
    pub async fn session(&mut self) -> Result<&mut Session> {
        if self.session.is_none() {
            let mut session = Session::connect(self.options, self.tenant.as_str()).await?;
            session.allow(self.statement_max).await?;
            let wait = format!("SET lock_timeout = {}", LOCK_WAIT.as_millis());
            session.execute("set a time limit for locks", wait).await?;
            self.session = Some(session);
        }
        self.session
            .as_mut()
            .ok_or_else(|| Error::new(Kind::Internal, "a session is missing that was just connected"))
    }

    /// Reads one part, in a transaction of its own that sees what is committed.
    ///
    /// # Errors
    /// Those of `part`, and of the server.
    pub async fn part<T>(&mut self, part: impl AsyncFnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let done = self.part_of(part).await;
        if done.is_err() {
            self.session = None;
        }
        done
    }

    async fn part_of<T>(&mut self, part: impl AsyncFnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let session = self.session().await?;
        look::begin(session).await?;
        let read = part(session).await?;
        look::end(session).await?;
        Ok(read)
    }

    /// [`Reading::part`] for what begins its own transaction.
    ///
    /// # Errors
    /// Those of `part`, and of the server.
    pub async fn alone<T>(&mut self, part: impl AsyncFnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let done = match self.session().await {
            Ok(session) => part(session).await,
            Err(e) => Err(e),
        };
        if done.is_err() {
            self.session = None;
        }
        done
    }

    /// Ends the session in an orderly way.
    pub async fn close(self) {
        if let Some(session) = self.session {
            session.close().await;
        }
    }
}
