//! Making a restored copy silent before any Odoo process meets it.
//!
//! Statements of our own (`neutralize/*.sql`), not those that Odoo's modules bring along: they
//! work for every version, for modules whose Odoo is not at hand, and clear what Odoo leaves
//! (log-ins of mail servers, queued mail). Where the release's own `odoo-bin neutralize` can be
//! run, run it as well.

pub mod catalogue;
mod tables;

use crate::error::{Error, Kind, Result};
use crate::names::random_hex;
use crate::postgres::quote::{ident, literal};
use crate::postgres::session::{Session, column};
use tables::Tables;

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
    let tables = Tables::read(session).await?;
    if !tables.has("ir_config_parameter", "key") {
        return Err(Error::new(
            Kind::Postgres,
            format!("there is no table ir_config_parameter in {}", session.place()),
        )
        .effect("it was not neutralized; no Odoo may be started on it"));
    }
    let uuid = random_uuid();
    let fill = |sql: &str| {
        sql.replace("{base_url}", &literal(base_url))
            .replace("{uuid}", &literal(&uuid))
            .replace("{secret}", &literal(&random_uuid()))
    };
    let mut out = Neutralized { database_uuid: uuid.clone(), ..Neutralized::default() };
    session.execute("begin to neutralize", "BEGIN").await?;
    for statement in catalogue::statements() {
        match tables.plan(&statement) {
            Err(reason) => out.skipped.push(Skipped { name: statement.name, reason }),
            Ok(all) => {
                let mut rows = 0;
                for sql in all {
                    let what = format!("neutralize {}", statement.name);
                    rows += match session.execute(&what, fill(&sql)).await {
                        Ok(rows) => rows,
                        Err(e) => {
                            // The first error is the one to tell; without a COMMIT nothing stays.
                            let _ = session.execute("roll back", "ROLLBACK").await;
                            return Err(
                                e.effect("nothing was neutralized; no Odoo may be started on this database")
                            );
                        }
                    };
                }
                out.applied.push(Applied { name: statement.name, why: statement.why, rows });
            }
        }
    }
    session.execute("finish to neutralize", "COMMIT").await?;
    Ok(out)
}

/// What is still live in a copy, as sentences; empty is what it must be before Odoo starts. The
/// queries share nothing with the statements that did the work.
pub async fn still_live(session: &mut Session) -> Result<Vec<String>> {
    let tables = Tables::read(session).await?;
    let mut out = Vec::new();
    for check in catalogue::checks() {
        let Ok(all) = tables.plan(&check) else { continue };
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
    Ok(out)
}

/// Columns of other modules that sound like credentials and hold something, as
/// `table.column`: nothing in the catalogue knows them, and a person should look.
pub async fn unknown_secrets(session: &mut Session) -> Result<Vec<String>> {
    let tables = Tables::read(session).await?;
    let mut out = Vec::new();
    let statements = catalogue::statements();
    for (table, name) in tables.text_columns() {
        let handled =
            statements.iter().filter_map(|s| s.each.as_ref()).any(|(t, c)| t == table && c.contains(name));
        if handled || !sounds_secret(name) || OWN_SECRETS.iter().any(|own| *own == table) {
            continue;
        }
        let (quoted, place) = (ident(name), ident(table));
        let sql = format!(
            "SELECT EXISTS (SELECT FROM public.{place} WHERE coalesce({quoted}, '') NOT IN ('', 'neutralized') \
             AND {quoted} NOT LIKE 'neutralized-%')"
        );
        if column(&session.row(&format!("look at {table}.{name}"), sql).await?, 0)? {
            out.push(format!("{table}.{name}"));
        }
    }
    Ok(out)
}

/// Odoo's own credentials for itself, which protect the copy (see identity.sql).
const OWN_SECRETS: [&str; 5] =
    ["res_users", "res_users_apikeys", "auth_totp_device", "ir_config_parameter", "auth_totp_wizard"];

fn sounds_secret(column: &str) -> bool {
    let words = [
        "password",
        "passwd",
        "secret",
        "api_key",
        "apikey",
        "private_key",
        "client_key",
        "auth_token",
        "bearer",
        "credential",
        "refresh_token",
    ];
    words.iter().any(|word| column.to_ascii_lowercase().contains(word))
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
