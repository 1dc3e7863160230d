//! The collection fence: while it is held, Odoo's garbage collection deletes no file of the filestore.
//!
//! The garbage collection takes `LOCK ir_attachment IN SHARE MODE`. The fence is an open transaction
//! with a ROW EXCLUSIVE lock, which conflicts with that but not with writers. It holds no snapshot
//! between its statements, so it does not hold back vacuum. But when a collector waits, writers queue
//! up after the collector; so the fence ends as soon as any session waits.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::look;
use crate::postgres::session::{Session, column};
use crate::postgres::table::Table;

/// How often the fence checks whether a session waits for it.
const POLL_EVERY: Duration = Duration::from_millis(200);
/// The server ends the fence when Lifeboat was silent for this long (stopped, or disconnected).
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// If the server takes longer to answer, the fence counts as lost.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// A fence around the filestore of one tenant. Dropping it releases it.
pub struct Fence {
    state: State,
}

enum State {
    NotGranted(String),
    Held { task: JoinHandle<FenceEnd>, done: CancellationToken },
}

/// How a fence ended. Only [`Released::Done`] means that it was held the whole time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceEnd {
    /// Why it was released.
    pub because: Released,
    /// How long it was held.
    pub held_ms: u64,
}

/// Why a fence was released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Released {
    /// Its owner released it.
    Done,
    /// Another session waited for a lock on ir_attachment.
    SomeoneWaited,
    /// Its time limit was reached.
    TimeBound,
    /// Its session was lost, with the reason.
    Lost(String),
    /// It was never held, with the reason.
    NotGranted(String),
}

impl std::fmt::Display for FenceEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} ms)", self.because, self.held_ms)
    }
}

impl std::fmt::Display for Released {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Released::Done => f.write_str("held until done"),
            Released::SomeoneWaited => {
                f.write_str("released early: another session waited for ir_attachment")
            }
            Released::TimeBound => f.write_str("released early: its time limit was reached"),
            Released::Lost(why) => write!(f, "lost: {why}"),
            Released::NotGranted(why) => write!(f, "not granted: {why}"),
        }
    }
}

impl Fence {
    /// Raises the fence for at most `bound`. Not getting it (no privilege to lock, a standby, a running
    /// collection) is not an error: [`Fence::release`] reports it, the backup continues, and its
    /// reconciliation decides.
    pub async fn hold(options: &PostgresOptions, database: &str, bound: Duration) -> Fence {
        let raised =
            tokio::time::timeout(options.connect_timeout + ANSWER_WAIT, raise(options, database, bound))
                .await;
        let state = match raised {
            Ok(Ok((session, oid))) => {
                let done = CancellationToken::new();
                let task = tokio::spawn(stand(session, oid, bound, done.clone()));
                State::Held { task, done }
            }
            Ok(Err(e)) => State::NotGranted(reason(&e)),
            Err(_) => State::NotGranted("the server did not answer in time".into()),
        };
        Fence { state }
    }

    /// Whether it is held now.
    pub fn is_held(&self) -> bool {
        matches!(&self.state, State::Held { task, .. } if !task.is_finished())
    }

    /// Releases the fence and returns how it ended.
    pub async fn release(mut self) -> FenceEnd {
        match &mut self.state {
            State::NotGranted(why) => {
                FenceEnd { because: Released::NotGranted(std::mem::take(why)), held_ms: 0 }
            }
            State::Held { task, done } => {
                done.cancel();
                task.await.unwrap_or_else(|e| FenceEnd { because: Released::Lost(e.to_string()), held_ms: 0 })
            }
        }
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        if let State::Held { task, .. } = &self.state {
            task.abort(); // closes the socket, and the server rolls back
        }
    }
}

async fn raise(options: &PostgresOptions, database: &str, bound: Duration) -> Result<(Session, String)> {
    let mut session = Session::connect(options, database).await?;
    let what = "raise the collection fence";
    let silence_ms = SILENCE_MAX.min(bound).as_millis().max(1_000);
    // For this transaction only: with a pooler, another client uses the connection afterwards.
    let mut set = format!(
        "SET LOCAL lock_timeout = '2s'; SET LOCAL idle_in_transaction_session_timeout = {silence_ms}"
    );
    if session.version_num() >= 170_000 {
        // The server's own limit of the transaction, whatever happens to this process.
        let most_ms = (bound + SILENCE_MAX).as_millis().min(i32::MAX as u128);
        set.push_str(&format!("; SET LOCAL transaction_timeout = {most_ms}"));
    }
    session.execute(what, format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {set}")).await?;
    look::guard(&mut session).await?;
    Table::get(&mut session, "ir_attachment").await?; // refuses a view: LOCK would lock the view's tables
    session.execute(what, "LOCK TABLE ONLY public.ir_attachment IN ROW EXCLUSIVE MODE").await?;
    let oid = session.row(what, "SELECT to_regclass('public.ir_attachment')::oid::text").await?;
    let oid = column::<Option<String>>(&oid, 0)?.unwrap_or_default();
    Ok((session, oid))
}

async fn stand(mut session: Session, oid: String, bound: Duration, done: CancellationToken) -> FenceEnd {
    let begun = clock::instant();
    let because = loop {
        tokio::select! {
            biased;
            () = done.cancelled() => break still_standing(&mut session).await,
            () = clock::sleep(POLL_EVERY.min(bound.saturating_sub(begun.elapsed()))) => {}
        }
        if begun.elapsed() >= bound {
            break Released::TimeBound;
        }
        match someone_waits(&mut session, &oid).await {
            Ok(false) => {}
            Ok(true) => break Released::SomeoneWaited,
            Err(e) => break Released::Lost(reason(&e)),
        }
    };
    let held_ms = begun.elapsed().as_millis().min(u128::from(u64::MAX)) as u64;
    // The lock is released when the server answers, or else when the socket is closed.
    let _ = tokio::time::timeout(ANSWER_WAIT, session.execute("release the fence", "ROLLBACK")).await;
    FenceEnd { because, held_ms }
}

/// `Done` only if the session, and with it the lock, still exists.
async fn still_standing(session: &mut Session) -> Released {
    match tokio::time::timeout(ANSWER_WAIT, session.execute("check the collection fence", "SELECT 1")).await {
        Ok(Ok(_)) => Released::Done,
        Ok(Err(e)) => Released::Lost(reason(&e)),
        Err(_) => Released::Lost("the server did not answer in time".into()),
    }
}

/// Asks in the fence's own session: no second connection, and each statement's snapshot ends with it.
async fn someone_waits(session: &mut Session, oid: &str) -> Result<bool> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = {oid} AND NOT granted \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
    );
    let row = tokio::time::timeout(ANSWER_WAIT, session.row("check who waits for ir_attachment", sql)).await;
    let row = row.map_err(|_| Error::new(Kind::Postgres, "the server did not answer in time"))?;
    column(&row?, 0)
}

fn reason(error: &Error) -> String {
    let causes = error.causes();
    match causes.is_empty() {
        true => error.to_string(),
        false => causes.join("; "),
    }
}
