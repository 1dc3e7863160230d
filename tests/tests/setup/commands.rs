//! Every command of ours that a page, a runbook, a unit or an example shows: subcommands and options exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_tests::Program;
use lifeboat_tests::program::workspace_root;

/// Where people take commands from.
const PLACES: [&str; 5] = ["README.md", "docs", "runbooks", "deploy", "tests/README.md"];
const PROGRAMS: [&str; 2] = ["lifeboat", "restore-drill"];
/// Words that stand before a command without being part of it.
const BEFORE: [&str; 4] = ["sudo", "env", "exec", "time"];

/// All text files below these places.
fn files(at: &Path, into: &mut Vec<PathBuf>) {
    if at.is_dir() {
        for entry in fs::read_dir(at).unwrap() {
            files(&entry.unwrap().path(), into);
        }
    } else if fs::read_to_string(at).is_ok() {
        into.push(at.to_owned());
    }
}

/// The lines that are commands, with continued ones put together: of Markdown what stands in code, of
/// other files everything.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("\\\n").map(|line| line.trim_start_matches(' ')).collect::<Vec<_>>().join("");
    if path.extension().is_none_or(|kind| kind != "md") {
        return text.lines().map(str::to_owned).collect();
    }
    let (mut lines, mut fenced) = (Vec::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            lines.push(line.to_owned());
        } else {
            lines.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    lines
}

/// Simple commands of a line: words without quotes, ended by whatever ends a command in a shell.
fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words) = (Vec::new(), Vec::new());
    let (mut word, mut quote, mut in_word) = (String::new(), None, false);
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, in_word) = (Some(c), true),
            (None, '#') if !in_word => break,
            (None, ' ' | '\t' | '|' | ';' | '&' | '>' | '<' | '(' | ')') => {
                let done = std::mem::take(&mut word);
                let is_stream = c == '>' && done.bytes().all(|byte| byte.is_ascii_digit());
                if std::mem::take(&mut in_word) && !is_stream {
                    words.push(done);
                }
                // Text that explains an example stands behind three spaces.
                let explains = line[at..].starts_with("   ");
                if !matches!(c, ' ' | '\t') || explains {
                    commands.push(std::mem::take(&mut words));
                }
                if explains {
                    break;
                }
            }
            (None, c) => {
                word.push(c);
                in_word = true;
            }
        }
    }
    if in_word {
        words.push(word);
    }
    commands.push(words);
    commands
}

/// The part of a command that is ours: our program's name and its arguments.
fn ours(words: &[String]) -> Option<&[String]> {
    let mut rest = words;
    loop {
        let first = rest.first()?;
        let name = first.rsplit('/').next()?;
        if PROGRAMS.contains(&name) {
            return (rest.len() > 1).then_some(rest);
        }
        let assigns = first.contains('=') && !first.starts_with('-');
        rest = match first.as_str() {
            word if BEFORE.contains(&word) || assigns => &rest[1..],
            "-u" => rest.get(2..)?,
            _ => return None,
        };
    }
}

fn is_placeholder(word: &str) -> bool {
    let is_of_the_shell = word.starts_with("$(");
    is_of_the_shell || word.chars().all(|c| matches!(c, 'A'..='Z' | '_' | '…' | '.' | '[' | ']'))
}

/// Whether our program knows every subcommand and option; else what it says.
fn understood(words: &[String]) -> Result<(), String> {
    let program = match words[0].ends_with("restore-drill") {
        true => Program::restore_drill(),
        false => Program::lifeboat(),
    };
    // `lifeboat restore … --dry-run` leaves words out; `--to-time …` leaves a value out.
    let is_left_out = |pair: &[String]| pair[1] == "…" && !pair[0].starts_with("--");
    let args = words.windows(2).filter(|pair| !is_left_out(pair)).map(|pair| pair[1].clone());
    let outcome = program.args(args).arg("--help").run();
    if outcome.code == Some(0) {
        return Ok(());
    }
    // Where the option is there, its value may be for the reader to fill in.
    let said = outcome.stderr;
    let value = said.split_once("invalid value '").and_then(|(_, rest)| rest.split('\'').next());
    match value.is_some_and(is_placeholder) || said.starts_with("error: a value is required") {
        true => Ok(()),
        false => Err(said),
    }
}

#[test]
fn every_command_that_is_shown_is_one() {
    let mut found = Vec::new();
    PLACES.iter().for_each(|place| files(&workspace_root().join(place), &mut found));
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    for path in &found {
        for command in lines(path).iter().flat_map(|line| commands(line)) {
            let Some(words) = ours(&command) else { continue };
            if seen.insert(words.to_vec())
                && let Err(said) = understood(words)
            {
                wrong.push(format!("{}: {}\n{said}", path.display(), words.join(" ")));
            }
        }
    }
    assert!(seen.len() > 45, "only {} commands were found: {seen:?}", seen.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), seen.len(), wrong.join("\n"));
}

/// Every command of `--help`, with those below it: its words.
fn all_commands() -> Vec<Vec<String>> {
    let (mut all, mut ahead) = (Vec::new(), PROGRAMS.map(|name| vec![name.to_owned()]).to_vec());
    while let Some(words) = ahead.pop() {
        let help = help(&words);
        let listed = help.split("\nCommands:\n").nth(1).and_then(|rest| rest.split("\n\n").next());
        let named = listed.unwrap_or_default().lines().filter_map(|line| line.strip_prefix("  "));
        let names = named.filter(|line| !line.starts_with(' ')).filter_map(|line| line.split(' ').next());
        let below = names.filter(|name| *name != "help");
        ahead.extend(below.map(|name| [&words[..], &[name.to_owned()]].concat()));
        all.push(words);
    }
    all
}

fn help(words: &[String]) -> String {
    let program = if words[0] == "lifeboat" { Program::lifeboat() } else { Program::restore_drill() };
    program.args(words[1..].to_vec()).arg("--help").run().ok().stdout
}

#[test]
fn the_examples_of_every_help_are_commands() {
    let (mut count, mut wrong) = (0, Vec::new());
    for command in all_commands() {
        let help = help(&command);
        let examples = help.split("Example").nth(1).unwrap_or_default().replace("\\\n", " ");
        for words in examples.lines().flat_map(commands) {
            let words = ours(&words).map(<[_]>::to_vec);
            count += usize::from(words.is_some());
            wrong.extend(
                words.and_then(|words| understood(&words).err().map(|said| format!("{words:?}: {said}"))),
            );
        }
    }
    assert!(count > 25, "only {count} examples were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_are_found_where_they_stand() {
    let found = |line: &str| -> Vec<String> {
        commands(line).iter().filter_map(|words| ours(words)).map(|words| words.join(" ")).collect()
    };
    assert_eq!(found("sudo -u postgres lifeboat list --kind base"), ["lifeboat list --kind base"]);
    assert_eq!(found("A=b lifeboat cat X 'globals sql' | psql -v lifeboat"), ["lifeboat cat X globals sql"]);
    assert_eq!(found("out=$(lifeboat verify 2>&1) || exit"), ["lifeboat verify"]);
    assert_eq!(found("lifeboat verify       # every object; lifeboat nothing"), ["lifeboat verify"]);
    assert_eq!(found("lifeboat restore --dry-run      the plan only"), ["lifeboat restore --dry-run"]);
    assert_eq!(found("install -o lifeboat list; lifeboat-agent lifeboat").len(), 0);
}
