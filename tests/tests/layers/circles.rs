//! No circles of imports between files: whoever reads one file never has to know a file that needs it in
//! turn.
//!
//! One shape is no circle here: a file may use what the file of a module that it lies in defines
//! (`store/local.rs` uses `ObjectInfo` of `store/mod.rs`), although that file calls it. A re-export counts as
//! the file that it names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

use lifeboat_tests::compare::walk;
use lifeboat_tests::program::workspace_root;

/// `["store", "local"]` of `store/local.rs`, `["store"]` of `store/mod.rs`; nothing of `lib.rs`.
type Module = Vec<String>;
/// Which modules each one names.
type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// Words and the signs that paths are made of; no comments, strings and characters.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
    let at = |i: usize| chars.get(i).copied().unwrap_or(' ');
    let find = |from: usize, end: &str| {
        let end: Vec<char> = end.chars().collect();
        let found = chars.get(from..).and_then(|rest| rest.windows(end.len()).position(|part| *part == end));
        found.map_or(chars.len(), |found| from + found + end.len())
    };
    let (mut out, mut i) = (Vec::new(), 0);
    while i < chars.len() {
        let hashes = chars[i + 1..].iter().take_while(|c| **c == '#').count();
        match chars[i] {
            '/' if at(i + 1) == '/' => i = find(i, "\n"),
            'r' if at(i + 1 + hashes) == '"' => {
                i = find(i + 2 + hashes, &format!("\"{}", "#".repeat(hashes)))
            }
            '"' => {
                i += 1;
                while i < chars.len() && chars[i] != '"' {
                    i += 1 + usize::from(chars[i] == '\\');
                }
                i += 1;
            }
            '\'' if at(i + 1) == '\\' => i = find(i + 3, "'"),
            '\'' if at(i + 2) == '\'' => i += 3,
            ':' if at(i + 1) == ':' => {
                out.push("::".to_owned());
                i += 2;
            }
            c if is_word(&c) => {
                let word: String = chars[i..].iter().take_while(|c| is_word(c)).collect();
                i += word.chars().count();
                out.push(word);
            }
            c => {
                i += 1;
                if !c.is_whitespace() {
                    out.push(c.to_string());
                }
            }
        }
    }
    out
}

/// The paths of a `use` that begins at `at`, each with the name that it gets; and where it ends.
fn tree(tokens: &[String], mut at: usize, before: &[String], out: &mut Vec<(Vec<String>, String)>) -> usize {
    let mut path = before.to_vec();
    loop {
        match tokens.get(at).map_or(";", String::as_str) {
            "{" => {
                while !["}", ";"].contains(&tokens.get(at).map_or(";", String::as_str)) {
                    at = tree(tokens, at + 1, &path, out);
                }
                return at + 1;
            }
            "}" | "," | ";" => {
                if path.len() > before.len() {
                    let name = path.last().cloned().unwrap_or_default();
                    out.push((path, name));
                }
                return at;
            }
            "as" => {
                out.push((path, tokens[at + 1].clone()));
                return at + 2;
            }
            "::" => at += 1,
            word => {
                path.push(word.to_owned());
                at += 1;
            }
        }
    }
}

/// What a file names, and which of that it re-exports.
#[derive(Default)]
struct Named {
    paths: Vec<Vec<String>>,
    exports: BTreeMap<String, Vec<String>>,
}

fn named(text: &str) -> Named {
    let tokens = tokens(text.split("#[cfg(test)]\nmod tests {").next().unwrap());
    let mut out = Named::default();
    let mut at = 0;
    while at < tokens.len() {
        let before = |back: usize| at.checked_sub(back).map_or("", |at| tokens[at].as_str());
        if tokens[at] == "use" {
            let is_public = before(1) == "pub" || before(1) == ")" && before(4) == "pub";
            let mut paths = Vec::new();
            at = tree(&tokens, at + 1, &[], &mut paths);
            for (path, name) in paths {
                if is_public {
                    out.exports.insert(name, path.clone());
                }
                out.paths.push(path);
            }
        } else if tokens.get(at + 1).is_some_and(|next| next == "::") && !["::", "."].contains(&before(1)) {
            let words =
                tokens[at..].chunks(2).take_while(|pair| pair.get(1).is_some_and(|next| next == "::"));
            let mut path: Vec<String> = words.map(|pair| pair[0].clone()).collect();
            at += 2 * path.len();
            path.extend(tokens.get(at).cloned());
            out.paths.push(path);
        }
        at += 1;
    }
    out
}

/// The module that a path of `from` leads to, and what is left of it.
fn resolve(all: &BTreeMap<Module, Named>, from: &Module, path: &[String]) -> Option<(Module, Vec<String>)> {
    let mut module = from.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => module.clear(),
        "self" => {}
        "super" => {
            while rest.first().is_some_and(|word| word == "super") {
                module.pop();
                rest = &rest[1..];
            }
            rest = &path[path.len() - rest.len() - 1..]; // one word is taken off below
        }
        child => {
            let is_child = |module: &Module| module.len() == from.len() + 1 && module.starts_with(from);
            if !all.keys().any(|module| is_child(module) && module.last().is_some_and(|last| last == child)) {
                return None;
            }
            module.push(child.to_owned());
        }
    }
    rest = &rest[1..];
    loop {
        let next = rest.first().map(|word| [module.as_slice(), std::slice::from_ref(word)].concat());
        let Some(next) = next.filter(|next| all.contains_key(next)) else { break };
        (module, rest) = (next, &rest[1..]);
    }
    Some((module, rest.to_vec()))
}

