//! Which statements of the catalogue fit a database: by the tables and columns that it has.

use std::collections::HashMap;

use crate::error::Result;
use crate::odoo::neutralize::catalogue::Statement;
use crate::postgres::quote::ident;
use crate::postgres::session::{Session, column};

/// Tables and columns of schema public.
pub(super) struct Tables(HashMap<String, HashMap<String, Column>>);

struct Column {
    is_text: bool,
    is_bool: bool,
    not_null: bool,
}

impl Tables {
    pub async fn read(session: &mut Session) -> Result<Tables> {
        let sql = "SELECT c.relname::text, a.attname::text, t.typcategory = 'S', a.attnotnull, t.oid = 'bool'::regtype \
                   FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
                   JOIN pg_type t ON t.oid = a.atttypid \
                   WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace";
        let mut out: HashMap<String, HashMap<String, Column>> = HashMap::new();
        for row in session.rows("list the columns", sql).await? {
            let facts =
                Column { is_text: column(&row, 2)?, not_null: column(&row, 3)?, is_bool: column(&row, 4)? };
            out.entry(column(&row, 0)?).or_default().insert(column(&row, 1)?, facts);
        }
        Ok(Tables(out))
    }

    pub fn has(&self, table: &str, column: &str) -> bool {
        self.0.get(table).is_some_and(|columns| columns.contains_key(column))
    }

    /// Text columns, sorted.
    pub fn text_columns(&self) -> Vec<(&String, &String)> {
        let each = self.0.iter().flat_map(|(table, columns)| {
            columns.iter().filter(|(_, facts)| facts.is_text).map(move |(name, _)| (table, name))
        });
        let mut out: Vec<_> = each.collect();
        out.sort_unstable();
        out
    }

    /// The SQL of a statement for this database, or why there is none.
    pub fn plan(&self, statement: &Statement) -> Result<Vec<String>, String> {
        let mentioned =
            statement.needs.iter().map(|(table, _)| table).chain(statement.each.iter().map(|(t, _)| t));
        for table in mentioned {
            if !self.0.contains_key(table) {
                return Err(format!("there is no table {table}"));
            }
        }
        if let Some((table, column)) = statement.needs.iter().find(|(table, column)| !self.has(table, column))
        {
            return Err(format!("there is no column {table}.{column}"));
        }
        if let Some((table, column)) = statement.lacks.iter().find(|(table, column)| self.has(table, column))
        {
            return Err(format!("there is a column {table}.{column}"));
        }
        let Some((table, columns)) = &statement.each else { return Ok(vec![statement.sql.clone()]) };
        let mut out = Vec::new();
        for name in columns {
            let Some(facts) = self.0.get(table).and_then(|known| known.get(name)) else { continue };
            let fits = match statement.each_type.as_str() {
                "bool" => facts.is_bool,
                "text" => facts.is_text,
                _ => facts.is_text || !facts.not_null, // else it cannot be emptied
            };
            if !fits {
                continue;
            }
            let empty = if facts.not_null && facts.is_text { "''" } else { "NULL" };
            out.push(statement.sql.replace("{column}", &ident(name)).replace("{empty}", empty));
        }
        match out.is_empty() {
            true => Err(format!("table {table} has none of its columns, or of another type")),
            false => Ok(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(columns: &[(&str, &str, bool)]) -> Tables {
        let mut out: HashMap<String, HashMap<String, Column>> = HashMap::new();
        for (table, column, not_null) in columns {
            let facts = Column { is_text: true, is_bool: false, not_null: *not_null };
            out.entry((*table).into()).or_default().insert((*column).into(), facts);
        }
        Tables(out)
    }

    #[test]
    fn a_statement_runs_only_where_its_columns_are() {
        let statement = Statement {
            needs: vec![("a".into(), "x".into())],
            lacks: vec![("a".into(), "new".into())],
            sql: "UPDATE a SET x = 1;".into(),
            ..Statement::default()
        };
        assert_eq!(tables(&[]).plan(&statement), Err("there is no table a".into()));
        assert_eq!(tables(&[("a", "y", false)]).plan(&statement), Err("there is no column a.x".into()));
        assert!(tables(&[("a", "x", false), ("a", "new", false)]).plan(&statement).is_err());
        assert_eq!(tables(&[("a", "x", false)]).plan(&statement), Ok(vec!["UPDATE a SET x = 1;".into()]));
    }

    #[test]
    fn keys_are_cleared_as_their_column_allows() {
        let statement = Statement {
            each: Some(("a".into(), vec!["user".into(), "Key".into(), "absent".into()])),
            sql: "UPDATE a SET {column} = {empty};".into(),
            ..Statement::default()
        };
        let planned = tables(&[("a", "user", true), ("a", "Key", false)]).plan(&statement).unwrap();
        assert_eq!(planned, ["UPDATE a SET \"user\" = '';", "UPDATE a SET \"Key\" = NULL;"]);
        assert!(tables(&[("a", "other", false)]).plan(&statement).is_err());
    }
}
