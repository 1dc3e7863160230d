//! Imports run one way, downwards (docs/architecture.md): read from the sources themselves.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test panics, and reads sources as a person does

mod circles;
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use lifeboat_tests::compare::walk;
use lifeboat_tests::program::workspace_root;

/// The agent's modules from the bottom up. A module imports those of lines above its own only; what
/// stands in one line does not know each other.
const LAYERS: [&[&str]; 13] = [
    &["error"],
    &["disk", "clock", "environment"],
    &["names", "progress", "crontab", "child", "rate_limit"],
    &["config"],
    &["archive", "postgres", "store"],
    &["repository", "catalog", "odoo", "program", "capture"],
    &["inventory"],
    &["status"],
    &["backup", "recovery", "retention", "upkeep", "wal", "daemon", "setup", "release"],
    &["doctor", "checkpoint", "policy", "fleet"],
    &["agent"],
    &["cli"],
    &["main"],
];
/// What the drill may use of the agent: it restores by the shipped program, never by its insides.
const DRILL_MAY: [&str; 13] = [
    "error",
    "disk",
    "clock",
    "environment",
    "child",
    "names",
    "config",
    "archive",
    "repository",
    "inventory",
    "postgres",
    "odoo",
    "program",
];

/// Their names as the page of the architecture lists them.
fn top_down() -> impl Iterator<Item = &'static str> {
    LAYERS.iter().rev().flat_map(|line| line.iter().copied())
}

/// Who imports whom, with the files that do.
type Imports = BTreeMap<(String, String), Vec<String>>;

/// The first word behind each `root` in a file's code; `root{a, b}` counts each.
fn named<'a>(text: &'a str, root: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")) {
        for (at, _) in line.match_indices(root) {
            let before = line[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '"') {
                continue; // `my_crate::`, or the target of a log filter
            }
            let rest = &line[at + root.len()..];
            let word = |text: &'a str| {
                let text = text.trim_start();
                &text[..text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())]
            };
            match rest.strip_prefix('{') {
                Some(list) => found.extend(list.split('}').next().unwrap().split(',').map(word)),
                None => found.push(word(rest)),
            }
        }
    }
    found.retain(|word| !word.is_empty());
    found
}

fn imports(source: &Path, root: &str) -> Imports {
    let mut imports = Imports::new();
    let mut files = 0;
    walk(source, &mut |path| {
        if path.extension().is_none_or(|extension| extension != "rs") {
            return;
        }
        files += 1;
        let name = path.strip_prefix(source).unwrap().to_str().unwrap();
        let module = name.split('/').next().unwrap().trim_end_matches(".rs");
        let text = fs::read_to_string(path).unwrap();
        let climbs = "super::".repeat(name.matches('/').count() + 1 - usize::from(name.ends_with("/mod.rs")));
        // inside `mod tests` of a file one `super` is the file itself
        let code = text.split("#[cfg(test)]").next().unwrap();
        assert!(
            module == "lib" || !code.contains(&format!("{climbs}super::")),
            "{name} leaves its module by super:: where crate:: would show it"
        );
        for other in named(&text, root).into_iter().filter(|other| *other != module) {
            imports.entry((module.to_owned(), other.to_owned())).or_default().push(name.to_owned());
        }
    });
    assert!(files > 10, "{} holds sources", source.display());
    imports
}

fn rank(module: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&module));
    found.unwrap_or_else(|| {
        panic!("{module} has no place in LAYERS: put it where it belongs, here and in docs/architecture.md")
    })
}

/// Pairs that go up or sideways.
fn upward(imports: &Imports) -> Vec<String> {
    let wrong = imports.iter().filter(|((from, to), _)| from != "lib" && rank(from) <= rank(to));
    wrong.map(|((from, to), files)| format!("{from} imports {to} in {}", files.join(", "))).collect()
}

#[test]
fn the_agent_imports_downwards_only() {
    let imports = imports(&workspace_root().join("agent/src"), "crate::");
    let modules: BTreeSet<&str> = imports.keys().map(|(from, _)| from.as_str()).collect();
    assert!(modules.contains("backup") && modules.contains("cli") && modules.len() > 10, "{modules:?}");
    let wrong = upward(&imports);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn one_place_deletes_from_a_repository_and_one_asks_it_to() {
    let (mut removing, mut erasing) = (Vec::new(), Vec::new());
    let source = workspace_root().join("agent/src");
    walk(&source, &mut |path| {
        let Ok(text) = fs::read_to_string(path) else { return };
        let name = path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
        let code: String = text.split_whitespace().collect();
        if code.contains("store().remove(") {
            removing.push(name.clone());
        }
        if code.contains(".erase(") {
            erasing.push(name);
        }
    });
    assert_eq!(
        (removing, erasing),
        (vec!["repository/erase.rs".into()], vec!["retention/apply.rs".to_owned()])
    );
}

#[test]
fn an_upward_import_is_seen() {
    let text =
        "use crate::{cli, error::Error};\n// use crate::cli;\nlet x = my_crate::cli; crate::store::Store";
    assert_eq!(named(text, "crate::"), ["cli", "error", "store"]);
    let pair = |from: &str, to: &str| ((from.to_owned(), to.to_owned()), vec!["x.rs".to_owned()]);
    assert_eq!(upward(&Imports::from([pair("store", "archive"), pair("backup", "store")])).len(), 1);
    assert_eq!(upward(&Imports::from([pair("backup", "recovery"), pair("error", "cli")])).len(), 2);
}

#[test]
fn the_drill_never_uses_the_insides_of_jobs() {
    let imports = imports(&workspace_root().join("restore-drill/src"), "lifeboat::");
    let used: BTreeSet<&str> = imports.keys().map(|(_, to)| to.as_str()).collect();
    assert!(used.contains("repository"), "{used:?}");
    let wrong: Vec<_> = imports.iter().filter(|((_, to), _)| !DRILL_MAY.contains(&to.as_str())).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn neither_the_tests_library_nor_the_agent_know_the_drill() {
    for source in ["agent/src", "tests/src"] {
        let imports = imports(&workspace_root().join(source), "restore_drill::");
        assert!(imports.is_empty(), "{source}: {imports:#?}");
    }
}

#[test]
fn every_module_is_told_in_the_architecture() {
    let page = fs::read_to_string(workspace_root().join("docs/architecture.md")).unwrap();
    let mut missing = Vec::new();
    for source in ["agent/src", "restore-drill/src"] {
        for entry in fs::read_dir(workspace_root().join(source)).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let told = if entry.path().is_dir() { format!("`{name}/`") } else { format!("`{name}`") };
            if !page.contains(&told) {
                missing.push(format!("{source}/{name}"));
            }
        }
    }
    assert!(missing.is_empty(), "not in docs/architecture.md: {missing:#?}");
}

#[test]
fn no_child_inherits_our_environment() {
    let mut starting = 0;
    let source = workspace_root().join("agent/src");
    walk(&source, &mut |path| {
        if path.extension().is_none_or(|extension| extension != "rs") {
            return;
        }
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        if code.contains("Command::new(") {
            starting += 1;
            // `Program::start` does it for PostgreSQL's programs; what is cleared has nothing at all.
            let cleaned = ["environment::clean(", "Program::start(", ".env_clear()"]
                .iter()
                .any(|way| code.contains(way));
            assert!(cleaned, "{} starts a child in our environment, secrets and all", path.display());
        }
    });
    assert!(starting >= 5, "{starting} files start children");
}
