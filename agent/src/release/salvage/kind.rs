//! Compares one kind of documents. First the documents themselves, then the rows that belong to them, then
//! once more what differs: which columns, and what the documents are called.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::error::{Error, Kind as Cause, Result};
use crate::postgres::table::Type;
use crate::release::salvage::differences::differences;
use crate::release::salvage::found::{Change, ChangedRow, LinesDiffer};
use crate::release::salvage::heads::{Heads, heads};
use crate::release::salvage::kept::{Budget, Kept, fetch};
use crate::release::salvage::kinds::{Kind, Part};
use crate::release::salvage::lines::{Lines, lines_of};
use crate::release::salvage::shape::{Column, Shape};
use crate::release::salvage::sides::{NAMES, Sides, document_of, name, split};

/// What the comparison of a kind gave.
#[derive(Default)]
pub struct Compared {
    /// The tables: the documents', then those of the lines.
    pub shapes: Vec<Shape>,
    /// Documents that only production has, sorted by `id`, each with its lines by table.
    pub new: Vec<(Kept, Vec<Vec<Kept>>)>,
    /// Documents that differ, sorted by `id`.
    pub changed: Vec<ChangedRow>,
    /// How many more differ.
    pub unlisted: u64,
    /// New rows that belong to no document, by what they are called.
    pub others: Vec<(&'static str, u64)>,
    /// Documents of the copy that were made after the point.
    pub late: u64,
}

/// Compares them; `None` if the module is not installed.
///
/// # Errors
/// What keeps the kind from being compared as a whole: a table that is not what Odoo makes, or that only the
/// copy has; `Refused` where there are more rows than fit; those of the server.
pub async fn compare(kind: &'static Kind, sides: Sides<'_>, budget: &mut Budget) -> Result<Option<Compared>> {
    let mut out = Compared::default();
    for part in std::iter::once(&kind.head).chain(kind.lines) {
        out.shapes.push(checked(part, sides).await?);
    }
    let head = &out.shapes[0];
    if head.from.is_none() {
        return Ok(None);
    }
    let mut heads = heads(kind, head, sides, budget).await?;
    let mut lines = Vec::new();
    for (part, shape) in kind.lines.iter().zip(&out.shapes[1..]) {
        lines.push(lines_of(part, shape, sides, &heads, budget).await?);
    }
    (out.late, out.unlisted) =
        (heads.late, heads.unlisted + lines.iter().map(|one| one.unlisted).sum::<u64>());
    let others = std::iter::once((&kind.head, heads.others))
        .chain(kind.lines.iter().zip(lines.iter().map(|one| one.others)));
    out.others =
        others.filter_map(|(part, count)| Some((part.others?, count))).filter(|one| one.1 > 0).collect();
    let mut of: Vec<HashMap<i64, Vec<Kept>>> = Vec::new();
    for one in &mut lines {
        let mut by_parent: HashMap<i64, Vec<Kept>> = HashMap::new();
        for row in std::mem::take(&mut one.new) {
            by_parent.entry(row.parent).or_default().push(row);
        }
        by_parent.values_mut().for_each(|rows| rows.sort_by_key(|row| row.id));
        of.push(by_parent);
    }
    let mut new = std::mem::take(&mut heads.new);
    new.sort_by_key(|row| row.id);
    out.new = new
        .into_iter()
        .map(|row| {
            let rows = of.iter_mut().map(|of| of.remove(&row.id).unwrap_or_default()).collect();
            (row, rows)
        })
        .collect();
    out.changed = changed(&out.shapes[0], sides, heads, lines).await?;
    Ok(Some(out))
}

/// A table with the columns that are needed to compare it.
async fn checked(part: &'static Part, sides: Sides<'_>) -> Result<Shape> {
    let shape = Shape::of(part.table, sides.from, sides.against).await?;
    if shape.from.is_none() && shape.against.is_some() {
        let what = format!("table {} does not exist in {} any more", part.table, sides.from.database());
        return Err(Error::new(Cause::Postgres, what));
    }
    let mut needed = vec!["id"];
    needed.extend(split(part.table));
    needed.extend(part.parent.iter().find(|name| shape.at(name).is_some()).or(part.parent.first()));
    for name in needed.into_iter().filter(|_| shape.from.is_some()) {
        let column = shape.at(name).map(|at| &shape.columns[at]);
        let is_right = |column: &Column| {
            column.kind == if split(part.table) == Some(name) { Type::Text } else { Type::Int }
        };
        let wrong = match column {
            None => "does not exist, is generated, or does not have the type that Odoo gives it",
            Some(column) if !is_right(column) => "does not have the type that Odoo gives it",
            Some(column) if !column.is_common && shape.against.is_some() => {
                "is not the same in both databases"
            }
            Some(_) => continue,
        };
        return Err(Error::new(Cause::Postgres, format!("column {}.{name} {wrong}", part.table)));
    }
    Ok(shape)
}

/// The documents that differ, with their names.
async fn changed(
    shape: &Shape,
    sides: Sides<'_>,
    heads: Heads,
    lines: Vec<Lines>,
) -> Result<Vec<ChangedRow>> {
    let Heads { ids, changed: mut rows, gone, .. } = heads;
    let mut before = HashMap::new();
    if let Some(table) = &shape.against {
        let wanted: HashSet<i64> = rows.keys().copied().collect();
        let mut as_many = Budget::as_many();
        before = fetch(sides.against, table, shape, &shape.common(), &wanted, &mut as_many).await?;
        let places = naming(shape, &shape.common());
        before.extend(fetch(sides.against, table, shape, &places, &gone, &mut as_many).await?);
    }
    let touched = lines.iter().flat_map(|one| one.touched.keys().copied());
    let touched: HashSet<i64> =
        touched.filter(|id| !ids.contains(id) && !rows.contains_key(id) && !gone.contains(id)).collect();
    if let Some(table) = &shape.from {
        let places = naming(shape, &(0..shape.columns.len()).collect::<Vec<_>>());
        rows.extend(fetch(sides.from, table, shape, &places, &touched, &mut Budget::as_many()).await?);
    }
    let mut out = Vec::new();
    for (id, row) in rows.iter().chain(before.iter().filter(|(id, _)| gone.contains(id))) {
        let Some((document, _)) = document_of(shape, row) else { continue };
        let of_lines = lines.iter().filter_map(|one| Some((one.table, one.touched.get(id)?.clone())));
        let of_lines: BTreeMap<&'static str, LinesDiffer> = of_lines.collect();
        let (change, columns) = match (gone.contains(id), before.get(id)) {
            (true, _) => (Change::Deleted, Vec::new()),
            (false, Some(before)) => (Change::Changed, differences(shape, before, row)),
            (false, None) => (Change::Changed, Vec::new()),
        };
        out.push(ChangedRow {
            document: Some(document),
            id: *id,
            name: name(shape, row),
            change,
            columns,
            lines: of_lines,
        });
    }
    out.sort_by_key(|one| one.id);
    Ok(out)
}

/// Those of these columns that tell what a document is, and its name.
fn naming(shape: &Shape, of: &[usize]) -> Vec<usize> {
    let is_one = |name: &str| name == "id" || NAMES.contains(&name) || split(shape.table) == Some(name);
    of.iter().copied().filter(|at| is_one(&shape.columns[*at].name)).collect()
}
