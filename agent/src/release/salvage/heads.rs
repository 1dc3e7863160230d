//! The documents themselves: which of them only one database has, and which differ.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Kind as Cause, Result};
use crate::postgres::copy_out::Row;
use crate::release::salvage::index::{Index, digest};
use crate::release::salvage::kept::{Budget, Kept, LISTED_MAX};
use crate::release::salvage::kinds::Kind;
use crate::release::salvage::shape::Shape;
use crate::release::salvage::sides::{Sides, document, in_copy, split};

/// What was found of them.
pub struct Heads {
    /// Those that only production has.
    pub new: Vec<Kept>,
    /// Their numbers.
    pub ids: HashSet<i64>,
    /// Those that both have and that differ, as they are in production.
    pub changed: HashMap<i64, Kept>,
    /// Those that only the copy has.
    pub gone: HashSet<i64>,
    /// How many more differ.
    pub unlisted: u64,
    /// New rows that are no documents.
    pub others: u64,
    /// Documents of the copy that were made after the point.
    pub late: u64,
}

/// Reads both tables.
///
/// # Errors
/// `Refused` where there are more rows than fit; as [`crate::postgres::table::Table::each`].
pub async fn heads(kind: &Kind, shape: &Shape, sides: Sides<'_>, budget: &mut Budget) -> Result<Heads> {
    let Some(from) = &shape.from else {
        return Err(Error::new(Cause::Internal, format!("table {} is missing", shape.table)));
    };
    let split = split(shape.table);
    let mut late = 0;
    let mut index = match &shape.against {
        None => Index::default(),
        Some(table) => {
            let (at, created) = (in_copy(shape, split), in_copy(shape, Some("create_date")));
            let belongs = |row: &Row<'_>| {
                let word = at.and_then(|at| row.bytes(at)).unwrap_or_default();
                let is_one = document(shape.table, word).is_some();
                let is_late =
                    created.and_then(|at| row.time(at)).is_some_and(|created| created > sides.point);
                late += u64::from(is_one && is_late);
                i64::from(is_one)
            };
            Index::read(sides.against, table, shape, belongs).await?
        }
    };
    let mut out = Heads {
        new: Vec::new(),
        ids: HashSet::new(),
        changed: HashMap::new(),
        gone: HashSet::new(),
        unlisted: 0,
        others: 0,
        late,
    };
    let (all, places, common) = (shape.all(), (0..shape.columns.len()).collect::<Vec<_>>(), shape.common());
    let (id, at) = (shape.at("id").unwrap_or_default(), split.and_then(|name| shape.at(name)));
    let mut differing = Budget::of_differing();
    let each = |row: &Row<'_>| {
        let Some(number) = row.int(id) else { return Ok(()) };
        let is_one = document(shape.table, at.and_then(|at| row.bytes(at)).unwrap_or_default()).is_some();
        match index.see(number) {
            None if is_one => {
                out.new.push(budget.keep(shape, (number, 0), row, &places)?);
                out.ids.insert(number);
            }
            None => out.others += u64::from(kind.head.others.is_some()),
            Some((known, _)) if !is_one || known == digest(row, common.iter().copied()) => {}
            Some(_) if out.changed.len() >= LISTED_MAX => out.unlisted += 1,
            Some(_) => match differing.keep(shape, (number, 0), row, &places) {
                Ok(row) => drop(out.changed.insert(number, row)),
                Err(_) => out.unlisted += 1,
            },
        }
        Ok(())
    };
    sides.from.part(async |session| from.each(session, &all, each).await).await?;
    for (id, _) in index.unseen().filter(|(_, belongs)| *belongs == 1) {
        if out.gone.len() < LISTED_MAX {
            out.gone.insert(id);
        } else {
            out.unlisted += 1;
        }
    }
    Ok(out)
}
