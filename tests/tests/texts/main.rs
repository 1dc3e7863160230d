//! What a check can hold of how we write: how wide lines are, words that are always wrong, links and
//! paths that exist. Every finding says file, line and what to write; CONTRIBUTING.md has the rules.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test panics, and reads sources as a person does

mod links;
mod prose;
mod width;
mod words;

use std::fs;
use std::path::Path;

use lifeboat_tests::compare::walk;
use lifeboat_tests::program::workspace_root;

/// Folders of Rust sources: their comments are wrapped ([`width`]).
const SOURCES: [&str; 5] =
    ["agent/src", "restore-drill/src", "restore-drill/tests", "tests/src", "tests/tests"];
/// Those whose comments and strings keep the list of words ([`words`]): the programs'.
const PROGRAMS: [&str; 2] = ["agent/src", "restore-drill/src"];
/// Where Markdown is looked for, and the folders of it.
const PAGES: [&str; 8] = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs",
    "runbooks",
    "deploy",
    "tests",
    "restore-drill/checks",
];

/// Parts of pages that a test generates from the sources, which are checked themselves: page, and the
/// lines that such a part begins and ends with.
const GENERATED: [(&str, &str, &str); 2] = [
    ("docs/architecture.md", "### agent/src", "### Elsewhere"),
    ("docs/configuration.md", "## At the top", "(no end)"),
];

/// A file of ours, by its path from the workspace's root.
struct File {
    path: String,
    text: String,
}

impl File {
    fn read(path: &Path) -> File {
        let name = path.strip_prefix(workspace_root()).unwrap().to_str().unwrap().to_owned();
        File { path: name, text: fs::read_to_string(path).unwrap() }
    }

    /// Its text as a person wrote it: lines of generated parts are empty.
    fn written(&self) -> String {
        let Some((_, begins, ends)) = GENERATED.iter().find(|(page, ..)| self.path == *page) else {
            return self.text.clone();
        };
        let (mut out, mut generated) = (String::new(), false);
        for line in self.text.lines() {
            generated = (generated || line == *begins) && line != *ends;
            out += if generated { "" } else { line };
            out.push('\n');
        }
        assert!(self.text.contains(begins), "{}: {begins} begins a part", self.path);
        out
    }
}

/// The files at or below `place` whose names end in `ending`, in order.
fn files(place: &str, ending: &str) -> Vec<File> {
    let (mut found, place) = (Vec::new(), workspace_root().join(place));
    let mut take = |path: &Path| {
        if path.extension().is_some_and(|extension| extension == ending) {
            found.push(File::read(path));
        }
    };
    if place.is_file() {
        take(&place)
    } else {
        walk(&place, &mut take)
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// All Markdown of the workspace.
fn pages() -> Vec<File> {
    let pages: Vec<File> = PAGES.iter().flat_map(|place| files(place, "md")).collect();
    assert!(pages.len() > 40, "only {} pages were found", pages.len());
    pages
}

/// All Rust files of these folders.
fn sources(folders: &[&str]) -> Vec<File> {
    folders.iter().flat_map(|folder| files(folder, "rs")).collect()
}

/// Passes when there is nothing to correct.
#[track_caller]
fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "{} to correct:\n{}\n", found.len(), found.join("\n"));
}
