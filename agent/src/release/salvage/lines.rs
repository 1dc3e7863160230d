//! The rows that belong to documents: those of new ones are kept, of the others it is noted that they differ.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::postgres::copy_out::Row;
use crate::release::salvage::differences::differences;
use crate::release::salvage::found::LinesDiffer;
use crate::release::salvage::heads::Heads;
use crate::release::salvage::index::{Index, digest};
use crate::release::salvage::kept::{Budget, Kept, LISTED_MAX, fetch};
use crate::release::salvage::kinds::Part;
use crate::release::salvage::shape::Shape;
use crate::release::salvage::sides::{Sides, in_copy};

/// What was found of one table of them.
pub struct Lines {
    /// The table.
    pub table: &'static str,
    /// Those of new documents.
    pub new: Vec<Kept>,
    /// By document, what differs; of new documents nothing.
    pub touched: HashMap<i64, LinesDiffer>,
    /// How many more differ.
    pub unlisted: u64,
    /// New rows that belong to no document.
    pub others: u64,
}

impl Lines {
    fn touch(&mut self, parent: i64, note: impl FnOnce(&mut LinesDiffer)) {
        if parent == 0 {
            return;
        }
        if self.touched.len() >= LISTED_MAX && !self.touched.contains_key(&parent) {
            self.unlisted += 1;
            return;
        }
        note(self.touched.entry(parent).or_default());
    }
}

/// Reads both tables.
///
/// # Errors
/// As [`super::heads::heads`].
pub async fn lines_of(
    part: &'static Part,
    shape: &Shape,
    sides: Sides<'_>,
    heads: &Heads,
    budget: &mut Budget,
) -> Result<Lines> {
    let mut out =
        Lines { table: part.table, new: Vec::new(), touched: HashMap::new(), unlisted: 0, others: 0 };
    let Some(from) = &shape.from else { return Ok(out) };
    let parent = part.parent.iter().copied().find(|name| shape.at(name).is_some());
    let mut index = match &shape.against {
        None => Index::default(),
        Some(table) => {
            let at = in_copy(shape, parent);
            let belongs = |row: &Row<'_>| at.and_then(|at| row.int(at)).unwrap_or(0);
            Index::read(sides.against, table, shape, belongs).await?
        }
    };
    let (all, places, common) = (shape.all(), (0..shape.columns.len()).collect::<Vec<_>>(), shape.common());
    let (id, at) = (shape.at("id").unwrap_or_default(), parent.and_then(|name| shape.at(name)));
    let mut differing = Budget::of_differing();
    let mut differ: HashMap<i64, Kept> = HashMap::new();
    let each = |row: &Row<'_>| {
        let Some(number) = row.int(id) else { return Ok(()) };
        let parent = at.and_then(|at| row.int(at)).unwrap_or(0);
        let is_of_new = heads.ids.contains(&parent);
        match index.see(number) {
            None if is_of_new => out.new.push(budget.keep(shape, (number, parent), row, &places)?),
            None if parent == 0 => out.others += u64::from(part.others.is_some()),
            None => out.touch(parent, |lines| lines.new += 1),
            Some((known, _)) if known == digest(row, common.iter().copied()) => {}
            Some((_, before)) => {
                if before != parent {
                    out.touch(before, |lines| lines.deleted += 1);
                }
                if is_of_new {
                    out.new.push(budget.keep(shape, (number, parent), row, &places)?);
                } else {
                    out.touch(parent, |lines| lines.changed += 1);
                    // without its row it is counted, only its columns are not named
                    if parent != 0
                        && differ.len() < LISTED_MAX
                        && let Ok(row) = differing.keep(shape, (number, parent), row, &places)
                    {
                        differ.insert(number, row);
                    }
                }
            }
        }
        Ok(())
    };
    sides.from.part(async |session| from.each(session, &all, each).await).await?;
    for (_, parent) in index.unseen() {
        out.touch(parent, |lines| lines.deleted += 1);
    }
    if let Some(table) = &shape.against {
        let ids: HashSet<i64> = differ.keys().copied().collect();
        let before = fetch(sides.against, table, shape, &common, &ids, &mut Budget::as_many()).await?;
        for (id, row) in &differ {
            let Some(before) = before.get(id) else { continue };
            let columns = differences(shape, before, row);
            if let Some(touched) = out.touched.get_mut(&row.parent) {
                touched.columns.extend(columns.into_iter().map(|one| one.column));
            }
        }
    }
    Ok(out)
}
