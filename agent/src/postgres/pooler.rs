//! Whether a pooler is between us and the server, found out before anything is set.
//!
//! A pooler lends a server's session to one client after another, by transaction or by session. What we set in it would
//! stay for Odoo, who gets it next; snapshots, cancelling and long transactions would not work either. So it is refused,
//! by name. Nothing is sent through it but one question that changes nothing.

use crate::error::{Error, Kind, Result};
use crate::postgres::row::{Row, column};
use crate::postgres::safe_settings::search_path;
use crate::postgres::wire::pooler_next;

/// The question that changes nothing.
pub(super) const QUESTION: &str = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('search_path'), \
                                   pg_catalog.current_setting('server_version_num')";

/// The server's version as a number, from the answer to [`QUESTION`]. `process` is what the login gave as the number
/// of the session's process.
///
/// # Errors
/// `Config` where a pooler answers at `place`.
pub(super) fn refuse(row: &Row, process: Option<i32>, place: &str) -> Result<u32> {
    let (real, path): (i32, String) = (column(row, 0)?, column(row, 1)?);
    let why = match process {
        Some(process) if process != real => {
            format!("it reported process {process} for the session, but the server reports {real}")
        }
        None => "it reported no process number for the session".to_owned(),
        Some(_) if path != search_path() => {
            format!("the settings that the connection began with did not arrive: search_path is {path:?}")
        }
        Some(_) => return column::<i32>(row, 2).map(|version| u32::try_from(version).unwrap_or(0)),
    };
    let what = format!("a connection pooler (such as pgbouncer) answers, not the server: {place}");
    Err(Error::new(Kind::Config, what)
        .because(why)
        .effect("a pooler hands sessions from client to client, so no backup can be made through it")
        .next(pooler_next())
        .safe("nothing was set in the pooler's sessions"))
}
