//! Writes what was found to a new directory: for each kind one file of JSON lines and one CSV file, then what
//! changed, a README, and at last `summary.json`. A directory without `summary.json` is not complete.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::postgres::table::Type;
use crate::release::salvage::attached;
use crate::release::salvage::changes::changed;
use crate::release::salvage::csv;
use crate::release::salvage::found::{Found, NewDocument, Paid, Salvage};
use crate::release::salvage::kept::Kept;
use crate::release::salvage::keys::{Keys, target};
use crate::release::salvage::kinds::PAYMENTS;
use crate::release::salvage::out::{Out, not_json};
use crate::release::salvage::readme;
use crate::release::salvage::shape::Shape;
use crate::release::salvage::taxes::TABLE as TAXES;
use crate::release::salvage::value;

const DIR_MODE: u32 = 0o700;

/// Refuses a directory that exists, before anything is compared.
///
/// # Errors
/// `AlreadyExists`; `NotFound` if the directory around it does not exist.
pub fn check_new(dir: &Path) -> Result<()> {
    let nothing = "nothing was compared and nothing was written";
    if disk::metadata(dir)?.is_some() {
        return Err(Error::new(Kind::AlreadyExists, format!("{} exists", dir.display()))
            .effect(nothing)
            .next("name a new directory: --to; one without summary.json is of a run that was killed, and may go"));
    }
    match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) if !disk::is_dir(parent) => {
            Err(Error::new(Kind::NotFound, format!("{} is not a directory", parent.display()))
                .effect(nothing)
                .next("name a new directory in one that exists: --to"))
        }
        _ => Ok(()),
    }
}

/// Writes all of it. After an error the directory is gone again.
///
/// # Errors
/// `AlreadyExists`; those of the disk.
pub fn write(salvage: &Salvage, dir: &Path) -> Result<()> {
    disk::create_new_dir(dir, DIR_MODE)?;
    let done = files(salvage, dir);
    if done.is_err() {
        let _ = disk::remove_tree(dir); // it is ours, and half of it would look complete
    }
    done
}

fn files(salvage: &Salvage, dir: &Path) -> Result<()> {
    for found in &salvage.found {
        let mut out = Out::new(dir, &format!("{}.jsonl", found.name))?;
        for document in &found.new {
            out.json(&document_json(found, document, &salvage.keys))?;
        }
        out.finish()?;
        table(found, &salvage.keys, Out::new(dir, &format!("{}.csv", found.name))?)?;
    }
    changed(salvage, dir)?;
    attached::copy(salvage, dir)?;
    let mut out = Out::new(dir, "README.txt")?;
    out.text(&readme::text(&salvage.summary))?;
    out.finish()?;
    let mut out = Out::new(dir, "summary.json")?;
    let summary = serde_json::to_string_pretty(&salvage.summary).map_err(not_json)?;
    out.text(&(summary + "\n"))?;
    out.finish()?;
    disk::sync_parent(&dir.join("summary.json"))
}

/// The fields of a row, and the keys of the rows that it names.
fn row_json(shape: &Shape, row: &Kept, keys: &Keys) -> (Value, Value) {
    let (mut values, mut links) = (Map::new(), Map::new());
    for (at, column) in shape.columns.iter().enumerate() {
        let Some(bytes) = row.field(Some(at)) else {
            values.insert(column.name.clone(), Value::Null);
            continue;
        };
        values.insert(column.name.clone(), value::json(column.kind, bytes));
        if let Some(key) = key_of(column.kind, &column.name, bytes, keys) {
            links.insert(column.name.clone(), key);
        }
    }
    (values.into(), links.into())
}

fn key_of(kind: Type, column: &str, bytes: &[u8], keys: &Keys) -> Option<Value> {
    let table = target(column).filter(|_| kind == Type::Int)?;
    Some(named(table, value::int(bytes), keys))
}

/// A row that is named, with its key.
fn named(table: &str, id: i64, keys: &Keys) -> Value {
    let (at_point, key) = match keys.get(table, id) {
        Some(key) => (key.at_point, key.key.clone()),
        None => (None, BTreeMap::new()),
    };
    json!({ "table": table, "id": id, "at_point": at_point, "key": key })
}

/// The taxes of a line, where it has a relation to taxes.
fn taxes_of<'f>(found: &'f Found, shape: &Shape, row: &Kept) -> Option<&'f [i64]> {
    let (_, taxes) = found.taxes.as_ref().filter(|(table, _)| *table == shape.table)?;
    Some(taxes.get(&row.id).map_or(&[], Vec::as_slice))
}

