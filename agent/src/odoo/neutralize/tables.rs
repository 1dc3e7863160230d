//! Decides which statements of the catalogue apply to a database, by its tables and columns.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::error::Result;
use crate::odoo::neutralize::catalogue::Statement;
use crate::postgres::quote::ident;
use crate::postgres::session::{Session, column};
use crate::postgres::table::kind_text;

/// Why a statement is not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It does not apply to this database.
    NotHere(String),
    /// A relation has the right name and columns but is not a table, so it cannot be neutralized.
    NotUnderstood(String),
}

/// Relations of schema public.
pub(super) struct Tables {
    plain: HashMap<String, HashMap<String, Column>>,
    /// Relations that are not tables, or have a part that is not: what they are, and their columns.
    odd: HashMap<String, (String, HashSet<String>)>,
}

struct Column {
    is_text: bool,
    is_bool: bool,
    /// JSON or bytes.
    is_opaque: bool,
    not_null: bool,
}

/// For each relation of schema public: its kind and the kinds of all relations that inherit from it.
const KINDS: &str = "\
    WITH RECURSIVE here(oid, relname, relkind) AS (SELECT c.oid, c.relname, c.relkind FROM pg_class c \
      JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')), \
    part(root, oid) AS (SELECT oid, oid FROM here \
      UNION SELECT part.root, i.inhrelid FROM part JOIN pg_inherits i ON i.inhparent = part.oid) \
    SELECT h.relname::text, h.relkind::text, \
      min(n.nspname || '.' || c.relname) FILTER (WHERE c.relkind NOT IN ('r', 'p') AND c.oid <> h.oid), \
      min(c.relkind::text) FILTER (WHERE c.relkind NOT IN ('r', 'p') AND c.oid <> h.oid) \
    FROM here h JOIN part ON part.root = h.oid JOIN pg_class c ON c.oid = part.oid \
    JOIN pg_namespace n ON n.oid = c.relnamespace GROUP BY 1, 2";
const COLUMNS: &str = "\
    SELECT c.relname::text, a.attname::text, t.typcategory = 'S', a.attnotnull, t.oid = 'bool'::regtype, \
    t.oid IN ('json'::regtype, 'jsonb'::regtype, 'bytea'::regtype) \
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname = 'public'";

impl Tables {
    pub async fn read(session: &mut Session) -> Result<Tables> {
        let mut out = Tables { plain: HashMap::new(), odd: HashMap::new() };
        for row in session.rows("list the relations", KINDS).await? {
            let (name, kind): (String, String) = (column(&row, 0)?, column(&row, 1)?);
            let part: (Option<String>, Option<String>) = (column(&row, 2)?, column(&row, 3)?);
            let odd = match (kind.as_str(), part) {
                ("r" | "p", (Some(part), Some(kind))) => {
                    format!("{name} has a part {part} that is {}", kind_text(&kind))
                }
                ("r" | "p", _) => {
                    out.plain.insert(name, HashMap::new());
                    continue;
                }
                (kind, _) => format!("{name} is {}, not a table", kind_text(kind)),
            };
            out.odd.insert(name, (odd, HashSet::new()));
        }
        for row in session.rows("list the columns", COLUMNS).await? {
            let (table, name): (String, String) = (column(&row, 0)?, column(&row, 1)?);
            let facts = Column {
                is_text: column(&row, 2)?,
                not_null: column(&row, 3)?,
                is_bool: column(&row, 4)?,
                is_opaque: column(&row, 5)?,
            };
            if let Some(columns) = out.plain.get_mut(&table) {
                columns.insert(name, facts);
            } else if let Some((_, columns)) = out.odd.get_mut(&table) {
                columns.insert(name);
            }
        }
        Ok(out)
    }

    pub fn has(&self, table: &str, column: &str) -> bool {
        self.plain.get(table).is_some_and(|columns| columns.contains_key(column))
    }

    /// Whether the column is JSON or bytes.
    pub fn is_opaque(&self, table: &str, column: &str) -> bool {
        self.plain.get(table).and_then(|columns| columns.get(column)).is_some_and(|facts| facts.is_opaque)
    }

    /// The columns that can hold a credential (text, JSON, bytes), sorted.
    pub fn columns(&self) -> Vec<(&str, &str)> {
        let each = self.plain.iter().flat_map(|(table, columns)| {
            let holds = columns.iter().filter(|(_, facts)| facts.is_text || facts.is_opaque);
            holds.map(move |(name, _)| (table.as_str(), name.as_str()))
        });
        let mut out: Vec<_> = each.collect();
        out.sort_unstable();
        out
    }

