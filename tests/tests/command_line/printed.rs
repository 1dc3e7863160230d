//! Every command that the program prints, or that the documentation shows, is one that the program takes:
//! collected from the sources, the documentation and the runbooks, and run where there is no configuration.
//! Whatever else it says there, it does not say that it was called in a wrong way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_tests::Program;
use lifeboat_tests::compare::walk;
use lifeboat_tests::program::workspace_root;

const SNAPSHOT: &str = "20261120T015812Z-dump-4f3a9c1e";
/// Commands that make no sense without more words.
const WANT_MORE: [&str; 18] = [
    "restore",
    "as-production",
    "promote",
    "show",
    "diff",
    "cat",
    "wal",
    "evidence",
    "config",
    "rollback",
    "release",
    "policy",
    "fleet",
    "suspicion",
    "expire",
    "hold",
    "completions",
    "man",
];
/// Commands of a command.
const INNER: [(&str, &[&str]); 9] = [
    ("wal", &["push", "fetch", "status"]),
    ("evidence", &["verify", "require", "export", "list"]),
    ("config", &["diff", "restore", "list"]),
    ("rollback", &["plan", "salvage", "reenter"]),
    ("release", &["watch", "calendar"]),
    ("policy", &["check", "drift"]),
    ("fleet", &["look", "status", "plan"]),
    ("hold", &["add", "list", "remove"]),
    ("suspicion", &["list", "accept"]),
];

/// The commands of this one.
fn inner(name: &str) -> &'static [&'static str] {
    INNER.iter().find(|(of, _)| *of == name).map_or(&[], |(_, inner)| inner)
}

/// Whether these words are the name of a command in a sentence, and no command to be run.
fn is_name(words: &[String]) -> bool {
    let is_inner = |word: &String| word != "status" && inner(&words[0]).contains(&word.as_str());
    let named = |word: &String| word.starts_with("--") || is_inner(word);
    WANT_MORE.contains(&words[0].as_str()) && words[1..].iter().all(named)
}

/// What the program takes, as it says itself: each command's flags, and whether a value follows.
struct Grammar(BTreeMap<String, BTreeMap<String, bool>>);

impl Grammar {
    fn read() -> Grammar {
        let help = Program::lifeboat().arg("--help").run().ok().stdout;
        let commands = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap().to_owned();
        let named = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let names = named.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
        let read = |help: &str, flags: &mut BTreeMap<String, bool>| {
            let options = help.split("\nExample").next().unwrap();
            for line in options.lines().filter_map(|line| line.trim_start().strip_prefix('-')) {
                let line = line.split("  ").next().unwrap(); // its text may stand behind it
                let at = line.find("--").map_or(1, |at| at + 2);
                let flag: String =
                    line[at..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
                flags.insert(flag.clone(), line[at + flag.len()..].starts_with(" <"));
            }
        };
        let flags = |name: &str| {
            let mut flags = BTreeMap::new();
            read(&help, &mut flags); // those of every command
            let mut of = |words: &[&str]| {
                let help = Program::lifeboat().args(words.to_vec()).arg("--help").run().ok().stdout;
                read(&help, &mut flags);
            };
            match inner(name) {
                [] => of(&[name]),
                inner => inner.iter().for_each(|inner| of(&[name, inner])),
            }
            flags
        };
        Grammar(names.map(|name| (name.to_owned(), flags(name))).collect())
    }

    /// The command at the beginning of `text`, where there is one, as words; prose behind it is left out.
    fn command(&self, text: &str) -> Option<Vec<String>> {
        let mut tokens = text.split(' ');
        let name = tokens.next()?.trim_end_matches(['.', ',', ':', ')']);
        let flags = self.0.get(name)?;
        let mut words = vec![name.to_owned()];
        let mut ended = tokens.clone().next().is_none()
            || text.len() > name.len() && !text[name.len()..].starts_with(' ');
        for token in tokens.by_ref() {
            if ended {
                break;
            }
            let word = token.trim_end_matches(['.', ',', ':', ')', '\'']);
            ended = word.len() < token.len() && !token.starts_with('\'');
            let word = if token.starts_with('\'') { token.trim_end_matches([',', ')']) } else { word };
            let before = words.last().and_then(|last| last.strip_prefix("--"));
            let is_value = before.and_then(|flag| flags.get(flag)) == Some(&true);
            let capitals = word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || "_=".contains(c));
            let is_data = capitals || word.contains(['{', '/', '%']) || word.starts_with(char::is_numeric);
            let is_inner = words.len() == 1 && inner(name).contains(&word)
                || name == "completions" && words.len() == 1
                || name == "cat" && word == "globals.sql";
            if !(word.starts_with("--") || word == "-v" || is_value || is_data || is_inner) {
                break;
            }
            words.push(word.to_owned());
        }
        Some(words)
    }
}

