//! Finds what looks like a credential but is not in the catalogue; a person should look at it.

use super::{catalogue, tables::Tables};
use crate::error::Result;
use crate::postgres::quote::{ident, literal};
use crate::postgres::session::{Session, column};

/// Odoo's own credentials for itself, which protect the copy (see identity.sql).
const OWN_SECRETS: [&str; 5] =
    ["res_users", "res_users_apikeys", "auth_totp_device", "ir_config_parameter", "auth_totp_wizard"];
/// The same for system parameters.
const OWN_PARAMETERS: [&str; 2] = ["database.secret", "mail.web_push_vapid_public_key"];
/// A shorter value is not a credential.
const SECRET_CHARS_MIN: usize = 8;
const WORDS: [&str; 11] = [
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

/// Columns of other modules, and system parameters, whose name sounds like a credential and that are not
/// empty: `table.column`, or `ir_config_parameter KEY`.
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
        if column(&session.row(&format!("check column {table}.{name}"), sql).await?, 0)? {
            out.push(format!("{table}.{name}"));
        }
    }
    if tables.has("ir_config_parameter", "key") && tables.has("ir_config_parameter", "value") {
        let own = OWN_PARAMETERS.map(literal).join(", ");
        let sql = format!(
            "SELECT key::text FROM public.ir_config_parameter WHERE key::text ~* {} AND key NOT IN ({own}) \
             AND length(value) >= {SECRET_CHARS_MIN} AND value !~ '^[0-9]*$' ORDER BY 1",
            literal(&WORDS.join("|"))
        );
        for row in session.rows("check the system parameters", sql).await? {
            out.push(format!("ir_config_parameter {}", column::<String>(&row, 0)?));
        }
    }
    Ok(out)
}

fn sounds_secret(column: &str) -> bool {
    WORDS.iter().any(|word| column.to_ascii_lowercase().contains(word))
}
