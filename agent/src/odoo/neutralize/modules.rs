//! Which installed modules are Odoo's own, and which module a column belongs to.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::tables::Tables;
use crate::error::Result;
use crate::postgres::quote::literal;
use crate::postgres::session::{Session, column};

/// The modules of Odoo Community 17, 18 and 19. Their columns and code were read for the catalogue.
const COMMUNITY: &str = include_str!("modules.txt");
/// The series for which [`COMMUNITY`] is believed; 15 and 16 have no other credentials.
const SERIES: std::ops::RangeInclusive<u32> = 15..=19;

/// The table of a model `f.model`: Odoo's actions have shorter names.
pub(super) const TABLE: &str = "CASE f.model::text WHEN 'ir.actions.report' THEN 'ir_act_report_xml' \
    ELSE replace(regexp_replace(f.model::text, '^ir[.]actions[.](act_)?(?=.)', 'ir_act_'), '.', '_') END";

/// Who wrote a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Odoo's Community edition, of a series that Lifeboat knows.
    Community,
    /// By its licence, Odoo's Enterprise edition: Lifeboat knows some of its modules.
    Enterprise,
    /// Somebody else.
    Other,
    /// No module of the database says that it is its own.
    Nobody,
}

/// The modules of a database.
pub(super) struct Modules {
    /// Licence of each installed module.
    licences: HashMap<String, String>,
    known: HashSet<&'static str>,
    /// For each column that was asked for: its type as Odoo calls it, and its modules.
    columns: HashMap<(String, String), (String, Vec<String>)>,
}

impl Modules {
    /// Reads the installed modules, and the owners of all columns whose name matches `words`.
    pub async fn read(session: &mut Session, tables: &Tables, words: &str) -> Result<Modules> {
        let mut out = Modules { licences: HashMap::new(), known: HashSet::new(), columns: HashMap::new() };
        let has = |table: &str, columns: &[&str]| columns.iter().all(|name| tables.has(table, name));
        let mut series = None;
        if has("ir_module_module", &["name", "state", "latest_version"]) {
            let licence =
                if tables.has("ir_module_module", "license") { "license::text" } else { "NULL::text" };
            let sql = format!(
                "SELECT name::text, {licence}, latest_version::text FROM public.ir_module_module \
                 WHERE state::text IN ('installed', 'to upgrade', 'to remove')"
            );
            for row in session.rows("list the modules", sql).await? {
                let (name, licence, version): (Option<String>, Option<String>, Option<String>) =
                    (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
                let Some(name) = name else { continue };
                if name == "base" {
                    series = version.as_deref().and_then(major);
                }
                out.licences.insert(name, licence.unwrap_or_default());
            }
        }
        if series.is_some_and(|series| SERIES.contains(&series)) {
            out.known = COMMUNITY.split_whitespace().collect();
        }
        let fields = has("ir_model_fields", &["id", "model", "name", "ttype"]);
        if fields && has("ir_model_data", &["model", "res_id", "module"]) {
            let sql = format!(
                "SELECT {TABLE}, f.name::text, f.ttype::text, d.module::text \
                 FROM public.ir_model_fields f LEFT JOIN public.ir_model_data d \
                   ON d.model::text = 'ir.model.fields' AND d.res_id = f.id \
                 WHERE f.name::text ~* {} ORDER BY 4",
                literal(words)
            );
            for row in session.rows("list the owners of columns", sql).await? {
                let (table, name, kind): (String, String, Option<String>) =
                    (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
                let (_, modules) = out
                    .columns
                    .entry((table, name))
                    .or_insert_with(|| (kind.unwrap_or_default(), Vec::new()));
                modules.extend(column::<Option<String>>(&row, 3)?);
            }
        }
        Ok(out)
    }

    /// The column's type as Odoo calls it, such as `selection`; empty if it is no field.
    pub fn field_type(&self, table: &str, name: &str) -> &str {
        self.columns.get(&(table.into(), name.into())).map_or("", |(kind, _)| kind)
    }

    /// Whether the column is a field whose name was asked for.
    pub fn is_field(&self, table: &str, name: &str) -> bool {
        self.columns.contains_key(&(table.into(), name.into()))
    }

    /// The module that a column belongs to: of several, Odoo's own.
    pub fn of_column(&self, table: &str, name: &str) -> (Option<String>, Origin) {
        let owners = self.columns.get(&(table.into(), name.into())).map_or(&[][..], |(_, modules)| modules);
        self.first(owners)
    }

    /// The same for a list of modules.
    pub fn first(&self, owners: &[String]) -> (Option<String>, Origin) {
        let with_origin = owners.iter().map(|module| (Some(module.clone()), self.origin(module)));
        with_origin.min_by_key(|(_, origin)| *origin).unwrap_or((None, Origin::Nobody))
    }

    fn origin(&self, module: &str) -> Origin {
        match self.licences.get(module) {
            _ if module.starts_with("__") || module == "studio_customization" => Origin::Nobody,
            _ if self.known.contains(module) => Origin::Community,
            Some(licence) if licence == "OEEL-1" => Origin::Enterprise,
            _ => Origin::Other,
        }
    }
}

/// The series of Odoo in a version such as `17.0.1.3` or `saas~18.2.1.3`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix("saas~").unwrap_or(version).split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_has_odoos_own_modules() {
        let names: Vec<&str> = COMMUNITY.split_whitespace().collect();
        assert!(names.is_sorted() && names.len() > 600);
        for name in ["base", "sale", "payment_stripe", "l10n_hu_edi"] {
            assert!(names.binary_search(&name).is_ok(), "{name}");
        }
        assert_eq!((major("17.0.1.3"), major("saas~18.2.1.3"), major("")), (Some(17), Some(18), None));
    }

    #[test]
    fn a_column_of_several_modules_is_odoos_own() {
        let licences = [("shop", "LGPL-3"), ("voip", "OEEL-1")].map(|(name, by)| (name.into(), by.into()));
        let modules =
            Modules { licences: licences.into(), known: HashSet::from(["sale"]), columns: HashMap::new() };
        let first = |owners: &[&str]| modules.first(&owners.iter().map(|s| (*s).into()).collect::<Vec<_>>());
        assert_eq!(first(&["shop", "sale"]), (Some("sale".into()), Origin::Community));
        assert_eq!(first(&["shop", "voip"]), (Some("voip".into()), Origin::Enterprise));
        assert_eq!(first(&["__export__"]), (Some("__export__".into()), Origin::Nobody));
        assert_eq!(first(&[]), (None, Origin::Nobody));
    }
}
