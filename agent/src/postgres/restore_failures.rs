//! Parses which entries pg_restore could not create when it continues after errors.
//!
//! With several jobs its processes share one standard error and write a line in several pieces, so lines
//! may be mixed. Then it is unknown which entries failed, and `Failures::all` says so instead of guessing.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::shown::foreign;

/// How many failures are kept.
const FAILURES_MAX: usize = 100_000;
const PROGRAM: &str = "pg_restore: ";

/// One entry that was not created, or not completely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The entry.
    pub entry: i64,
    /// What the server said.
    pub why: String,
}

/// Reads standard error line by line; shared with the code that runs the program.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures(Arc<Mutex<Read>>);

#[derive(Debug, Default)]
struct Read {
    entry: Option<i64>,
    found: Vec<Failure>,
    /// Whether the last line was an error: the next one names the row, if there is one.
    after_error: bool,
    /// The total number of errors, which pg_restore prints at its end.
    ended: Option<usize>,
    /// Whether lines of several processes were mixed, or there were too many.
    unclear: bool,
}

impl Failures {
    pub fn line(&self, line: &str) {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let after_error = std::mem::take(&mut read.after_error);
        let Some(said) = line.strip_prefix(PROGRAM) else {
            read.unclear |= line.contains(PROGRAM);
            if let (true, Some(key), Some(last)) = (after_error, key(line), read.found.last_mut()) {
                last.why = format!("{}: {key}", last.why);
            }
            return;
        };
        read.unclear |= said.contains(PROGRAM);
        if let Some(rest) = said.strip_prefix("from TOC entry ") {
            read.entry = rest.split(';').next().and_then(|id| id.parse().ok());
        } else if let Some(why) = said.strip_prefix("error: ") {
            match (read.entry, read.found.len() < FAILURES_MAX) {
                (Some(entry), true) => {
                    let why = why.strip_prefix("could not execute query: ").unwrap_or(why);
                    let why = foreign(why);
                    read.found.push(Failure { entry, why });
                    read.after_error = true;
                }
                _ => read.unclear = true,
            }
        } else if let Some(count) = said.strip_prefix("warning: errors ignored on restore: ") {
            read.ended = count.trim().parse().ok();
        }
    }

    /// Whether it reached its end in spite of errors.
    pub fn ended(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ended.is_some()
    }

    /// The entries that failed, each once; `None` if that is unclear.
    pub fn all(&self) -> Option<Vec<Failure>> {
        let read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if read.unclear || read.ended.unwrap_or_default() != read.found.len() {
            return None;
        }
        let mut out: Vec<Failure> = Vec::new();
        for failure in &read.found {
            if !out.iter().any(|known| known.entry == failure.entry) {
                out.push(failure.clone());
            }
        }
        Some(out)
    }
}

/// `(order_id)=(7)` of "DETAIL:  Key (order_id)=(7) is not present in table …", in whatever language. Only a
/// column and a number: other values of a row are nobody's business.
fn key(line: &str) -> Option<String> {
    let (before, after) = line.split_once(")=(")?;
    let column = &before[before.rfind('(')? + 1..];
    let number = &after[..after.find(')')?];
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_fine = column.len() <= 63 && column.chars().all(is_name) && number.parse::<i64>().is_ok();
    is_fine.then(|| format!("({column})=({number})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Failures {
        let out = Failures::default();
        lines.iter().for_each(|line| out.line(line));
        out
    }

    const FIRST: &str = "pg_restore: from TOC entry 3456; 1259 16400 INDEX partner_plain odoo";
    const WHY: &str =
        "pg_restore: error: could not execute query: ERROR:  function unaccent(text) does not exist";

    #[test]
    fn entries_that_failed_are_known_with_what_the_server_said() {
        let found = read(&[
            "pg_restore: creating INDEX \"public.partner_plain\"",
            "pg_restore: while PROCESSING TOC:",
            FIRST,
            WHY,
            "Command was: CREATE INDEX partner_plain",
            "pg_restore: error: could not execute query: ERROR:  again",
            "pg_restore: warning: errors ignored on restore: 2",
        ]);
        let why = "ERROR:  function unaccent(text) does not exist".to_owned();
        assert!(found.ended());
        assert_eq!(found.all(), Some(vec![Failure { entry: 3456, why }]));
        let detail = "DETAIL:  Key (order_id)=(7) is not present in table \"sale_order\".";
        let found =
            read(&[FIRST, WHY, detail, "HINT:  none", "pg_restore: warning: errors ignored on restore: 1"]);
        assert!(found.all().unwrap()[0].why.ends_with("does not exist: (order_id)=(7)"));
        for other in ["DETAIL:  Key (name)=(a secret) is not present", "QUERY:  SELECT 1", "(a)=(1", ")=("] {
            assert_eq!(key(other), None, "{other}");
        }
        assert_eq!(read(&[]).all(), Some(Vec::new()));
    }

    #[test]
    fn mixed_lines_are_not_guessed_at() {
        let end = "pg_restore: warning: errors ignored on restore: 1";
        assert_eq!(
            read(&[FIRST, "pg_restore: error: pg_restore: from TOC entry 7; 1 2 INDEX x y", end]).all(),
            None
        );
        assert_eq!(read(&[FIRST, WHY, "pg_restore: warning: errors ignored on restore: 2"]).all(), None);
        assert_eq!(read(&[WHY, end]).all(), None, "of which entry?");
        assert!(!read(&[FIRST, WHY]).ended());
    }
}
