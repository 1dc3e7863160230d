//! What a person sees: 80 columns, groups by tenant, and bad states in colour on a terminal only; the words
//! are the same everywhere.

use std::fs;

use lifeboat_tests::site::Site;
use lifeboat_tests::terminal::AtTerminal;
use lifeboat_tests::{Cluster, Program, small_tenant};

const ESCAPE: char = '\u{1b}';
const BAD: &str = "\u{1b}[1m\u{1b}[31m";
const WARNING: &str = "\u{1b}[1m\u{1b}[33m";
const END: &str = "\u{1b}[0m";

/// The text of a screen without its colours and the terminal's own line ends.
fn plain(screen: &str) -> String {
    [BAD, WARNING, END, "\r"].iter().fold(screen.to_owned(), |text, code| text.replace(code, ""))
}

/// What a program shows on a terminal with these variables.
fn on_terminal(program: Program, env: &[(&str, &str)]) -> String {
    let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    AtTerminal::start(program.envs(env)).finish().1
}

#[test]
fn a_bad_state_is_coloured_on_a_terminal_only_and_its_words_are_the_same_everywhere() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    site.back_up(&[]);
    for folder in fs::read_dir(site.stored.join("instances/prod/snapshots")).unwrap() {
        let folder = folder.unwrap().path();
        if folder.to_string_lossy().contains("-filestore-") {
            fs::remove_dir_all(folder).unwrap();
        }
    }
    site.edit("[odoo]", "[odoo]\ntenants = [\"shop\", \"books\"]");
    let nothing = Program::lifeboat().cwd("/").arg("list");
    let cases = [
        (site.run(&["list"]), format!("{BAD}cannot be restored whole without ")),
        (site.run(&["status"]), format!("{BAD}NEVER BACKED UP{END}")),
        (site.run(&["window"]), format!("{BAD}INCOMPLETE{END}")),
        (site.run(&["verify", "--no-progress"]), format!("{BAD}bad:{END}")),
        (site.run(&["verify", "--no-progress"]), format!("{BAD}error[integrity]{END}: ")),
        (site.run(&["wal", "status"]), format!("{BAD}problem:{END}")),
        (site.run(&["doctor"]), format!("{WARNING}WARN{END}")),
        (nothing, format!("{BAD}error[config]{END}: ")),
    ];
    for (program, coloured) in cases {
        let shown = on_terminal(program.clone(), &[("TERM", "xterm")]);
        assert!(shown.contains(&coloured), "{coloured:?} is not in {shown:?}");
        let words = |text: &str| -> Vec<String> {
            // times, and space that is free, are different each time
            let changes = |line: &&str| {
                [" ago", " free ", "ok    clock", "half of the space", "shop    ok "]
                    .iter()
                    .any(|part| line.contains(part))
            };
            let lines = text.lines().filter(|line| !changes(line));
            let mut words: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
            words.sort();
            words
        };
        for env in [&[("TERM", "dumb")][..], &[("TERM", "xterm"), ("NO_COLOR", "1")], &[]] {
            let without = on_terminal(program.clone(), env);
            assert!(!without.contains(ESCAPE), "{env:?}: {without:?}");
            assert_eq!(words(&plain(&shown)), words(&plain(&without)), "{env:?}");
        }
        let piped = program.clone().env("TERM", "xterm").run();
        assert!(!piped.stdout.contains(ESCAPE) && !piped.stderr.contains(ESCAPE), "{piped}");
        assert_eq!(words(&plain(&shown)), words(&format!("{}{}", piped.stdout, piped.stderr)));
        let forced = program.env("CLICOLOR_FORCE", "1").run();
        assert!(format!("{}{}", forced.stdout, forced.stderr).contains(&coloured), "{forced}");
    }
    let json = on_terminal(site.run(&["list", "--json"]), &[("TERM", "xterm")]);
    assert!(!json.contains(ESCAPE), "{json}");
}

#[test]
fn what_is_stored_is_shown_by_tenant_and_in_80_columns() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let long = "a_tenant_with_a_very_long_name_that_leaves_no_room_beside_it";
    for (name, seed) in [("retail_north", 3), ("shop", 4), (long, 5)] {
        small_tenant(&cluster, &site.data_dir(), name, seed);
    }
    site.back_up(&["--release", "2026.11.1"]);
    site.back_up(&["--tenant", "shop"]);
    site.back_up(&["--kind", "base"]);
    let list = site.run(&["list"]).run().ok().stdout;
    let place = |what: &str| {
        let at = list.lines().position(|line| line == what || line.starts_with(&format!("{what} (")));
        at.unwrap_or_else(|| panic!("no group {what}: {list}"))
    };
    let groups = [long, "retail_north", "shop", "whole instance"].map(place);
    assert!(groups.is_sorted(), "{groups:?}: {list}");
    let json = site.run(&["list", "--json"]).run().ok().json();
    let lines: Vec<&str> = list.lines().collect();
    for one in json["snapshots"].as_array().unwrap() {
        let at = lines.iter().position(|line| line.trim_start().starts_with(one["id"].as_str().unwrap()));
        let group = groups.iter().rev().find(|group| **group < at.unwrap()).unwrap();
        let tenant = one["tenant"].as_str().unwrap_or("whole instance");
        assert!(lines[*group].starts_with(tenant), "{one}: {list}");
    }
    let of_shop: Vec<&str> =
        lines[groups[2]..groups[3]].iter().copied().filter(|l| l.contains("-dump-")).collect();
    assert_eq!(of_shop.len(), 2, "{list}");
    assert!(of_shop[0] > of_shop[1], "the newest first: {list}");
    assert!(of_shop[1].ends_with("2026.11.1"), "with its release: {list}");

    for command in [&["list"][..], &["status"], &["window"], &["wal", "status"], &["verify"]] {
        for columns in [80, 120] {
            let shown = site.run(command).env("COLUMNS", columns.to_string()).run();
            let wide = shown.stdout.lines().find(|line| line.chars().count() > columns);
            assert_eq!(wide, None, "{command:?} in {columns} columns: {shown}");
            assert!(shown.stdout.contains(long) || ["wal", "verify"].contains(&command[0]), "{shown}");
        }
        // in a pipe a line stays whole: a sentence may be wider, nothing else is
        let shown = site.run(command).run();
        let is_sentence = |line: &&str| line.starts_with("warning: ") || line.starts_with("problem: ");
        let wide =
            shown.stdout.lines().filter(|line| line.chars().count() > 80).find(|line| !is_sentence(line));
        assert_eq!(wide, None, "{command:?}: {shown}");
    }
    let identity = site.path("lifeboat-identity.txt").display().to_string();
    let plan = ["restore", "--tenant", "shop", "--as", "copy", "--dry-run", "--identity", &identity];
    for command in [&plan[..], &["restore", "--dry-run", "--stored-only"], &["doctor"]] {
        let shown = site.run(command).env("COLUMNS", "80").run();
        // a path and a command are not cut
        let whole = |line: &&str| line.contains('/') || line.contains("lifeboat ");
        let wide = shown.stdout.lines().filter(|line| line.chars().count() > 80).find(|line| !whole(line));
        assert_eq!(wide, None, "{command:?}: {shown}");
    }
}
