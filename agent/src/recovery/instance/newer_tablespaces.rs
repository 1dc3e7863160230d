//! Tablespaces that were created after the base backup. Replay creates them again, in the same directory
//! as in production: on production's own host it would write into production's files.

use std::path::Path;

use crate::archive::base::BaseFacts;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::server::server_info;
use crate::postgres::session::{Session, column};

/// Refuses if the running server of the same cluster has a tablespace that the backup does not know and whose
/// directory is on this host. A server that does not answer is ignored.
///
/// # Errors
/// `Refused` naming the tablespace.
pub async fn refuse(config: &Config, facts: &BaseFacts) -> Result<()> {
    let options = PostgresOptions::from(&config.postgres);
    let Ok(mut session) = Session::maintenance(&options).await else { return Ok(()) };
    let server = server_info(&mut session).await?;
    if server.system_identifier.as_deref() != Some(&facts.system_identifier) {
        session.close().await;
        return Ok(());
    }
    let sql = "SELECT spcname::text, pg_tablespace_location(oid) FROM pg_tablespace \
               WHERE pg_tablespace_location(oid) <> ''";
    let rows = session.rows("search for tablespaces", sql.to_owned()).await?;
    session.close().await;
    for row in rows {
        let (name, location): (String, String) = (column(&row, 0)?, column(&row, 1)?);
        let is_known = facts.tablespaces.iter().any(|known| known.location == location);
        let is_absent = matches!(disk::metadata(Path::new(&location)), Ok(None));
        if !is_known && !is_absent {
            return Err(Error::new(
                Kind::Refused,
                format!("tablespace {name} was created after this base backup, and {location} is on this host"),
            )
            .effect("nothing was changed: replaying its creation would write into the files of the running server")
            .next("restore on another host, or take a new base backup and restore that: lifeboat backup --kind base"));
        }
    }
    Ok(())
}
