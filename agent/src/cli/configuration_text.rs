//! What list, show and backup say of a configuration snapshot.

use crate::archive::manifest::ConfigFacts;
use crate::names::{bytes_text, counted};

/// `12 files, 30 objects, 2 artifacts`.
pub fn counts(facts: &ConfigFacts) -> String {
    let mut parts = vec![counted(facts.files, "file"), counted(facts.objects, "object")];
    if !facts.artifacts.is_empty() {
        parts.push(counted(facts.artifacts.len() as u64, "artifact"));
    }
    parts.join(", ")
}

/// The facts, a line each; at most `most` of each sort.
pub fn facts(facts: &ConfigFacts, most: usize, line: &mut impl FnMut(&str, String)) {
    line("captured", counts(facts));
    line("digest", facts.sha256.to_string());
    for entry in facts.entries.iter().take(most) {
        line("path", entry.path.clone());
    }
    more(facts.entries.len(), most, "paths", line);
    for artifact in facts.artifacts.iter().take(most) {
        line("artifact", format!("{} ({}), SHA-256", artifact.name, bytes_text(artifact.bytes)));
        line("", artifact.sha256.to_string());
    }
    more(facts.artifacts.len(), most, "artifacts", line);
    for left in facts.left_out.iter().take(most) {
        line("missing", left.to_string());
    }
    more(facts.left_out.len(), most, "missing", line);
}

fn more(all: usize, most: usize, what: &str, line: &mut impl FnMut(&str, String)) {
    if all > most {
        line("", format!("and {} more {what} (--json lists them)", all - most));
    }
}
