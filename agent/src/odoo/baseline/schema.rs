//! What the tables of a database are, from the catalogs alone: columns, indexes, constraints and sequences.
//! A loss of one of them is seen in no row.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::postgres::session::{Row, Session, column};

/// Most columns, indexes and constraints together; a schema with more is not recorded.
const FACTS_MAX: usize = 1_000_000;

/// The tables and sequences of a database, by `schema.name`; not those of extensions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaFacts {
    /// The major version of the server: another one writes expressions in another way.
    pub server_major: u32,
    /// Ordinary and partitioned tables.
    pub tables: BTreeMap<String, TableSchema>,
    /// Sequences.
    pub sequences: BTreeMap<String, SequenceFacts>,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// Its columns.
    #[serde(default)]
    pub columns: BTreeMap<String, ColumnFacts>,
    /// Its indexes, except those that belong to a constraint.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub indexes: BTreeMap<String, IndexFacts>,
    /// Its constraints, except NOT NULL.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub constraints: BTreeMap<String, ConstraintFacts>,
    /// The modules of Odoo that say what its columns are, sorted; none where that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
    /// Whether Odoo itself deletes its rows after a while.
    #[serde(default, skip_serializing_if = "is_false")]
    pub transient: bool,
}

/// One column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnFacts {
    /// Its type, as PostgreSQL writes it.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is NOT NULL.
    #[serde(default, skip_serializing_if = "is_false")]
    pub not_null: bool,
    /// Its default, or the expression that generates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// `identity` or `generated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
}

/// One index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexFacts {
    /// As in `btree (name) WHERE (name IS NOT NULL)`.
    pub on: String,
    /// Whether it is unique.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unique: bool,
    /// Whether it is broken: PostgreSQL does not use it, and checks nothing with it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub invalid: bool,
}

/// One constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConstraintFacts {
    /// Its kind.
    pub kind: ConstraintKind,
    /// As in `FOREIGN KEY (partner_id) REFERENCES public.res_partner(id) ON DELETE RESTRICT`.
    pub is: String,
    /// Whether rows that were there before were never checked.
    #[serde(default, skip_serializing_if = "is_false")]
    pub not_validated: bool,
    /// The module of Odoo that made it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
}

/// The kinds of constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConstraintKind {
    /// A primary key.
    PrimaryKey,
    /// A unique constraint.
    Unique,
    /// A foreign key.
    ForeignKey,
    /// A check.
    Check,
    /// An exclusion.
    Exclusion,
}

impl ConstraintKind {
    /// Its name in a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            ConstraintKind::PrimaryKey => "primary key",
            ConstraintKind::Unique => "unique constraint",
            ConstraintKind::ForeignKey => "foreign key",
            ConstraintKind::Check => "check",
            ConstraintKind::Exclusion => "exclusion",
        }
    }
}

/// One sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceFacts {
    /// The column that it belongs to, as in `public.sale_order.id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The last number that it gave, at the moment of the look: it is not part of the snapshot. `None` if
    /// there is none, or if it may not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<i64>,
}

fn is_false(is: &bool) -> bool {
    !is
}

/// Tables whose rows are in a dump, and what they consist of. pg_dump asks for the same texts with the same
/// rights, so nothing more of the owner is looked at.
macro_rules! of_tables {
    ($relation:literal) => {
        concat!(
            "JOIN pg_class c ON c.oid = ",
            $relation,
            " JOIN pg_namespace n ON n.oid = c.relnamespace \
              WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' \
                AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend e \
                  WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')"
        )
    };
}

const COLUMNS: &str = concat!(
    "SELECT n.nspname || '.' || c.relname, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
       pg_get_expr(d.adbin, d.adrelid), \
       CASE WHEN a.attidentity <> '' THEN 'identity' WHEN a.attgenerated <> '' THEN 'generated' END \
     FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum ",
    of_tables!("a.attrelid"),
    " AND a.attnum > 0 AND NOT a.attisdropped"
);
/// An index of a partition, or of a constraint, is made by that of its parent, or by the constraint.
const INDEXES: &str = concat!(
    "SELECT n.nspname || '.' || c.relname, x.relname::text, \
       regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE .*? USING ', ''), i.indisunique, NOT i.indisvalid \
     FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid ",
    of_tables!("i.indrelid"),
    " AND NOT x.relispartition AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = i.indexrelid \
        AND o.contype IN ('p', 'u', 'x'))"
);
const CONSTRAINTS: &str = concat!(
    "SELECT n.nspname || '.' || c.relname, o.conname::text, o.contype::text, pg_get_constraintdef(o.oid), \
       NOT o.convalidated FROM pg_constraint o ",
    of_tables!("o.conrelid"),
    " AND o.contype IN ('p', 'u', 'f', 'c', 'x') AND o.conparentid = 0"
);
const LAST: &str = "NULL::int8 AS last";
const LAST_ASKED: &str =
    "CASE WHEN has_sequence_privilege(s.oid, 'SELECT, USAGE') THEN pg_sequence_last_value(s.oid) END";
