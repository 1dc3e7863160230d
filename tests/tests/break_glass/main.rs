//! The break-glass runbooks do what they say: their own commands, run as they stand, bring a tenant
//! and a whole instance back from a repository without Lifeboat.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test panics, and touches files as a user does

mod instance;
mod tenant;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_tests::{program, skip};

/// How long a page may take for a real tenant on a slow machine.
const LIMIT: Duration = Duration::from_secs(600);
/// What the pages say they need, but for PostgreSQL's programs.
const TOOLS: [&str; 8] = ["age", "zstd", "tar", "ssh-keygen", "sha256sum", "b3sum", "awk", "dd"];

/// Writes the `sh` blocks of a runbook, in order, as one script.
fn page(name: &str, to: PathBuf) -> PathBuf {
    let text = fs::read_to_string(program::workspace_root().join("runbooks").join(name)).unwrap();
    let (mut script, mut inside) = (String::new(), false);
    for line in text.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => script.extend([line, "\n"]),
            _ => {}
        }
    }
    assert!(!inside && script.contains("ssh-keygen") && !script.contains("lifeboat backup"));
    fs::write(&to, script).unwrap();
    to
}

/// The public key that `lifeboat init` wrote into this configuration.
fn signing_key(config: &Path) -> String {
    let config = fs::read_to_string(config).unwrap();
    let key = config.lines().find(|line| line.trim_start().starts_with("\"ssh-ed25519")).unwrap();
    key.trim().trim_matches([',', '"']).to_owned()
}

/// Whether the machine has what the pages need; else the skip is told.
fn tools_are_here() -> bool {
    let missing: Vec<_> = TOOLS.iter().filter(|tool| !Path::new("/usr/bin").join(tool).exists()).collect();
    if !missing.is_empty() {
        skip::announce(module_path!(), &format!("{missing:?} not in /usr/bin"));
    }
    missing.is_empty()
}
