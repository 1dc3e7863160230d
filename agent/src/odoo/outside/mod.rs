//! What a database itself can reach, apart from Odoo's tables: other servers, jobs that run by themselves,
//! programs. It reads the system catalogs only, so it is safe on anybody's database.

mod seal;

use crate::error::Result;
use crate::postgres::quote::literal;
use crate::postgres::session::{Session, column};
pub use seal::{Sealed, seal};

/// Extensions whose functions or workers reach outside, and what they do. Languages and foreign data
/// wrappers are found by their kind, whichever extension they come from.
const EXTENSIONS: [(&str, &str); 19] = [
    ("adminpack", "reads and writes files of the server"),
    ("amqp", "sends messages to a broker"),
    ("aws_lambda", "calls functions of a cloud account"),
    ("aws_s3", "reads and writes object storage"),
    ("azure_storage", "reads and writes object storage"),
    ("dblink", "opens connections to other databases"),
    ("http", "makes web requests"),
    ("pg_background", "runs statements in the background"),
    ("pg_cron", "runs jobs by itself"),
    ("pg_net", "makes web requests"),
    ("pg_partman", "runs maintenance by itself if its worker is loaded"),
    ("pg_task", "runs jobs by itself"),
    ("pg_timetable", "runs jobs by itself, programs too"),
    ("pgagent", "runs jobs by itself, programs too"),
    ("pgl_ddl_deploy", "replicates to other servers"),
    ("pglogical", "replicates to other servers"),
    ("plproxy", "calls functions of other databases"),
    ("timescaledb", "runs jobs by itself"),
    ("wrappers", "calls other services"),
];
/// Words in the source of a function that reaches outside. Code that is put together at run time is
/// not found.
const WORDS: &str = "\\m(dblink\\w*|http_(get|post|put|delete|patch|head)|http\\s*\\(|net\\.http_\\w+|aws_s3\\.|\
    aws_lambda\\.|amqp\\.|pg_background_launch|cron\\.schedule|to\\s+program|from\\s+program)";
/// How many functions one sentence names.
const NAMED_MAX: usize = 5;

/// What the database can reach, one sentence each, without secrets.
pub async fn reaches(session: &mut Session) -> Result<Vec<String>> {
    let what = "list what the database can reach";
    let mut out = Vec::new();
    let mut add = async |session: &mut Session, sql: String| -> Result<()> {
        for row in session.rows(what, sql).await? {
            out.push(column::<String>(&row, 0)?);
        }
        Ok(())
    };
    add(session, SERVERS.into()).await?;
    let here = "(SELECT oid FROM pg_database WHERE datname = current_database())";
    add(
        session,
        format!(
            "SELECT 'subscription ' || subname || ': takes changes from another server' FROM pg_subscription \
             WHERE subdbid = {here} ORDER BY 1"
        ),
    )
    .await?;
    add(session, EVENT_TRIGGERS.into()).await?;
    let known = EXTENSIONS.map(|(name, reach)| format!("({}, {})", literal(name), literal(reach)));
    add(
        session,
        format!(
            "SELECT 'extension ' || e.extname || ': ' || k.reach FROM pg_extension e \
             JOIN (VALUES {}) AS k(name, reach) ON k.name = e.extname ORDER BY 1",
            known.join(", ")
        ),
    )
    .await?;
    add(session, functions()).await?;
    Ok(out)
}

/// Where each foreign server points, without credentials. A server whose wrapper needs a user mapping is
/// closed if it has none.
const SERVERS: &str = "\
    SELECT 'foreign server ' || s.srvname || ' (' || w.fdwname || coalesce(', ' || (SELECT string_agg(o.option_name || ' ' || o.option_value, ', ' \
        ORDER BY o.option_name) FROM pg_options_to_table(s.srvoptions) o \
        WHERE o.option_name IN ('host', 'hostaddr', 'port', 'dbname', 'dbserver', 'address', 'database', 'servername')), '') || ')' \
      || coalesce(': ' || (SELECT string_agg(n.nspname || '.' || c.relname, ', ' ORDER BY n.nspname, c.relname) FROM pg_foreign_table t \
        JOIN pg_class c ON c.oid = t.ftrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.ftserver = s.oid), '') \
    FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw \
    WHERE w.fdwname NOT IN ('mysql_fdw', 'oracle_fdw', 'postgres_fdw', 'tds_fdw') \
      OR EXISTS (SELECT FROM pg_user_mappings u WHERE u.srvid = s.oid) ORDER BY 1";
const EVENT_TRIGGERS: &str = "\
    SELECT 'event trigger ' || e.evtname || ': runs ' || p.proname || ' on ' || e.evtevent \
    FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid \
    WHERE e.evtenabled <> 'D' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = e.oid AND d.deptype = 'e') ORDER BY 1";

/// Functions of no extension that are in an untrusted language or whose source names something outside;
/// with the triggers that run them.
fn functions() -> String {
    format!(
        "WITH own AS (SELECT p.oid, n.nspname || '.' || p.proname AS name, \
             CASE WHEN NOT l.lanpltrusted AND l.lanispl THEN 'in ' || l.lanname \
               WHEN p.prosrc ~* {words} THEN 'mentions ' || substring(lower(p.prosrc) FROM {words}) END AS why \
           FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang \
           WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
             AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')), \
         fired AS (SELECT own.oid, string_agg(t.tgname || ' on ' || c.relname, ', ' ORDER BY c.relname, t.tgname) AS by \
           FROM own JOIN pg_trigger t ON t.tgfoid = own.oid JOIN pg_class c ON c.oid = t.tgrelid GROUP BY own.oid), \
         told AS (SELECT own.why, own.name || coalesce(' (trigger ' || fired.by || ')', '') AS name, \
             row_number() OVER (PARTITION BY own.why ORDER BY fired.by IS NULL, own.name) AS at, count(*) OVER (PARTITION BY own.why) AS all \
           FROM own LEFT JOIN fired ON fired.oid = own.oid WHERE own.why IS NOT NULL) \
         SELECT told.all || CASE WHEN told.all = 1 THEN ' function ' ELSE ' functions ' END || told.why || ': ' \
           || string_agg(told.name, ', ' ORDER BY told.at) FILTER (WHERE told.at <= {NAMED_MAX}) \
         FROM told GROUP BY told.why, told.all ORDER BY 1",
        words = literal(WORDS),
    )
}
