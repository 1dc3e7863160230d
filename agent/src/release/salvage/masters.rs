//! Master data: rows that documents name, and that a rollback sets back without a word. They are compared,
//! and listed with what differs; nobody enters them by program.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::error::{Error, Kind as Cause, Result};
use crate::postgres::copy_out::Row;
use crate::release::salvage::differences::{differences, values};
use crate::release::salvage::found::{Change, ChangedRow, Difference, MasterFound};
use crate::release::salvage::index::{Index, digest};
use crate::release::salvage::kept::{Budget, Kept, LISTED_MAX, fetch};
use crate::release::salvage::keys::{Keys, target};
use crate::release::salvage::links::{self, Needed, translated};
use crate::release::salvage::shape::Shape;
use crate::release::salvage::sides::Sides;

/// A table of master data.
#[derive(Debug)]
pub struct Master {
    /// Its name in the files.
    pub name: &'static str,
    /// The table.
    pub table: &'static str,
    /// The columns that make up what a row is called.
    naming: &'static [&'static str],
}

/// All of them.
pub static MASTERS: [Master; 10] = [
    Master { name: "partners", table: "res_partner", naming: &["name"] },
    Master { name: "bank-accounts", table: "res_partner_bank", naming: &["partner_id", "acc_number"] },
    Master { name: "products", table: "product_template", naming: &["default_code", "name"] },
    Master {
        name: "product-variants",
        table: "product_product",
        naming: &["default_code", "product_tmpl_id"],
    },
    Master { name: "price-lists", table: "product_pricelist", naming: &["name"] },
    Master {
        name: "price-rules",
        table: "product_pricelist_item",
        naming: &["pricelist_id", "product_tmpl_id", "product_id"],
    },
    Master {
        name: "vendor-prices",
        table: "product_supplierinfo",
        naming: &["partner_id", "product_tmpl_id", "product_id"],
    },
    // until Odoo 17: cost prices, payment terms and accounts that depend on the company
    Master { name: "company-values", table: "ir_property", naming: &["name", "res_id"] },
    Master { name: "taxes", table: "account_tax", naming: &["name"] },
    Master { name: "payment-terms", table: "account_payment_term", naming: &["name"] },
];

/// Columns that Odoo writes by itself: a row that differs in these alone was changed by nobody.
const BY_ITSELF: [&str; 6] =
    ["write_date", "write_uid", "customer_rank", "supplier_rank", "signup_type", "signup_expiration"];

