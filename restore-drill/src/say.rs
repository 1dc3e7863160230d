//! Prints to the screen: text for people goes to standard error, line by line; standard output is for
//! `--json`.

use std::io::Write;

use lifeboat::error::Error;
use lifeboat::program::wrap::{columns, wrapped};

/// The column at which a part of an error continues after a line break.
const ERROR_INDENT: usize = 10;

/// Prints one line for people. Control characters from a restored database do not reach the terminal, and
/// a closed terminal does not stop a drill.
pub fn line(text: &str) {
    indented(text, 4);
}

/// The same; where it is too long for the screen, it continues at this column.
pub fn indented(text: &str, indent: usize) {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = writeln!(std::io::stderr().lock(), "{}", wrapped(&text, indent, columns(std::io::stderr())));
}

/// Prints the answer for a machine.
///
/// # Errors
/// If standard output cannot be written.
pub fn answer(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints a whole error: what broke, its effect, its causes, and what to do next.
pub fn error(error: &Error) {
    for (number, line) in error.text(str::to_owned).lines().enumerate() {
        let indent = if number == 0 { 2 } else { ERROR_INDENT };
        let _ = writeln!(std::io::stderr().lock(), "{}", wrapped(line, indent, columns(std::io::stderr())));
    }
}