    /// The tables of the catalogue that are something else here, each with what would happen.
    pub fn not_understood<'s>(&self, statements: impl Iterator<Item = &'s Statement>) -> Vec<String> {
        let mut out = BTreeMap::new();
        for statement in statements {
            if let Err(Unfit::NotUnderstood(what)) = self.plan(statement) {
                let why = &statement.why;
                out.entry(what).or_insert_with_key(|what| format!("{what}, so it is not neutralized: {why}"));
            }
        }
        out.into_values().collect()
    }

    /// The SQL of a statement for this database, or why it does not apply.
    pub fn plan(&self, statement: &Statement) -> Result<Vec<String>, Unfit> {
        let each = statement.each.iter().map(|(table, _)| table);
        for table in statement.needs.iter().map(|(table, _)| table).chain(each) {
            if let Some((what, columns)) = self.odd.get(table)
                && self.would_fit(statement, table, columns)
            {
                return Err(Unfit::NotUnderstood(what.clone()));
            }
            if !self.plain.contains_key(table) {
                return Err(Unfit::NotHere(format!("there is no table {table}")));
            }
        }
        let not_here = |what: String| Err(Unfit::NotHere(what));
        if let Some((table, column)) = statement.needs.iter().find(|(table, column)| !self.has(table, column))
        {
            return not_here(format!("there is no column {table}.{column}"));
        }
        if let Some((table, column)) = statement.lacks.iter().find(|(table, column)| self.has(table, column))
        {
            return not_here(format!("there is a column {table}.{column}"));
        }
        let Some((table, columns)) = &statement.each else { return Ok(vec![statement.sql.clone()]) };
        let mut out = Vec::new();
        for name in columns {
            let Some(facts) = self.plain.get(table).and_then(|known| known.get(name)) else { continue };
            let fits = match statement.each_type.as_str() {
                "bool" => facts.is_bool,
                "text" => facts.is_text,
                _ => facts.is_text || !facts.not_null, // otherwise it cannot be emptied
            };
            if !fits {
                continue;
            }
            let empty = if facts.not_null && facts.is_text { "''" } else { "NULL" };
            out.push(statement.sql.replace("{column}", &ident(name)).replace("{empty}", empty));
        }
        match out.is_empty() {
            true => not_here(format!("table {table} has none of its columns with the expected type")),
            false => Ok(out),
        }
    }

    /// Whether the statement would be run if the relation `table` were a table.
    fn would_fit(&self, statement: &Statement, table: &str, columns: &HashSet<String>) -> bool {
        let needs = statement.needs.iter().filter(|(t, _)| t == table).all(|(_, c)| columns.contains(c));
        let lacks = statement.lacks.iter().filter(|(t, _)| t == table).all(|(_, c)| !columns.contains(c));
        let each = statement.each.iter().filter(|(t, _)| t == table);
        let each = each.into_iter().all(|(_, all)| all.iter().any(|c| columns.contains(c)));
        needs && lacks && each
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(columns: &[(&str, &str, bool)]) -> Tables {
        let mut plain: HashMap<String, HashMap<String, Column>> = HashMap::new();
        for (table, column, not_null) in columns {
            let facts = Column { is_text: true, is_bool: false, is_opaque: false, not_null: *not_null };
            plain.entry((*table).into()).or_default().insert((*column).into(), facts);
        }
        Tables { plain, odd: HashMap::new() }
    }

    #[test]
    fn a_statement_runs_only_where_its_columns_are() {
        let statement = Statement {
            needs: vec![("a".into(), "x".into())],
            lacks: vec![("a".into(), "new".into())],
            sql: "UPDATE a SET x = 1;".into(),
            ..Statement::default()
        };
        let not_here = |what: &str| Err(Unfit::NotHere(what.into()));
        assert_eq!(tables(&[]).plan(&statement), not_here("there is no table a"));
        assert_eq!(tables(&[("a", "y", false)]).plan(&statement), not_here("there is no column a.x"));
        assert!(tables(&[("a", "x", false), ("a", "new", false)]).plan(&statement).is_err());
        assert_eq!(tables(&[("a", "x", false)]).plan(&statement), Ok(vec!["UPDATE a SET x = 1;".into()]));
    }

    #[test]
    fn what_is_no_table_is_not_skipped() {
        let statement = Statement { needs: vec![("a".into(), "x".into())], ..Statement::default() };
        let mut here = tables(&[]);
        here.odd.insert("a".into(), ("a is a view, not a table".into(), HashSet::from(["x".into()])));
        assert_eq!(here.plan(&statement), Err(Unfit::NotUnderstood("a is a view, not a table".into())));
        let other = Statement { needs: vec![("a".into(), "y".into())], ..Statement::default() };
        assert!(matches!(here.plan(&other), Err(Unfit::NotHere(_))), "a view of another shape is another's");
        assert_eq!(here.not_understood([&statement, &other].into_iter()).len(), 1);
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