/// Compares it, without these new rows, which are exported; `None` if the module is not installed.
///
/// # Errors
/// `Refused` where there are more rows than can be compared; as [`crate::postgres::table::Table::each`].
pub async fn compare(
    master: &'static Master,
    sides: Sides<'_>,
    exported: &HashSet<i64>,
) -> Result<Option<(Shape, MasterFound)>> {
    let shape = Shape::of(master.table, sides.from, sides.against).await?;
    let Some(from) = &shape.from else {
        return match shape.against {
            None => Ok(None),
            Some(_) => {
                let what =
                    format!("table {} does not exist in {} any more", master.table, sides.from.database());
                Err(Error::new(Cause::Postgres, what))
            }
        };
    };
    let Some(id) = shape.at("id") else {
        return Err(Error::new(
            Cause::Postgres,
            format!("table {} has no column id of its own", master.table),
        ));
    };
    let mut index = match &shape.against {
        None => Index::default(),
        Some(table) => Index::read(sides.against, table, &shape, |_| 0).await?,
    };
    let (all, places, common) = (shape.all(), (0..shape.columns.len()).collect::<Vec<_>>(), shape.common());
    let (mut budget, mut unlisted) = (Budget::of_differing(), 0);
    let (mut now, mut new): (HashMap<i64, Kept>, HashSet<i64>) = (HashMap::new(), HashSet::new());
    let each = |row: &Row<'_>| {
        let Some(number) = row.int(id) else { return Ok(()) };
        match index.see(number) {
            Some((known, _)) if known == digest(row, common.iter().copied()) => return Ok(()),
            None if exported.contains(&number) => return Ok(()),
            Some(_) => {}
            None => drop(new.insert(number)),
        }
        match budget.keep(&shape, (number, 0), row, &places) {
            Ok(row) if now.len() < LISTED_MAX => drop(now.insert(number, row)),
            _ => unlisted += 1,
        }
        Ok(())
    };
    sides.from.part(async |session| from.each(session, &all, each).await).await?;
    let gone: Vec<i64> = index.unseen().map(|(id, _)| id).collect();
    unlisted += gone.len().saturating_sub(LISTED_MAX) as u64;
    let mut wanted: HashSet<i64> = gone.into_iter().take(LISTED_MAX).collect();
    wanted.extend(now.keys().filter(|id| !new.contains(id)));
    let before = match &shape.against {
        Some(table) => fetch(sides.against, table, &shape, &common, &wanted, &mut Budget::as_many()).await?,
        None => HashMap::new(),
    };
    let names = names(master, sides, &shape, now.values().chain(before.values())).await?;
    let mut found =
        MasterFound { name: master.name, table: master.table, rows: Vec::new(), unlisted, by_itself: 0 };
    let mut push = |row: &Kept, change: Change, columns: Vec<Difference>| {
        let name = names.get(&row.id).cloned().unwrap_or_default();
        found.rows.push(ChangedRow {
            document: None,
            id: row.id,
            name,
            change,
            columns,
            lines: BTreeMap::new(),
        });
    };
    let mut by_itself = 0;
    for row in now.values() {
        let Some(before) = before.get(&row.id) else {
            push(row, Change::New, without_own(values(&shape, row)));
            continue;
        };
        let columns = without_own(differences(&shape, before, row));
        match columns.is_empty() {
            true => by_itself += 1,
            false => push(row, Change::Changed, columns),
        }
    }
    for row in before.values().filter(|row| !now.contains_key(&row.id)) {
        push(row, Change::Deleted, Vec::new());
    }
    found.by_itself = by_itself;
    found.rows.sort_by_key(|row| row.id);
    Ok(Some((shape, found)))
}

fn without_own(mut columns: Vec<Difference>) -> Vec<Difference> {
    columns.retain(|one| !BY_ITSELF.contains(&one.column.as_str()));
    columns
}

/// What the rows are called: by their own columns, and by the keys of the rows that they name.
async fn names(
    master: &Master,
    sides: Sides<'_>,
    shape: &Shape,
    rows: impl Iterator<Item = &Kept> + Clone,
) -> Result<HashMap<i64, String>> {
    let mut needed = Needed::new();
    for row in rows.clone() {
        for (table, id) in master.naming.iter().filter_map(|column| named(shape, row, column)) {
            needed.entry(table).or_default().insert(id);
        }
    }
    let (keys, _) = links::read(sides, needed, &mut Budget::as_many()).await?;
    Ok(rows.map(|row| (row.id, name(master, shape, row, &keys))).collect())
}

/// The row that a column names.
fn named(shape: &Shape, row: &Kept, column: &str) -> Option<(&'static str, i64)> {
    if column == "res_id" {
        // `product.product,12`
        let text = row.text(shape, column)?;
        let (model, id) = text.split_once(',')?;
        let table = links::table_of(&model.replace('.', "_"))?;
        return Some((table, id.parse().ok()?));
    }
    let table = if column == "product_tmpl_id" { Some(links::TEMPLATES) } else { target(column) };
    Some((table?, row.int(shape.at(column))?))
}

fn name(master: &Master, shape: &Shape, row: &Kept, keys: &Keys) -> String {
    let mut parts: Vec<String> = Vec::new();
    for column in master.naming {
        let text = match named(shape, row, column).and_then(|(table, id)| keys.get(table, id)) {
            Some(key) => ["default_code", "name"]
                .iter()
                .filter_map(|of| key.key.get(*of))
                .cloned()
                .collect::<Vec<_>>()
                .join(" "),
            None => row.text(shape, column).map(|text| translated(&text)).unwrap_or_default(),
        };
        if !text.is_empty() && !parts.iter().any(|part| part.contains(&text)) {
            parts.retain(|part| !text.contains(part.as_str())); // it says the same, and more
            parts.push(text);
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_its_own_name() {
        for (at, one) in MASTERS.iter().enumerate() {
            assert!(MASTERS[at + 1..].iter().all(|other| other.name != one.name && other.table != one.table));
            assert!(!one.naming.is_empty());
        }
    }
}
