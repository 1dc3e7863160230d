//! The columns of a table, as they are in both databases.

use crate::error::Result;
use crate::postgres::table::{Table, Type};
use crate::release::salvage::kinds::LEFT_OUT;
use crate::release::salvage::side::Side;

/// A column of the production database that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// Whether the copy has it too, with this type: then it is compared.
    pub is_common: bool,
}

/// A table.
pub struct Shape {
    /// Its name.
    pub table: &'static str,
    /// In the production database; `None` where it does not exist.
    pub from: Option<Table>,
    /// In the copy.
    pub against: Option<Table>,
    /// What is read, sorted by name; empty if the production database has no such table.
    pub columns: Vec<Column>,
    /// Columns that are not read, each with the reason.
    pub skipped: Vec<String>,
}

impl Shape {
    /// Looks at the table in both.
    ///
    /// # Errors
    /// As [`Table::find`].
    pub async fn of(table: &'static str, from: &Side<'_>, against: &Side<'_>) -> Result<Shape> {
        let from = from.part(async |session| Table::find(session, table).await).await?;
        let against = against.part(async |session| Table::find(session, table).await).await?;
        let (columns, skipped) = match (&from, &against) {
            (None, _) => (Vec::new(), Vec::new()),
            (Some(from), None) => columns(table, &from.columns(), &[]),
            (Some(from), Some(against)) => columns(table, &from.columns(), &against.columns()),
        };
        Ok(Shape { table, from, against, columns, skipped })
    }

    /// Where a column is among those that are read.
    pub fn at(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The columns to read of the production database.
    pub fn all(&self) -> Vec<(&str, Type)> {
        self.columns.iter().map(|column| (column.name.as_str(), column.kind)).collect()
    }

    /// The columns to read of the copy, each with its place in [`Shape::columns`].
    pub fn common(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|at| self.columns[*at].is_common).collect()
    }
}

type Columns<'c> = [(&'c str, Option<Type>)];

fn columns(table: &str, from: &Columns<'_>, against: &Columns<'_>) -> (Vec<Column>, Vec<String>) {
    let (mut columns, mut skipped) = (Vec::new(), Vec::new());
    for (name, kind) in from.iter().filter(|(name, _)| !LEFT_OUT.contains(name)) {
        let Some(kind) = *kind else {
            skipped.push(format!("{table}.{name}"));
            continue;
        };
        let is_common = against.contains(&(*name, Some(kind)));
        columns.push(Column { name: (*name).to_owned(), kind, is_common });
    }
    (columns, skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_both_have_with_one_type_is_compared() {
        let from = [
            ("a", Some(Type::Int)),
            ("access_token", Some(Type::Text)),
            ("b", Some(Type::Text)),
            ("c", None),
        ];
        let against = [("a", Some(Type::Int)), ("b", Some(Type::Int)), ("d", Some(Type::Int))];
        let (columns, skipped) = columns("t", &from, &against);
        let seen: Vec<(&str, bool)> =
            columns.iter().map(|column| (column.name.as_str(), column.is_common)).collect();
        assert_eq!(seen, [("a", true), ("b", false)]);
        assert_eq!(skipped, ["t.c"]);
    }
}
