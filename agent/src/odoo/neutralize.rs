//! Neutralizes a restored copy before any Odoo process uses it.
//!
//! The statements are our own (`neutralize/*.sql`), not those of Odoo's modules. They work for every
//! version and without the modules' code, and they clear more than Odoo does (log-ins of mail
//! servers, queued mail). If the release's own `odoo-bin neutralize` can be run, run it as well.
//!
//! It runs with the rights of the copy's owner and no more, and with that owner's triggers and rules
//! switched off (`neutralize/quiet.rs`). What the database itself can reach is closed first
//! ([`crate::odoo::outside`]). A relation that should be a table but is not one is reported and counts as
//! live. What nobody could judge is listed ([`unknown()`]) and left as it is.

pub mod catalogue;
mod code;
mod modules;
mod quiet;
mod secrets;
mod tables;
mod touched;
mod unknown;

use crate::error::{Error, Kind, Result};
use crate::names::random_hex;
use crate::odoo::outside;
use crate::postgres::look;
use crate::postgres::quote::literal;
use crate::postgres::session::{Session, column};
use modules::Modules;
pub use modules::Origin;
use quiet::Quiet;
use tables::{Tables, Unfit};
pub use touched::Touched;
pub use unknown::{Unknown, UnknownKind, Unknowns};

/// How many findings one check reports at most.
const FINDINGS_MAX: usize = 20;

/// What was done to a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neutralized {
    /// Statements that were run, in order.
    pub applied: Vec<Applied>,
    /// Statements that do not apply to this database, and why.
    pub skipped: Vec<Skipped>,
    /// The copy's new `database.uuid`.
    pub database_uuid: String,
    /// What the copy can still reach, or what could not be closed; a person should read it.
    pub warnings: Vec<String>,
}

/// A statement that was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its name in the catalogue.
    pub name: String,
    /// What would happen without it.
    pub why: String,
    /// Rows that it changed; of an `each` statement, over all columns.
    pub rows: u64,
}

/// A statement that was not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its name in the catalogue.
    pub name: String,
    /// As in `there is no table whatsapp_account`.
    pub reason: String,
}

/// The default address of the copy.
pub const BASE_URL: &str = "http://localhost:8069";

/// Runs the catalogue in one transaction: afterwards the copy is neutralized, or unchanged after an
/// error. Running it again is safe and gives the copy a new identity.
///
/// # Errors
/// `Postgres`, naming the statement that failed; also if the database is not an Odoo database.
pub async fn neutralize(session: &mut Session, base_url: &str) -> Result<Neutralized> {
    let done = async {
        session.execute("begin neutralizing", "BEGIN").await?;
        look::guard(session).await?;
        let tables = Tables::read(session).await?;
        if !tables.has("ir_config_parameter", "key") {
            let what = format!("there is no table ir_config_parameter in {}", session.place());
            return Err(Error::new(Kind::Postgres, what));
        }
        let sealed = outside::seal(session).await?;
        let quiet = Quiet::begin(session).await?;
        let mut out = write(session, &tables, base_url).await?;
        quiet.end(session).await?;
        out.applied.extend(sealed.closed.into_iter().map(|name| Applied {
            name,
            why: "the copy could reach another system".into(),
            rows: 0,
        }));
        out.warnings = sealed.open;
        out.warnings.extend(
            outside::reaches(session)
                .await?
                .into_iter()
                .map(|what| format!("the copy can reach outside systems: {what}")),
        );
        session.execute("finish neutralizing", "COMMIT").await?;
        Ok(out)
    };
    match done.await {
        Ok(out) => Ok(out),
        Err(e) => {
            // The first error is the one to report; without a COMMIT nothing is changed.
            let _ = session.execute("roll back", "ROLLBACK").await;
            Err(e.effect("nothing was neutralized; do not start Odoo on this database"))
        }
    }
}

