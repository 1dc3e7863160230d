//! What a pipeline's runner is told about a checkpoint, in the runner's own words: Azure DevOps, GitHub,
//! GitLab.
//!
//! A runner reads commands out of what a program prints. So everything that others wrote (release IDs, names
//! of tenants, findings) is escaped as each runner documents it, and every other line that we print is inert
//! (`error::shown::inert`): no text can give a command.

mod azure;
mod github;
mod gitlab;

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::screen::Text;
use super::{App, print};
use crate::archive::evidence::gate::{GateResult, Outcome};
use crate::archive::evidence::markdown;
use crate::checkpoint::CheckpointReport;
use crate::clock;
use crate::config::Inputs;
use crate::disk;
use crate::error::shown::printable;
use crate::error::{Error, Result};
use crate::names::random_hex;

/// Characters of one finding that are repeated.
const ISSUE_CHARS_MAX: usize = 2_000;
/// GitHub refuses a longer summary of a step.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// The system that runs the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ci {
    /// Azure DevOps: logging commands, a summary, output variables
    Azure,
    /// GitHub Actions: annotations, a step summary, outputs
    Github,
    /// GitLab: a section of the log, and a dotenv file
    Gitlab,
    /// No commands
    None,
}

impl Ci {
    /// The system whose variables are in the environment.
    ///
    /// # Errors
    /// `Config` where one of them is not UTF-8.
    pub fn recognized(inputs: &Inputs) -> Result<Ci> {
        let known = [("TF_BUILD", Ci::Azure), ("GITHUB_ACTIONS", Ci::Github), ("GITLAB_CI", Ci::Gitlab)];
        for (variable, ci) in known {
            if inputs.variable(variable)?.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
                return Ok(ci);
            }
        }
        Ok(Ci::None)
    }
}

/// How it ended: the word that a pipeline can compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Passed,
    Overridden,
    Blocked,
    /// A dry run that found nothing: no release may rely on it.
    DryRun,
    /// It could not be decided.
    Failed,
}

impl Word {
    fn as_str(self) -> &'static str {
        match self {
            Word::Passed => "passed",
            Word::Overridden => "overridden",
            Word::Blocked => "blocked",
            Word::DryRun => "dry-run",
            Word::Failed => "failed",
        }
    }

    fn stops(self) -> bool {
        matches!(self, Word::Blocked | Word::Failed)
    }
}

/// Something that a person should see beside the log.
#[derive(Clone, Debug)]
struct Issue {
    stops: bool,
    /// One line, without control characters; otherwise as others wrote it.
    text: String,
}

/// What a runner is told.
#[derive(Clone, Debug)]
struct Told {
    word: Word,
    /// Of `checkpoint.json`, in hex; `None` where none is stored.
    sha256: Option<String>,
    issues: Vec<Issue>,
    /// `evidence.md`.
    page: Option<String>,
}

fn issue(stops: bool, text: &str) -> Issue {
    let text = printable(text);
    let shown: String = text.chars().take(ISSUE_CHARS_MAX).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    Issue { stops, text: shown + more }
}

impl Told {
    fn of(report: &CheckpointReport, dry_run: bool) -> Told {
        let checkpoint = &report.checkpoint;
        let release = &checkpoint.release.id;
        let of_gate = |gate: &GateResult| match (&gate.overridden, gate.outcome) {
            (Some(by), _) => issue(
                false,
                &format!(
                    "release {release}: gate {} was overridden by {} ({}): {}",
                    gate.gate, by.by, by.reason, gate.found
                ),
            ),
            (None, Outcome::Unknown) => issue(
                true,
                &format!("release {release} is blocked: gate {} is not known: {}", gate.gate, gate.found),
            ),
            (None, _) => {
                issue(true, &format!("release {release} is blocked by gate {}: {}", gate.gate, gate.found))
            }
        };
        let word = match (report.blocking().next(), dry_run, checkpoint.overridden().next()) {
            (Some(_), ..) => Word::Blocked,
            (None, true, _) => Word::DryRun,
            (None, false, Some(_)) => Word::Overridden,
            (None, false, None) => Word::Passed,
        };
        let unsigned = match report.stored {
            Some(_) => "",
            None => "No evidence was stored: this page says what was found, and nothing signs it.\n\n",
        };
        let mut page = format!("{unsigned}{}", markdown::text(checkpoint));
        if page.len() > PAGE_BYTES_MAX {
            page.truncate(page.floor_char_boundary(PAGE_BYTES_MAX));
        }
        Told {
            word,
            sha256: report.sha256.map(|digest| digest.to_string()),
            issues: checkpoint.gates.iter().filter(|gate| gate.would_block()).map(of_gate).collect(),
            page: Some(page),
        }
    }

