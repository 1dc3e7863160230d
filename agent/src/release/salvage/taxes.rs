//! The taxes of lines: a relation of many to many, without an `id` of its own.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::postgres::copy_out::Row;
use crate::postgres::table::{Table, Type};
use crate::release::salvage::found::NewDocument;
use crate::release::salvage::kinds::Kind;
use crate::release::salvage::side::Side;

/// The table of taxes.
pub const TABLE: &str = "account_tax";

/// The taxes of the lines of these documents, by the `id` of the line, sorted; there are none without the
/// relation's table.
///
/// # Errors
/// As [`Table::find`] and [`Table::each`].
pub async fn taxes_of(from: &Side<'_>, kind: &Kind, new: &[NewDocument]) -> Result<HashMap<i64, Vec<i64>>> {
    let mut found: HashMap<i64, Vec<i64>> = HashMap::new();
    let Some(taxes) = &kind.taxes else { return Ok(found) };
    let Some(at) = kind.lines.iter().position(|part| part.table == taxes.lines) else { return Ok(found) };
    let lines = new.iter().filter_map(|one| one.lines.get(at)).flatten();
    let lines: HashSet<i64> = lines.map(|row| row.id).collect();
    let each = |row: &Row<'_>| {
        if let (Some(line), Some(tax)) = (row.int(0).filter(|line| lines.contains(line)), row.int(1)) {
            found.entry(line).or_default().push(tax);
        }
        Ok(())
    };
    let columns = [(taxes.line, Type::Int), (taxes.tax, Type::Int)];
    from.part(async |session| match Table::find(session, taxes.relation).await? {
        Some(table) if !lines.is_empty() => table.each(session, &columns, each).await,
        _ => Ok(()),
    })
    .await?;
    found.values_mut().for_each(|taxes| taxes.sort_unstable());
    Ok(found)
}
