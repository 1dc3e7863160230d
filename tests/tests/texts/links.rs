//! Links between pages, to headings of them, and paths that a text names: all of them exist.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use lifeboat_tests::compare::walk;
use lifeboat_tests::program::workspace_root;

use crate::{File, SOURCES, assert_none, pages, sources};

/// A word that begins with one of these and a slash is a path from the workspace's root.
const FOLDERS: [&str; 6] = ["agent", "deploy", "docs", "restore-drill", "runbooks", "tests"];
/// Sources that name made-up paths.
const MADE_UP: [&str; 2] = ["tests/tests/layers/circles.rs", "tests/tests/texts/links.rs"];

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let (mut out, mut fenced) = (Vec::new(), false);
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let Some(heading) = line.strip_prefix('#').filter(|_| !fenced) else { continue };
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let before = seen.entry(anchor.clone()).or_default();
        out.push(if *before == 0 { anchor.clone() } else { format!("{anchor}-{before}") });
        *before += 1;
    }
    out
}

/// Targets of the links in a page, with the line of each; not those inside code.
fn targets(text: &str) -> Vec<(usize, String)> {
    let (mut out, mut fenced) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        let links = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        out.extend(links.map(|target| (number + 1, target.to_owned())));
    }
    out
}

/// A path without its `..`.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}

/// Links of `page` that lead nowhere; `text_of` gives the other pages, `exists` says what there is.
fn dead(page: &File, text_of: &dyn Fn(&str) -> Option<String>, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut out = Vec::new();
    for (line, target) in targets(&page.text) {
        let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
        if file.contains("://") {
            continue;
        }
        let to = match file {
            "" => PathBuf::from(&page.path),
            file => plain(&Path::new(&page.path).parent().unwrap().join(file)),
        };
        let to = to.to_str().unwrap();
        if !exists(to) {
            out.push(format!("{}:{line}: a link to {to}: there is no such file", page.path));
        } else if !anchor.is_empty() {
            let anchors = text_of(to).map(|text| anchors(&text)).unwrap_or_default();
            if !anchors.iter().any(|known| known == anchor) {
                let known = anchors.join(", #");
                out.push(format!("{}:{line}: {to} has no heading #{anchor}, but #{known}", page.path));
            }
        }
    }
    out
}

/// Words of a text that are paths of files, with the line of each: from the root, or of a source.
fn paths(text: &str) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words = line.split(|c: char| !(c.is_alphanumeric() || "/._-*<>$…{}:@%~+=#".contains(c)));
        for word in words {
            let word = word.trim_end_matches(['.', ':']).trim_end_matches('/');
            let is_path = word.split_once('/').is_some_and(|(first, _)| FOLDERS.contains(&first))
                || word.ends_with(".rs") && word.contains('/') && word.starts_with(char::is_alphabetic);
            let is_open = word.contains(|c: char| "*<>$…{}:@%~+=#".contains(c));
            if is_path && !is_open {
                out.push((number + 1, word.to_owned()));
            }
        }
    }
    out
}

/// Every file and folder of the workspace that can be named.
fn all_paths() -> Vec<String> {
    let root = workspace_root();
    let mut all = Vec::new();
    for folder in FOLDERS {
        walk(&root.join(folder), &mut |path| {
            let path = path.strip_prefix(root).unwrap();
            all.extend(path.ancestors().filter_map(|path| path.to_str()).map(str::to_owned));
        });
    }
    all.sort();
    all.dedup();
    all
}

/// Named paths that are not there. A source may be named from any folder above it.
fn missing(file: &File, all: &[String]) -> Vec<String> {
    let is_there = |word: &str| {
        let below = format!("/{word}");
        all.binary_search_by(|path| path.as_str().cmp(word)).is_ok()
            || word.ends_with(".rs") && all.iter().any(|path| path.ends_with(&below))
    };
    let wrong = paths(&file.text).into_iter().filter(|(_, word)| !is_there(word));
    wrong.map(|(line, word)| format!("{}:{line}: {word}: there is no such file", file.path)).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let root = workspace_root();
    let text_of = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let exists = |path: &str| root.join(path).exists();
    let dead: Vec<_> = pages.iter().flat_map(|page| dead(page, &text_of, &exists)).collect();
    assert_none(&dead);
    let links: usize = pages.iter().map(|page| targets(&page.text).len()).sum();
    assert!(links > 100, "only {links} links were found");
}

#[test]
fn every_path_that_a_text_names_exists() {
    let all = all_paths();
    let (pages, sources) = (pages(), sources(&SOURCES));
    let now = pages.iter().chain(&sources);
    let now = now.filter(|file| file.path != "CHANGELOG.md" && !MADE_UP.contains(&file.path.as_str()));
    assert_none(&now.flat_map(|file| missing(file, &all)).collect::<Vec<_>>());
}

#[test]
fn a_dead_link_and_a_missing_path_are_seen() {
    let text = "[a](b.md#two-words-1) [c](../d.md) `[x](y)` [e](#here)\n## Here\nsee docs/no.md, `inventory/pick.rs`";
    let page = File { path: "docs/a.md".to_owned(), text: text.to_owned() };
    let other = "# Two words\n## Two: words!\n```sh\n# no heading\n```\n";
    let text_of = |path: &str| Some(if path == "docs/b.md" { other } else { text }.to_owned());
    assert_eq!(anchors(other), ["two-words", "two-words-1"]);
    assert_eq!(
        dead(&page, &text_of, &|path| path.starts_with("docs/")),
        ["docs/a.md:1: a link to d.md: there is no such file"]
    );
    let all = ["agent/src/inventory/pick.rs".to_owned(), "docs/b.md".to_owned()];
    assert_eq!(missing(&page, &all), ["docs/a.md:3: docs/no.md: there is no such file"]);
}
