//! Text that others wrote, on our screen and in our reports: escaped, and limited.
//!
//! A server's message, the name of an object and a file's name may contain anything that a tenant put there.
//! So none of its control characters reaches a terminal, none of its lines can look like one of ours, and
//! only a limited part is repeated.

/// Characters of a foreign text that are shown.
pub const SHOWN_CHARS_MAX: usize = 300;

/// One line of ours, whatever it contains: control characters, and those that change the direction of text,
/// are escaped.
pub fn printable(line: &str) -> String {
    if !line.contains(is_control) {
        return line.to_owned();
    }
    let escape = |c: char| if is_control(c) { c.escape_unicode().collect() } else { c.to_string() };
    line.chars().map(escape).collect()
}

/// A text of several lines of ours, each [`printable`].
pub fn printable_lines(text: &str) -> String {
    match text.contains(|c| is_control(c) && c != '\n') {
        true => text.split('\n').map(printable).collect::<Vec<_>>().join("\n"),
        false => text.to_owned(),
    }
}

/// A printed text without commands for the runner of a pipeline, which reads them out of every line that a
/// program prints: `##vso[` and `##[` anywhere (Azure DevOps, GitHub), `::` at the beginning of a line
/// (GitHub). Marks of GitLab's need an escape character, which [`printable`] leaves nowhere.
pub fn inert(text: &str) -> std::borrow::Cow<'_, str> {
    let begins = |line: &str| line.trim_start().starts_with("::");
    if !text.contains("##") && !text.split('\n').any(begins) {
        return text.into();
    }
    let lines = text.split('\n').map(|line| {
        let mut out = String::with_capacity(line.len() + 1);
        for (at, c) in line.char_indices() {
            let rest = &line.as_bytes()[at + c.len_utf8()..];
            let command = |word: &[u8]| rest.get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word));
            out.push(c);
            if c == '#' && (command(b"#[") || command(b"#vso[")) || begins(line) && out.trim_start() == ":" {
                out.push(' ');
            }
        }
        out
    });
    lines.collect::<Vec<_>>().join("\n").into()
}

/// Text of others within a line of ours: escaped, and at most [`SHOWN_CHARS_MAX`] characters of it.
pub fn foreign(text: &str) -> String {
    let text = text.trim();
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    printable(&shown) + more
}

/// Text of others within HTML or XML: it cannot act as markup, also not in the value of an attribute. Control
/// characters, and characters that XML does not allow, are replaced.
pub fn markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c if is_control(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Control characters except a tab; characters that change the direction or hide text (Unicode's
/// bidirectional controls and zero-width characters), and Unicode's line separators.
pub fn is_control(c: char) -> bool {
    let hides =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    c.is_control() && c != '\t' || hides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_no_markup() {
        assert_eq!(markup("<b>&\"'\u{7}"), "&lt;b&gt;&amp;&quot;&#39;\u{fffd}");
        assert_eq!(markup("a\u{202e}b\nc\u{ffff}\td"), "a\u{fffd}b\u{fffd}c\u{fffd}\td");
    }

    #[test]
    fn no_printed_text_is_a_command_of_a_runner() {
        assert_eq!(inert("a ##vso[task.complete]\n###[x]"), "a # #vso[task.complete]\n## #[x]");
        assert_eq!(inert("x ##VSO[a] ##vso"), "x # #VSO[a] ##vso");
        assert_eq!(inert(" \t::error::x\na::b\n::"), " \t: :error::x\na::b\n: :");
        assert!(
            matches!(inert("## Gates\nplain"), std::borrow::Cow::Owned(text) if text == "## Gates\nplain")
        );
    }

    #[test]
    fn nothing_foreign_reaches_the_terminal_or_passes_for_a_line_of_ours() {
        assert_eq!(
            foreign("a\u{1b}[2J\nerror: forged\r\u{9b}7"),
            "a\\u{1b}[2J\\u{a}error: forged\\u{d}\\u{9b}7"
        );
        assert_eq!(foreign("\u{202e}txt.exe"), "\\u{202e}txt.exe");
        assert_eq!(foreign("Ünïcode is \"shown\"\n"), "Ünïcode is \"shown\"");
        assert_eq!(foreign(&"x".repeat(10_000)).chars().count(), SHOWN_CHARS_MAX + 1);
        assert_eq!(printable_lines("one\ntwo\t\u{7}"), "one\ntwo\t\\u{7}");
    }
}
