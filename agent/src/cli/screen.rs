//! Text for people: bad states stand out, and lines fit the terminal.
//!
//! A word names each state, and its colour repeats it: without colour nothing is lost. Each part is escaped
//! before it is coloured, so nothing that is stored can colour or move anything.

use clap::builder::styling::{AnsiColor, Style};

use crate::error::shown::printable_lines;
use crate::program::wrap::breaks;

/// Labels end before this column.
const LABEL_MAX: usize = 26;
/// How far a line without a label is indented after a line break.
const INDENT: usize = 2;

/// First words of a line that name a state.
const WORDS: [(&str, Tone); 18] = [
    ("error:", Tone::Bad),
    ("bad:", Tone::Bad),
    ("problem:", Tone::Bad),
    ("missing:", Tone::Bad),
    ("bad page:", Tone::Bad),
    ("BROKEN:", Tone::Bad),
    ("FAIL", Tone::Bad),
    ("GAP", Tone::Bad),
    ("MISSING", Tone::Bad),
    ("INCOMPLETE", Tone::Bad),
    ("warning:", Tone::Warning),
    ("not checked:", Tone::Warning),
    ("foreign:", Tone::Warning),
    ("unfinished:", Tone::Warning),
    ("ignored:", Tone::Warning),
    ("WARNING", Tone::Warning),
    ("WARN", Tone::Warning),
    ("?", Tone::Warning),
];

/// What a part of a text says of a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// Somebody should look: yellow.
    Warning,
    /// Something is lost or broken: red.
    Bad,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Tone::Plain => Style::new(),
            Tone::Warning => AnsiColor::Yellow.on_default().bold(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
        }
    }
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    parts: Vec<(Tone, String)>,
    /// The column at which it continues after a line break.
    indent: usize,
}

impl Line {
    /// An empty one that continues at this column after a line break.
    pub fn new(indent: usize) -> Line {
        Line { parts: Vec::new(), indent }
    }

    /// Adds a part.
    pub fn push(&mut self, tone: Tone, text: impl Into<String>) -> &mut Line {
        self.parts.push((tone, text.into()));
        self
    }

    /// Adds a part that says nothing of a state.
    pub fn plain(&mut self, text: impl Into<String>) -> &mut Line {
        self.push(Tone::Plain, text)
    }

    /// A line of a finished text: its first word may name a state, and a value continues below itself.
    fn parsed(line: &str) -> Line {
        let rest = line.trim_start();
        let mut indent = line.len() - rest.len() + INDENT;
        if let Some(label) = rest.find("  ") {
            let value = rest[label..].trim_start();
            let column = line.chars().count() - value.chars().count();
            if column <= LABEL_MAX && !value.is_empty() {
                indent = column;
            }
        }
        let mut parsed = Line::new(indent);
        let is_word = |word: &str| {
            rest.strip_prefix(word).is_some_and(|after| after.is_empty() || after.starts_with(' '))
        };
        match WORDS.iter().find(|(word, _)| is_word(word)) {
            Some((word, tone)) => {
                let (lead, after) = line.split_at(line.len() - rest.len());
                parsed.plain(lead).push(*tone, *word).plain(&after[word.len()..]);
            }
            None => {
                parsed.plain(line);
            }
        }
        parsed
    }

    /// How many characters it has.
    pub fn width(&self) -> usize {
        self.parts.iter().map(|(_, text)| text.chars().count()).sum()
    }

