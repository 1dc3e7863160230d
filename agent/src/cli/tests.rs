//! What every command's help and every exit code keep to.

use super::*;

/// Every command with those below it, as it is called.
fn commands(command: &clap::Command, path: &str, into: &mut Vec<(String, clap::Command)>) {
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        commands(below, &format!("{path} {}", below.get_name()), into);
    }
    into.push((path.to_owned(), command.clone()));
}

fn help(detail: Detail) -> Vec<(String, String)> {
    let mut all = Vec::new();
    commands(&laid_out(parser().term_width(80), detail), "lifeboat", &mut all);
    all.into_iter().map(|(path, mut command)| (path, command.render_help().to_string())).collect()
}

#[test]
fn the_parser_is_sound_and_every_command_shows_an_example() {
    parser().debug_assert();
    for command in parser().get_subcommands() {
        let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Example"), "`{}` has no example in its help", command.get_name());
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let fits = (1..=63).contains(&about.chars().count());
        assert!(fits, "`{}`: one line of the list of commands: {about:?}", command.get_name());
    }
}

#[test]
fn help_fits_80_columns_and_its_examples_are_not_cut() {
    for detail in [Detail::Short, Detail::Long] {
        for (path, text) in help(detail) {
            let wide = text.lines().find(|line| line.chars().count() > 80);
            assert_eq!(wide, None, "{path}");
        }
    }
    let mut all = Vec::new();
    commands(&parser(), "lifeboat", &mut all);
    for (path, command) in &all[..all.len() - 1] {
        let after = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        let wide = after.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{path}");
    }
}

#[test]
fn options_of_every_command_stand_in_the_help_of_the_program_alone() {
    for detail in [Detail::Short, Detail::Long] {
        for (path, text) in help(detail) {
            assert_eq!(text.contains("  --config <FILE>"), path == "lifeboat", "{text}");
            let lines_max = match path.as_str() {
                "lifeboat restore" => 150,
                "lifeboat checkpoint" => 85, // what a pipeline says of its release
                "lifeboat" => 59,            // a line for each command
                _ => 50,
            };
            assert!(text.lines().count() <= lines_max, "{path}: {} lines", text.lines().count());
        }
    }
    let short = help(Detail::Short).into_iter().map(|(_, text)| text.lines().count()).max();
    assert!(short.is_some_and(|lines| lines <= 53), "{short:?}");
}

#[test]
fn the_documentation_lists_every_exit_code() {
    use Kind::*;
    let doc = include_str!("../../../docs/exit-codes.md");
    let kinds = [
        Config,
        Usage,
        NotFound,
        AlreadyExists,
        Conflict,
        Denied,
        Unreachable,
        NoSpace,
        Repository,
        Integrity,
        Signature,
        Identity,
        Postgres,
        Filestore,
        Busy,
        Refused,
        Incomplete,
        Interrupted,
        RollBack,
        Blocked,
        Io,
        Internal,
    ];
    for kind in kinds {
        let row = doc.lines().find(|line| line.starts_with(&format!("| {} |", kind.exit_code())));
        let listed = row.is_some_and(|row| row.contains(&format!("`{}`", kind.slug())));
        assert!(listed, "docs/exit-codes.md does not list {} with {}", kind.slug(), kind.exit_code());
    }
}
