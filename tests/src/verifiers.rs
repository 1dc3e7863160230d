//! Programs of strangers that verify evidence: the commands and programs of docs/evidence.md, as they stand.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::program::workspace_root;
use crate::{Outcome, Program, place};

/// How long a package may take to be installed.
const INSTALL_LIMIT: Duration = Duration::from_secs(120);

/// One of them. What it needs is installed, and removed when it is dropped.
pub struct Verifier {
    program: Program,
    _installed: TempDir,
}

impl Verifier {
    /// Runs it in the directory of an export. It ends with 0 if the evidence is valid.
    pub fn run(&self, dir: &Path) -> Outcome {
        self.program.clone().cwd(dir).run()
    }

    /// The same without a network, where this machine can do that.
    pub fn offline(self) -> Verifier {
        Verifier { program: self.program.without_network(), ..self }
    }
}

/// The shell commands with OpenSSL. They print `Verified OK`.
pub fn openssl() -> Verifier {
    let script = format!("set -e\n{}", block("sh"));
    Verifier {
        program: Program::at("/bin/sh".into()).args(["-c", &script]),
        _installed: place::new_dir("sh-"),
    }
}

/// securesystemslib of PyPI. It prints `verified: RELEASE`.
///
/// # Errors
/// Why it cannot be had on this machine.
pub fn securesystemslib() -> Result<Verifier, String> {
    let python = found("python3").ok_or("there is no python3")?;
    let place = place::new_dir("python-");
    let venv = place.path().join("venv");
    let made = installer(python, place.path()).args(["-m", "venv"]).arg(&venv).run();
    if made.code != Some(0) {
        return Err(format!("python3 makes no venv: {}", made.stderr.trim()));
    }
    let install = ["install", "--quiet", "--disable-pip-version-check", "securesystemslib[crypto]>=1,<2"];
    let pip = installer(venv.join("bin/pip"), place.path()).args(install).run();
    if pip.code != Some(0) {
        return Err(format!("pip cannot install securesystemslib: {}", pip.stderr.trim()));
    }
    let program = Program::at(venv.join("bin/python3")).args(["-c", &block("python")]);
    Ok(Verifier { program, _installed: place })
}

/// @sigstore/verify of npm. It prints `verified: RELEASE`.
///
/// # Errors
/// Why it cannot be had on this machine.
pub fn sigstore() -> Result<Verifier, String> {
    let (Some(node), Some(npm)) = (found("node"), found("npm")) else {
        return Err("there is no node with npm".to_owned());
    };
    let place = place::new_dir("node-");
    let options = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
    let packages = ["@sigstore/bundle@4", "@sigstore/verify@3"];
    let install = installer(npm, place.path()).args(options).args(packages).cwd(place.path()).run();
    let modules = place.path().join("node_modules");
    if install.code != Some(0) || !modules.join("@sigstore/verify").exists() {
        return Err(format!("npm cannot install @sigstore/verify: {}", install.stderr.trim()));
    }
    let program = Program::at(node).args(["-e", &block("js")]).env("NODE_PATH", &modules);
    Ok(Verifier { program, _installed: place })
}

/// The only block of this language in the page.
fn block(language: &str) -> String {
    let page = std::fs::read_to_string(workspace_root().join("docs/evidence.md")).unwrap();
    let begins = format!("\n```{language}\n");
    let mut blocks = page.split(&begins).skip(1);
    let block = blocks.next().unwrap_or_else(|| panic!("docs/evidence.md has no block of {language}"));
    assert!(blocks.next().is_none(), "docs/evidence.md has two blocks of {language}");
    block.split("\n```").next().unwrap().to_owned()
}

/// A program that installs packages, with what this machine says of the way to the registries.
fn installer(program: PathBuf, home: &Path) -> Program {
    const PASSED_ON: [&str; 8] = [
        "HTTPS_PROXY",
        "https_proxy",
        "NO_PROXY",
        "no_proxy",
        "SSL_CERT_FILE",
        "NODE_EXTRA_CA_CERTS",
        "PIP_CERT",
        "PIP_INDEX_URL",
    ];
    let passed_on = PASSED_ON.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
    Program::at(program).envs(passed_on).env("HOME", home).limit(INSTALL_LIMIT)
}

fn found(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.exists())
}
