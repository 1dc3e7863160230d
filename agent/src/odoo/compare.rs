//! Compares two baselines: what is missing from the second one or differs in it. Pure.

mod schema;
mod values;

use std::collections::BTreeMap;
use std::fmt;

use crate::odoo::baseline::{Baseline, TableFacts, Versioned};

/// One difference between the recorded and the current state. `Display` gives a full sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A recorded table does not exist.
    TableMissing {
        /// `schema.table`.
        table: String,
        /// The number of rows it had.
        rows: u64,
    },
    /// A table exists that was not recorded.
    TableExtra {
        /// `schema.table`.
        table: String,
    },
    /// A number of a table differs.
    Table {
        /// `schema.table`.
        table: String,
        /// `rows`, `max(id)` or `max(write_date)`.
        fact: &'static str,
        /// What was recorded.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A part of a table differs: a column, an index, a constraint, the values of a column.
    Part {
        /// `schema.table`.
        table: String,
        /// As in `index sale_order_name_index`.
        what: String,
        /// What was recorded.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A property of the database as a whole differs.
    Value {
        /// As in `module sale`, `collation`, `database.uuid`.
        what: String,
        /// What was recorded.
        expected: String,
        /// What was found.
        found: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::TableMissing { table, rows } => {
                write!(f, "table {table} is missing; it had {rows} rows")
            }
            Difference::TableExtra { table } => {
                write!(f, "table {table} did not exist when the backup was taken")
            }
            Difference::Table { table, fact, expected, found } => {
                write!(f, "table {table}: {fact} is {found}, but was {expected}")
            }
            Difference::Part { table, what, expected, found } => {
                write!(f, "table {table}: {what} is {found}, but was {expected}")
            }
            Difference::Value { what, expected, found } => write!(f, "{what} is {found}, but was {expected}"),
        }
    }
}

/// What differs in `found`, in this order: database, modules, extensions, tables, what these are, decisive
/// values, documents by day. Owner, privileges and settings are not compared, because a restore may change
/// them on purpose. What an older baseline did not record is not compared.
pub fn compare(expected: &Baseline, found: &Baseline) -> Vec<Difference> {
    let mut out = Vec::new();
    let (was, is) = (&expected.properties, &found.properties);
    value(&mut out, "Odoo's version", opt(&expected.odoo_version), opt(&found.odoo_version));
    value(&mut out, "database.uuid", opt(&expected.database_uuid), opt(&found.database_uuid));
    value(&mut out, "encoding", &was.encoding, &is.encoding);
    value(&mut out, "collation", &was.collate, &is.collate);
    value(&mut out, "character type", &was.ctype, &is.ctype);
    value(&mut out, "locale provider", &was.locale_provider, &is.locale_provider);
    value(&mut out, "locale", opt(&was.locale), opt(&is.locale));
    versions(&mut out, "module", &expected.modules, &found.modules);
    // pg_restore creates an extension in the server's own version, by design: only its existence is compared.
    let names = |all: &[Versioned]| -> Vec<Versioned> {
        all.iter().map(|e| Versioned { version: Some("present".into()), ..e.clone() }).collect()
    };
    versions(&mut out, "extension", &names(&expected.extensions), &names(&found.extensions));
    tables(&mut out, &expected.tables, &found.tables);
    if let (Some(was), Some(is)) = (&expected.schema, &found.schema) {
        out.extend(schema::differences(was, is));
    }
    if let (Some(was), Some(is)) = (&expected.values, &found.values) {
        out.extend(values::differences(was, is));
    }
    if let (Some(was), Some(is)) = (&expected.lasting, &found.lasting) {
        out.extend(values::days(was, is));
    }
    if let (Some(was), Some(is)) = (&expected.figures, &found.figures) {
        out.extend(values::figures(was, is));
    }
    if let (Some(was), Some(is)) = (&expected.inputs, &found.inputs) {
        out.extend(values::inputs(was, is));
    }
    out
}

/// What base checks read and both recorded, as `table.column`, sorted.
pub fn inputs_compared(expected: &Baseline, found: &Baseline) -> Vec<String> {
    let (Some(was), Some(is)) = (&expected.inputs, &found.inputs) else { return Vec::new() };
    let both = was.iter().filter(|(table, was)| is.get(*table).is_some_and(|is| is.columns == was.columns));
    both.flat_map(|(table, was)| was.columns.iter().map(move |column| format!("{table}.{column}"))).collect()
}

fn opt(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or("absent")
}

fn value(out: &mut Vec<Difference>, what: &str, expected: &str, found: &str) {
    if expected != found {
        out.push(Difference::Value { what: what.into(), expected: expected.into(), found: found.into() });
    }
}