/// A placeholder as something that can be meant.
fn filled(words: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in words {
        let before = out.last().cloned().unwrap_or_default();
        let open = word.contains(['{', '%', '<', '…'])
            || word.chars().all(|c| c.is_ascii_uppercase() || c == '_') && word.len() > 1
            || word.starts_with('$');
        let value = match before.as_str() {
            _ if !open => word.trim_matches('\'').trim_matches('"').to_owned(),
            "--snapshot" | "show" | "cat" | "verify" => SNAPSHOT.to_owned(),
            "--to-time" | "--since" => "2026-11-20T14:03:00Z".to_owned(),
            "--to-lsn" => "0/1".to_owned(),
            "--timeline" => "1".to_owned(),
            "--max-age" => "26h".to_owned(),
            "--max-percent" => "50".to_owned(),
            "--image" => format!("sha256:{}", "3".repeat(64)),
            _ if word.contains("SNAPSHOT") => SNAPSHOT.to_owned(),
            _ => "x1".to_owned(),
        };
        out.push(value);
    }
    out
}

/// Each command with the places that name it.
type Commands = BTreeMap<Vec<String>, BTreeSet<String>>;

fn of_sources(grammar: &Grammar, dir: &Path, all: &mut Commands) {
    walk(dir, &mut |path| {
        if path.extension().is_none_or(|extension| extension != "rs") {
            return;
        }
        let text = fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap().to_owned();
        // A string that goes on in the next line is one.
        let mut joined = String::new();
        for line in text
            .lines()
            .filter(|line| !line.trim_start().starts_with("// ") && !line.trim_start().starts_with("//!"))
        {
            // so is a usage that is too long for one
            let is_usage = line.starts_with("       --") && joined.ends_with('>');
            match is_usage || joined.ends_with('\\') && !line.starts_with("  lifeboat") {
                true if is_usage => {
                    joined.push(' ');
                    joined.push_str(line.trim_start());
                }
                true => {
                    // in an example, a backslash of the shell is written as two
                    joined.truncate(joined.trim_end_matches('\\').len());
                    joined.push_str(line.trim_start());
                }
                false => {
                    joined.push('\n');
                    joined.push_str(line);
                }
            }
        }
        let lines: Vec<&str> = joined.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let example = line.starts_with("  lifeboat ");
            for (at, _) in line.match_indices("lifeboat ") {
                let before = line[..at].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || "-/._".contains(c)) {
                    continue;
                }
                let rest = &line[at + "lifeboat ".len()..];
                // the placeholders of a usage are words
                let usage = line.contains("override_usage").then(|| rest.replace(['<', '>'], ""));
                let rest = usage.as_deref().unwrap_or(rest);
                let end = rest.find(['`', '"', ';', '|', '>', '(', '\\']).unwrap_or(rest.len());
                let end = rest[..end].find("  ").unwrap_or(end);
                let rest = rest[..end].trim_end();
                let words = match example {
                    true => Some(split(rest)),
                    false => grammar.command(rest),
                };
                let Some(words) = words else { continue };
                // A bare name is prose, unless it is what to do next.
                let told =
                    lines[number.saturating_sub(1)..=number].iter().any(|line| line.contains(".next("));
                if told || !is_name(&words) {
                    all.entry(words).or_default().insert(format!("{}: {}", path.display(), line.trim()));
                }
            }
        }
    });
}

