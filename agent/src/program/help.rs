//! Help that fits a screen: how `-h` and `--help` of both programs are laid out.
//!
//! clap's own long layout puts a blank line after each option and repeats the options of every command in the
//! help of each. So the long texts are put into the short layout, and those options stand in the program's
//! own help only. The parser itself stays as clap made it: this is asked for only when help is to be shown.

use std::ffi::OsString;

use clap::builder::{Resettable, StyledStr};
use clap::{Arg, Command, Id};

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// `-h`: one sentence, and the usual options.
    Short,
    /// `--help`: the whole description, every option, examples.
    Long,
}

impl Detail {
    /// What a command line asks for.
    pub fn of(arguments: &[OsString]) -> Detail {
        let is_long = arguments.iter().skip(1).any(|word| word == "--help" || word == "help");
        if is_long { Detail::Long } else { Detail::Short }
    }
}

/// The description stands before the usage: in the list of commands above it the short one is wanted.
const TEMPLATE: &str = "{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

/// The command with its help laid out; it parses what it parsed before.
pub fn laid_out(command: Command, detail: Detail) -> Command {
    let has_options_of_all = command.get_arguments().any(Arg::is_global_set);
    let pointer =
        has_options_of_all.then(|| format!("Options of every command: {} --help", command.get_name()));
    let mut command = with_texts(command, detail, "", pointer.as_deref());
    command.build(); // hands the options of every command down
    let of_all: Vec<Id> =
        command.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.get_id().clone()).collect();
    let command = command.mut_args(built_in);
    command.mut_subcommands(|below| without_options_of_all(below, &of_all))
}

/// The texts of one command and of those below it, whose help ends with `pointer`. clap decides at `build`
/// whether there is a long help.
fn with_texts(command: Command, detail: Detail, above: &str, pointer: Option<&str>) -> Command {
    let path = format!("{above}{}", command.get_name());
    let long = |long: Option<&StyledStr>, short: Option<&StyledStr>| match detail {
        Detail::Long => long.or(short).cloned(),
        Detail::Short => short.cloned(),
    };
    let about = long(command.get_long_about(), command.get_about());
    let mut after: Vec<String> = Vec::new();
    after.extend(long(command.get_after_long_help(), command.get_after_help()).map(|text| text.to_string()));
    let hides = detail == Detail::Short && command.get_arguments().any(Arg::is_hide_short_help_set);
    match (above, pointer) {
        ("", _) => {} // the program itself
        _ if hides => after.push(format!("All options, and examples: {path} --help")),
        (_, pointer) => after.extend(pointer.map(str::to_owned)),
    }
    let after = Some(StyledStr::from(after.join("\n\n"))).filter(|after| !after.to_string().is_empty());
    command
        .help_template(TEMPLATE)
        .before_help(set(about))
        .long_about(set(None))
        .after_help(set(after))
        .after_long_help(set(None))
        .mut_args(|arg| {
            let text = with_values(&arg, long(arg.get_long_help(), arg.get_help()));
            let is_hidden = arg.is_hide_set() || detail == Detail::Short && arg.is_hide_short_help_set();
            // Values with texts of their own would bring the long layout back.
            let arg = arg.help(set(text)).long_help(set(None));
            let has_values = arg.get_action().takes_values() && !arg.get_possible_values().is_empty();
            let arg = if has_values { arg.hide_possible_values(true) } else { arg };
            arg.hide_short_help(false).hide(is_hidden)
        })
        .mut_subcommands(|below| with_texts(below, detail, &format!("{path} "), pointer))
}

fn without_options_of_all(command: Command, of_all: &[Id]) -> Command {
    let command = match command.get_name() {
        "help" => command.about("Print the help of a command"),
        _ => command,
    };
    let command = command.mut_args(|arg| match of_all.contains(arg.get_id()) {
        true => arg.hide(true),
        false => built_in(arg),
    });
    command.mut_subcommands(|below| without_options_of_all(below, of_all))
}

/// What clap adds by itself.
fn built_in(arg: Arg) -> Arg {
    match arg.get_id().as_str() {
        "help" => arg.help("Print this help; -h prints a short list"),
        "version" => arg.help("Print the version; --version prints more"),
        _ => arg,
    }
}

fn set(text: Option<StyledStr>) -> Resettable<StyledStr> {
    text.map_or(Resettable::Reset, Resettable::Value)
}

/// The text with the values that can be given, where these are a few words.
fn with_values(arg: &Arg, text: Option<StyledStr>) -> Option<StyledStr> {
    let values = arg.get_possible_values();
    let names: Vec<&str> =
        values.iter().filter(|value| !value.is_hide_set()).map(|value| value.get_name()).collect();
    if names.is_empty() || arg.is_hide_possible_values_set() || !arg.get_action().takes_values() {
        return text;
    }
    let text = text.map(|text| text.to_string()).unwrap_or_default();
    Some(StyledStr::from(format!("{text} [possible values: {}]", names.join(", "))))
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    fn program() -> Command {
        let below = Command::new("restore").about("Restore").long_about("Restore.\n\nIt asks first.");
        let below = below.after_long_help("Examples:\n  boat restore");
        let below = below.arg(Arg::new("tenant").long("tenant").help("The tenant"));
        let below = below.arg(Arg::new("rare").long("rare").help("Seldom used").hide_short_help(true));
        let below = below.arg(Arg::new("kind").long("kind").help("The kind").value_parser(["dump", "base"]));
        let json = Arg::new("json").long("json").help("As JSON").global(true).action(ArgAction::SetTrue);
        Command::new("boat").about("Boats").arg(json).subcommand(below)
    }

    fn shown(words: &str) -> String {
        let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
        let command = laid_out(program(), Detail::of(&words));
        command.try_get_matches_from(words).unwrap_err().to_string()
    }

    #[test]
    fn the_long_help_has_everything_once_and_no_blank_lines_between_options() {
        let help = shown("boat restore --help");
        for part in [
            "It asks first.",
            "--rare",
            "The kind [possible values: dump, base]",
            "Examples:\n  boat restore",
        ] {
            assert!(help.contains(part), "{part}: {help}");
        }
        assert!(!help.contains("--json <") && !help.contains("As JSON"), "{help}");
        assert!(help.ends_with("Options of every command: boat --help\n"), "{help}");
        let options = help.split("Options:\n").nth(1).unwrap().split("\n\n").next().unwrap();
        assert_eq!(options.lines().count(), 4, "{help}");
        assert_eq!(help, shown("boat help restore"));
        let program = shown("boat --help");
        assert!(program.contains("As JSON") && !program.contains("It asks first"), "{program}");
    }

    #[test]
    fn the_short_help_leaves_out_what_is_rare_and_says_where_it_is() {
        let help = shown("boat restore -h");
        assert!(help.contains("--tenant") && !help.contains("It asks first"), "{help}");
        assert!(!help.contains("--rare"), "{help}");
        assert!(help.ends_with("All options, and examples: boat restore --help\n"), "{help}");
    }

    #[test]
    fn what_is_not_shown_is_still_taken() {
        let command = laid_out(program(), Detail::Short);
        let matches = command.try_get_matches_from(["boat", "restore", "--json", "--rare", "x"]).unwrap();
        assert!(matches.get_flag("json"));
    }
}
