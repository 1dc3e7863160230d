//! Commands that are printed run as they stand: they find the configuration that this run found.
//!
//! Whoever is told `lifeboat verify` types just that. So the flags with which this run was told where it
//! works (`--config`, `--repository`, `--instance`) go into every command that is printed as a next step.

use std::sync::OnceLock;

use crate::config::Inputs;
use crate::names::shell_word;

/// What follows `lifeboat` in every command, with a space before it.
static PLACE: OnceLock<String> = OnceLock::new();

/// Notes with what this run was called. The first call counts.
pub fn called_with(inputs: &Inputs) {
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
    with_place(text, PLACE.get().map_or("", String::as_str))
}

fn with_place(text: &str, place: &str) -> String {
    let names: Vec<String> =
        super::parser().get_subcommands().map(|command| command.get_name().to_owned()).collect();
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
            && names.iter().any(|name| *name == after[..end])
        {
            out.push_str(place);
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
        let told =
            with_place("`lifeboat verify`; lifeboat agent, or lifeboat init; ps -C lifeboat shows it", place);
        assert_eq!(
            told,
            "`lifeboat --config '/a b.toml' verify`; lifeboat --config '/a b.toml' agent, or lifeboat init; ps -C lifeboat shows it"
        );
        assert_eq!(with_place("the newest lifeboat may know it", place), "the newest lifeboat may know it");
        assert_eq!(with_place("lifeboat wal status", ""), "lifeboat wal status");
    }
}