/// What comes behind `lifeboat` in a command line of it, whoever runs it.
fn of_lifeboat(command: &str) -> Option<&str> {
    let mut rest = command.trim_start();
    loop {
        let (word, behind) = rest.split_once(' ')?;
        rest = match word {
            "lifeboat" => return Some(behind.trim_start()),
            "$" | "sudo" | "runuser" | "-E" | "-i" | "--" => behind,
            "-u" => behind.split_once(' ')?.1,
            word if word.contains('=') && word.starts_with(|c: char| c.is_ascii_uppercase()) => behind,
            _ => return None,
        };
    }
}

/// Lines that end with `\` put together with the next ones: three blanks end a command.
fn joined(text: &str) -> String {
    text.split("\\\n").map(|line| line.trim_start_matches(' ')).collect::<Vec<_>>().join("")
}

fn of_pages(path: &Path, all: &mut Commands) {
    let text = joined(&fs::read_to_string(path).unwrap());
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let told: Vec<&str> = match fenced {
            true => vec![line.trim_start()],
            false => line.split('`').skip(1).step_by(2).collect(),
        };
        for command in told {
            let Some(rest) = of_lifeboat(command) else { continue };
            let end = [" #", " |", " >", " &&", " 2>", ";"].iter().filter_map(|cut| rest.find(cut)).min();
            let rest = rest[..end.unwrap_or(rest.len())].trim();
            let end = if fenced { rest.find("   ").unwrap_or(rest.len()) } else { rest.len() };
            let words = split(&rest[..end]);
            let is_command =
                words.first().is_some_and(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
            if is_command && !is_name(&words) && !rest.contains('…') && !rest.contains("...") {
                all.entry(words).or_default().insert(format!("{}: {line}", path.display()));
            }
        }
    }
}

/// The words of a command line, as a shell has them.
fn split(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut any) = (Vec::new(), String::new(), None, false);
    for c in text.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            None if c == '\'' || c == '"' => (quote, any) = (Some(c), true),
            None if c == ' ' => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            _ => word.push(c),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

#[test]
fn every_printed_command_is_one_that_the_program_takes() {
    let grammar = Grammar::read();
    let root = workspace_root();
    let mut all = Commands::new();
    for dir in ["agent/src", "restore-drill/src"] {
        of_sources(&grammar, &root.join(dir), &mut all);
    }
    let mut pages: Vec<PathBuf> = vec![root.join("README.md")];
    for dir in ["docs", "runbooks"] {
        walk(&root.join(dir), &mut |path| pages.push(path.to_owned()));
    }
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages.iter().for_each(|page| of_pages(page, &mut all));
    assert!(all.len() > 60, "only {} commands were found: {all:#?}", all.len());
    let nowhere = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (words, places) in &all {
        let args = filled(words);
        let mut program = Program::lifeboat().cwd(nowhere.path()).args(args.clone());
        if args.iter().any(|arg| arg == "init" || arg == "man") {
            program = program.arg("--help"); // it would write
        }
        let outcome = program.env("LIFEBOAT_CONFIG", "/nonexistent/lifeboat.toml").run();
        let misses = args.iter().any(|arg| arg == "--deep") && !args.iter().any(|arg| arg == "--identity");
        if matches!(outcome.code, Some(2 | 182)) {
            let said = outcome.stderr.lines().next().unwrap_or_default().to_owned();
            wrong.push(format!("lifeboat {}: {said}\n    {places:?}", args.join(" ")));
        } else if misses {
            wrong.push(format!("lifeboat {}: decodes without an identity\n    {places:?}", args.join(" ")));
        }
    }
    assert!(wrong.is_empty(), "{} of {} commands:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}
