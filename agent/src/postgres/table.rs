//! A table of another owner: its kind in the catalog, and its rows if it is what we expect.
//! [`crate::postgres::look`] says why.

use std::collections::HashMap;

use crate::error::{Error, Kind, Result};
use crate::postgres::copy_out::{Row, each_row};
use crate::postgres::quote::{ident, literal, qualified};
use crate::postgres::session::{Session, column};

/// The built-in types that a column may have; a domain over one is another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// text, varchar, char(n) or name.
    Text,
    /// int2, int4 or int8.
    Int,
    /// timestamp or timestamptz: microseconds since 2000, UTC.
    Time,
    /// numeric.
    Numeric,
    /// bool: one byte.
    Bool,
    /// date: days since 2000.
    Date,
    /// float4 or float8.
    Float,
    /// json: its text.
    Json,
    /// jsonb: a version, then its text.
    Jsonb,
}

/// The types in the order in which [`Table`] asks for them.
const TYPES: [Type; 9] = [
    Type::Text,
    Type::Int,
    Type::Time,
    Type::Numeric,
    Type::Bool,
    Type::Date,
    Type::Float,
    Type::Json,
    Type::Jsonb,
];

/// The name of a `relkind` in a sentence.
pub fn kind_text(relkind: &str) -> &'static str {
    match relkind {
        "r" => "a table",
        "p" => "a partitioned table",
        "v" => "a view",
        "m" => "a materialized view",
        "f" => "a foreign table",
        "S" => "a sequence",
        "c" => "a composite type",
        "i" | "I" => "an index",
        _ => "of an unknown kind",
    }
}

/// A table of schema `public` that was checked to be a real table.
pub struct Table {
    name: String,
    /// The plain tables that contain its rows (schema, name): itself, its partitions and all tables that
    /// inherit from it.
    parts: Vec<(String, String)>,
    columns: HashMap<String, Option<Type>>,
}

impl Table {
    /// Searches for `public.name`; `None` if it does not exist.
    ///
    /// # Errors
    /// `Postgres` if it, or a part of it, is a view, a foreign table or the like; `Denied` if row-level
    /// security would hide rows from us.
    pub async fn find(session: &mut Session, name: &str) -> Result<Option<Table>> {
        Table::search(session, name).await?
    }

    /// The inner result is an error if it must not be read.
    async fn search(session: &mut Session, name: &str) -> Result<Result<Option<Table>>> {
        let what = format!("check table {name}");
        let named = literal(name);
        let parts = session
            .rows(
                &what,
                format!(
                    "WITH RECURSIVE part(oid) AS ( \
                       SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                         WHERE n.nspname = 'public' AND c.relname = {named} \
                       UNION SELECT i.inhrelid FROM pg_inherits i JOIN part ON part.oid = i.inhparent) \
                     SELECT n.nspname::text, c.relname::text, c.relkind::text, row_security_active(c.oid), \
                       c.relpersistence::text \
                     FROM part JOIN pg_class c ON c.oid = part.oid JOIN pg_namespace n ON n.oid = c.relnamespace \
                     ORDER BY n.nspname = 'public' AND c.relname = {named} DESC, 1, 2"
                ),
            )
            .await?;
        if parts.is_empty() {
            return Ok(Ok(None));
        }
        let mut table = Table { name: name.to_owned(), parts: Vec::new(), columns: HashMap::new() };
        for (at, part) in parts.iter().enumerate() {
            let (schema, part_name): (String, String) = (column(part, 0)?, column(part, 1)?);
            let kind: String = column(part, 2)?;
            let wrong = match (kind.as_str(), at) {
                ("p", _) => continue, // has no rows of its own
                ("r", _) if column::<bool>(part, 3)? => {
                    return Ok(Err(hidden(&format!("{schema}.{part_name}"), session)));
                }
                ("r", _) if column::<String>(part, 4)? == "t" => "a temporary table",
                ("r", _) => {
                    table.parts.push((schema, part_name));
                    continue;
                }
                (other, _) => kind_text(other),
            };
            let what = match at {
                0 => format!("{name} is {wrong}, not a table"),
                _ => format!("a part of table {name}, {schema}.{part_name}, is {wrong}, not a table"),
            };
            return Ok(Err(not_read(what, session)));
        }
        table.read_columns(session, &what).await?;
        Ok(Ok(Some(table)))
    }

    /// The same; `None` also if it is something else than a table, or hides rows.
    ///
    /// # Errors
    /// If the server fails.
    pub async fn if_plain(session: &mut Session, name: &str) -> Result<Option<Table>> {
        Ok(Table::search(session, name).await?.unwrap_or_default())
    }

