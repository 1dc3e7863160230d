//! Whether a database is the one that was exported.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::ground::Ground;
use super::read::Export;
use super::stop::Stop;
use crate::error::{Error, Kind as Cause, Result};

/// How many rows are asked for at once.
const ROWS: usize = 500;

/// Refuses the source, by its name or by what is in it: it has the documents of the export, with their
/// numbers and the seconds in which they were made. What was entered again has a later one.
///
/// # Errors
/// `Refused` if it is the source; `Unreachable` if Odoo does not answer.
pub async fn check(export: &Export, ground: &mut Ground) -> Result<()> {
    let name = ground.target.client().database().to_owned();
    if export.head.from != export.head.tenant && name == export.head.from.as_str() {
        return Err(refused(&name, format!("summary.json names it: {name}")));
    }
    for (kind, documents) in &export.documents {
        let made: HashMap<i64, String> =
            documents.iter().filter_map(|one| Some((one.row.id, one.row.time("create_date")?))).collect();
        for some in documents.chunks(ROWS) {
            let ids: Vec<i64> = some.iter().map(|one| one.row.id).collect();
            let domain = json!([["id", "in", ids]]);
            let rows =
                match ground.target.find(kind.model(), domain, &["id", "create_date"], ROWS as u32).await {
                    Ok(rows) => rows,
                    // a kind that the user may not read cannot be entered either
                    Err(Stop::Refused(_) | Stop::LeftOut(_)) => continue,
                    Err(Stop::Broken(error)) => return Err(error.effect("nothing was entered")),
                };
            for row in rows {
                let id = row.get("id").and_then(Value::as_i64).unwrap_or_default();
                if made.get(&id).map(String::as_str) == row.get("create_date").and_then(Value::as_str) {
                    return Err(refused(&name, format!("it has {} {id} of the export", kind.word())));
                }
            }
        }
    }
    Ok(())
}

fn refused(database: &str, why: String) -> Error {
    Error::new(Cause::Refused, format!("database {database} is the one that was exported"))
        .because(why)
        .effect("nothing was entered: these documents would be in it twice")
        .next("name the database of the tenant that went back: --database")
}