fn document_json(found: &Found, one: &NewDocument, keys: &Keys) -> Value {
    let (values, links) = row_json(&found.shapes[0], &one.row, keys);
    let mut lines = Map::new();
    for (shape, rows) in found.shapes[1..].iter().zip(&one.lines) {
        let rows = rows.iter().map(|row| {
            let (values, links) = row_json(shape, row, keys);
            let mut line = json!({ "id": row.id, "values": values, "links": links });
            if let Some(taxes) = taxes_of(found, shape, row) {
                line["taxes"] = taxes.iter().map(|tax| named(TAXES, *tax, keys)).collect();
            }
            line
        });
        lines.insert(shape.table.to_owned(), rows.collect());
    }
    let mut out = json!({
        "kind": found.name,
        "document": one.document,
        "id": one.row.id,
        "name": one.name,
        "total": one.amount.as_ref().map(|(amount, currency)| json!({ "amount": amount, "currency": currency })),
        "values": values,
        "links": links,
        "lines": lines,
    });
    if found.name == PAYMENTS {
        out["paid"] = json!(paid_by(found, one));
    }
    out
}

/// The invoices that a payment paid; `None` if that is not known.
fn paid_by<'f>(found: &'f Found, one: &NewDocument) -> Option<&'f [Paid]> {
    let all = found.paid.as_ref()?;
    Some(all.get(&one.row.id).map_or(&[], Vec::as_slice))
}

fn paid_text(paid: &[Paid]) -> String {
    let one = |one: &Paid| match (&one.amount, &one.currency) {
        (Some(amount), Some(currency)) => format!("{} ({amount} {currency})", one.name),
        _ => one.name.clone(),
    };
    paid.iter().map(one).collect::<Vec<_>>().join(" | ")
}

/// One row for each document, and one for each row that belongs to it, with the columns of all its tables.
fn table(found: &Found, keys: &Keys, mut out: Out<'_>) -> Result<()> {
    let names: BTreeSet<&str> = found
        .shapes
        .iter()
        .flat_map(|shape| shape.columns.iter().map(|column| column.name.as_str()))
        .filter(|name| *name != "id")
        .collect();
    let mut head: Vec<String> = ["table", "document_id", "document", "id"].map(str::to_owned).to_vec();
    for name in &names {
        head.push((*name).to_owned());
        head.extend(target(name).map(|_| format!("{name}.key")));
    }
    head.extend(found.taxes.as_ref().map(|_| "taxes.key".to_owned()));
    let has_paid = found.name == PAYMENTS;
    head.extend(has_paid.then(|| "paid".to_owned()));
    let mut text = String::new();
    csv::row(&mut text, head.iter().map(|name| (name.as_str(), false)));
    out.text(&text)?;
    let places: Vec<Vec<Option<usize>>> =
        found.shapes.iter().map(|shape| names.iter().map(|name| shape.at(name)).collect()).collect();
    for one in &found.new {
        let lines = found.shapes[1..].iter().zip(&one.lines).zip(&places[1..]);
        let lines =
            lines.flat_map(|((shape, rows), places)| rows.iter().map(move |row| (shape, row, places)));
        for (shape, row, places) in std::iter::once((&found.shapes[0], &one.row, &places[0])).chain(lines) {
            let mut cells = vec![
                (shape.table.to_owned(), false),
                (one.row.id.to_string(), true),
                (one.name.clone(), false),
                (row.id.to_string(), true),
            ];
            for (name, place) in names.iter().zip(places) {
                cells.extend(cell(shape, row, name, *place, keys));
            }
            if found.taxes.is_some() {
                let taxes = taxes_of(found, shape, row).unwrap_or_default().iter();
                let taxes = taxes.map(|tax| key_text(TAXES, *tax, keys));
                cells.push((taxes.collect::<Vec<_>>().join(" | "), false));
            }
            if has_paid {
                let paid = paid_by(found, one).filter(|_| shape.table == found.shapes[0].table);
                cells.push((paid_text(paid.unwrap_or_default()), false));
            }
            text.clear();
            csv::row(&mut text, cells.iter().map(|(cell, is_number)| (cell.as_str(), *is_number)));
            out.text(&text)?;
        }
    }
    out.finish()
}

/// The cell of a column, and that of its key where it names another row.
fn cell(shape: &Shape, row: &Kept, name: &str, place: Option<usize>, keys: &Keys) -> Vec<(String, bool)> {
    let field = place.and_then(|at| Some((shape.columns[at].kind, row.field(Some(at))?)));
    let own = field
        .map_or((String::new(), false), |(kind, bytes)| (value::text(kind, bytes), value::is_number(kind)));
    let Some(table) = target(name) else { return vec![own] };
    let key = field.map(|(_, bytes)| key_text(table, value::int(bytes), keys));
    vec![own, (key.unwrap_or_default(), false)]
}

/// The key of a row in a cell.
fn key_text(table: &str, id: i64, keys: &Keys) -> String {
    let parts = keys.get(table, id).into_iter().flat_map(|key| &key.key);
    parts.map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>().join("; ")
}
