//! The last check of the whole repository by this host, for `lifeboat status` and the agent's metrics: an
//! attack that a scheduled check found must not go unseen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::catalog::record;
use crate::clock::{self, Timestamp};
use crate::error::Result;
use crate::names::{InstanceName, SnapshotId, counted};

/// Sentences that are kept: whoever can write to the repository can cause any number.
pub const FIRST_MAX: usize = 5;
/// Tombstones that are kept as doubtful, for the same reason.
pub const DOUBTED_MAX: usize = 500;
/// Characters of each.
const CHARS_MAX: usize = 400;

/// A check that came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyRun {
    /// When.
    pub at: Timestamp,
    /// `ok`, or the kind of the error with which it ended, such as `integrity`.
    pub verdict: String,
    /// Whether it read no content.
    pub quick: bool,
    /// Whether it decoded everything.
    pub deep: bool,
    /// Snapshots that were looked at.
    pub snapshots: u64,
    /// Things that are not as they were signed.
    pub findings: u64,
    /// Things that could not be looked at.
    pub unasked: u64,
    /// What a person must look at besides.
    pub problems: u64,
    /// The same, where only older states are affected, or it may be harmless.
    pub warnings: u64,
    /// Foreign objects.
    pub foreign: u64,
    /// Objects whose content it did not read.
    pub objects_not_checked: u64,
    /// The first findings and problems, in sentences.
    pub first: Vec<String>,
}

/// What is remembered by the checks of one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastVerify {
    /// The repository's identifier; empty if it could never be read.
    pub repository: String,
    /// The last check of everything that came to its end.
    pub done: Option<VerifyRun>,
    /// When one failed since then, and why.
    pub failed: Option<(Timestamp, String)>,
    /// Damaged snapshots and WAL objects that were found by any check, and that no later one found whole.
    pub broken: u64,
    /// Tombstones that a check found doubtful, and that are still stored. What they name may be gone by now,
    /// and then nothing else shows that it was announced too early.
    #[serde(default)]
    pub doubted: BTreeSet<SnapshotId>,
}

impl VerifyRun {
    /// Sentences of these, as many and as long as they may be.
    pub fn bounded(sentences: impl Iterator<Item = String>) -> Vec<String> {
        let cut = |text: String| match text.char_indices().nth(CHARS_MAX) {
            Some((at, _)) => format!("{}…", &text[..at]),
            None => text,
        };
        sentences.take(FIRST_MAX).map(cut).collect()
    }

    /// How many things a person must look at.
    pub fn wrong(&self) -> u64 {
        self.findings + self.unasked + self.problems
    }

    /// What it came to, in a few words.
    fn words(&self) -> String {
        let not_looked_at = counted(self.unasked, "thing") + " not looked at";
        let all = [
            (self.findings, counted(self.findings, "finding")),
            (self.unasked, not_looked_at),
            (self.problems, counted(self.problems, "problem")),
            (self.warnings, counted(self.warnings, "warning")),
        ];
        let some: Vec<String> =
            all.into_iter().filter(|(count, _)| *count > 0).map(|(_, text)| text).collect();
        if some.is_empty() { "nothing is wrong".to_owned() } else { some.join(", ") }
    }
}

impl LastVerify {
    /// The place of the record.
    pub fn file(state_dir: &Path, instance: &InstanceName) -> PathBuf {
        state_dir.join(instance.as_str()).join("last-verify.json")
    }

