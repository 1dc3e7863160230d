//! Texts of others within a line of Markdown.

use crate::error::shown::foreign;

/// How many modules or files one line names.
pub const NAMED_MAX: usize = 8;

/// Some of these texts in one line, and how many more there are.
pub fn listed(texts: &[String]) -> String {
    let mut words: Vec<String> = texts.iter().take(NAMED_MAX).map(|text| escaped(text)).collect();
    words.extend((texts.len() > NAMED_MAX).then(|| format!("{} more", texts.len() - NAMED_MAX)));
    words.join(", ")
}

/// A text of others within a line of Markdown: no mark-up, no link, no HTML, no mention, no control
/// character.
pub fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in foreign(text).chars() {
        match c {
            '\t' => out.push(' '),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '(' | ')' | '#' | '!' | '|'
            | '~' | '&' | '$' | '@' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.replace("://", ":\\//").replace("www.", "www\\.")
}