    /// The same for a table that must exist.
    pub async fn get(session: &mut Session, name: &str) -> Result<Table> {
        match Table::find(session, name).await? {
            Some(table) => Ok(table),
            None => {
                let what = format!("table {name} does not exist in {}", session.place());
                Err(Error::new(Kind::Postgres, what).next("check whether this is an Odoo database"))
            }
        }
    }

    async fn read_columns(&mut self, session: &mut Session, what: &str) -> Result<()> {
        let sql = format!(
            "SELECT a.attname::text, a.attgenerated = '', \
               a.atttypid IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'name'::regtype), \
               a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype), \
               a.atttypid IN ('timestamp'::regtype, 'timestamptz'::regtype), a.atttypid = 'numeric'::regtype, \
               a.atttypid = 'bool'::regtype, a.atttypid = 'date'::regtype, \
               a.atttypid IN ('float4'::regtype, 'float8'::regtype), a.atttypid = 'json'::regtype, \
               a.atttypid = 'jsonb'::regtype \
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = 'public' AND c.relname = {} AND a.attnum > 0 AND NOT a.attisdropped",
            literal(&self.name)
        );
        for row in session.rows(what, sql).await? {
            let mut kind = None;
            for (index, one) in (2..).zip(TYPES) {
                if column::<bool>(&row, index)? {
                    kind = Some(one);
                }
            }
            let is_plain: bool = column(&row, 1)?;
            let kind = kind.filter(|_| is_plain);
            self.columns.insert(column(&row, 0)?, kind);
        }
        Ok(())
    }

    /// The columns of `names` that it does not have.
    pub fn lacks<'n>(&self, names: &[&'n str]) -> Vec<&'n str> {
        names.iter().copied().filter(|name| !self.columns.contains_key(*name)).collect()
    }

    /// Every column with its type, sorted by name; `None` where it is generated, or of another type.
    pub fn columns(&self) -> Vec<(&str, Option<Type>)> {
        let mut all: Vec<_> = self.columns.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
        all.sort_by_key(|(name, _)| *name);
        all
    }

    /// The size of its rows on disk.
    ///
    /// # Errors
    /// If the server fails.
    pub async fn bytes(&self, session: &mut Session) -> Result<u64> {
        let names: Vec<String> = self
            .parts
            .iter()
            .map(|(schema, name)| format!("({}, {})", literal(schema), literal(name)))
            .collect();
        if names.is_empty() {
            return Ok(0);
        }
        let sql = format!(
            "SELECT coalesce(sum(pg_table_size(c.oid)), 0)::int8 FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE (n.nspname::text, c.relname::text) IN ({})",
            names.join(", ")
        );
        let row = session.row(&format!("measure table {}", self.name), sql).await?;
        Ok(column::<i64>(&row, 0)?.unsigned_abs())
    }

    /// Passes on these columns of every row, in no particular order.
    ///
    /// # Errors
    /// `Postgres` if a column is missing, generated, or does not have a built-in type; `Denied` if it may
    /// not be read. After an error the session cannot be used any more.
    pub async fn each(
        &self,
        session: &mut Session,
        columns: &[(&str, Type)],
        mut each: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        for (column, expected) in columns {
            match self.columns.get(*column) {
                Some(Some(kind)) if kind == expected => {}
                Some(_) => {
                    let what =
                        format!("column {}.{column} does not have the type that Odoo gives it", self.name);
                    return Err(not_read(what, session));
                }
                None => return Err(not_read(format!("table {} has no column {column}", self.name), session)),
            }
        }
        let list: Vec<String> = columns.iter().map(|(column, _)| ident(column)).collect();
        for (schema, name) in &self.parts {
            let sql =
                format!("COPY {} ({}) TO STDOUT (FORMAT binary)", qualified(schema, name), list.join(", "));
            each_row(session, &format!("read table {schema}.{name}"), &sql, &mut each).await?;
        }
        Ok(())
    }
}

fn not_read(what: String, session: &Session) -> Error {
    Error::new(Kind::Postgres, format!("{what}, in {}", session.place()))
        .effect("it was not read: reading it could run code of the database's owner with our rights")
        .next("ask the owner what it is for; if this is not an Odoo database, add it to odoo.exclude")
}

fn hidden(table: &str, session: &Session) -> Error {
    Error::new(Kind::Denied, format!("row-level security hides rows of table {table} in {}", session.place()))
        .effect("it was not read: a policy would run code of the database's owner with our rights")
        .next("let the agent's role bypass row-level security: ALTER ROLE … BYPASSRLS")
}
