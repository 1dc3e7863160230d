//! Module versions: what a tenant has installed, what the previous checkpoint saw, and what the release
//! brings.

use std::collections::BTreeMap;
use std::path::Path;

use crate::archive::evidence::predicate::{ChangeWhen, ModuleChange, ModuleVersion};
use crate::disk;
use crate::error::{Error, Kind, Result};

/// The largest list or manifest that is read.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Directories that are looked at below a folder of addons.
const MODULES_MAX: usize = 20_000;

/// The versions of a release's modules, by name.
pub type Released = BTreeMap<String, String>;

/// Reads them from a JSON object of names and versions, or from a folder of addons (its
/// `<module>/__manifest__.py`).
///
/// # Errors
/// `Usage` where it is neither.
pub fn read(path: &Path) -> Result<Released> {
    if disk::is_dir(path) {
        return of_folder(path);
    }
    let text = disk::read_text(path, FILE_BYTES_MAX)?;
    serde_json::from_str(&text).map_err(|e| {
        Error::new(
            Kind::Usage,
            format!("{} is not a JSON object of module names and versions", path.display()),
        )
        .because(e)
        .next("write {\"sale\": \"17.0.1.2\"}, or name a folder of addons")
    })
}

fn of_folder(folder: &Path) -> Result<Released> {
    let mut found = Released::new();
    for entry in disk::read_dir(folder)?.unwrap_or_default().into_iter().take(MODULES_MAX) {
        let manifest = entry.path().join("__manifest__.py");
        let Ok(text) = disk::read_text(&manifest, FILE_BYTES_MAX) else { continue };
        if let (Ok(name), Some(version)) = (entry.file_name().into_string(), version_of(&text)) {
            found.insert(name, version);
        }
    }
    match found.is_empty() {
        true => {
            Err(Error::new(Kind::Usage, format!("{} contains no module with a version", folder.display()))
                .next("name the folder whose folders contain __manifest__.py"))
        }
        false => Ok(found),
    }
}

/// The value of `'version'` in a manifest: a Python dict of literals.
fn version_of(manifest: &str) -> Option<String> {
    for quote in ['\'', '"'] {
        for (at, key) in manifest.match_indices(&format!("{quote}version{quote}")) {
            let before = manifest[..at].trim_end();
            let starts = before.ends_with(['{', ',']) || before.lines().last().is_some_and(is_comment);
            let rest = manifest[at + key.len()..].trim_start().strip_prefix(':')?.trim_start();
            let open = rest.chars().next().filter(|c| *c == '\'' || *c == '"')?;
            let (value, _) = rest[1..].split_once(open)?;
            if starts && !value.is_empty() && value.len() <= 64 {
                return Some(value.to_owned());
            }
        }
    }
    None
}

fn is_comment(line: &str) -> bool {
    line.contains('#')
}

/// Whether the installed version is what a manifest of this version installs: Odoo puts its series in front
/// of a short one.
fn is_same(installed: Option<&str>, released: &str, odoo_version: Option<&str>) -> bool {
    let series = odoo_version.map(|version| version.splitn(3, '.').take(2).collect::<Vec<_>>().join("."));
    installed == Some(released)
        || series.is_some_and(|series| installed == Some(format!("{series}.{released}").as_str()))
}

/// What the release changes in a tenant: of its installed modules, those that come in another version.
pub fn with_release(
    installed: &[ModuleVersion],
    odoo_version: Option<&str>,
    released: &Released,
) -> Vec<ModuleChange> {
    let changes = installed.iter().filter_map(|module| {
        let to = released.get(&module.name)?;
        let same = is_same(module.version.as_deref(), to, odoo_version);
        (!same).then(|| ModuleChange {
            name: module.name.clone(),
            from: module.version.clone(),
            to: Some(to.clone()),
            when: ChangeWhen::WithRelease,
        })
    });
    changes.collect()
}

/// What changed since the previous checkpoint of the tenant.
pub fn since_previous(before: &[ModuleVersion], now: &[ModuleVersion]) -> Vec<ModuleChange> {
    let of = |modules: &[ModuleVersion]| -> BTreeMap<String, Option<String>> {
        modules.iter().map(|module| (module.name.clone(), module.version.clone())).collect()
    };
    let (before, now) = (of(before), of(now));
    let mut names: Vec<&String> = before.keys().chain(now.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let changed = names.into_iter().filter(|name| before.get(*name) != now.get(*name));
    changed
        .map(|name| ModuleChange {
            name: name.clone(),
            from: before.get(name).cloned().flatten(),
            to: now.get(name).cloned().flatten(),
            when: ChangeWhen::SincePrevious,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, version: &str) -> ModuleVersion {
        ModuleVersion { name: name.to_owned(), version: Some(version.to_owned()) }
    }

    #[test]
    fn a_manifest_says_its_version_and_odoo_puts_its_series_in_front() {
        assert_eq!(version_of("{'name': 'Sale',\n 'version': '1.2',\n}").as_deref(), Some("1.2"));
        assert_eq!(version_of("# a module\n{\n    \"version\": \"17.0.2.0\"}").as_deref(), Some("17.0.2.0"));
        assert_eq!(version_of("{'depends': ['version']}"), None);
        let installed = [module("base", "17.0.1.3"), module("sale", "17.0.1.2")];
        let released = |version: &str| Released::from([("sale".to_owned(), version.to_owned())]);
        for same in ["1.2", "17.0.1.2"] {
            assert!(with_release(&installed, Some("17.0.1.3"), &released(same)).is_empty(), "{same}");
        }
        let changes = with_release(&installed, Some("17.0.1.3"), &released("1.3"));
        assert_eq!((changes.len(), changes[0].to.as_deref()), (1, Some("1.3")));
        // what is not installed in this tenant is not migrated
        let other = Released::from([("pos".to_owned(), "9".to_owned())]);
        assert!(with_release(&installed, None, &other).is_empty());
    }

    #[test]
    fn what_came_went_or_changed_since_the_previous_checkpoint_is_named() {
        let before = [module("a", "1"), module("b", "1"), module("c", "1")];
        let now = [module("a", "1"), module("b", "2"), module("d", "1")];
        let changes = since_previous(&before, &now);
        let told: Vec<_> =
            changes.iter().map(|c| (c.name.as_str(), c.from.as_deref(), c.to.as_deref())).collect();
        assert_eq!(told, [("b", Some("1"), Some("2")), ("c", Some("1"), None), ("d", None, Some("1"))]);
    }
}
