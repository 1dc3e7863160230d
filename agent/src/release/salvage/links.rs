//! What documents name: partners, products, journals and the like, by keys that a restore does not change.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::error::{Kind, Result};
use crate::postgres::copy_out::Row;
use crate::postgres::table::Type;
use crate::release::salvage::found::Found;
use crate::release::salvage::kept::{Budget, Kept, fetch};
use crate::release::salvage::keys::{Key, Keys, target};
use crate::release::salvage::kinds::KEYS;
use crate::release::salvage::shape::Shape;
use crate::release::salvage::side::Side;
use crate::release::salvage::sides::Sides;
use crate::release::salvage::taxes;
use crate::release::salvage::value;

const PRODUCTS: &str = "product_product";
/// The templates of products, which have their names.
pub const TEMPLATES: &str = "product_template";
/// The language of a translated name, where there is a choice.
const LANGUAGE: &str = "en_US";

/// Rows by table, with their numbers.
pub type Needed = BTreeMap<&'static str, HashSet<i64>>;

/// Adds what a row names.
pub fn add_needed(shape: &Shape, row: &Kept, needed: &mut Needed) {
    for (at, column) in shape.columns.iter().enumerate() {
        if let (Some(table), Some(id)) = (target(&column.name), row.int(Some(at)))
            && column.kind == Type::Int
        {
            needed.entry(table).or_default().insert(id);
        }
    }
}

/// What all new documents and their lines name.
pub fn needed(found: &[Found]) -> Needed {
    let mut needed = Needed::new();
    for one in found {
        let taxes = one.taxes.iter().flat_map(|(_, taxes)| taxes.values().flatten());
        needed.entry(taxes::TABLE).or_default().extend(taxes);
        for document in &one.new {
            add_needed(&one.shapes[0], &document.row, &mut needed);
            for (shape, rows) in one.shapes[1..].iter().zip(&document.lines) {
                rows.iter().for_each(|row| add_needed(shape, row, &mut needed));
            }
        }
    }
    needed
}

/// The table of this name, if its rows have keys.
pub fn table_of(name: &str) -> Option<&'static str> {
    KEYS.iter().find(|(table, _)| *table == name).map(|(table, _)| *table)
}

/// Those of these numbers that are in a table of the copy.
///
/// # Errors
/// As [`crate::postgres::table::Table::each`].
pub async fn known(side: &Side<'_>, shape: &Shape, ids: &HashSet<i64>) -> Result<HashSet<i64>> {
    let mut known = HashSet::new();
    let Some(table) = &shape.against else { return Ok(known) };
    let each = |row: &Row<'_>| {
        known.extend(row.int(0).filter(|id| ids.contains(id)));
        Ok(())
    };
    side.part(async |session| table.each(session, &[("id", Type::Int)], each).await).await?;
    Ok(known)
}

/// Reads the keys; beside them, why those of a table are missing.
///
/// # Errors
/// `Interrupted` alone.
pub async fn read(
    sides: Sides<'_>,
    mut needed: Needed,
    budget: &mut Budget,
) -> Result<(Keys, Vec<(&'static str, String)>)> {
    let (mut keys, mut problems) = (Keys::default(), Vec::new());
    let mut template_of: HashMap<i64, i64> = HashMap::new();
    for (table, columns) in KEYS {
        let Some(ids) = needed.remove(table).filter(|ids| !ids.is_empty()) else { continue };
        let rows = match table_keys(sides, table, columns, &ids, budget).await {
            Ok(rows) => rows,
            Err(e) if e.kind() == Kind::Interrupted => return Err(e),
            Err(e) => {
                problems.push((table, e.line()));
                continue;
            }
        };
        let mut found = HashMap::new();
        for (id, key, template) in rows {
            found.insert(id, key);
            if let Some(template) = template {
                needed.entry(TEMPLATES).or_default().insert(template);
                template_of.insert(id, template);
            }
        }
        keys.0.insert(table, found);
    }
    if let Some(templates) = keys.0.get(TEMPLATES).cloned() {
        let products = keys.0.entry(PRODUCTS).or_default();
        for (id, product) in products.iter_mut() {
            let template = template_of.get(id).and_then(|template| templates.get(template));
            for (name, text) in template.into_iter().flat_map(|key| &key.key) {
                product.key.entry(name.clone()).or_insert_with(|| text.clone());
            }
        }
    }
    Ok((keys, problems))
}

type KeyRow = (i64, Key, Option<i64>);

async fn table_keys(
    sides: Sides<'_>,
    table: &'static str,
    columns: &[&str],
    ids: &HashSet<i64>,
    budget: &mut Budget,
) -> Result<Vec<KeyRow>> {
    let shape = Shape::of(table, sides.from, sides.against).await?;
    let Some(from) = &shape.from else { return Ok(Vec::new()) };
    let template = (table == PRODUCTS).then_some("product_tmpl_id");
    let wanted = |name: &str| name == "id" || columns.contains(&name) || template == Some(name);
    let places: Vec<usize> = (0..shape.columns.len()).filter(|at| wanted(&shape.columns[*at].name)).collect();
    let rows = fetch(sides.from, from, &shape, &places, ids, budget).await?;
    let known = known(sides.against, &shape, ids).await?;
    let mut out = Vec::new();
    for (id, row) in rows {
        let mut key = Key { at_point: Some(known.contains(&id)), key: BTreeMap::new() };
        for name in columns {
            let at = shape.at(name);
            if let (Some(at), Some(bytes)) = (at, row.field(at)) {
                let text = value::text(shape.columns[at].kind, bytes);
                let text = if shape.columns[at].kind == Type::Jsonb { translated(&text) } else { text };
                key.key.insert((*name).to_owned(), text);
            }
        }
        out.push((id, key, template.and_then(|name| row.int(shape.at(name)))));
    }
    Ok(out)
}

/// One text of a translated one; another text as it is.
pub fn translated(json: &str) -> String {
    let all: BTreeMap<String, String> = serde_json::from_str(json).unwrap_or_default();
    let one = all.get(LANGUAGE).or_else(|| all.values().next());
    one.cloned().unwrap_or_else(|| json.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_translated_name_is_one_text() {
        assert_eq!(translated("{\"de_DE\": \"Stück\", \"en_US\": \"Units\"}"), "Units");
        assert_eq!(translated("{\"de_DE\": \"Stück\"}"), "Stück");
        assert_eq!(translated("{}"), "{}");
        assert_eq!(translated("[1]"), "[1]");
    }
}
