//! Making a restored copy silent before any Odoo process meets it.
//!
//! Statements of our own (`neutralize/*.sql`), not those that Odoo's modules bring along: they
//! work for every version, for modules whose Odoo is not at hand, and clear what Odoo leaves
//! (log-ins of mail servers, queued mail). Where the release's own `odoo-bin neutralize` can be
//! run, run it as well.

pub mod catalogue;

use std::collections::HashMap;

use crate::error::{Error, Kind, Result};
use crate::names::random_hex;
use crate::postgres::quote::{ident, literal};
use crate::postgres::session::{Session, column};
use catalogue::Statement;

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

/// Tables and columns of schema public.
struct Tables(HashMap<String, HashMap<String, Column>>);

struct Column {
    is_text: bool,
    is_bool: bool,
    not_null: bool,
}

impl Tables {
    async fn read(session: &mut Session) -> Result<Tables> {
        let sql = "SELECT c.relname::text, a.attname::text, t.typcategory = 'S', a.attnotnull, t.oid = 'bool'::regtype \
                   FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
                   JOIN pg_type t ON t.oid = a.atttypid \
                   WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace";
        let mut out: HashMap<String, HashMap<String, Column>> = HashMap::new();
        for row in session.rows("list the columns", sql).await? {
            let facts =
                Column { is_text: column(&row, 2)?, not_null: column(&row, 3)?, is_bool: column(&row, 4)? };
            out.entry(column(&row, 0)?).or_default().insert(column(&row, 1)?, facts);
        }
        Ok(Tables(out))
    }

    fn has(&self, table: &str, column: &str) -> bool {
        self.0.get(table).is_some_and(|columns| columns.contains_key(column))
    }

    /// Text columns, sorted.
    fn text_columns(&self) -> Vec<(&String, &String)> {
        let each = self.0.iter().flat_map(|(table, columns)| {
            columns.iter().filter(|(_, facts)| facts.is_text).map(move |(name, _)| (table, name))
        });
        let mut out: Vec<_> = each.collect();
        out.sort_unstable();
        out
    }

    /// The SQL of a statement for this database, or why there is none.
    fn plan(&self, statement: &Statement) -> Result<Vec<String>, String> {
        let mentioned =
            statement.needs.iter().map(|(table, _)| table).chain(statement.each.iter().map(|(t, _)| t));
        for table in mentioned {
            if !self.0.contains_key(table) {
                return Err(format!("there is no table {table}"));
            }
        }
        if let Some((table, column)) = statement.needs.iter().find(|(table, column)| !self.has(table, column))
        {
            return Err(format!("there is no column {table}.{column}"));
        }
        if let Some((table, column)) = statement.lacks.iter().find(|(table, column)| self.has(table, column))
        {
            return Err(format!("there is a column {table}.{column}"));
        }
        let Some((table, columns)) = &statement.each else { return Ok(vec![statement.sql.clone()]) };
        let mut out = Vec::new();
        for name in columns {
            let Some(facts) = self.0.get(table).and_then(|known| known.get(name)) else { continue };
            let fits = match statement.each_type.as_str() {
                "bool" => facts.is_bool,
                "text" => facts.is_text,
                _ => facts.is_text || !facts.not_null, // else it cannot be emptied
            };
            if !fits {
                continue;
            }
            let empty = if facts.not_null && facts.is_text { "''" } else { "NULL" };
            out.push(statement.sql.replace("{column}", &ident(name)).replace("{empty}", empty));
        }
        match out.is_empty() {
            true => Err(format!("table {table} has none of its columns, or of another type")),
            false => Ok(out),
        }
    }
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

    fn tables(columns: &[(&str, &str, bool)]) -> Tables {
        let mut out: HashMap<String, HashMap<String, Column>> = HashMap::new();
        for (table, column, not_null) in columns {
            let facts = Column { is_text: true, is_bool: false, not_null: *not_null };
            out.entry((*table).into()).or_default().insert((*column).into(), facts);
        }
        Tables(out)
    }

    #[test]
    fn a_statement_runs_only_where_its_columns_are() {
        let statement = Statement {
            needs: vec![("a".into(), "x".into())],
            lacks: vec![("a".into(), "new".into())],
            sql: "UPDATE a SET x = 1;".into(),
            ..Statement::default()
        };
        assert_eq!(tables(&[]).plan(&statement), Err("there is no table a".into()));
        assert_eq!(tables(&[("a", "y", false)]).plan(&statement), Err("there is no column a.x".into()));
        assert!(tables(&[("a", "x", false), ("a", "new", false)]).plan(&statement).is_err());
        assert_eq!(tables(&[("a", "x", false)]).plan(&statement), Ok(vec!["UPDATE a SET x = 1;".into()]));
    }

    #[test]
    fn keys_are_cleared_as_their_column_allows() {
        let statement = Statement {
            each: Some(("a".into(), vec!["user".into(), "Key".into(), "absent".into()])),
            sql: "UPDATE a SET {column} = {empty};".into(),
            ..Statement::default()
        };
        let planned = tables(&[("a", "user", true), ("a", "Key", false)]).plan(&statement).unwrap();
        assert_eq!(planned, ["UPDATE a SET \"user\" = '';", "UPDATE a SET \"Key\" = NULL;"]);
        assert!(tables(&[("a", "other", false)]).plan(&statement).is_err());
    }

    #[test]
    fn uuids_are_random_and_of_version_four() {
        let (one, two) = (random_uuid(), random_uuid());
        assert_ne!(one, two);
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!("89ab".contains(one.as_bytes()[19] as char));
    }
}
