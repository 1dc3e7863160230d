//! Prints to the screen: text for people goes to standard error, line by line; standard output is for
//! `--json`.

use std::io::Write;

use lifeboat::error::Error;

/// Prints one line for people. Control characters from a restored database do not reach the terminal, and
/// a closed terminal does not stop a drill.
pub fn line(text: &str) {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = writeln!(std::io::stderr().lock(), "{text}");
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
    let _ = write!(std::io::stderr().lock(), "{}", error.text(str::to_owned));
}
