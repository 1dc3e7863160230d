//! The door to standard output and standard error: nothing else prints.

use std::io::Write;

use serde::Serialize;
use serde_json::json;

use super::bar::above_bar;
use super::commands::runnable;
use crate::error::shown::{is_control, printable_lines};
use crate::error::{Error, Kind, Result};

/// Writes a result to standard output. That nobody reads it any more (`| head`) is no error.
pub fn out(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let text = printable_lines(text);
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let written = write!(stdout, "{text}{newline}").and_then(|()| stdout.flush());
    match written {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(Kind::Io, "cannot write to standard output").because(e))
        }
        _ => Ok(()),
    }
}

/// Writes one JSON value and a newline to standard output.
pub fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::new(Kind::Internal, "cannot write the result as JSON").because(e))?;
    // JSON escapes what ASCII has of these; of the others nothing reaches a terminal, either.
    let escape = |c: char| match is_control(c) && c != '\n' {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    out(&text.chars().map(escape).collect::<String>())
}

/// Writes a line for people to standard error, above the progress bar where there is one.
pub fn err(line: &str) {
    let line = printable_lines(line);
    above_bar(|| {
        // nobody is left to be told that standard error is closed
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    });
}

/// Prints an error for the person who reads it at 3 a.m.; as JSON on standard output too where
/// that was asked for.
pub fn error(error: &Error, as_json: bool) {
    err(error_text(error).trim_end());
    if as_json {
        json_error(error);
    }
}

/// `{"error": {...}}` on standard output.
pub fn json_error(error: &Error) {
    if let Err(failed) = json(&json!({ "error": error_value(error) })) {
        err(&error_text(&failed));
    }
}

/// The error as JSON, for a document that holds more than it.
pub fn error_value(error: &Error) -> serde_json::Value {
    json!({
        "kind": error.kind().slug(),
        "exit_code": error.kind().exit_code(),
        "what": error.what(),
        "effect": error.effect_text(),
        "causes": error.causes(),
        "next": error.next_text().map(runnable),
        "safe": error.safe_text(),
    })
}

/// The error for people; commands in it run as they stand.
fn error_text(error: &Error) -> String {
    error.text(runnable)
}
