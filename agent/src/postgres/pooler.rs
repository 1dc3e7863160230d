//! Detects a pooler between us and the server, before anything is set in the session.
//!
//! A pooler gives one server session to several clients in turn, per transaction or per session. Our
//! settings would stay in it for Odoo, which gets it next; snapshots, cancel requests and long
//! transactions would not work either. So a pooler is refused. Only one query, which changes nothing, is
//! sent through it.

use crate::error::{Error, Kind, Result};
use crate::postgres::row::{Row, column};
use crate::postgres::safe_settings::search_path;
use crate::postgres::wire::pooler_next;

/// The query that changes nothing.
pub(super) const QUESTION: &str = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('search_path'), \
                                   pg_catalog.current_setting('server_version_num')";

/// The server's version as a number, from the answer to [`QUESTION`]. `process` is the process number that
/// the login reported for the session.
///
/// # Errors
/// `Config` if a pooler answers at `place`.
pub(super) fn refuse(row: &Row, process: Option<i32>, place: &str) -> Result<u32> {
    let (real, path): (i32, String) = (column(row, 0)?, column(row, 1)?);
    let why = match process {
        Some(process) if process != real => {
            format!("it reported process {process} for the session, but the server reports {real}")
        }
        None => "it reported no process number for the session".to_owned(),
        Some(_) if path != search_path() => {
            format!("the connection's startup settings did not reach the server: search_path is {path:?}")
        }
        Some(_) => return column::<i32>(row, 2).map(|version| u32::try_from(version).unwrap_or(0)),
    };
    let what = format!("a connection pooler (such as pgbouncer) answers, not the server: {place}");
    Err(Error::new(Kind::Config, what)
        .because(why)
        .effect("no backup can be made through a pooler, because it shares sessions between clients")
        .next(pooler_next())
        .safe("nothing was set in the pooler's sessions"))
}
