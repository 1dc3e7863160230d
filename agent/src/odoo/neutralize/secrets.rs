//! Finds what looks like a credential, or like the address of another system, and is not in the catalogue.
//!
//! A column is judged if the catalogue names it, or if it belongs to a module of Odoo Community: those were
//! read, and what they keep for others is in the catalogue. Every other column with such a name is listed if
//! it is filled. None is emptied: a `key` may be a barcode.

use std::collections::{BTreeMap, HashSet};

use super::catalogue;
use super::modules::{Modules, Origin, TABLE};
use super::tables::Tables;
use super::unknown::{Unknown, UnknownKind};
use crate::error::Result;
use crate::postgres::quote::{ident, literal};
use crate::postgres::session::{Session, column};

/// Odoo's own credentials for itself: they protect the copy (identity.sql).
const OWN_SECRETS: [&str; 4] = ["res_users", "res_users_apikeys", "auth_totp_device", "ir_config_parameter"];
/// System parameters that look random or like an address and are the copy's own, or lead nowhere.
const OWN_PARAMETERS: [&str; 7] = [
    "database.secret",
    "database.uuid",
    "microsoft_calendar.microsoft_guid",
    "speedscope_cdn",
    "transifex.project_url",
    "web.base.url",
    "website_profile.uuid",
];
/// A column with such a name holds a credential.
const SECRET: &str = "token|secret|passw|passphrase|api_?key|private|credential|bearer|webhook|hmac|server_env_defaults|\
    (^|_)(key|keys|pwd|pass|pin|dsn|salt|auth|login|username)($|_)";
/// With such a name, an address.
const ADDRESS: &str = "endpoint|hostname|(^|_)(url|uri|host|server|domain|address|callback)($|_)";
/// A value that is there, as a condition on `value`.
const FILLED: &str = "value !~ '^(|neutralized(-.*)?|[{]}|[[]]|null|false|.x)$'"; // the last one is an empty bytea
/// An address of another system, as a condition on `value`.
const ELSEWHERE: &str = "value ~* '^[a-z][a-z0-9+.-]*://' \
    AND value !~* '^[a-z0-9+.-]+://([^/]*@)?(localhost|127[.]|[[]::1[]]|[^/:]*[.]invalid)([:/]|$|[0-9])'";
/// A value that looks random, as a condition on `value`.
const RANDOM: &str = "value ~ '^[A-Za-z0-9+/_=.-]{16,}$' AND value ~ '[0-9]' AND value ~ '[A-Za-z]' \
    AND value !~ '^[0-9a-z_]+([.][0-9a-z_]+)+$'";
/// Attachments with such a field hold keys.
const KEY_FILES: &str = "res_field ~* '(private|certificate|pkcs|p12|pem|secret|passw|session_key)' \
    OR (res_model ~* '(certificate|[.]key$)' AND res_field = 'content')";
/// How many columns one sentence names.
const NAMED_MAX: usize = 5;

/// A name that is looked at.
pub(super) fn any_word() -> String {
    format!("{SECRET}|{ADDRESS}")
}

/// Filled columns that look like credentials or addresses.
pub(super) async fn columns(
    session: &mut Session,
    tables: &Tables,
    modules: &Modules,
) -> Result<Vec<Unknown>> {
    let mut out = Vec::new();
    for (table, name, is_secret) in risky(session, tables, modules).await? {
        let (wanted, why) = match is_secret {
            true => (FILLED, "it looks like a credential"),
            false => (ELSEWHERE, "it looks like the address of another system"),
        };
        let sql = format!(
            "SELECT count(*) FROM (SELECT {}::text FROM public.{}) AS it(value) WHERE {wanted}",
            ident(&name),
            ident(&table)
        );
        let rows: i64 = column(&session.row(&format!("look at column {table}.{name}"), sql).await?, 0)?;
        if rows > 0 {
            let (module, origin) = modules.of_column(&table, &name);
            let (rows, why) = (rows.unsigned_abs(), why.into());
            out.push(Unknown {
                kind: UnknownKind::Column,
                name: format!("{table}.{name}"),
                module,
                origin,
                rows,
                why,
            });
        }
    }
    Ok(out)
}

/// Columns with a risky name that nobody has judged: table, column, and whether it sounds like a secret.
async fn risky(
    session: &mut Session,
    tables: &Tables,
    modules: &Modules,
) -> Result<Vec<(String, String, bool)>> {
    let statements = catalogue::statements();
    let each = statements.iter().filter_map(|s| s.each.as_ref());
    let known: HashSet<(&str, &str)> = each
        .flat_map(|(table, columns)| columns.iter().map(move |name| (table.as_str(), name.as_str())))
        .chain(statements.iter().flat_map(|s| &s.needs).map(|(table, name)| (table.as_str(), name.as_str())))
        .collect();
    let unjudged = tables.columns().into_iter().filter(|(table, name)| {
        !known.contains(&(*table, *name))
            && !OWN_SECRETS.contains(table)
            && !is_choice(modules, table, name)
            && modules.of_column(table, name).1 != Origin::Community
    });
    let (of, names): (Vec<_>, Vec<_>) = unjudged.map(|(table, name)| (literal(table), literal(name))).unzip();
    if of.is_empty() {
        return Ok(Vec::new());
    }
    // PostgreSQL judges the names: one grammar for regular expressions.
    let sql = format!(
        "SELECT t, c, c ~* {secret} FROM unnest(ARRAY[{}]::text[], ARRAY[{}]::text[]) AS it(t, c) \
         WHERE c ~* {any} ORDER BY 1, 2",
        of.join(", "),
        names.join(", "),
        secret = literal(SECRET),
        any = literal(&any_word()),
    );
    let rows = session.rows("find risky columns", sql).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?, column(row, 2)?))).collect()
}

