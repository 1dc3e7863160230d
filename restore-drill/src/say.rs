//! The door to the screen: what is told to people goes to standard error, line by line; standard
//! output is for `--json`.

use std::io::Write;

use lifeboat::error::Error;

/// One line for people. What comes from a restored database cannot steer the terminal, and a
/// screen that is gone stops no drill.
pub fn line(text: &str) {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// The machine's answer.
///
/// # Errors
/// Where standard output cannot be written to.
pub fn answer(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// An error, whole: what broke, its effect, causes, and what to do next.
pub fn error(error: &Error) {
    let _ = write!(std::io::stderr().lock(), "{}", error.text(str::to_owned));
}