/// The file that defines what a path names, through re-exports.
fn defines(all: &BTreeMap<Module, Named>, from: &Module, path: &[String]) -> Option<Module> {
    let (mut module, mut rest) = resolve(all, from, path)?;
    for _ in 0..8 {
        let exports = all.get(&module).map(|named| &named.exports);
        let Some(path) = rest.first().and_then(|name| exports?.get(name)) else { break };
        let Some((next, left)) = resolve(all, &module, path).filter(|(next, _)| *next != module) else {
            break;
        };
        rest = [left.as_slice(), &rest[1..]].concat();
        module = next;
    }
    Some(module)
}

fn graph(sources: &[(String, String)]) -> Graph {
    let module = |name: &str| {
        let name = name.trim_end_matches(".rs").trim_end_matches("/mod");
        name.split('/').filter(|word| *word != "lib").map(str::to_owned).collect::<Module>()
    };
    let all: BTreeMap<Module, Named> =
        sources.iter().map(|(name, text)| (module(name), named(text))).collect();
    let mut graph = Graph::new();
    for (from, named) in &all {
        let to = named.paths.iter().filter_map(|path| defines(&all, from, path));
        graph.entry(from.clone()).or_default().extend(to.filter(|to| !from.starts_with(to)));
    }
    graph
}

/// The shortest circle through each file that is in one, each circle once.
fn circles(graph: &Graph) -> BTreeSet<Vec<String>> {
    let mut found: BTreeMap<BTreeSet<&Module>, Vec<&Module>> = BTreeMap::new();
    for start in graph.keys() {
        let mut came: BTreeMap<&Module, &Module> = BTreeMap::new();
        let mut waiting = VecDeque::from([start]);
        while let Some(module) = waiting.pop_front().filter(|_| !came.contains_key(start)) {
            for next in graph.get(module).into_iter().flatten() {
                if !came.contains_key(next) {
                    came.insert(next, module);
                    waiting.push_back(next);
                }
            }
        }
        let mut circle: Vec<&Module> = came.get(start).copied().into_iter().collect();
        while let Some(last) = circle.last().filter(|last| **last != start) {
            circle.push(came[*last]);
        }
        circle.reverse();
        if !circle.is_empty() {
            found.entry(circle.iter().copied().collect()).or_insert(circle);
        }
    }
    found.into_values().map(|circle| circle.iter().map(|module| module.join("/")).collect()).collect()
}

fn sources(source: &Path) -> Vec<(String, String)> {
    let mut out = Vec::new();
    walk(source, &mut |path| {
        if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(source).unwrap().to_str().unwrap();
            out.push((name.to_owned(), fs::read_to_string(path).unwrap()));
        }
    });
    out
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for source in ["agent/src", "restore-drill/src"] {
        let graph = graph(&sources(&workspace_root().join(source)));
        let edges: usize = graph.values().map(BTreeSet::len).sum();
        assert!(graph.len() > 20 && edges > graph.len(), "{source}: {} files, {edges} imports", graph.len());
        let found = circles(&graph);
        assert!(found.is_empty(), "{source}: move what both need into a file of its own: {found:#?}");
    }
}

#[test]
fn a_circle_is_seen_however_it_is_written() {
    let look = |files: &[(&str, &str)]| {
        let sources: Vec<_> = files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        circles(&graph(&sources)).into_iter().collect::<Vec<_>>()
    };
    let there = ("x.rs", "use crate::{\n    error::Error, // of all\n    b::{self, y::Y as Z},\n};");
    assert_eq!(look(&[there, ("b/mod.rs", ""), ("b/y.rs", "use crate::x::X;")]), [["b/y", "x"]]);
    assert_eq!(look(&[there, ("b/mod.rs", ""), ("b/y.rs", "fn f() { crate::x::go('\"') }")]).len(), 1);
    assert!(look(&[there, ("b/mod.rs", ""), ("b/y.rs", "// use crate::x;\n\"crate::x::X\"")]).is_empty());
    // beside each other, over a third one, and through a re-export
    let (p, q) = (("m/p.rs", "use super::q::Q;"), ("m/q.rs", "use super::r;\nlet x = r::R;"));
    assert_eq!(look(&[p, q, ("m/r.rs", "use super::P;"), ("m/mod.rs", "pub use p::P;")]).len(), 1);
    assert!(look(&[p, q, ("m/r.rs", "use super::P;"), ("m/mod.rs", "pub struct P;\nuse p::p;")]).is_empty());
    // tests of a file may use what they like
    assert!(look(&[p, ("m/q.rs", "#[cfg(test)]\nmod tests {\n use super::super::p;\n}")]).is_empty());
}
