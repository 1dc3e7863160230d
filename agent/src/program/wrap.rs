//! Where a line for people is broken. Never within a command: it can be copied as it stands.

use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;

/// Narrower screens are treated as this wide.
const WIDTH_LEAST: usize = 40;

/// First words of the commands that we print. A command ends at the next `;`, `,`, `(` or the like.
const PROGRAMS: [&str; 7] = ["lifeboat", "restore-drill", "sudo", "chmod", "chown", "GRANT", "ALTER"];

/// The columns of a stream: `COLUMNS`, else what its terminal says. `None` elsewhere, where a line is not
/// broken.
pub fn columns(stream: impl AsFd) -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|said| said.parse().ok());
    let width = said.or_else(|| Some(usize::from(tcgetwinsize(stream).ok()?.ws_col)));
    width.filter(|width| *width > 0).map(|width| width.max(WIDTH_LEAST))
}

/// The line for a screen of this many columns; it continues at column `indent`.
pub fn wrapped(line: &str, indent: usize, width: Option<usize>) -> String {
    let Some(width) = width else { return line.to_owned() };
    let (mut out, mut begin) = (String::new(), 0);
    for at in breaks(line, indent, width) {
        out.push_str(&line[begin..at]);
        out.push('\n');
        out.push_str(&" ".repeat(indent));
        begin = at + 1;
    }
    out + &line[begin..]
}

/// The places of spaces at which a line of this many columns is broken.
pub fn breaks(text: &str, indent: usize, width: usize) -> Vec<usize> {
    let (mut breaks, mut column, mut last) = (Vec::new(), 0, None);
    let (mut word, mut in_command, mut before) = (0, false, ' ');
    for (at, c) in text.char_indices() {
        if c == '\n' {
            (column, last, word, in_command, before) = (0, None, at + 1, false, ' ');
            continue;
        }
        if c == ' ' && before != ' ' {
            let said = text[word..at].trim_start_matches(['`', '\'', '"', '(']);
            in_command =
                (in_command || PROGRAMS.contains(&said)) && !said.ends_with([';', ',', ':', '`', ')']);
            let next = &text[at + 1..];
            in_command = (in_command || is_option(next)) && !next.starts_with('(');
            if !in_command && !next.starts_with(' ') && (column > indent || !breaks.is_empty()) {
                last = Some((at, column));
            }
        }
        if c != ' ' && before == ' ' {
            word = at;
        }
        before = c;
        column += 1;
        if column > width
            && let Some((place, of)) = last.take()
        {
            breaks.push(place);
            column = indent + column - of - 1;
        }
    }
    breaks
}

/// An option stays beside the word before it, and what comes after it is a part of the same command.
fn is_option(next: &str) -> bool {
    next.trim_start_matches('-').starts_with(|c: char| c.is_ascii_lowercase()) && next.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_breaks_at_the_last_space_that_fits_and_not_within_a_command() {
        let text = "label  one two three";
        assert!(breaks(text, 7, 80).is_empty());
        assert_eq!(breaks(text, 7, 15), [14]);
        assert_eq!(breaks(text, 7, 10), [10, 14]);
        assert_eq!(breaks(text, 7, 5), [10, 14], "the label stays beside the first word");
        let text = "run `lifeboat wal status`, or sudo -u x lifeboat verify; then wait";
        let broken = |width| breaks(text, 0, width).into_iter().map(|at| &text[..at]).collect::<Vec<_>>();
        assert_eq!(broken(30), ["run `lifeboat wal status`, or", &text[..56]]);
        let text = "by '/opt/lb' --config x -q y; or pass --identity FILE, or not";
        assert_eq!(breaks(text, 0, 12), [2, 29, 32, 54]);
        assert_eq!(breaks("a\nb c", 0, 2), [3]);
        assert_eq!(wrapped("one two three", 2, Some(7)), "one two\n  three");
        assert_eq!(wrapped("one two three", 2, None), "one two three");
    }
}
