//! Reads the facts of the cluster itself.

use crate::error::{Error, Kind, Result};
use crate::postgres::session::{Session, column};

/// The major versions that Lifeboat is tested with, both ends inclusive.
pub const MAJORS: std::ops::RangeInclusive<u32> = 13..=18;

/// The facts of a cluster that decide how it is dumped and restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// As in `150010`.
    pub version_num: u32,
    /// As in `15.10 (Debian 15.10-0+deb12u1)`.
    pub version: String,
    /// As in `15`.
    pub major: u32,
    /// The cluster's system identifier, shared by its clones; `None` if we may not read it.
    pub system_identifier: Option<String>,
    /// Whether it is in recovery: a standby, or a server that is starting.
    pub is_standby: bool,
    /// Whether the session's role is a superuser.
    pub is_superuser: bool,
}

/// Reads the facts of the server.
///
/// # Errors
/// `Postgres` for a major version outside [`MAJORS`].
pub async fn server_info(session: &mut Session) -> Result<ServerInfo> {
    let what = "read the server's version";
    let sql = "SELECT current_setting('server_version_num')::int, current_setting('server_version'), \
               pg_is_in_recovery(), current_setting('is_superuser') = 'on', \
               has_function_privilege('pg_control_system()', 'EXECUTE')";
    let row = session.row(what, sql).await?;
    let version_num = u32::try_from(column::<i32>(&row, 0)?).unwrap_or(0);
    let (version, major) = (column::<String>(&row, 1)?, version_num / 10_000);
    if !MAJORS.contains(&major) {
        let place = session.place();
        return Err(Error::new(Kind::Postgres, format!("PostgreSQL {version} is not supported ({place})"))
            .effect("nothing of this cluster is backed up")
            .next(format!("use a supported version: {} to {}", MAJORS.start(), MAJORS.end())));
    }
    let system_identifier = match column::<bool>(&row, 4)? {
        true => {
            let sql = "SELECT system_identifier::text FROM pg_control_system()";
            Some(column(&session.row("read the system identifier", sql).await?, 0)?)
        }
        false => None,
    };
    Ok(ServerInfo {
        version_num,
        version,
        major,
        system_identifier,
        is_standby: column(&row, 2)?,
        is_superuser: column(&row, 3)?,
    })
}
