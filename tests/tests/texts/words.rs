//! Words and phrases that are always wrong, with what to write. Only such are here: what is right in one
//! sentence and wrong in another is for a reader.

use crate::prose::{self, CUT};
use crate::{File, PROGRAMS, assert_none, pages, sources};

/// What is wrong, what to write, and longer phrases in which it is right.
type Wrong = (&'static str, &'static str, &'static [&'static str]);

const LAG: &[&str] = &[
    "is behind",
    "are behind",
    "was behind",
    "falls behind",
    "fall behind",
    "lags behind",
    "left behind by",
    "behind a view",
    "behind a symbolic link",
    "behind links",
    "behind a proxy",
    "behind the server",
    "far it is behind",
    "more behind than",
    "behind max",
    "at behind",
    "\u{1} behind \u{1}",
    "s behind this host's",
];
const LIST: [Wrong; 34] = [
    ("anew", "again, or new", &[]),
    ("as ever", "as before", &[]),
    ("asked from", "read from", &[]),
    ("at the most", "at most", &[]),
    ("behind", "after, later than, newer than; before a position: beyond (behind is lag only)", LAG),
    ("belong into", "belong in, or go into", &[]),
    ("belongs into", "belongs in, or goes into", &[]),
    ("build upon", "build on", &[]),
    ("builds upon", "builds on", &[]),
    ("gave up the check", "skipped the check", &[]),
    ("gives up the check", "skips the check", &[]),
    ("held against", "compared with", &[]),
    ("in the hand of", "in use by", &[]),
    ("is none", "is not one, or is not allowed", &["there is none"]),
    ("are none", "are not, or are not allowed", &["there are none"]),
    ("its like", "and similar", &[]),
    ("likewise", "also, or the same words again", &[]),
    ("lest", "so that … not", &[]),
    ("looks whether", "checks whether", &[]),
    ("look whether", "check whether", &[]),
    ("mend", "correct, or repair", &[]),
    ("mended", "corrected, or repaired", &[]),
    ("mending", "correcting, or repairing", &[]),
    ("mends", "corrects, or repairs", &[]),
    ("no recovery leads", "recovery stops at …", &[]),
    ("nobody can be asked", "it is not known", &[]),
    ("passed over", "skipped", &[]),
    ("passes over", "skips", &[]),
    ("pass over", "skip", &[]),
    ("said otherwise", "chose otherwise, or the flag's name", &[]),
    ("sealed away", "encrypted", &[]),
    ("taken for a", "treated as a, mistaken for a", &[]),
    ("upon", "on", &[]),
    ("whatever else lies there", "even if other files are there", &[]),
];

/// Pages that keep the words of their day, or wait for their next edition.
const LEFT_OUT: [&str; 2] = ["CHANGELOG.md", "docs/benchmarks.md"];

/// Each phrase of the list in `prose`, as file, line and what to write.
fn found(path: &str, prose: &str) -> Vec<String> {
    // One line of lower-case words with single blanks; beside each byte of it the line that it comes from.
    let (mut flat, mut lines, mut line) = (String::from(" "), vec![1], 1);
    for c in prose.chars() {
        line += usize::from(c == '\n');
        match c {
            CUT => flat.push_str(" \u{1} "), // no phrase reaches across it
            c if c.is_alphanumeric() || c == '\'' => flat.extend(c.to_lowercase()),
            _ if flat.ends_with(' ') => {}
            _ => flat.push(' '),
        }
        lines.resize(flat.len(), line);
    }
    let mut out = Vec::new();
    for (wrong, right, allowed) in LIST {
        for (at, _) in flat.match_indices(&format!(" {wrong} ")) {
            let is_allowed = allowed.iter().any(|phrase| {
                phrase.match_indices(wrong).any(|(before, _)| {
                    (at + 1).checked_sub(before).is_some_and(|from| flat[from..].starts_with(phrase))
                })
            });
            if !is_allowed {
                out.push((lines[at + 1], format!("\"{wrong}\": write {right}")));
            }
        }
    }
    out.sort();
    out.into_iter().map(|(line, says)| format!("{path}:{line}: {says}")).collect()
}

/// What is wrong in a page.
fn of_page(file: &File) -> Vec<String> {
    found(&file.path, &prose::of_page(&file.written()))
}

/// What is wrong in a source's comments and strings.
pub fn of_source(file: &File) -> Vec<String> {
    found(&file.path, &prose::of_source(&file.text))
}

#[test]
fn no_page_has_a_word_that_is_always_wrong() {
    let pages = pages();
    let now = pages.iter().filter(|page| !LEFT_OUT.contains(&page.path.as_str()));
    assert_none(&now.flat_map(of_page).collect::<Vec<_>>());
}

#[test]
fn no_source_has_a_word_that_is_always_wrong() {
    assert_none(&sources(&PROGRAMS).iter().flat_map(of_source).collect::<Vec<_>>());
}

#[test]
fn a_wrong_word_is_seen_where_it_stands() {
    let page = "It belongs\ninto this. `belongs into` is code.\n\nNone is none.\n| there is none |\nWAL behind it is behind.";
    let says = found("a.md", &prose::of_page(page));
    let expected = [
        "a.md:1: \"belongs into\": write belongs in, or goes into",
        "a.md:4: \"is none\": write is not one, or is not allowed",
        "a.md:6: \"behind\": write",
    ];
    assert_eq!(says.len(), expected.len(), "{says:#?}");
    assert!(says.iter().zip(expected).all(|(says, begins)| says.starts_with(begins)), "{says:#?}");
    let source = "/// It is passed\n/// over.\nlet passed = over; f(\"mend \\\n  it\");";
    let says = found("a.rs", &prose::of_source(source));
    assert_eq!(
        says,
        ["a.rs:1: \"passed over\": write skipped", "a.rs:3: \"mend\": write correct, or repair"]
    );
}