const SEQUENCES: &str = "\
    SELECT n.nspname || '.' || s.relname, tn.nspname || '.' || t.relname || '.' || a.attname, \
      NULL::int8 AS last \
    FROM pg_sequence q JOIN pg_class s ON s.oid = q.seqrelid JOIN pg_namespace n ON n.oid = s.relnamespace \
    LEFT JOIN (pg_depend d JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace \
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid) \
      ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.refclassid = 'pg_class'::regclass \
        AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i') \
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
      AND (s.relpersistence = 'p' OR s.relpersistence = 'u' AND NOT pg_is_in_recovery()) \
      AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = s.oid \
        AND e.deptype = 'e')";

/// Takes them; `None` if there are more than can be listed.
pub(super) async fn take(session: &mut Session) -> Result<Option<SchemaFacts>> {
    let mut facts = SchemaFacts { server_major: session.version_num() / 10_000, ..SchemaFacts::default() };
    let mut count = 0;
    let mut add = |row: Row, into: fn(&mut TableSchema, &Row) -> Result<()>| -> Result<()> {
        count += 1;
        match count > FACTS_MAX {
            true => Ok(()),
            false => into(facts.tables.entry(column(&row, 0)?).or_default(), &row),
        }
    };
    session.each("list the columns", COLUMNS, |row| add(row, add_column)).await?;
    session.each("list the indexes", INDEXES, |row| add(row, add_index)).await?;
    session.each("list the constraints", CONSTRAINTS, |row| add(row, add_constraint)).await?;
    let of =
        |row: &Row| Ok((column(row, 0)?, SequenceFacts { owner: column(row, 1)?, last: column(row, 2)? }));
    // A sequence that was dropped since the snapshot cannot be opened: then no last number is recorded.
    let what = "list the sequences";
    session.execute(what, "SAVEPOINT sequences").await?;
    let rows = match session.rows(what, SEQUENCES.replace(LAST, LAST_ASKED)).await {
        Ok(rows) => rows,
        Err(_) => {
            session.execute(what, "ROLLBACK TO SAVEPOINT sequences").await?;
            session.rows(what, SEQUENCES).await?
        }
    };
    for row in rows {
        count += 1;
        let (name, sequence) = of(&row)?;
        facts.sequences.insert(name, sequence);
    }
    Ok((count <= FACTS_MAX).then_some(facts))
}

fn add_column(table: &mut TableSchema, row: &Row) -> Result<()> {
    let facts = ColumnFacts {
        kind: column(row, 2)?,
        not_null: column(row, 3)?,
        default: column(row, 4)?,
        made: column(row, 5)?,
    };
    table.columns.insert(column(row, 1)?, facts);
    Ok(())
}

fn add_index(table: &mut TableSchema, row: &Row) -> Result<()> {
    // NULL: it was dropped since the snapshot.
    let on = column::<Option<String>>(row, 2)?.unwrap_or_default();
    table
        .indexes
        .insert(column(row, 1)?, IndexFacts { on, unique: column(row, 3)?, invalid: column(row, 4)? });
    Ok(())
}

fn add_constraint(table: &mut TableSchema, row: &Row) -> Result<()> {
    let kind = match column::<String>(row, 2)?.as_str() {
        "p" => ConstraintKind::PrimaryKey,
        "u" => ConstraintKind::Unique,
        "f" => ConstraintKind::ForeignKey,
        "x" => ConstraintKind::Exclusion,
        _ => ConstraintKind::Check,
    };
    let is = column::<Option<String>>(row, 3)?.unwrap_or_default();
    table
        .constraints
        .insert(column(row, 1)?, ConstraintFacts { kind, is, not_validated: column(row, 4)?, module: None });
    Ok(())
}
