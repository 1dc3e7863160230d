//! Rows that are kept in memory, and the bound on them.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Kind, Result};
use crate::names::bytes_text;
use crate::postgres::copy_out::Row;
use crate::postgres::table::{Table, Type};
use crate::release::salvage::shape::Shape;
use crate::release::salvage::side::Side;
use crate::release::salvage::value;

/// What all new rows may take together.
const NEW_BYTES_MAX: usize = 256 << 20;
/// What the rows of one table that differ may take; there are as many of the copy beside them.
const DIFFER_BYTES_MAX: usize = 64 << 20;
/// Most documents, and most lines of a table, whose differences are listed; more are counted.
pub const LISTED_MAX: usize = 100_000;
/// What a row and a field take besides their bytes, about.
const ROW_BYTES: usize = 64;
const FIELD_BYTES: usize = 16;

/// A row. Its fields are in the order of [`Shape::columns`], in PostgreSQL's binary format; `None` is NULL, or
/// was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its `id`.
    pub id: i64,
    /// The `id` of its document; 0 where it has none, or is one.
    pub parent: i64,
    /// Its fields.
    pub fields: Vec<Option<Box<[u8]>>>,
}

impl Kept {
    /// A field.
    pub fn field(&self, at: Option<usize>) -> Option<&[u8]> {
        self.fields.get(at?)?.as_deref()
    }

    /// A field as a whole number.
    pub fn int(&self, at: Option<usize>) -> Option<i64> {
        self.field(at).map(value::int)
    }

    /// A field as text.
    pub fn text(&self, shape: &Shape, name: &str) -> Option<String> {
        let at = shape.at(name)?;
        self.field(Some(at)).map(|bytes| value::text(shape.columns[at].kind, bytes))
    }
}

/// How much may still be kept.
#[derive(Clone, Debug)]
pub struct Budget {
    left: usize,
    whole: usize,
}

impl Budget {
    /// That of all new rows, and of the keys of what they name.
    pub fn of_new() -> Budget {
        Budget::of(NEW_BYTES_MAX)
    }

    /// That of the rows of a table that differ.
    pub fn of_differing() -> Budget {
        Budget::of(DIFFER_BYTES_MAX)
    }

    /// Without a bound of its own: for as many rows as were kept with one.
    pub fn as_many() -> Budget {
        Budget::of(usize::MAX)
    }

    fn of(whole: usize) -> Budget {
        Budget { left: whole, whole }
    }

    /// Keeps a row whose field `i` of the COPY is column `places[i]`.
    ///
    /// # Errors
    /// `Refused` if there is no room for it.
    pub fn keep(
        &mut self,
        shape: &Shape,
        (id, parent): (i64, i64),
        row: &Row<'_>,
        places: &[usize],
    ) -> Result<Kept> {
        let mut kept = Kept { id, parent, fields: vec![None; shape.columns.len()] };
        let mut bytes = ROW_BYTES + FIELD_BYTES * kept.fields.len();
        for (index, place) in places.iter().enumerate() {
            kept.fields[*place] = row.bytes(index).map(Box::from);
            bytes += row.bytes(index).map_or(0, <[u8]>::len);
        }
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            let what = format!(
                "more rows were written after the point than fit in {}: the limit was reached in table {}",
                bytes_text(self.whole as u64),
                shape.table
            );
            Error::new(Kind::Refused, what)
        })?;
        Ok(kept)
    }
}

/// The rows with these numbers, with the columns at these places.
///
/// # Errors
/// `Refused` as [`Budget::keep`]; as [`Table::each`].
pub async fn fetch(
    side: &Side<'_>,
    table: &Table,
    shape: &Shape,
    places: &[usize],
    ids: &HashSet<i64>,
    budget: &mut Budget,
) -> Result<HashMap<i64, Kept>> {
    let mut found = HashMap::new();
    let Some(id) = places.iter().position(|place| shape.columns[*place].name == "id") else {
        return Ok(found);
    };
    if ids.is_empty() {
        return Ok(found);
    }
    let columns: Vec<(&str, Type)> = places
        .iter()
        .map(|place| (shape.columns[*place].name.as_str(), shape.columns[*place].kind))
        .collect();
    let each = |row: &Row<'_>| {
        if let Some(id) = row.int(id).filter(|id| ids.contains(id)) {
            found.insert(id, budget.keep(shape, (id, 0), row, places)?);
        }
        Ok(())
    };
    side.part(async |session| table.each(session, &columns, each).await).await?;
    Ok(found)
}
