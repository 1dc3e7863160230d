//! Whether an Odoo database says of itself that it was neutralized.
//!
//! It belongs to somebody who is less than we are, so it is looked into as [`look`] says: nothing of his runs.

use crate::error::{Error, Kind, Result};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::copy_out::Row;
use crate::postgres::look;
use crate::postgres::session::Session;
use crate::postgres::table::{Table, Type};

const PARAMETERS: &str = "ir_config_parameter";

/// Whether `ir_config_parameter` says so.
///
/// # Errors
/// `Refused` where the database is not Odoo's; those of [`Session::connect`] and of [`Table::find`].
pub async fn is_neutralized(options: &PostgresOptions, database: &str) -> Result<bool> {
    let mut session = Session::connect(options, database).await?;
    look::begin(&mut session).await?;
    let parameters = Table::find(&mut session, PARAMETERS).await?;
    let Some(parameters) = parameters.filter(|table| table.lacks(&["key", "value"]).is_empty()) else {
        return Err(Error::new(Kind::Refused, format!("database {database:?} is not an Odoo database"))
            .because(format!("it has no table {PARAMETERS} with text columns"))
            .effect("nothing was changed")
            .next("check with psql what it is"));
    };
    let mut says = false;
    let take = |row: &Row<'_>| {
        let is_it = row.bytes(0) == Some(b"database.is_neutralized");
        says |= is_it && row.bytes(1).is_some_and(|value| value.eq_ignore_ascii_case(b"true"));
        Ok(())
    };
    parameters.each(&mut session, &[("key", Type::Text), ("value", Type::Text)], take).await?;
    look::end(&mut session).await?;
    session.close().await;
    Ok(says)
}
