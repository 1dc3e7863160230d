//! A runbook that is carried out: its commands, each taken from the page as it stands. What happens before
//! and between them is up to the test; one that it does not run is an error.

use std::fs;

use lifeboat_tests::program::workspace_root;

use crate::page::answer;

/// What commands begin with.
const PROGRAMS: [&str; 5] = ["sudo ", "lifeboat ", "restore-drill ", "systemctl ", "psql "];
/// A line that gives the next one its place or its environment.
const BEFORE: [&str; 2] = ["cd ", "export "];

/// A page, and which of its commands are in the script.
pub struct Runbook {
    name: &'static str,
    commands: Vec<(String, bool)>,
    toml: String,
}

impl Runbook {
    /// The commands of a page: the lines of its shell blocks, and whole commands in backticks.
    pub fn open(name: &'static str) -> Runbook {
        let text = fs::read_to_string(workspace_root().join("runbooks").join(name)).unwrap();
        let (mut commands, mut toml, mut before) = (Vec::new(), String::new(), String::new());
        let mut language = None;
        for line in text.replace("\\\n", " ").lines() {
            let fence = line.trim_start().strip_prefix("```");
            match (fence, language) {
                (Some(named), None) => language = Some(named),
                (Some(_), Some(_)) => language = None,
                (None, Some("sh")) if BEFORE.iter().any(|word| line.starts_with(word)) => {
                    before += &format!("{line} && ");
                }
                (None, Some("sh")) => commands.push(std::mem::take(&mut before) + line),
                (None, Some("toml")) => toml += &format!("{line}\n"),
                (None, Some(_)) => assert!(!is_command(line), "{name}: no test runs {line:?}"),
                (None, None) => {
                    let spans = line.split('`').skip(1).step_by(2).filter(|span| is_command(span));
                    commands.extend(spans.map(str::to_owned));
                }
            }
        }
        let words = |line: String| line.split_whitespace().collect::<Vec<_>>().join(" ");
        Runbook { name, toml, commands: commands.into_iter().map(|line| (words(line), false)).collect() }
    }

    /// What the page has for the configuration.
    pub fn toml(&self) -> &str {
        &self.toml
    }

    /// Runs the next command that contains these words; it must end with this code.
    pub fn run(&mut self, words: &str, code: i32) -> String {
        self.run_with(words, code, &[])
    }

    /// The same with other values: of a time, of a name that another command printed.
    pub fn run_with(&mut self, words: &str, code: i32, values: &[(&str, &str)]) -> String {
        let name = self.name;
        let next = |is_it: &dyn Fn(&str) -> bool| {
            self.commands.iter().position(|(command, is_run)| !is_run && is_it(command))
        };
        // `lifeboat backup` is that one rather than `lifeboat backup --kind base`
        let at =
            next(&|command| command.ends_with(words)).or_else(|| next(&|command| command.contains(words)));
        let at =
            at.unwrap_or_else(|| panic!("{name} has no further command {words:?}: {:#?}", self.commands));
        self.commands[at].1 = true;
        let command = &self.commands[at].0;
        let line = values.iter().fold(command.clone() + &answer(command), |line, (word, value)| {
            assert!(line.contains(word), "{word:?} is not in {line}");
            line.replace(word, value)
        });
        format!(
            "echo '=== {name} {at}'\n{line}\ncode=$?\n\
             [ $code = {code} ] || echo \"WRONG {name} {at}: exit code $code, not {code}: $(cat <<'LINE'\n{line}\nLINE\n)\"\n"
        )
    }

    /// All of its commands are in the script.
    pub fn assert_done(self) {
        let left: Vec<_> = self.commands.iter().filter(|(_, is_run)| !is_run).collect();
        assert!(left.is_empty(), "{}: no test runs {left:#?}", self.name);
    }
}

/// Whether these words are a whole command of a runbook, and no name of one.
fn is_command(words: &str) -> bool {
    let is_name = words.starts_with("lifeboat ") && !words.contains("--");
    PROGRAMS.iter().any(|program| words.starts_with(program)) && !is_name
}
