//! The rules for reading a database that belongs to somebody else.
//!
//! The owner of a tenant's database is not a superuser, but we may be one. The owner's code (operators,
//! functions, views, policies, rules, index expressions) must never run in a session of ours. So these
//! rules hold for every statement of ours in such a database:
//!
//! 1. **Only `pg_catalog` is on the search path.** [`guard`] sets this in each transaction, whatever a
//!    pooler, `ALTER DATABASE ... SET` or an earlier statement left. So no name, operator or cast of
//!    ours can be one of the owner's, and no query needs `OPERATOR(pg_catalog.=)`.
//! 2. **No query names a relation of the owner.** Planning alone can run the owner's code: even for a
//!    plain `SELECT count(*)`, the planner evaluates constant calls in index expressions, extended
//!    statistics and CHECK constraints with the rights of the session. Views, rules and policies run
//!    more. Rows are read only with `COPY table TO STDOUT` ([`crate::postgres::table`]): it is not
//!    planned, accepts plain tables only, and refuses if a policy would have to run.
//! 3. Everything else is read from the catalogs, in which no tenant can define anything.
//! 4. Work that must run the owner's code (loading a dump, neutralizing a copy, business checks) runs in
//!    a session whose role has no more rights than the owner.
//!
//! `tests/tests/hostile/` creates such a tenant, logs each statement, and fails if one breaks a rule.

use crate::error::Result;
use crate::postgres::quote::literal;
use crate::postgres::session::Session;

/// The settings of one transaction; they end with it. `constraint_exclusion` would evaluate CHECK
/// constraints; the last one (minor releases since August 2024) makes the server itself refuse views and
/// foreign tables.
const GUARD: &str = "SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL row_security = off; \
     SET LOCAL constraint_exclusion = off; \
     SELECT set_config(name, 'view, foreign-table', true) FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'";

/// Applies the safe settings to the transaction that was just begun.
pub async fn guard(session: &mut Session) -> Result<()> {
    session.execute("apply the safe settings", GUARD).await.map(|_| ())
}

/// Begins a read-only transaction in which each statement sees what is committed when it starts.
pub async fn begin(session: &mut Session) -> Result<()> {
    session
        .execute(
            "begin a read-only transaction",
            format!("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; {GUARD}"),
        )
        .await?;
    Ok(())
}

/// The same, but every statement sees what a session sees that exported this snapshot.
pub async fn begin_at(session: &mut Session, snapshot: &str) -> Result<()> {
    let snapshot = literal(snapshot);
    let sql = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {snapshot}; {GUARD}"
    );
    session.execute("begin a read-only transaction at a snapshot", sql).await?;
    Ok(())
}

/// Ends what [`begin`] or [`begin_at`] began.
pub async fn end(session: &mut Session) -> Result<()> {
    session.execute("end the read-only transaction", "ROLLBACK").await.map(|_| ())
}
