//! Closes what a copy can reach, as far as possible. Each item is closed on its own: one that we may not
//! change is reported and does not keep the others open.
//!
//! Every statement changes catalogs only, and none runs code of the copy's owner: event triggers, which
//! would run, are disabled first. So a session with more rights than the owner may run it too.

use crate::error::Result;
use crate::postgres::session::{Session, column};

/// What was closed, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Sentences.
    pub closed: Vec<String>,
    /// What is still open, and why.
    pub open: Vec<String>,
}

/// Catalog queries that return statements to run, each with what it does.
const STEPS: [&str; 5] = [
    // Statements about event triggers do not fire event triggers.
    "SELECT format('ALTER EVENT TRIGGER %I DISABLE', evtname), 'event trigger ' || evtname || ' switched off' \
     FROM pg_event_trigger WHERE evtenabled <> 'D' ORDER BY 1",
    // Without a slot name PostgreSQL does not contact the other server, which is production's.
    "SELECT format('ALTER SUBSCRIPTION %I DISABLE; ALTER SUBSCRIPTION %I SET (slot_name = NONE); DROP SUBSCRIPTION %I', \
       subname, subname, subname), 'subscription ' || subname || ' dropped; its slot is left to production' \
     FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1",
    "SELECT format('DROP USER MAPPING FOR %s SERVER %I', CASE WHEN u.umuser = 0 THEN 'PUBLIC' ELSE quote_ident(u.usename) END, u.srvname), \
       'user mapping of ' || u.usename || ' for server ' || u.srvname || ' dropped' \
     FROM pg_user_mappings u WHERE u.umuser = 0 OR u.usename IS NOT NULL ORDER BY 1",
    // PostgreSQL calls the wrapper's validator: only if that is a C or built-in function.
    "SELECT format('ALTER SERVER %I OPTIONS (DROP %I)', s.srvname, o.option_name), \
       'option ' || o.option_name || ' of server ' || s.srvname || ' dropped' \
     FROM pg_foreign_server s CROSS JOIN pg_options_to_table(s.srvoptions) o JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw \
     LEFT JOIN pg_proc v ON v.oid = w.fdwvalidator LEFT JOIN pg_language l ON l.oid = v.prolang \
     WHERE o.option_name ~* '(pass|secret|token|credential|private|api_?key|access_?key|sslkey|sslcert)' \
       AND (v.oid IS NULL OR l.lanname IN ('c', 'internal')) ORDER BY 1",
    // If pg_cron's own table was restored too: its jobs name production's database.
    "SELECT 'UPDATE cron.job SET active = false WHERE active', 'jobs of pg_cron switched off' \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid \
     WHERE n.nspname = 'cron' AND c.relname = 'job' AND c.relkind = 'r' AND a.attname = 'active' AND a.atttypid = 'bool'::regtype \
       AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = session_user)",
];

/// Closes what can be closed, within the session's transaction.
///
/// # Errors
/// `Postgres` if the session is lost; what PostgreSQL refuses is in [`Sealed::open`].
pub async fn seal(session: &mut Session) -> Result<Sealed> {
    let mut out = Sealed::default();
    for step in STEPS {
        for row in session.rows("list what the copy can reach", step).await? {
            let (sql, done): (String, String) = (column(&row, 0)?, column(&row, 1)?);
            session.execute("begin to close", "SAVEPOINT seal").await?;
            match session.execute("close what the copy can reach", sql).await {
                Ok(_) => out.closed.push(done),
                Err(e) => {
                    session.execute("undo what failed", "ROLLBACK TO SAVEPOINT seal").await?;
                    let why = e.causes().join("; ");
                    out.open.push(format!("not done: {done} ({why})"));
                }
            }
        }
    }
    Ok(out)
}
