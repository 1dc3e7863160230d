//! GitLab: a section of the job's log that can be folded, and a dotenv file for later jobs
//! (`artifacts:reports:dotenv`).
//!
//! Both contain only words of ours: GitLab has no escapes for either of them. The section's marks need an
//! escape character, which no other line of ours can contain.

use super::{Told, Word};

/// The dotenv file, in the project's directory.
pub(super) const DOTENV: &str = "lifeboat.env";
/// The name of the section.
const SECTION: &str = "lifeboat_checkpoint";

/// What is printed before and after the text. It is folded where there is nothing to do.
pub(super) fn section(told: &Told, unix_seconds: i64) -> (String, String) {
    let folded = matches!(told.word, Word::Passed | Word::DryRun);
    let word = told.word.as_str();
    let begin = format!(
        "\u{1b}[0Ksection_start:{unix_seconds}:{SECTION}[collapsed={folded}]\r\u{1b}[0KLifeboat checkpoint: {word}\n"
    );
    (begin, format!("\u{1b}[0Ksection_end:{unix_seconds}:{SECTION}\r\u{1b}[0K\n"))
}

/// The variables of later jobs: letters and digits only.
pub(super) fn dotenv(told: &Told) -> String {
    let sha256 = told.sha256.as_deref().unwrap_or_default();
    let word = told.word.as_str();
    format!("LIFEBOAT_CHECKPOINT={word}\nLIFEBOAT_EVIDENCE_SHA256={sha256}\n")
}
