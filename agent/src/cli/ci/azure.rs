//! Azure DevOps: logging commands, `##vso[area.action name=value;]text`.
//!
//! The agent looks for them anywhere in a line of both streams, and takes back the escapes of a command's
//! properties and text: `;` `]` CR LF, and `%` as `%AZP25` (its Command and CommandStringConvertor).

use std::fmt::Write as _;
use std::path::Path;

use super::Told;

/// The output variables: the word, and the digest of the evidence.
const CHECKPOINT: &str = "lifeboatCheckpoint";
const SHA256: &str = "lifeboatEvidenceSha256";

/// The commands, one a line. `page` is the file of the summary.
pub(super) fn commands(told: &Told, page: Option<&Path>) -> String {
    let mut out = String::new();
    for issue in &told.issues {
        let kind = if issue.stops { "error" } else { "warning" };
        let _ = writeln!(out, "##vso[task.logissue type={kind};]{}", escaped(&issue.text));
    }
    if let Some(page) = page {
        let _ = writeln!(out, "##vso[task.uploadsummary]{}", escaped(&page.display().to_string()));
    }
    let sha256 = told.sha256.as_deref().unwrap_or_default();
    for (name, value) in [(CHECKPOINT, told.word.as_str()), (SHA256, sha256)] {
        let value = escaped(value);
        let _ =
            writeln!(out, "##vso[task.setvariable variable={name};isOutput=true;isreadonly=true;]{value}");
    }
    if told.word.stops() {
        let _ = writeln!(out, "##vso[task.complete result=Failed;]Lifeboat: {}", told.word.as_str());
    }
    out
}

/// A text for a property or for the text of a command. The escape of `%` comes first: the agent takes it back
/// last. A `##` is broken, because an older agent could read the text once more.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => out.push_str("%AZP25"),
            ';' => out.push_str("%3B"),
            ']' => out.push_str("%5D"),
            '\r' => out.push_str("%0D"),
            '\n' => out.push_str("%0A"),
            '#' if out.ends_with('#') => out.push_str(" #"),
            c => out.push(c),
        }
    }
    out
}
