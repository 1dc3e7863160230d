//! The door to standard output and standard error. Beside it only these write there: the log (`log`), the
//! progress bar (`progress`), a question to a person (`confirm`), and the content that `lifeboat cat` gives
//! out.

use std::io::Write;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};

use serde::Serialize;
use serde_json::json;

use super::bar::above_bar;
use super::commands::runnable;
use super::screen::{Text, Tone};
use crate::error::shown::{inert, is_control, printable_lines};
use crate::error::{Error, Kind, Result};
use crate::program::wrap::columns;

/// The columns of standard output.
pub fn out_width() -> Option<usize> {
    columns(std::io::stdout())
}

/// Whether a stream shows colour: a terminal does, unless `NO_COLOR` or `TERM=dumb` says otherwise;
/// `CLICOLOR_FORCE` colours any other.
fn is_coloured(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

/// Writes a result for people to standard output.
pub fn text(text: &Text) -> Result<()> {
    write_out(&text.render(out_width(), is_coloured(&std::io::stdout())))
}

/// Writes a result to standard output as it is.
pub fn out(text: &str) -> Result<()> {
    write_out(&printable_lines(text))
}

/// A reader that has ended (`| head`) is no error.
fn write_out(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    done(write!(stdout, "{}{newline}", inert(text)).and_then(|()| stdout.flush()))
}

fn done(written: std::io::Result<()>) -> Result<()> {
    match written {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(Kind::Io, "cannot write to standard output").because(e))
        }
        _ => Ok(()),
    }
}

/// Writes one JSON value and a newline to standard output.
pub fn json(value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::new(Kind::Internal, "cannot write the result as JSON").because(e))?;
    // JSON escapes what ASCII has of these; of the others nothing reaches a terminal, either.
    // A plan has megabytes: it is copied only where something is to be escaped.
    let is_escaped = |c: char| is_control(c) && c != '\n';
    if text.contains(is_escaped) {
        let escape = |c: char| match is_escaped(c) {
            true => format!("\\u{:04x}", u32::from(c)),
            false => c.to_string(),
        };
        text = text.chars().map(escape).collect();
    }
    // The same value, without a command for a runner.
    if text.contains("##") {
        text = text.replace("##", "#\\u0023");
    }
    write_out(&text)
}

/// Writes commands for the runner of a pipeline to standard output, as they are. Whoever makes them escapes
/// what others wrote (`ci`).
pub fn to_runner(commands: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    done(stdout.write_all(commands.as_bytes()).and_then(|()| stdout.flush()))
}

/// [`to_runner`], to standard error.
pub fn to_runner_err(commands: &str) {
    above_bar(|| {
        let _ = std::io::stderr().lock().write_all(commands.as_bytes()); // nowhere to say it
    });
}

/// Writes lines for people to standard error, above the progress bar where there is one.
pub fn err(lines: &str) {
    let mut text = Text::from(lines);
    if lines.is_empty() || lines.ends_with('\n') {
        text.line(0);
    }
    err_text(&text);
}

/// Writes a text for people to standard error.
pub fn err_text(text: &Text) {
    let text = text.render(columns(std::io::stderr()), is_coloured(&std::io::stderr()));
    above_bar(|| {
        // if standard error is closed, there is nowhere to say so
        let _ = write!(std::io::stderr().lock(), "{}", inert(&text));
    });
}

/// Prints an error for the person who reads it at 3 a.m.; as JSON on standard output too where
/// that was asked for.
pub fn error(error: &Error, as_json: bool) {
    err_text(&error_text(error));
    if as_json {
        json_error(error);
    }
}

/// `{"error": {...}}` on standard output.
pub fn json_error(error: &Error) {
    if let Err(failed) = json(&json!({ "error": error_value(error) })) {
        err_text(&error_text(&failed));
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

/// The column at which a part of an error continues after a line break.
const ERROR_INDENT: usize = 10;

/// The error for people; commands in it run as they stand.
fn error_text(error: &Error) -> Text {
    let whole = error.text(runnable);
    let (first, rest) = whole.split_once('\n').unwrap_or((&whole, ""));
    let (kind, what) = first.split_at(first.find(']').map_or(0, |at| at + 1));
    let mut text = Text::default();
    text.line(2).push(Tone::Bad, kind).plain(what);
    for line in rest.lines() {
        text.line(ERROR_INDENT).plain(line);
    }
    text
}