    /// The record; empty where there is none.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(file: &Path) -> Result<LastVerify> {
        record::read(file)
    }

    /// The record, if it is of this repository; else an empty one.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn of(file: &Path, repository: &str) -> Result<LastVerify> {
        Ok(LastVerify::read(file)?.only_of(repository))
    }

    fn only_of(self, repository: &str) -> LastVerify {
        let is_of = [repository, ""].contains(&self.repository.as_str());
        let last = if is_of { self } else { LastVerify::default() };
        LastVerify { repository: repository.to_owned(), ..last }
    }

    /// Changes the record of this repository; `None` is one that could not be read.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn change(file: &Path, repository: Option<&str>, change: impl FnOnce(&mut LastVerify)) -> Result<()> {
        record::change(file, |last: &mut LastVerify| {
            if let Some(repository) = repository {
                *last = std::mem::take(last).only_of(repository);
            }
            change(last);
            Ok(())
        })
    }

    /// The last check in a line; `None` before the first.
    pub fn line(&self) -> Option<String> {
        let run = self.done.as_ref()?;
        let how = match (run.quick, run.deep, run.objects_not_checked) {
            (true, _, _) => " (quick: no content was read)",
            (_, true, _) => " (deep)",
            (_, _, 0) => "",
            _ => " (a sample)",
        };
        Some(format!("{}{how}: {}", clock::text(run.at), run.words()))
    }

    /// What a person must look at.
    pub fn problems(&self) -> Vec<String> {
        let failed = self.failed.as_ref().map(|(at, why)| {
            format!("lifeboat verify could not check the repository at {}: {why}", clock::text(*at))
        });
        let mut all: Vec<String> = failed.into_iter().collect();
        let Some(run) = self.done.as_ref().filter(|run| run.wrong() > 0) else { return all };
        all.extend(run.first.iter().map(|what| format!("lifeboat verify found: {what}")));
        let (more, when) = (run.wrong().saturating_sub(run.first.len() as u64), clock::text(run.at));
        let more = if more > 0 { format!("{more} more were found; ") } else { String::new() };
        let quick = if run.quick { " --quick" } else { "" };
        all.push(format!(
            "{more}the check was at {when}: lifeboat verify{quick} --json lists all (runbooks/damaged-repository.md; \
             if somebody did it, runbooks/stolen-credentials.md)"
        ));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk;

    fn run(findings: u64, first: &[&str]) -> VerifyRun {
        VerifyRun {
            at: Timestamp::UNIX_EPOCH,
            verdict: "ok".to_owned(),
            quick: true,
            deep: false,
            snapshots: 3,
            findings,
            unasked: 0,
            problems: 0,
            warnings: 1,
            foreign: 0,
            objects_not_checked: 9,
            first: VerifyRun::bounded(first.iter().map(|text| (*text).to_owned())),
        }
    }

    #[test]
    fn what_was_found_is_a_problem_until_a_check_finds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("prod/last-verify.json");
        assert_eq!(LastVerify::read(&file).unwrap().line(), None);
        let long = "ä".repeat(5_000);
        let many = [&*long, "b", "c", "d", "e", "f"];
        LastVerify::change(&file, Some("r1"), |last| last.done = Some(run(7, &many))).unwrap();
        let last = LastVerify::of(&file, "r1").unwrap();
        let problems = last.problems();
        assert_eq!(problems.len(), FIRST_MAX + 1);
        assert!(
            problems[0].chars().count() < 500 && problems[FIRST_MAX].starts_with("2 more were found; "),
            "{problems:?}"
        );
        let line = last.line().unwrap();
        assert!(line.ends_with("(quick: no content was read): 7 findings, 1 warning"), "{line}");

        assert!(LastVerify::of(&file, "r2").unwrap().problems().is_empty(), "another repository");
        LastVerify::change(&file, None, |last| last.failed = Some((Timestamp::UNIX_EPOCH, "403".to_owned())))
            .unwrap();
        assert_eq!(LastVerify::of(&file, "r1").unwrap().problems().len(), FIRST_MAX + 2, "it stays known");
        LastVerify::change(&file, Some("r1"), |last| (last.done, last.failed) = (Some(run(0, &[])), None))
            .unwrap();
        assert!(LastVerify::of(&file, "r1").unwrap().problems().is_empty());
        disk::replace_durable(&file, b"{").unwrap();
        assert_eq!(LastVerify::read(&file).unwrap(), LastVerify::default());
    }
}