    fn failed(error: &Error) -> Told {
        let text = format!("the checkpoint could not be decided: {}", error.line());
        Told { word: Word::Failed, sha256: None, issues: vec![issue(true, &text)], page: None }
    }
}

/// Prints a report: for the person on standard error, for the runner on standard output. With `--json` the
/// report is on standard output, and the commands are on standard error, which each runner reads as well.
///
/// # Errors
/// `Io` where standard output is closed to us. A file of the runner that cannot be written is a warning: it
/// changes nothing about the release.
pub fn report(ci: Ci, app: &App, report: &CheckpointReport, dry_run: bool, text: Text) -> Result<()> {
    if ci == Ci::None {
        return app.print(report, || text);
    }
    if app.json {
        print::json(report)?;
    }
    let told = Told::of(report, dry_run);
    let section = (ci == Ci::Gitlab).then(|| gitlab::section(&told, clock::now().as_second()));
    section.iter().for_each(|(begin, _)| print::to_runner_err(begin));
    print::err_text(&text);
    section.iter().for_each(|(_, end)| print::to_runner_err(end));
    tell(ci, app, &told)
}

/// Tells the runner that the checkpoint could not be decided; the error itself is printed as always.
pub fn failed(ci: Ci, app: &App, error: &Error) {
    if ci != Ci::None
        && let Err(e) = tell(ci, app, &Told::failed(error))
    {
        warn(&e);
    }
}

/// Writes the runner's files, then prints its commands.
fn tell(ci: Ci, app: &App, told: &Told) -> Result<()> {
    let commands = match ci {
        Ci::Azure => azure::commands(told, azure_page(app, told).as_deref()),
        Ci::Github => {
            let files = [
                ("GITHUB_STEP_SUMMARY", told.page.clone()),
                ("GITHUB_OUTPUT", Some(github::outputs(told, &github::delimiter()))),
            ];
            for (variable, content) in files {
                append(app, variable, content);
            }
            github::commands(told)
        }
        Ci::Gitlab => {
            let dir = app.inputs.variable("CI_PROJECT_DIR")?.map_or_else(PathBuf::new, PathBuf::from);
            written(disk::replace_shared(&dir.join(gitlab::DOTENV), gitlab::dotenv(told).as_bytes()));
            String::new()
        }
        Ci::None => String::new(),
    };
    match app.json {
        true => print::to_runner_err(&commands),
        false => print::to_runner(&commands)?,
    }
    Ok(())
}

/// The page as a file that the agent uploads when the step ends: each call has a file of its own.
fn azure_page(app: &App, told: &Told) -> Option<PathBuf> {
    let page = told.page.as_ref()?;
    let dir = app.inputs.variable("AGENT_TEMPDIRECTORY").ok().flatten().unwrap_or_else(|| ".".to_owned());
    let dir = std::path::absolute(Path::new(&dir)).unwrap_or_else(|_| PathBuf::from(dir));
    let file = dir.join(format!("lifeboat-evidence-{}.md", random_hex(8)));
    written(disk::replace_shared(&file, page.as_bytes())).then_some(file)
}

fn append(app: &App, variable: &str, content: Option<String>) {
    let Some(content) = content else { return };
    match app.inputs.variable(variable) {
        Ok(Some(path)) => {
            written(disk::append(Path::new(&path), content.as_bytes()));
        }
        _ => print::err(&format!("warning: {variable} is not set: the runner is told less")),
    }
}

fn written(done: Result<()>) -> bool {
    done.as_ref().err().into_iter().for_each(warn);
    done.is_ok()
}

fn warn(e: &Error) {
    print::err(&format!("warning: the runner is told less: {}", e.line()));
}

#[cfg(test)]
mod tests;
