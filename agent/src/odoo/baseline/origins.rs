//! Which module of Odoo made what: rows of decisive tables, tables and constraints.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::decisive::Decisive;
use super::schema::SchemaFacts;
use crate::error::Result;
use crate::odoo::tenants::MODULES;
use crate::postgres::copy_out::Row;
use crate::postgres::session::Session;
use crate::postgres::table::{Table, Type};

/// The modules of rows, tables and constraints.
#[derive(Debug, Default)]
pub(super) struct Origins {
    rows: HashMap<(&'static str, i64), String>,
    tables: BTreeMap<String, BTreeSet<String>>,
    /// By name; a name that several modules use has none.
    constraints: BTreeMap<String, Option<String>>,
    transient: BTreeSet<String>,
}

/// External identifiers of what people exported, imported or made with Studio: no module's.
const NO_MODULES: [&str; 3] = ["__export__", "__import__", "studio_customization"];

impl Origins {
    /// Reads them; what a database does not have, or not as Odoo makes it, is left out.
    pub(super) async fn read(session: &mut Session) -> Result<Origins> {
        let mut origins = Origins::default();
        let columns =
            [("module", Type::Text), ("name", Type::Text), ("model", Type::Text), ("res_id", Type::Int)];
        each(session, "ir_model_data", &columns, |row| origins.external_id(row)).await?;
        each(session, "ir_model", &[("model", Type::Text), ("transient", Type::Bool)], |row| {
            if let (Some(model), Some([1])) = (row.text(0), row.bytes(1)) {
                origins.transient.insert(model.replace('.', "_"));
            }
        })
        .await?;
        let mut names = HashMap::new();
        each(session, MODULES, &[("id", Type::Int), ("name", Type::Text)], |row| {
            names.extend(row.int(0).zip(row.text(1)));
        })
        .await?;
        let columns = [("module", Type::Int), ("name", Type::Text)];
        let of = |row: &Row<'_>| Some((names.get(&row.int(0)?)?.clone(), row.text(1)?));
        each(session, "ir_model_relation", &columns, |row| {
            if let Some((module, table)) = of(row) {
                origins.tables.entry(table).or_default().insert(module);
            }
        })
        .await?;
        each(session, "ir_model_constraint", &columns, |row| {
            if let Some((module, constraint)) = of(row) {
                let known = origins.constraints.entry(constraint).or_insert_with(|| Some(module.clone()));
                if known.as_ref() != Some(&module) {
                    *known = None;
                }
            }
        })
        .await?;
        Ok(origins)
    }

    fn external_id(&mut self, row: &Row<'_>) {
        let (Some(module), Some(name), Some(model)) = (row.text(0), row.text(1), row.text(2)) else { return };
        if NO_MODULES.contains(&module.as_str()) {
            return;
        }
        let table = model.replace('.', "_");
        if let (Some(decisive), Some(id)) = (Decisive::of(&table), row.int(3)) {
            self.rows.insert((decisive.table, id), module);
        } else if let ("ir_model", Some(table)) = (table.as_str(), name.strip_prefix("model_")) {
            self.tables.entry(table.to_owned()).or_default().insert(module);
        }
    }

    /// The module that made this row.
    pub(super) fn of_row(&self, table: &'static str, id: i64) -> Option<&String> {
        self.rows.get(&(table, id))
    }

    /// Adds the modules to the tables and constraints of schema `public`.
    pub(super) fn add_to(&self, schema: &mut SchemaFacts) {
        for (table, modules) in &self.tables {
            if let Some(facts) = schema.tables.get_mut(&format!("public.{table}")) {
                facts.modules = modules.iter().cloned().collect();
            }
        }
        for table in &self.transient {
            if let Some(facts) = schema.tables.get_mut(&format!("public.{table}")) {
                facts.transient = true;
            }
        }
        for (_, facts) in schema.tables.iter_mut().filter(|(name, _)| name.starts_with("public.")) {
            for (name, constraint) in &mut facts.constraints {
                constraint.module = self.constraints.get(name).cloned().flatten();
            }
        }
    }
}

/// Passes on the rows of a table, if it is as Odoo makes it.
async fn each(
    session: &mut Session,
    table: &str,
    columns: &[(&str, Type)],
    mut each: impl FnMut(&Row<'_>),
) -> Result<()> {
    let Some(table) = Table::if_plain(session, table).await? else { return Ok(()) };
    let is_there = |(name, kind): &(&str, Type)| table.columns().contains(&(*name, Some(*kind)));
    if !columns.iter().all(is_there) {
        return Ok(());
    }
    table
        .each(session, columns, |row| {
            each(row);
            Ok(())
        })
        .await
}
