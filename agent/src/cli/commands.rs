//! Commands that are printed run as they stand: they find the configuration that this run found.
//!
//! Whoever is told `lifeboat verify` types just that. So the flags with which this run was told where it
//! works (`--config`, `--repository`, `--instance`) go into every command that is printed as a next step.

use std::sync::OnceLock;

use super::past::AS_OF;
use crate::config::Inputs;
use crate::names::shell_word;

/// What follows `lifeboat` in every command, with a space before it.
static PLACE: OnceLock<String> = OnceLock::new();

/// `--as-of TIME`, for commands that take it, with a space before it.
static PAST: OnceLock<String> = OnceLock::new();

/// Notes with what this run was called. The first call counts.
pub fn called_with(inputs: &Inputs) {
    PAST.get_or_init(|| inputs.as_of.map_or_else(String::new, |at| format!(" --as-of {at}")));
    let config = inputs
        .config
        .as_ref()
        .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string());
    let flags = [
        ("--config", config),
        ("--repository", inputs.repository.clone()),
        ("--instance", inputs.instance.clone()),
    ];
    let said = flags.into_iter().filter_map(|(flag, value)| Some((flag, value?)));
    PLACE.get_or_init(|| said.map(|(flag, value)| format!(" {flag} {}", shell_word(&value))).collect());
}

/// The text with these flags in each of its commands; `lifeboat init` makes what they name.
pub fn runnable(text: &str) -> String {
    let said = |what: &'static OnceLock<String>| what.get().map_or("", String::as_str);
    with_place(text, said(&PLACE), said(&PAST))
}

fn with_place(text: &str, place: &str, past: &str) -> String {
    let parser = super::parser();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("lifeboat ") {
        let (before, from) = rest.split_at(at);
        let after = &from["lifeboat ".len()..];
        let end = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
        let stands_alone =
            before.chars().next_back().is_none_or(|c| !c.is_alphanumeric() && !"/-._".contains(c));
        out.push_str(before);
        out.push_str("lifeboat");
        // A command that says it already is a whole command line.
        let line = after.find(['\n', '`', ';']).map_or(after, |end| &after[..end]);
        let says_it = ["--config", "--repository"].iter().any(|flag| line.contains(flag));
        if stands_alone
            && !says_it
            && &after[..end] != "init"
            && let Some(command) = parser.find_subcommand(&after[..end])
        {
            out.push_str(place);
            out.push(' ');
            out.push_str(&after[..end]);
            let takes_past = command.get_arguments().any(|argument| argument.get_id() == AS_OF);
            out.push_str(if takes_past { past } else { "" });
            rest = &after[end..];
            continue;
        }
        out.push(' ');
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_gets_the_place_and_nothing_else_does() {
        let place = " --config '/a b.toml'";
        let told = with_place(
            "`lifeboat verify`; lifeboat agent, or lifeboat init; ps -C lifeboat shows it",
            place,
            "",
        );
        assert_eq!(
            told,
            "`lifeboat --config '/a b.toml' verify`; lifeboat --config '/a b.toml' agent, or lifeboat init; ps -C lifeboat shows it"
        );
        let none = "the newest lifeboat may know it";
        assert_eq!(with_place(none, place, ""), none);
        assert_eq!(with_place("lifeboat wal status", "", ""), "lifeboat wal status");
        let past = " --as-of 2026-11-20T01:58:12Z";
        assert_eq!(
            with_place("lifeboat show ID, then lifeboat promote NAME", place, past),
            format!("lifeboat{place} show{past} ID, then lifeboat{place} promote NAME")
        );
    }
}
