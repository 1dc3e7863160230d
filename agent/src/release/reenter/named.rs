//! Rows that a document names: by their `id` at the point if the key agrees, else by the key.

use serde_json::{Value, json};

use super::exported::{Link, Row};
use super::ground::{Ground, Named};
use super::kind::Kind;
use super::stop::Stop;
use crate::release::salvage::kinds::KEYS;

/// A column of the key that is not a field in Odoo's sense: its value depends on the company.
const NO_FIELD: &str = "code_store";
/// The longest key in a reason, in characters.
const KEY_CHARS_MAX: usize = 120;

/// The row that a column names; `None` if it names nothing.
///
/// # Errors
/// `Refused` if it does not exist in the tenant, or several have its key.
pub async fn named(ground: &mut Ground, row: &Row, column: &str) -> Result<Option<Named>, Stop> {
    if !row.has(column) {
        return Ok(None);
    }
    match row.links.get(column) {
        None => Stop::refused(format!("column {column} names a row without a key")),
        Some(link) => of_link(ground, link).await.map(Some),
    }
}

/// [`named`] of a column that must name something.
///
/// # Errors
/// As [`named`]; `Refused` if it names nothing.
pub async fn needed(ground: &mut Ground, row: &Row, column: &str) -> Result<Named, Stop> {
    match named(ground, row, column).await? {
        Some(named) => Ok(named),
        None => Stop::refused(format!("it has no {column}")),
    }
}

/// [`named`] of a link.
///
/// # Errors
/// As [`named`].
pub async fn of_link(ground: &mut Ground, link: &Link) -> Result<Named, Stop> {
    let at = (link.table.clone(), link.id);
    if let Some(kind) = Kind::of_table(&link.table)
        && ground.is_entered(kind, link.id)
    {
        return Ok(Named::Entered(kind, link.id));
    }
    if let Some(known) = ground.known.get(&at) {
        return known.clone().map(Named::At).map_err(Stop::Refused);
    }
    let found = match search(ground, link).await {
        Ok(id) => Ok(id),
        Err(Stop::Refused(why)) => Err(why),
        Err(other) => return Err(other),
    };
    ground.known.insert(at, found.clone());
    found.map(Named::At).map_err(Stop::Refused)
}

async fn search(ground: &mut Ground, link: &Link) -> Result<i64, Stop> {
    let Some((table, columns)) = KEYS.iter().find(|(table, _)| *table == link.table) else {
        return Stop::refused(format!("documents do not name rows of table {:?}", link.table));
    };
    let model = table.replace('_', ".");
    let has = ground.target.fields(&model).await?.clone();
    if has.is_empty() {
        return Stop::refused(format!("the user may not read {model}"));
    }
    // a product has the name of its template
    let of_product = ["default_code", "barcode", "name"];
    let columns: &[&str] = if model == "product.product" { &of_product } else { columns };
    let key: Vec<(&str, &str)> = columns
        .iter()
        .filter(|column| **column != NO_FIELD && has.contains(**column))
        .filter_map(|column| Some((*column, link.key.get(*column)?.as_str())))
        .collect();
    let fields: Vec<&str> = key.iter().map(|(column, _)| *column).collect();
    if link.at_point != Some(false) {
        let rows = ground.target.find(&model, json!([["id", "=", link.id]]), &fields, 1).await?;
        let agrees = |row: &serde_json::Map<String, Value>| {
            key.iter().all(|(column, text)| row.get(*column).is_some_and(|value| is(value, text)))
        };
        if rows.first().is_some_and(|row| link.at_point == Some(true) && agrees(row)) {
            return Ok(link.id);
        }
    }
    let called = called(&model, link);
    if key.is_empty() {
        return Stop::refused(format!("{called} has no key by which it can be found"));
    }
    let domain: Vec<Value> = key.iter().map(|(column, text)| json!([column, "=", text])).collect();
    let rows = ground.target.find(&model, Value::Array(domain), &["id"], 2).await?;
    match (rows.len(), rows.first().and_then(|row| row.get("id")?.as_i64())) {
        (1, Some(id)) => Ok(id),
        (0, _) => Stop::refused(format!("{called} does not exist in the tenant: create it first")),
        _ => Stop::refused(format!("several rows of the tenant have the key of {called}")),
    }
}

/// Whether a value of Odoo is this text; an empty one is `false`.
fn is(value: &Value, text: &str) -> bool {
    match value {
        Value::String(value) => value.trim() == text.trim(),
        Value::Bool(false) => text.is_empty(),
        Value::Array(pair) => pair.get(1).and_then(Value::as_str) == Some(text),
        _ => false,
    }
}

/// What a row is called in a reason.
fn called(model: &str, link: &Link) -> String {
    let key: Vec<String> = link.key.iter().map(|(name, text)| format!("{name} {text:?}")).collect();
    let key = key.join(", ");
    let cut = match key.char_indices().nth(KEY_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &key[..at]),
        None => key,
    };
    format!("{model} {} ({cut})", link.id)
}
