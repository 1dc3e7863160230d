//! Partners: the customers and vendors that new documents name.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::exported::Exported;
use super::finished::Finished;
use super::ground::Ground;
use super::kind::Kind;
use super::sheet::{Cells, Sheet};
use super::stop::Stop;

const MODEL: &str = "res.partner";
const TEXTS: [&str; 16] = [
    "name",
    "email",
    "phone",
    "mobile",
    "street",
    "street2",
    "zip",
    "city",
    "vat",
    "ref",
    "is_company",
    "type",
    "function",
    "website",
    "comment",
    "company_registry",
];
const NAMED: [&str; 4] = ["parent_id", "country_id", "state_id", "company_id"];
/// What makes a partner recognizable, beside its name.
const KEY: [&str; 3] = ["ref", "vat", "email"];
/// How far a partner's own partner is followed.
const DEPTH_MAX: usize = 10;

/// With each partner after the one it belongs to.
pub fn ordered(mut all: Vec<Exported>) -> Vec<Exported> {
    let parent: HashMap<i64, Option<i64>> =
        all.iter().map(|one| (one.row.id, one.row.int("parent_id"))).collect();
    let depth = |id: i64| {
        let parents = std::iter::successors(Some(id), |id| parent.get(id).copied().flatten());
        parents.take(DEPTH_MAX).filter(|id| parent.contains_key(id)).count()
    };
    all.sort_by_key(|one| (depth(one.row.id), one.row.id));
    all
}

/// The partner in the tenant: the one with the mark, else the only one with the same name and the same
/// reference, VAT number or mail address, whom a person may have entered.
pub async fn found(document: &Exported, ground: &mut Ground) -> Result<Option<i64>, Stop> {
    let mark = ground.marks.name(Kind::Partner.table(), document.row.id);
    if let Some(id) = ground.target.marked(MODEL, &mark).await? {
        return Ok(Some(id));
    }
    let key: Vec<(&str, String)> =
        KEY.iter().filter_map(|name| Some((*name, document.row.text(name)?))).collect();
    let Some(name) = document.row.text("name").filter(|_| !key.is_empty()) else { return Ok(None) };
    let mut domain = vec![json!(["name", "=", name])];
    domain.extend(key.iter().map(|(name, text)| json!([name, "=", text])));
    let rows = ground.target.find(MODEL, Value::Array(domain), &["id"], 2).await?;
    Ok(match rows.as_slice() {
        [one] => one.get("id").and_then(Value::as_i64),
        _ => None,
    })
}

/// The record.
pub async fn draft(document: &Exported, ground: &mut Ground) -> Result<Sheet, Stop> {
    ground.target.field(MODEL, &["name"]).await?;
    let has = ground.target.fields(MODEL).await?.clone();
    let mut head = Cells::default();
    head.text("id", Some(ground.marks.external_id(Kind::Partner.table(), document.row.id)));
    head.texts(&document.row, &TEXTS, &has);
    head.named(ground, &document.row, &NAMED, &has).await?;
    Ok(Sheet { model: MODEL, head, lines_in: "child_ids", lines: Vec::new() })
}

/// Compares it.
pub async fn finish(document: &Exported, id: i64, ground: &mut Ground) -> Result<Finished, Stop> {
    let row = ground.target.row(MODEL, id, &["name", "email", "vat", "ref"]).await?;
    let mut done = Finished::of(&row);
    for field in ["name", "email", "vat", "ref"] {
        let new = row.get(field).and_then(Value::as_str).unwrap_or_default();
        let old = document.row.text(field).unwrap_or_default();
        if !old.is_empty() || !new.is_empty() {
            done.text(field, old.trim(), new.trim());
        }
    }
    Ok(done)
}