fn versions(out: &mut Vec<Difference>, what: &str, expected: &[Versioned], found: &[Versioned]) {
    let by_name = |list: &[Versioned]| -> BTreeMap<String, String> {
        let text = |v: &Versioned| v.version.clone().unwrap_or_else(|| "without a version".into());
        list.iter().map(|v| (v.name.clone(), text(v))).collect()
    };
    let (was, is) = (by_name(expected), by_name(found));
    for name in merged(was.keys(), is.keys()) {
        let side = |map: &BTreeMap<String, String>| map.get(name).map_or("absent".to_owned(), String::clone);
        value(out, &format!("{what} {name}"), &side(&was), &side(&is));
    }
}

fn tables(out: &mut Vec<Difference>, expected: &[TableFacts], found: &[TableFacts]) {
    let by_name = |list: &'_ [TableFacts]| -> BTreeMap<String, TableFacts> {
        list.iter().map(|t| (format!("{}.{}", t.schema, t.name), t.clone())).collect()
    };
    let (was, is) = (by_name(expected), by_name(found));
    for table in merged(was.keys(), is.keys()) {
        match (was.get(table), is.get(table)) {
            (Some(was), None) => out.push(Difference::TableMissing { table: table.clone(), rows: was.rows }),
            (None, _) => out.push(Difference::TableExtra { table: table.clone() }),
            (Some(was), Some(is)) => {
                let mut fact = |fact, expected: String, found: String| {
                    if expected != found {
                        out.push(Difference::Table { table: table.clone(), fact, expected, found });
                    }
                };
                let id = |t: &TableFacts| t.max_id.map_or("none".into(), |id| id.to_string());
                let date = |t: &TableFacts| t.max_write_date.clone().unwrap_or_else(|| "none".into());
                fact("rows", was.rows.to_string(), is.rows.to_string());
                fact("max(id)", id(was), id(is));
                fact("max(write_date)", date(was), date(is));
            }
        }
    }
}

/// The union of two sorted lists of names, sorted.
fn merged<'a>(a: impl Iterator<Item = &'a String>, b: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let all: std::collections::BTreeSet<&String> = a.chain(b).collect();
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::database::DatabaseProperties;

    fn table(name: &str, rows: u64, max_id: Option<i64>) -> TableFacts {
        TableFacts { schema: "public".into(), name: name.into(), rows, max_id, max_write_date: None }
    }

    fn baseline(tables: Vec<TableFacts>) -> Baseline {
        let module = Versioned { name: "base".into(), version: Some("17.0.1.3".into()) };
        Baseline {
            odoo_version: Some("17.0.1.3".into()),
            database_uuid: Some("u".into()),
            modules: vec![module],
            extensions: Vec::new(),
            roles: Vec::new(),
            properties: DatabaseProperties {
                encoding: "UTF8".into(),
                collate: "C".into(),
                ctype: "C".into(),
                locale_provider: "libc".into(),
                locale: None,
                icu_rules: None,
                tablespace: None,
                owner: "odoo".into(),
                connection_limit: -1,
                grants: None,
                settings: Vec::new(),
            },
            tables,
            reaches: Vec::new(),
            schema: None,
            values: None,
            lasting: None,
            figures: None,
            inputs: None,
        }
    }

    #[test]
    fn every_difference_is_a_sentence_with_both_values() {
        let was = baseline(vec![table("a", 5, Some(9)), table("gone", 3, None)]);
        assert_eq!(compare(&was, &was), []);
        let mut is = baseline(vec![table("a", 4, Some(9)), table("new", 0, None)]);
        let trgm = |version: &str| Versioned { name: "pg_trgm".into(), version: Some(version.into()) };
        let was =
            Baseline { extensions: vec![trgm("1.5"), Versioned { name: "gone".into(), ..trgm("1") }], ..was };
        is.extensions = vec![trgm("1.6")];
        is.modules[0].version = Some("17.0.1.4".into());
        is.properties.collate = "en_US.UTF-8".into();
        is.properties.owner = "another owner is no loss".into();
        let said: Vec<String> = compare(&was, &is).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "collation is en_US.UTF-8, but was C",
                "module base is 17.0.1.4, but was 17.0.1.3",
                "extension gone is absent, but was present",
                "table public.a: rows is 4, but was 5",
                "table public.gone is missing; it had 3 rows",
                "table public.new did not exist when the backup was taken",
            ]
        );
    }

    #[test]
    fn a_baseline_survives_its_json() {
        let was = baseline(vec![table("a", 5, None)]);
        let json = serde_json::to_string(&was).unwrap();
        assert!(!json.contains("max_id"), "{json}");
        assert_eq!(serde_json::from_str::<Baseline>(&json).unwrap(), was);
    }
}
