//! Removes what prevents an unfinished database from being dropped or renamed: subscriptions, replication
//! slots and prepared transactions. None of the database's own code runs for this, and no other server is
//! contacted.

use std::time::Duration;

use crate::clock;
use crate::error::Result;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::quote::{ident, literal};
use crate::postgres::session::{Session, column};

/// A catalog query that returns the statements to run, in this order. Statements about event triggers do
/// not fire event triggers; without a slot name, dropping a subscription does not contact its publisher.
const IN_IT: [&str; 2] = [
    "SELECT format('ALTER EVENT TRIGGER %I DISABLE', evtname) FROM pg_event_trigger WHERE evtenabled <> 'D'",
    "SELECT format(step.sql, subname) FROM pg_subscription, (VALUES (1, 'ALTER SUBSCRIPTION %I DISABLE'), \
       (2, 'ALTER SUBSCRIPTION %I SET (slot_name = NONE)'), (3, 'DROP SUBSCRIPTION %I')) AS step(n, sql) \
     WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY subname, step.n",
];
/// A slot becomes free some time after its session was told to end.
const SLOT_TRIES: u32 = 50;
const SLOT_PAUSE: Duration = Duration::from_millis(100);

/// Prepares a database of ours for DROP.
///
/// # Errors
/// `Postgres`; `Denied` if another role created what is in the way.
pub async fn free(options: &PostgresOptions, database: &str) -> Result<()> {
    let what = "remove what prevents dropping the unfinished database";
    let mut there = Session::connect(options, database).await?;
    end_prepared(&mut there).await?;
    for query in IN_IT {
        for row in there.rows(what, query).await? {
            there.execute(what, column::<String>(&row, 0)?).await?;
        }
    }
    there.close().await;
    let mut ours = Session::maintenance(options).await?;
    let slots = format!(
        "SELECT slot_name::text FROM pg_replication_slots WHERE database = {} AND NOT temporary",
        literal(database)
    );
    for row in ours.rows(what, slots).await? {
        let slot = literal(&column::<String>(&row, 0)?);
        let end = format!(
            "SELECT count(pg_terminate_backend(active_pid)) FROM pg_replication_slots WHERE slot_name = {slot} AND active"
        );
        for _ in 0..SLOT_TRIES {
            if column::<i64>(&ours.row(what, end.clone()).await?, 0)? == 0 {
                break;
            }
            clock::sleep(SLOT_PAUSE).await;
        }
        ours.execute(what, format!("SELECT pg_drop_replication_slot({slot})")).await?;
    }
    ours.close().await;
    Ok(())
}

async fn end_prepared(session: &mut Session) -> Result<()> {
    let what = "roll back prepared transactions";
    let sql = "SELECT gid, owner::text FROM pg_prepared_xacts WHERE database = current_database()";
    for row in session.rows(what, sql).await? {
        let (gid, owner): (String, String) = (column(&row, 0)?, column(&row, 1)?);
        // Only a superuser or the role that prepared it may do this.
        session.execute(what, format!("SET ROLE {}", ident(&owner))).await?;
        session.execute(what, format!("ROLLBACK PREPARED {}", literal(&gid))).await?;
        session.execute(what, "RESET ROLE").await?;
    }
    Ok(())
}
