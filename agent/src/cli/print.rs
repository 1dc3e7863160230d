//! The door to standard output and standard error: nothing else prints.

use std::io::Write;

use serde::Serialize;
use serde_json::json;

use super::commands::runnable;
use super::progress;
use crate::error::{Error, Kind, Result};

/// Writes a result to standard output. That nobody reads it any more (`| head`) is no error.
pub fn out(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
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
    out(&text)
}

/// Writes a line for people to standard error, above the progress bar where there is one.
pub fn err(line: &str) {
    progress::above_bar(|| {
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

/// The error in its five parts: what, effect, causes, next, safe; those that there are.
pub fn error_text(error: &Error) -> String {
    let mut text = format!("error[{}]: {}\n", error.kind().slug(), lines(error.what(), "  "));
    let mut part = |name: &str, said: &str| {
        text.push_str(&format!("  {name:<8}{}\n", lines(said, "          ")));
    };
    error.effect_text().into_iter().for_each(|said| part("effect:", said));
    for (i, cause) in error.causes().iter().enumerate() {
        part(if i == 0 { "cause:" } else { "" }, cause);
    }
    if let Some(said) = error.next_text() {
        part("next:", &runnable(said));
    }
    error.safe_text().into_iter().for_each(|said| part("safe:", said));
    text
}

/// Keeps the shape of the message whatever a server or a file name put into it: further lines are
/// indented, and control characters cannot reach the terminal.
fn lines(text: &str, indent: &str) -> String {
    let clean = |line: &str| -> String {
        let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { c.to_string() };
        line.trim_end().chars().map(escape).collect()
    };
    text.trim_end().lines().map(clean).collect::<Vec<_>>().join(&format!("\n{indent}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_its_five_parts_once_each() {
        let cause = std::io::Error::other("HTTP 403 AccessDenied\nrequest \u{1b}[31m7");
        let error = Error::new(Kind::Denied, "put packs/000000.tar.zst.age")
            .because(cause)
            .effect("the snapshot was not stored")
            .next("lifeboat doctor")
            .safe("running again is safe")
            .context("back up tenant retail_north");
        let expected = "error[denied]: back up tenant retail_north\n  \
              effect: the snapshot was not stored\n  \
              cause:  put packs/000000.tar.zst.age\n          \
                      HTTP 403 AccessDenied\n          \
                      request \\u{1b}[31m7\n  \
              next:   lifeboat doctor\n  \
              safe:   running again is safe\n";
        assert_eq!(error_text(&error), expected);
        assert_eq!(error_text(&Error::new(Kind::Io, "x")), "error[io]: x\n");
    }
}
