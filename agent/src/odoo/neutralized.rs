//! Whether an Odoo database says of itself that it was neutralized.
//!
//! It belongs to somebody who is less than we are. So nothing of his runs here: a real table, columns of
//! PostgreSQL's own text types, operators by their full name, no row security, a statement that ends in time.

use crate::error::{Error, Kind, Result};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::session::{Session, column};

/// Whether `ir_config_parameter` says so.
///
/// # Errors
/// `Refused` where the database is not Odoo's; those of [`Session::connect`].
pub async fn is_neutralized(options: &PostgresOptions, database: &str) -> Result<bool> {
    let mut session = Session::connect(options, database).await?;
    let what = "see whether it is neutralized";
    let safe = "SET search_path = pg_catalog, pg_temp; SET statement_timeout = '30s'; SET row_security = off";
    session.execute(what, safe).await?;
    // 25 is text, 1043 varchar: a type of the owner's own would bring casts of his own.
    let table = "SELECT count(*) FROM pg_catalog.pg_class c \
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
                 WHERE n.nspname = 'public' AND c.relname = 'ir_config_parameter' AND c.relkind = 'r' \
                 AND a.attname IN ('key', 'value') AND a.atttypid IN (25, 1043)";
    if column::<i64>(&session.row(what, table).await?, 0)? != 2 {
        return Err(Error::new(Kind::Refused, format!("database {database:?} is not an Odoo database"))
            .because("it has no table ir_config_parameter with text columns")
            .effect("nothing was changed")
            .next("check with psql what it is"));
    }
    let says = "SELECT EXISTS (SELECT FROM public.ir_config_parameter \
                WHERE key::pg_catalog.text OPERATOR(pg_catalog.=) 'database.is_neutralized'::pg_catalog.text \
                AND pg_catalog.lower(value::pg_catalog.text) OPERATOR(pg_catalog.=) 'true'::pg_catalog.text)";
    let says = column(&session.row(what, says).await?, 0)?;
    session.close().await;
    Ok(says)
}
