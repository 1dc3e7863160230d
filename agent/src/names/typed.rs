//! The command of this run as a person typed it, to be printed again with some flags changed.
//!
//! A command that we print for the next step repeats everything that was typed and still applies: it is built
//! here, and not from what a request happens to contain.

use std::ffi::OsString;

use super::shell_word;

/// Flags that are added to every printed command when it is printed.
const OF_PLACE: [&str; 3] = ["--config", "--repository", "--instance"];

/// Answers only the question of the command that was typed.
const YES: &str = "--yes";

/// A flag that is left out of the command.
#[derive(Clone, Copy, Debug)]
pub enum Without {
    /// A flag without a value.
    Flag(&'static str),
    /// A flag with a value, wherever it occurs.
    Value(&'static str),
}

/// What was typed after `lifeboat`, its subcommand first.
#[derive(Clone, Debug, Default)]
pub struct Typed(Vec<String>);

impl Typed {
    /// From the whole command line. The flags that say where this run works are left out: see
    /// `cli/commands.rs`.
    pub fn of(arguments: &[OsString]) -> Typed {
        let words: Vec<String> =
            arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        let mut words = without(&words, &OF_PLACE.map(Without::Value));
        words.retain(|word| word != YES); // another command asks again
        if let Some(at) = words.iter().position(|word| !word.starts_with('-')) {
            words[..=at].rotate_right(1);
        }
        Typed(words)
    }

    /// The command without some flags, with `more` at its end.
    pub fn again(&self, less: &[Without], more: &str) -> String {
        let words = without(&self.0, less).into_iter().map(|word| shell_word(&word));
        let all = std::iter::once("lifeboat".to_owned()).chain(words).chain([more.to_owned()]);
        all.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

fn without(words: &[String], less: &[Without]) -> Vec<String> {
    let (mut out, mut words) = (Vec::new(), words.iter());
    while let Some(word) = words.next() {
        let (name, inline) = word.split_once('=').map_or((word.as_str(), false), |(name, _)| (name, true));
        let found = less.iter().find(|one| match one {
            Without::Flag(flag) => word == flag,
            Without::Value(flag) => name == *flag,
        });
        match found {
            Some(Without::Value(_)) if !inline => drop(words.next()),
            Some(_) => {}
            None => out.push(word.clone()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_was_typed_is_there_again_but_for_what_is_changed() {
        let line = "lifeboat --json --config /a.toml restore --yes --tenant shop --as=x --to-time 2026 --data-dir|/a b|--dry-run";
        let words: Vec<OsString> = line
            .split('|')
            .flat_map(|part| if part.starts_with('/') { vec![part] } else { part.split(' ').collect() })
            .map(OsString::from)
            .collect();
        let typed = Typed::of(&words);
        assert_eq!(
            typed.again(&[Without::Value("--to-time"), Without::Value("--to")], "--to-lsn 0/1"),
            "lifeboat restore --json --tenant shop --as=x --data-dir '/a b' --dry-run --to-lsn 0/1"
        );
        let less = [Without::Value("--as"), Without::Flag("--dry-run")];
        assert_eq!(
            typed.again(&less, ""),
            "lifeboat restore --json --tenant shop --to-time 2026 --data-dir '/a b'"
        );
    }
}
