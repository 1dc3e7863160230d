//! Completions: the script for a shell, and the answers when the shell asks.
//!
//! The script asks the program at each TAB, so that it can offer what is stored. clap_complete does that with
//! a feature that it calls unstable: the form of its calls may change with a release, which Cargo.lock pins;
//! cargo's own completions use it, too. A script of another version offers nothing, and breaks
//! nothing. For bash the script is ours: clap_complete's splits words at `=` and `:`, and the shell would
//! expand patterns in what it is given.
//!
//! What is offered is inserted into a command line. So names that come from elsewhere are offered only where
//! no shell gives any of their characters a meaning: see [`is_plain`]. Nothing is ever said on standard
//! error.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{Command, ValueHint};
use clap_complete::Shell;
use clap_complete::engine::complete;
use clap_complete::env::Shells;

use crate::error::{Error, Kind, Result};

/// The script that a shell reads. It calls the program by its name.
///
/// # Errors
/// `Internal`, which a test rules out.
pub fn script(shell: Shell, program: &str) -> Result<String> {
    let variable = variable(program);
    if shell == Shell::Bash {
        return Ok(bash_script(program, &variable));
    }
    let bad = |why: String| Error::new(Kind::Internal, "cannot make the completion script").because(why);
    let shells = Shells::builtins();
    let name = shell.to_string();
    let writer = shells.completer(&name).ok_or_else(|| bad(format!("{name} is not known")))?;
    let mut script = Vec::new();
    writer
        .write_registration(&variable, program, program, program, &mut script)
        .map_err(|e| bad(e.to_string()))?;
    String::from_utf8(script).map_err(|e| bad(e.to_string()))
}

fn bash_script(program: &str, variable: &str) -> String {
    let function = format!("_{}_complete", program.replace('-', "_"));
    format!(
        "# Completes {program}: the program is asked what fits.\n\
         {function}() {{\n    \
             mapfile -t COMPREPLY < <({variable}=bash {program} \"${{COMP_LINE:0:COMP_POINT}}\" \"$2\" 2>/dev/null)\n\
         }}\n\
         complete -o default -F {function} {program}\n"
    )
}

/// The variable by which a script says that it asks, and for which shell. No key of the configuration has
/// such a name.
fn variable(program: &str) -> String {
    format!("_{}_COMPLETE", program.to_ascii_uppercase().replace('-', "_"))
}

/// Answers a shell; `None` where none asks. `command` is given the words that were typed.
pub fn answer(program: &str, command: impl FnOnce(&[String]) -> Command) -> Option<ExitCode> {
    let shell = std::env::var(variable(program)).ok()?;
    std::panic::set_hook(Box::new(|_| {})); // nothing may be said
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match shell.as_str() {
        "bash" => bash(&args, command),
        name => other(name, args, command),
    }));
    let answer = answered.ok().flatten().unwrap_or_default();
    // a shell that does not wait any more needs no answer
    let _ = std::io::stdout().write_all(&answer);
    Some(ExitCode::SUCCESS)
}

/// bash says the line up to the cursor, and the end of it that it will replace.
fn bash(args: &[OsString], command: impl FnOnce(&[String]) -> Command) -> Option<Vec<u8>> {
    let [line, end] = args else { return None };
    let (line, end) = (line.to_str()?, end.to_str()?);
    let words = words(line);
    let current = words.last()?;
    let kept = current.strip_suffix(end)?.to_owned();
    let command = command(&words);
    let mut command = without_paths(command);
    let at = words.len() - 1;
    let dir = std::env::current_dir().ok();
    let typed = words.iter().map(OsString::from).collect();
    let found = complete(&mut command, typed, at, dir.as_deref()).ok()?;
    let values = found.iter().filter_map(|candidate| candidate.get_value().to_str()?.strip_prefix(&kept));
    let mut values: Vec<&str> = values.collect();
    // Options would hide the commands and names that fit; they come with the first `-`.
    if current.is_empty() && values.iter().any(|value| !value.starts_with('-')) {
        values.retain(|value| !value.starts_with('-'));
    }
    Some(values.iter().flat_map(|value| format!("{value}\n").into_bytes()).collect())
}

/// Files are bash's own business: it knows how to quote them.
fn without_paths(command: Command) -> Command {
    let is_path = |hint| matches!(hint, ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath);
    command
        .mut_args(|arg| match is_path(arg.get_value_hint()) {
            true => arg.value_hint(ValueHint::Other),
            false => arg,
        })
        .mut_subcommands(without_paths)
}