    fn render(&self, width: Option<usize>, coloured: bool) -> String {
        let parts: Vec<(Tone, String)> =
            self.parts.iter().map(|(tone, text)| (*tone, printable_lines(text))).collect();
        let whole: String = parts.iter().map(|(_, text)| text.as_str()).collect();
        let breaks = width.map_or(Vec::new(), |width| breaks(whole.trim_end(), self.indent, width));
        let (mut out, mut begin) = (String::new(), 0);
        for (tone, text) in &parts {
            let mut rows = vec![String::new()];
            for (at, c) in text.char_indices() {
                match breaks.binary_search(&(begin + at)).is_ok() || c == '\n' {
                    true => rows.push(String::new()),
                    false => rows.last_mut().into_iter().for_each(|row| row.push(c)),
                }
            }
            let mut at = begin;
            for (number, row) in rows.iter().enumerate() {
                if number > 0 {
                    out.push('\n');
                    let indent = if breaks.binary_search(&at).is_ok() { self.indent } else { 0 };
                    out.push_str(&" ".repeat(indent));
                    at += 1;
                }
                let style = tone.style();
                match coloured && *tone != Tone::Plain && !row.is_empty() {
                    true => out.push_str(&format!("{style}{row}{style:#}")),
                    false => out.push_str(row),
                }
                at += row.len();
            }
            begin += text.len();
        }
        out.trim_end_matches(' ').to_owned()
    }
}

/// Lines for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(Vec<Line>);

impl Text {
    /// Adds a line that continues at this column after a line break.
    pub fn line(&mut self, indent: usize) -> &mut Line {
        self.0.push(Line::new(indent));
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// Adds lines.
    pub fn extend(&mut self, lines: impl IntoIterator<Item = Line>) {
        self.0.extend(lines);
    }

    /// Adds another text.
    pub fn append(&mut self, other: Text) {
        self.0.extend(other.0);
    }

    /// Adds the lines of a finished text.
    pub fn add(&mut self, text: impl AsRef<str>) {
        self.0.extend(text.as_ref().lines().map(Line::parsed));
    }

    /// As it is printed: without a `width` no line is broken. Each line ends with a newline.
    pub fn render(&self, width: Option<usize>, coloured: bool) -> String {
        self.0.iter().map(|line| line.render(width, coloured) + "\n").collect()
    }
}

impl<T: AsRef<str>> From<T> for Text {
    fn from(text: T) -> Text {
        let mut all = Text::default();
        all.add(text);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_coloured_and_what_is_stored_cannot_be() {
        let text = Text::from("FAIL  disk  full\n  WARNING     old\nFAILURE  x\nproblem: a\u{1b}[31m");
        let red = |word: &str| format!("\u{1b}[1m\u{1b}[31m{word}\u{1b}[0m");
        let yellow = |word: &str| format!("\u{1b}[1m\u{1b}[33m{word}\u{1b}[0m");
        let expected = format!(
            "{}  disk  full\n  {}     old\nFAILURE  x\n{} a\\u{{1b}}[31m\n",
            red("FAIL"),
            yellow("WARNING"),
            red("problem:")
        );
        assert_eq!(text.render(None, true), expected);
        let plain = text.render(None, false);
        assert_eq!(plain, "FAIL  disk  full\n  WARNING     old\nFAILURE  x\nproblem: a\\u{1b}[31m\n");
        assert_eq!(anstream::adapter::strip_str(&expected).to_string(), plain);
    }

    #[test]
    fn a_long_line_goes_on_below_its_text_and_a_command_stays_whole() {
        let text = Text::from(
            "FAIL disk     it is full and nobody noticed; run lifeboat verify --deep x; then rest",
        );
        let rows = "FAIL disk     it is full and\n              nobody noticed; run\n              \
                    lifeboat verify --deep x;\n              then rest\n";
        assert_eq!(text.render(Some(34), false), rows);
        let coloured = text.render(Some(34), true);
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), rows);
        assert_eq!(Text::from("one two").render(Some(5), false), "one\n  two\n");
        assert_eq!(Text::from("onetwothree").render(Some(5), false), "onetwothree\n");
        assert_eq!(Text::from("a\n\nb").render(Some(5), false), "a\n\nb\n");
    }

    #[test]
    fn a_coloured_part_that_goes_on_is_coloured_in_each_row() {
        let mut line = Line::new(3);
        line.plain("x: ").push(Tone::Bad, "one two").plain(" end");
        let shown = line.render(Some(7), true);
        let red = |word: &str| format!("\u{1b}[1m\u{1b}[31m{word}\u{1b}[0m");
        assert_eq!(shown, format!("x: {}\n   {}\n   end", red("one"), red("two")));
        assert_eq!(line.width(), 14);
    }
}
