//! How wide lines are. Markdown: [`PAGE_COLUMNS`], code blocks too, but for what a program prints. Rust:
//! [`SOURCE_COLUMNS`]; rustfmt wraps code and cannot wrap comments and strings. Comments are held here, and
//! `UPDATE=1 cargo test -p lifeboat-tests --test texts` wraps them; a line with a string may be wider.

use std::fs;

use lifeboat_tests::program::workspace_root;

use crate::{File, SOURCES, assert_none, pages, sources};

/// Of Markdown; tables may be wider, where a cell cannot be cut.
const PAGE_COLUMNS: usize = 100;
/// Of blocks of `text` and `json`: what a program prints or stores is shown as it is.
const PRINTED_COLUMNS: usize = 130;
/// Of Rust; the same as `max_width` in rustfmt.toml.
const SOURCE_COLUMNS: usize = 110;
/// Lines that wait for the next edition of their page.
const LEFT_OUT: [(&str, &str); 2] =
    [("docs/benchmarks.md", "tests/bench wal"), ("docs/benchmarks.md", "tests/bench --files")];

fn too_wide(file: &File, number: usize, line: &str, most: usize) -> Option<String> {
    let columns = line.chars().count();
    (columns > most).then(|| format!("{}:{}: {columns} columns: wrap it at {most}", file.path, number + 1))
}

/// Wide lines of a page.
fn of_page(file: &File) -> Vec<String> {
    let (mut out, mut block) = (Vec::new(), None);
    for (number, line) in file.written().lines().enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(language.to_owned()) };
            continue;
        }
        let most = match block.as_deref() {
            Some("text" | "json") => PRINTED_COLUMNS,
            Some(_) => PAGE_COLUMNS,
            None if line.trim_start().starts_with('|') || !line.trim().contains(' ') => continue,
            None => PAGE_COLUMNS,
        };
        let left_out = |(page, begins): &(&str, &str)| file.path == *page && line.starts_with(begins);
        out.extend(too_wide(file, number, line, most).filter(|_| !LEFT_OUT.iter().any(left_out)));
    }
    assert!(block.is_none(), "{}: a code block has no end", file.path);
    out
}

/// Wide lines of a source: comments, and code without a string.
pub fn of_source(file: &File) -> Vec<String> {
    let comments = file.text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("//"));
    comments.filter_map(|(number, line)| too_wide(file, number, line, SOURCE_COLUMNS)).collect()
}

/// What a line of a comment begins with, and its words; `None` for anything else, and for lists and the like.
fn comment(line: &str) -> Option<(&str, &str)> {
    let trimmed = line.trim_start();
    let mark = ["//! ", "/// ", "// "].into_iter().find(|mark| trimmed.starts_with(mark))?;
    let (begins, words) = line.split_at(line.len() - trimmed.len() + mark.len());
    let is_text = !words.starts_with([' ', '-', '*', '#', '|', '`', '>', '+', '1']) || words.starts_with("`");
    (is_text && !words.starts_with("```")).then_some((begins, words))
}

/// The source with its wide comments wrapped: whole paragraphs of plain text, nothing in a code block.
fn wrapped(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let (mut out, mut at, mut fenced) = (String::new(), 0, false);
    while at < lines.len() {
        fenced ^= lines[at].trim_start().trim_start_matches(['/', '!']).trim_start().starts_with("```");
        let begins = comment(lines[at]).filter(|_| !fenced).map(|(begins, _)| begins);
        let paragraph: Vec<&str> = lines[at..]
            .iter()
            .map_while(|line| comment(line).filter(|(mark, _)| Some(*mark) == begins))
            .map(|(_, words)| words)
            .collect();
        let wide = |line: &&str| line.chars().count() > SOURCE_COLUMNS;
        let is_list = at + paragraph.len() < lines.len()
            && begins.is_some_and(|begins| lines[at + paragraph.len()].starts_with(&format!("{begins}  ")));
        if let Some(begins) = begins.filter(|_| !is_list && lines[at..at + paragraph.len()].iter().any(wide))
        {
            out += &filled(begins, &paragraph.join(" "));
        } else {
            lines[at..at + paragraph.len().max(1)].iter().for_each(|line| out += &format!("{line}\n"));
        }
        at += paragraph.len().max(1);
    }
    out
}

/// `words` as lines that begin with `begins`; no line begins with what would be a list or a heading.
fn filled(begins: &str, words: &str) -> String {
    let (mut out, mut line) = (String::new(), begins.trim_end().to_owned());
    let mut words = words.split(' ').filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        let mut word = word.to_owned();
        while let Some(next) = words.next_if(|next| next.starts_with(['-', '+', '*', '#', '>', '|'])) {
            word += &format!(" {next}");
        }
        if line.chars().count() + 1 + word.chars().count() > SOURCE_COLUMNS {
            out += &format!("{line}\n");
            line = begins.trim_end().to_owned();
        }
        line += &format!(" {word}");
    }
    out + &line + "\n"
}

#[test]
fn pages_are_wrapped() {
    assert_none(&pages().iter().flat_map(of_page).collect::<Vec<_>>());
}

#[test]
fn comments_are_wrapped() {
    let sources = sources(&SOURCES);
    if std::env::var_os("UPDATE").is_some() {
        for file in sources.iter().filter(|file| !of_source(file).is_empty()) {
            fs::write(workspace_root().join(&file.path), wrapped(&file.text)).unwrap();
        }
        return;
    }
    assert_none(&sources.iter().flat_map(of_source).collect::<Vec<_>>());
}

#[test]
fn a_wide_line_is_seen_and_wrapped() {
    let wide = "word ".repeat(30);
    let page = format!("{wide}\n| {wide} |\n```sh\n{wide}\n```\n```text\n{}\n```\n", "x ".repeat(60));
    let lines = of_page(&File { path: "a.md".to_owned(), text: page });
    assert_eq!(lines, ["a.md:1: 150 columns: wrap it at 100", "a.md:4: 150 columns: wrap it at 100"]);
    let source = format!("fn a() {{\n    // {wide}\n    // - {wide}\n    let a = \"{wide}\";\n}}\n");
    let file = File { path: "a.rs".to_owned(), text: source };
    assert_eq!(of_source(&file).len(), 2);
    let wrapped = wrapped(&file.text);
    let again = File { path: "a.rs".to_owned(), text: wrapped.clone() };
    assert_eq!(of_source(&again).len(), 1, "lists are for a person: {wrapped}");
    assert!(wrapped.contains("    // word word") && wrapped.lines().count() == 6, "{wrapped}");
}
