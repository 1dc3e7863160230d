//! Whether modules were updated between two baselines: an update may change what modules made.

use std::collections::{BTreeMap, BTreeSet};

use crate::odoo::baseline::Baseline;

/// The table that says which modules are installed.
const MODULES: &str = "ir_module_module";

/// What was updated.
pub(super) struct Updated {
    /// Modules with another version, with the one before and the one after; `None` where it is not installed.
    pub(super) versions: BTreeMap<String, [Option<String>; 2]>,
    /// Whether anything was installed, updated or removed, be it in the same version.
    pub(super) any: bool,
}

impl Updated {
    pub(super) fn between(before: &Baseline, after: &Baseline) -> Updated {
        let by_name = |baseline: &Baseline| -> BTreeMap<String, String> {
            let text =
                |version: &Option<String>| version.clone().unwrap_or_else(|| "without a version".into());
            baseline.modules.iter().map(|module| (module.name.clone(), text(&module.version))).collect()
        };
        let (was, is) = (by_name(before), by_name(after));
        let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        let versions: BTreeMap<_, _> = names
            .into_iter()
            .filter(|name| was.get(*name) != is.get(*name))
            .map(|name| (name.clone(), [was.get(name).cloned(), is.get(name).cloned()]))
            .collect();
        let written = |baseline: &Baseline| {
            let table = baseline.tables.iter().find(|one| one.schema == "public" && one.name == MODULES);
            table.and_then(|table| table.max_write_date.clone())
        };
        Updated { any: !versions.is_empty() || written(before) != written(after), versions }
    }

    /// Whether one of these modules has another version; with none known, whether any was updated.
    pub(super) fn explains<'a>(&self, modules: impl IntoIterator<Item = &'a String>) -> bool {
        let mut modules = modules.into_iter().peekable();
        match modules.peek() {
            None => self.any,
            Some(_) => modules.any(|module| self.versions.contains_key(module)),
        }
    }

    /// Whether one of these modules was removed, with all that it had.
    pub(super) fn removed(&self, modules: &[String]) -> bool {
        modules.iter().any(|module| matches!(self.versions.get(module), Some([_, None])))
    }
}
