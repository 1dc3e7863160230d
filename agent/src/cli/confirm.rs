//! Questions to a person before anything is changed.

use std::io::{IsTerminal, Write};
use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::names::shell_word;

/// Asks a person.
///
/// # Errors
/// `Refused` where nobody says yes.
pub fn confirm() -> Result<()> {
    let refused = |what: &str| Error::new(Kind::Refused, what).effect("nothing was changed");
    if !std::io::stdin().is_terminal() {
        return Err(
            refused("the plan was not confirmed: standard input is not a terminal").next("pass --yes")
        );
    }
    match ask("Do this? [y/N] ")?.as_str() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(refused("the plan was not confirmed")),
    }
}

/// What a person answers.
pub fn ask(question: &str) -> Result<String> {
    let _ = write!(std::io::stderr(), "{question}");
    let mut answer = String::new();
    let refused = |e| Error::new(Kind::Refused, "the plan was not confirmed").because(e);
    std::io::stdin().read_line(&mut answer).map_err(|e| refused(e).effect("nothing was changed"))?;
    Ok(answer.trim().to_owned())
}

/// Has a person type the name of a directory; `given` is what a script said, by `flag`.
///
/// # Errors
/// `Refused` where it is not that name.
pub fn confirm_named(dir: &Path, given: Option<&Path>, flag: &str, what: &str) -> Result<()> {
    let name = dir.display().to_string();
    let refused = |what: String| {
        Error::new(Kind::Refused, what)
            .effect("nothing was changed")
            .next(format!("for scripts: {flag} {}", shell_word(&name)))
    };
    let said = match given {
        Some(given) => given.canonicalize().unwrap_or_else(|_| given.to_owned()).display().to_string(),
        None if !std::io::stdin().is_terminal() => {
            return Err(refused(format!("nobody typed {name}, the directory {what}: --yes is not enough")));
        }
        None => ask(&format!("Type the name of the directory {what} ({name}): "))?,
    };
    match said == name {
        true => Ok(()),
        false => Err(refused(format!("{said:?} is not {name}, the directory {what}"))),
    }
}
