//! Reads whether an Odoo database is marked as neutralized.
//!
//! The database belongs to an owner with fewer rights than ours, so it is read by the rules of [`look`]:
//! no code of that owner runs.

use crate::error::{Error, Kind, Result};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::copy_out::Row;
use crate::postgres::look;
use crate::postgres::session::Session;
use crate::postgres::table::{Table, Type};

const PARAMETERS: &str = "ir_config_parameter";

/// Whether `ir_config_parameter` marks the database as neutralized.
///
/// # Errors
/// `Refused` if it is not an Odoo database; the errors of [`Session::connect`] and [`Table::find`].
pub async fn is_neutralized(options: &PostgresOptions, database: &str) -> Result<bool> {
    let mut session = Session::connect(options, database).await?;
    look::begin(&mut session).await?;
    let parameters = Table::find(&mut session, PARAMETERS).await?;
    let Some(parameters) = parameters.filter(|table| table.lacks(&["key", "value"]).is_empty()) else {
        return Err(Error::new(Kind::Refused, format!("database {database:?} is not an Odoo database"))
            .because(format!("it has no table {PARAMETERS} with text columns"))
            .effect("nothing was changed")
            .next("look into it with psql"));
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
