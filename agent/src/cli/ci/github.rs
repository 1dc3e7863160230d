//! GitHub Actions: annotations (`::error::text`), the step's summary, and its outputs.
//!
//! The runner reads a command where a line begins with `::`; CR, LF and `%` in its text are escaped, as its
//! toolkit does. An output ends where its delimiter is alone on a line, so nobody may be able to guess it.

use std::fmt::Write as _;

use super::Told;
use crate::names::random_hex;

/// Bytes of chance in a delimiter.
const DELIMITER_BYTES: usize = 32;

/// The annotations, one a line.
pub(super) fn commands(told: &Told) -> String {
    let mut out = String::new();
    for issue in &told.issues {
        let kind = if issue.stops { "error" } else { "warning" };
        let _ = writeln!(out, "::{kind} title=Lifeboat::{}", escaped(&issue.text));
    }
    out
}

/// The step's outputs, as they are appended to the file `$GITHUB_OUTPUT`.
pub(super) fn outputs(told: &Told, delimiter: &str) -> String {
    let sha256 = told.sha256.as_deref().unwrap_or_default();
    let all = [("checkpoint", told.word.as_str()), ("evidence-sha256", sha256)];
    let one = |(name, value)| format!("{name}<<{delimiter}\n{value}\n{delimiter}\n");
    all.map(one).concat()
}

/// A new delimiter that nobody can guess.
pub(super) fn delimiter() -> String {
    format!("lifeboat_{}", random_hex(DELIMITER_BYTES))
}

/// The text of a command. The `%` comes first, so that no escape can be forged.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}