/// Runs the catalogue.
async fn write(session: &mut Session, tables: &Tables, base_url: &str) -> Result<Neutralized> {
    let uuid = random_uuid();
    let fill = |sql: &str| {
        sql.replace("{base_url}", &literal(base_url))
            .replace("{uuid}", &literal(&uuid))
            .replace("{secret}", &literal(&random_uuid()))
    };
    let mut out = Neutralized { database_uuid: uuid.clone(), ..Neutralized::default() };
    for statement in catalogue::statements() {
        match tables.plan(&statement) {
            Err(Unfit::NotHere(reason) | Unfit::NotUnderstood(reason)) => {
                out.skipped.push(Skipped { name: statement.name, reason });
            }
            Ok(all) => {
                let mut rows = 0;
                for sql in all {
                    rows += session.execute(&format!("neutralize {}", statement.name), fill(&sql)).await?;
                }
                out.applied.push(Applied { name: statement.name, why: statement.why, rows });
            }
        }
    }
    Ok(out)
}

/// What is still live in a copy, as sentences; it must be empty before Odoo starts. The queries share
/// nothing with the statements that neutralize.
pub async fn still_live(session: &mut Session) -> Result<Vec<String>> {
    session.execute("begin the check", "BEGIN").await?;
    look::guard(session).await?;
    let tables = Tables::read(session).await?;
    let _quiet = Quiet::begin(session).await?; // policies must not hide rows from the checks
    let (statements, checks) = (catalogue::statements(), catalogue::checks());
    let mut out = tables.not_understood(statements.iter().chain(&checks));
    for check in &checks {
        let Ok(all) = tables.plan(check) else { continue };
        for sql in all {
            let query = sql.trim_end().trim_end_matches(';');
            let limited =
                format!("SELECT what::text FROM ({query}) AS live(what) LIMIT {}", FINDINGS_MAX + 1);
            let rows = session.rows(&format!("check for: {}", check.name), limited).await?;
            for row in rows.iter().take(FINDINGS_MAX) {
                let what: Option<String> = column(row, 0)?;
                out.push(format!("{}: {}; {}", check.name, what.unwrap_or_default(), check.why));
            }
            if rows.len() > FINDINGS_MAX {
                out.push(format!("{}: more than {FINDINGS_MAX}", check.name));
            }
        }
    }
    session.execute("end the check", "ROLLBACK").await?;
    Ok(out)
}

/// What the catalogue does not know and a person should look at: credentials and addresses of other modules,
/// key files, code that may call out. It changes nothing.
///
/// # Errors
/// `Postgres`.
pub async fn unknown(session: &mut Session) -> Result<Unknowns> {
    session.execute("begin the search", "BEGIN").await?;
    look::guard(session).await?;
    let tables = Tables::read(session).await?;
    let _quiet = Quiet::begin(session).await?; // policies must not hide rows
    let modules = Modules::read(session, &tables, &secrets::any_word()).await?;
    let mut all = secrets::columns(session, &tables, &modules).await?;
    all.extend(secrets::properties(session, &tables, &modules).await?);
    all.extend(secrets::parameters(session, &tables, &modules).await?);
    all.extend(secrets::files(session, &tables, &modules).await?);
    all.extend(code::actions(session, &tables, &modules).await?);
    all.extend(secrets::of_others(&tables, &modules, &all));
    session.execute("end the search", "ROLLBACK").await?;
    Ok(Unknowns::of(all))
}

/// A random UUID, version 4 (RFC 9562).
fn random_uuid() -> String {
    let hex = random_hex(16);
    let variant = match hex.as_bytes()[16] {
        b'0' | b'4' | b'8' | b'c' => '8',
        b'1' | b'5' | b'9' | b'd' => '9',
        b'2' | b'6' | b'a' | b'e' => 'a',
        _ => 'b',
    };
    format!("{}-{}-4{}-{variant}{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_random_and_of_version_four() {
        let (one, two) = (random_uuid(), random_uuid());
        assert_ne!(one, two);
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!("89ab".contains(one.as_bytes()[19] as char));
    }
}
