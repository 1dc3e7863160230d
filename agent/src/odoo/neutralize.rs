//! Making a restored copy silent before any Odoo process meets it.
//!
//! Statements of our own (`neutralize/*.sql`), not those that Odoo's modules bring along: they
//! work for every version, for modules whose Odoo is not at hand, and clear what Odoo leaves
//! (log-ins of mail servers, queued mail). Where the release's own `odoo-bin neutralize` can be
//! run, run it as well.
//!
//! It runs with the rights of the copy's owner and no more, without any of his triggers or rules
//! (`neutralize/quiet.rs`); what the database itself reaches is closed first ([`crate::odoo::outside`]). What is
//! no table where one is expected is named, and counts as live.

pub mod catalogue;
mod quiet;
mod secrets;
mod tables;

use crate::error::{Error, Kind, Result};
use crate::names::random_hex;
use crate::odoo::outside;
use crate::postgres::look;
use crate::postgres::quote::literal;
use crate::postgres::session::{Session, column};
use quiet::Quiet;
pub use secrets::unknown_secrets;
use tables::{Tables, Unfit};

/// Texts that one check gives at most.
const FINDINGS_MAX: usize = 20;

/// What was done to a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neutralized {
    /// Statements that were run, in order.
    pub applied: Vec<Applied>,
    /// Statements that do not concern this database, and why.
    pub skipped: Vec<Skipped>,
    /// The copy's new `database.uuid`.
    pub database_uuid: String,
    /// What the copy still reaches, or could not be closed: for a person to know.
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

/// Where the copy will be reached, when nobody says.
pub const BASE_URL: &str = "http://localhost:8069";

/// Runs the catalogue in one transaction: afterwards the copy is neutralized, or (on an error)
/// unchanged. Running it again is safe and gives the copy another identity.
///
/// # Errors
/// `Postgres` naming the statement that failed; also where the database is not Odoo's.
pub async fn neutralize(session: &mut Session, base_url: &str) -> Result<Neutralized> {
    let done = async {
        session.execute("begin to neutralize", "BEGIN").await?;
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
            why: "the copy would reach another system".into(),
            rows: 0,
        }));
        out.warnings = sealed.open;
        out.warnings.extend(
            outside::reaches(session)
                .await?
                .into_iter()
                .map(|what| format!("the copy reaches outside: {what}")),
        );
        session.execute("finish to neutralize", "COMMIT").await?;
        Ok(out)
    };
    match done.await {
        Ok(out) => Ok(out),
        Err(e) => {
            // The first error is the one to tell; without a COMMIT nothing stays.
            let _ = session.execute("roll back", "ROLLBACK").await;
            Err(e.effect("nothing was neutralized; no Odoo may be started on this database"))
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

/// What is still live in a copy, as sentences; empty is what it must be before Odoo starts. The
/// queries share nothing with the statements that did the work.
pub async fn still_live(session: &mut Session) -> Result<Vec<String>> {
    session.execute("begin to check", "BEGIN").await?;
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
