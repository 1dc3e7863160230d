//! How a database that belongs to somebody else is looked into.
//!
//! The owner of a tenant's database is no superuser, and we may be one. What he made (operators,
//! functions, views, policies, rules, index expressions) must never run in a session of ours. So,
//! for every statement of ours in such a database:
//!
//! 1. **Nothing but `pg_catalog` is on the search path**, by [`guard`] in each transaction itself,
//!    whatever a pooler, `ALTER DATABASE ... SET` or a former statement left. A name, an operator or
//!    a cast of ours cannot be one of his: no query needs `OPERATOR(pg_catalog.=)`.
//! 2. **No query names a relation of his.** The planner alone is enough to run his code: it
//!    evaluates constant calls in index expressions, extended statistics and CHECK constraints with
//!    the rights of whoever asks, for a plain `SELECT count(*)` too. Views, rules and policies add
//!    theirs. His rows come by `COPY table TO STDOUT` alone ([`crate::postgres::table`]): it is not
//!    planned, takes nothing but plain tables, and refuses where a policy would have to run.
//! 3. All else is asked from the catalog, which no tenant can define anything in.
//! 4. What must run his code (loading a dump, neutralizing a copy, checks of the business) runs in
//!    a session whose role has no more rights than he has.
//!
//! `tests/tests/hostile/` makes such a tenant, logs each statement, and fails on one that breaks this.

use crate::error::Result;
use crate::postgres::session::Session;

/// The settings of one transaction, gone with it. `constraint_exclusion` would have CHECK
/// constraints evaluated; the last one (minor releases since August 2024) makes the server itself
/// refuse views and foreign tables.
const GUARD: &str = "SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL row_security = off; \
     SET LOCAL constraint_exclusion = off; \
     SELECT set_config(name, 'view, foreign-table', true) FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'";

/// Makes the transaction that was just begun safe to look around in.
pub async fn guard(session: &mut Session) -> Result<()> {
    session.execute("begin to look", GUARD).await.map(|_| ())
}

/// Begins a transaction that only reads, each statement what is committed by then.
pub async fn begin(session: &mut Session) -> Result<()> {
    session
        .execute("begin to look", format!("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; {GUARD}"))
        .await?;
    Ok(())
}

/// Ends what [`begin`] began.
pub async fn end(session: &mut Session) -> Result<()> {
    session.execute("end the look", "ROLLBACK").await.map(|_| ())
}