/// The other shells are asked as clap_complete does it.
fn other(shell: &str, args: Vec<OsString>, command: impl FnOnce(&[String]) -> Command) -> Option<Vec<u8>> {
    let words: Vec<OsString> = args.into_iter().skip_while(|arg| arg != "--").skip(1).collect();
    let typed: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut command = command(&typed);
    let mut out = Vec::new();
    let dir = std::env::current_dir().ok();
    let shells = Shells::builtins();
    shells.completer(shell)?.write_complete(&mut command, words, dir.as_deref(), &mut out).ok()?;
    Some(out)
}

/// The words of an unfinished command line; the last one is being typed, and may be empty.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut is_open) = (Vec::new(), String::new(), None, true);
    let mut chars = line.trim_start().chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (Some('\''), c) => word.push(c),
            (_, '\\') => word.extend(chars.next()),
            (None, '\'' | '"') => quote = Some(c),
            (None, c) if c.is_whitespace() => {
                if is_open {
                    words.push(std::mem::take(&mut word));
                }
                is_open = false;
                continue;
            }
            (_, c) => word.push(c),
        }
        is_open = true;
    }
    words.push(word);
    words
}

/// The value of an option among the words that were typed, as `--config FILE` or `--config=FILE`.
pub fn value_of(words: &[String], option: &str) -> Option<String> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix(option) {
            Some("") => return words.next().cloned(),
            Some(value) if value.starts_with('=') => return Some(value[1..].to_owned()),
            _ => {}
        }
    }
    None
}

/// Whether a name may be inserted into a command line of any shell as it stands: Odoo's own rule for names of
/// databases.
pub fn is_plain(name: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_fine)
}

#[cfg(test)]
mod tests {
    use clap::Arg;
    use clap::builder::PossibleValuesParser;

    use super::*;

    fn command(_: &[String]) -> Command {
        let tenant =
            Arg::new("tenant").long("tenant").value_parser(PossibleValuesParser::new(["shop", "shed"]));
        let config = Arg::new("config").long("config").value_parser(clap::value_parser!(std::path::PathBuf));
        let below = Command::new("restore").arg(tenant).arg(config);
        Command::new("boat").subcommand(below).subcommand(Command::new("list"))
    }

    fn offered(line: &str, end: &str) -> Vec<String> {
        let out = bash(&[line.into(), end.into()], command).unwrap_or_default();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn bash_is_offered_what_it_will_replace() {
        assert_eq!(offered("boat re", "re"), ["restore"]);
        let mut commands = offered("boat ", "");
        commands.sort();
        assert_eq!(commands, ["help", "list", "restore"], "no options yet");
        assert_eq!(offered("boat restore --tenant ", ""), ["shop", "shed"]);
        assert_eq!(offered("boat restore --tenant sho", "sho"), ["shop"]);
        assert_eq!(offered("boat restore --tenant=sho", "sho"), ["shop"], "bash splits at =");
        assert_eq!(offered("boat restore --tenant=", ""), ["shop", "shed"]);
        assert!(offered("boat restore --", "--").contains(&"--tenant".to_owned()));
        assert!(offered("boat restore --config ", "").is_empty(), "files are bash's own");
        assert!(offered("boat restore --tenant sh", "sho").is_empty(), "another line than bash has");
    }

    #[test]
    fn unfinished_lines_are_split() {
        assert_eq!(words("a  'b c' \"d\\\"e\" f\\ g "), ["a", "b c", "d\"e", "f g", ""]);
        assert_eq!(words("a 'b c"), ["a", "b c"]);
        assert_eq!(words("a ''"), ["a", ""]);
        assert_eq!(words(""), [""]);
        assert_eq!(words("a\\"), ["a"]);
    }

    #[test]
    fn options_are_found_among_the_words() {
        let words = |line: &str| super::words(line);
        assert_eq!(value_of(&words("boat --config x restore "), "--config").as_deref(), Some("x"));
        assert_eq!(value_of(&words("boat --config=x"), "--config").as_deref(), Some("x"));
        assert_eq!(value_of(&words("boat --configs=x"), "--config"), None);
    }

    #[test]
    fn no_name_with_a_meaning_for_a_shell_is_plain() {
        assert!(is_plain("shop_2.test-b") && is_plain("20261120T015812Z-dump-4f3a9c1e"));
        for name in [
            "", "-x", ".x", "a b", "a;b", "$(id)", "`id`", "a'b", "a\"b", "a*", "a\\b", "~a", "a|b", "ä",
            "a\n",
        ] {
            assert!(!is_plain(name), "{name:?}");
        }
    }

    #[test]
    fn every_shell_has_a_script_that_asks_the_program() {
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            let script = script(shell, "restore-drill").unwrap();
            assert!(
                script.contains("_RESTORE_DRILL_COMPLETE") && script.contains("restore-drill"),
                "{script}"
            );
        }
    }
}