/// Whether the column holds one of a few values, or the name of a record.
fn is_choice(modules: &Modules, table: &str, name: &str) -> bool {
    matches!(modules.field_type(table, name), "selection" | "reference" | "many2one_reference")
}

/// Values of company-dependent fields (Odoo 17 and older).
pub(super) async fn properties(
    session: &mut Session,
    tables: &Tables,
    modules: &Modules,
) -> Result<Vec<Unknown>> {
    let has = |table: &str, names: &[&str]| names.iter().all(|name| tables.has(table, name));
    if !has("ir_property", &["name", "value_text", "fields_id"])
        || !has("ir_model_fields", &["id", "model", "name"])
    {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT {TABLE}, f.name::text, count(*) FROM public.ir_property p \
         JOIN public.ir_model_fields f ON f.id = p.fields_id \
         WHERE f.name::text ~* {} AND coalesce(p.value_text::text, '') <> '' GROUP BY 1, 2 ORDER BY 1, 2",
        literal(SECRET)
    );
    let mut out = Vec::new();
    for row in session.rows("look at company-dependent values", sql).await? {
        let (table, name, rows): (String, String, i64) =
            (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
        let (module, origin) = modules.of_column(&table, &name);
        let (kind, rows) = (UnknownKind::Column, rows.unsigned_abs());
        let (name, why) =
            (format!("ir_property.value_text of {table}.{name}"), "it looks like a credential".into());
        out.push(Unknown { kind, name, module, origin, rows, why });
    }
    out.retain(|one| one.origin != Origin::Community);
    Ok(out)
}

/// System parameters that still look random, or lead to another system.
pub(super) async fn parameters(
    session: &mut Session,
    tables: &Tables,
    modules: &Modules,
) -> Result<Vec<Unknown>> {
    let has = |table: &str, names: &[&str]| names.iter().all(|name| tables.has(table, name));
    if !has("ir_config_parameter", &["id", "key", "value"]) {
        return Ok(Vec::new());
    }
    let owners = match has("ir_model_data", &["model", "res_id", "module"]) {
        true => {
            "ARRAY(SELECT d.module::text FROM public.ir_model_data d \
             WHERE d.model::text = 'ir.config_parameter' AND d.res_id = p.id AND d.module IS NOT NULL)"
        }
        false => "ARRAY[]::text[]",
    };
    let sql = format!(
        "SELECT key, {ELSEWHERE}, array_to_string(owners, ' ') \
         FROM (SELECT key::text, value::text, {owners} FROM public.ir_config_parameter p) AS it(key, value, owners) \
         WHERE key NOT IN ({}) AND (({ELSEWHERE}) OR ({RANDOM})) ORDER BY 1",
        OWN_PARAMETERS.map(literal).join(", ")
    );
    let mut out = Vec::new();
    for row in session.rows("look at the system parameters", sql).await? {
        let (name, leads_out, owners): (String, bool, String) =
            (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
        let owners: Vec<String> = owners.split_whitespace().map(str::to_owned).collect();
        let (module, origin) = modules.first(&owners);
        let why = if leads_out {
            "it looks like the address of another system"
        } else {
            "its value looks like a credential"
        };
        out.push(Unknown { kind: UnknownKind::Parameter, name, module, origin, rows: 1, why: why.into() });
    }
    out.retain(|one| one.origin != Origin::Community);
    Ok(out)
}

/// Stored files that look like private keys. They are never emptied: the statements do not touch files.
pub(super) async fn files(session: &mut Session, tables: &Tables, modules: &Modules) -> Result<Vec<Unknown>> {
    if !["res_model", "res_field"].iter().all(|name| tables.has("ir_attachment", name)) {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT res_model::text, res_field::text, count(*) FROM public.ir_attachment \
         WHERE res_model IS NOT NULL AND res_field IS NOT NULL AND ({KEY_FILES}) GROUP BY 1, 2 ORDER BY 1, 2"
    );
    let mut out = Vec::new();
    for row in session.rows("look for key files", sql).await? {
        let (model, field, rows): (String, String, i64) =
            (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
        let (module, origin) = modules.of_column(&model.replace('.', "_"), &field);
        let (kind, name, rows) = (UnknownKind::File, format!("{model}.{field}"), rows.unsigned_abs());
        let why = "they look like keys or certificates".into();
        out.push(Unknown { kind, name, module, origin, rows, why });
    }
    Ok(out)
}

/// Modules of others that have risky columns, filled or not: what they do with them nobody here knows.
pub(super) fn of_others(tables: &Tables, modules: &Modules, found: &[Unknown]) -> Vec<Unknown> {
    let mut all: BTreeMap<(String, Origin), Vec<String>> = BTreeMap::new();
    for (table, name) in tables.columns() {
        if !modules.is_field(table, name) || is_choice(modules, table, name) {
            continue;
        }
        let (Some(module), origin) = modules.of_column(table, name) else { continue };
        if matches!(origin, Origin::Enterprise | Origin::Other) {
            all.entry((module, origin)).or_default().push(format!("{table}.{name}"));
        }
    }
    let module = |((name, origin), columns): ((String, Origin), Vec<String>)| {
        let of_it = found.iter().filter(|one| one.module.as_ref() == Some(&name));
        let rows = of_it.map(|one| one.rows).sum();
        let named = columns.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if columns.len() > NAMED_MAX { ", ..." } else { "" };
        let why = format!(
            "Lifeboat does not know all of it; {} of its columns look like credentials or addresses ({named}{more})",
            columns.len()
        );
        Unknown { kind: UnknownKind::Module, module: Some(name.clone()), name, origin, rows, why }
    };
    all.into_iter().map(module).collect()
}
