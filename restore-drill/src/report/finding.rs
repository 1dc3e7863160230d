//! What a drill found out: one kind of finding for every stage, and how much of a drill was exercised.

use lifeboat::error::{Error, Kind};
use lifeboat::names::TenantName;
use serde::{Deserialize, Serialize};

/// What is known of a part of the drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It was exercised, and is right.
    Done,
    /// It was not exercised: this lowers the coverage.
    NotRun,
    /// It should have been exercised and could not be: nothing can be said of it.
    Unknown,
    /// It was exercised, and is wrong.
    Failed,
}

impl State {
    /// It in words.
    pub fn word(self) -> &'static str {
        match self {
            State::Done => "done",
            State::NotRun => "not run",
            State::Unknown => "could not be checked",
            State::Failed => "failed",
        }
    }
}

/// One finding of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The part of the drill that it is about: one of [`crate::stages::PARTS`], or a stage's name.
    pub part: String,
    /// The tenant, if it is about one of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantName>,
    /// The check's ID, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// What is known.
    pub state: State,
    /// A sentence, without the part's name.
    pub what: String,
}

impl Finding {
    /// A finding about a part.
    pub fn new(part: &str, state: State, what: impl Into<String>) -> Finding {
        Finding { part: part.to_owned(), tenant: None, check: None, state, what: what.into() }
    }

    /// A finding about one business check.
    pub fn of_check(part: &str, check: &str, state: State, what: impl Into<String>) -> Finding {
        Finding { check: Some(check.to_owned()), ..Finding::new(part, state, what) }
    }

    /// What the error of a stage says about the drill: an archive that is damaged or forged is a failure;
    /// other errors say nothing about it.
    pub fn of_error(part: &str, error: &Error) -> Finding {
        let disproved = matches!(error.kind(), Kind::Integrity | Kind::Signature);
        let state = if disproved { State::Failed } else { State::Unknown };
        Finding::new(part, state, cause(error))
    }

    /// The part that it is about, after its tenant if there are several.
    pub fn about(&self) -> String {
        let of = self.tenant.as_ref().map_or_else(String::new, |tenant| format!("{tenant}: "));
        format!("{of}{}", self.part)
    }

    /// It as a reason of the verdict.
    pub fn reason(&self) -> String {
        let of = self.tenant.as_ref().map_or_else(String::new, |tenant| format!("{tenant}: "));
        match &self.check {
            Some(check) => format!("{of}check {check}: {}", self.what),
            None => format!("{}: {}", self.about(), self.what),
        }
    }
}

/// How many parts of a drill were exercised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Parts that were exercised, right or wrong.
    pub exercised: usize,
    /// All parts.
    pub parts: usize,
}

impl Coverage {
    /// Counts the parts with a finding of state done or failed, and none that is unknown or not run.
    pub fn of(parts: &[&str], findings: &[Finding]) -> Coverage {
        let exercised = |part: &&&str| {
            let mut own = findings.iter().filter(|finding| finding.part == ***part).peekable();
            own.peek().is_some() && own.all(|finding| matches!(finding.state, State::Done | State::Failed))
        };
        Coverage { exercised: parts.iter().filter(exercised).count(), parts: parts.len() }
    }

    /// "8 of 11 parts".
    pub fn text(&self) -> String {
        format!("{} of {} parts", self.exercised, self.parts)
    }
}

/// The longest cause that is a reason of a verdict; all of it is in the note of its stage.
const CAUSE_CHARS_MAX: usize = 240;

/// What broke and why, short enough to be read.
fn cause(error: &Error) -> String {
    let mut text = error.what().to_owned();
    for cause in error.causes() {
        text.push_str(": ");
        text.push_str(&cause);
    }
    let text = ends(&text.replace('\n', " | "), CAUSE_CHARS_MAX);
    match error.next_text() {
        Some(next) => format!("{text}; next: {}", shortened(next, CAUSE_CHARS_MAX)),
        None => text,
    }
}

/// The beginning of a long text, which says what broke, and its end, which says why.
fn ends(text: &str, chars_max: usize) -> String {
    let count = text.chars().count();
    match count > chars_max {
        true => {
            let head: String = text.chars().take(chars_max / 2).collect();
            let tail: String = text.chars().skip(count - chars_max / 2).collect();
            format!("{head} … {tail}")
        }
        false => text.to_owned(),
    }
}

/// The first characters of a text, with a mark if there are more.
pub fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// An error's first line, causes and effect, for a table cell.
pub fn one_line(error: &Error) -> String {
    let mut text = error.what().to_owned();
    for cause in error.causes() {
        text.push_str(": ");
        text.push_str(&cause);
    }
    for (name, part) in [("effect", error.effect_text()), ("next", error.next_text())] {
        if let Some(part) = part {
            text.push_str(&format!("; {name}: {part}"));
        }
    }
    text.replace('\n', " | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_counts_only_if_all_of_it_was_exercised() {
        let of = |states: &[(&str, State)]| {
            let findings: Vec<_> =
                states.iter().map(|(part, state)| Finding::new(part, *state, "x")).collect();
            Coverage::of(&["a", "b", "c"], &findings).exercised
        };
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[("a", State::Done), ("b", State::Failed)]), 2);
        assert_eq!(of(&[("a", State::Done), ("a", State::NotRun), ("b", State::Unknown)]), 0);
        assert_eq!(of(&[("a", State::Done), ("a", State::Failed), ("z", State::Done)]), 1);
    }

    #[test]
    fn only_an_error_that_speaks_of_the_archive_disproves_it() {
        let of = |kind| Finding::of_error("restore", &Error::new(kind, "x")).state;
        assert_eq!([of(Kind::Integrity), of(Kind::Signature)], [State::Failed; 2]);
        assert_eq!([of(Kind::Unreachable), of(Kind::Refused)], [State::Unknown; 2]);
        let long = Error::new(Kind::Integrity, "ü".repeat(500)).because("why").next("do that");
        let (head, tail) = ("ü".repeat(120), "ü".repeat(115));
        assert_eq!(Finding::of_error("restore", &long).what, format!("{head} … {tail}: why; next: do that"));
    }
}
