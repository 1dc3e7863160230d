//! Partners that new documents name and that the copy does not have, with those they belong to.

use std::collections::HashSet;

use crate::error::Result;
use crate::release::salvage::kept::{Budget, Kept, fetch};
use crate::release::salvage::links::known;
use crate::release::salvage::shape::Shape;
use crate::release::salvage::sides::Sides;

/// The table of partners.
pub const TABLE: &str = "res_partner";
/// How far a partner's own partner is followed: an address, its contact, its company, its group.
const STEPS_MAX: usize = 10;
/// The columns that name another partner.
const PARENTS: [&str; 2] = ["parent_id", "commercial_partner_id"];

/// The new ones of these, sorted by `id`.
///
/// # Errors
/// As [`crate::postgres::table::Table::find`] and `each`; `Refused` where there are more than fit.
pub async fn new_partners(
    sides: Sides<'_>,
    wanted: &HashSet<i64>,
    budget: &mut Budget,
) -> Result<(Shape, Vec<Kept>)> {
    let shape = Shape::of(TABLE, sides.from, sides.against).await?;
    let places: Vec<usize> = (0..shape.columns.len()).collect();
    let (mut wanted, mut looked) = (wanted.clone(), HashSet::new());
    let mut out = Vec::new();
    for _ in 0..STEPS_MAX {
        let Some(from) = shape.from.as_ref().filter(|_| !wanted.is_empty()) else { break };
        let known = known(sides.against, &shape, &wanted).await?;
        let new: HashSet<i64> = wanted.difference(&known).copied().collect();
        looked.extend(wanted.drain());
        let rows = fetch(sides.from, from, &shape, &places, &new, budget).await?;
        for row in rows.into_values() {
            let parents = PARENTS.iter().filter_map(|name| row.int(shape.at(name)));
            wanted.extend(parents.filter(|id| !looked.contains(id)));
            out.push(row);
        }
    }
    out.sort_by_key(|row| row.id);
    Ok((shape, out))
}
