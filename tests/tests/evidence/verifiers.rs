//! Tools of strangers verify what is exported: the commands and programs of docs/evidence.md, as they stand.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_tests::program::workspace_root;
use lifeboat_tests::{Outcome, Program, skip};
use tempfile::TempDir;

use crate::Host;

/// How long a package may take to be installed.
const INSTALL_LIMIT: Duration = Duration::from_secs(120);

/// The only block of this language in the page.
fn block(language: &str) -> String {
    let page = fs::read_to_string(workspace_root().join("docs/evidence.md")).unwrap();
    let begins = format!("\n```{language}\n");
    let mut blocks = page.split(&begins).skip(1);
    let block = blocks.next().unwrap_or_else(|| panic!("docs/evidence.md has no block of {language}"));
    assert!(blocks.next().is_none(), "docs/evidence.md has two blocks of {language}");
    block.split("\n```").next().unwrap().to_owned()
}

/// An export of release `feature/1`, and a place for more.
struct Export {
    host: Host,
}

impl Export {
    fn new() -> Export {
        let host = Host::new();
        host.store("feature/1", |_| {});
        host.run(&["evidence", "export", "--release", "feature/1", "out"]).run().ok();
        Export { host }
    }

    fn dir(&self) -> PathBuf {
        self.host.path("out")
    }

    /// Runs a verifier over what is there, over each sort of damage, and over another key.
    fn tried(&self, run: impl Fn(&Path) -> Outcome, says: &str) {
        let verified = run(&self.dir()).ok();
        assert!(verified.stdout.contains(says), "{verified}");
        let file = self.dir().join("checkpoint.json");
        let whole = fs::read_to_string(&file).unwrap();
        // One character in the middle of a field's base64.
        let altered = |name: &str| {
            let at = whole.find(&format!("\"{name}\": \"")).unwrap() + name.len() + 45;
            let new = if &whole[at..=at] == "A" { "B" } else { "A" };
            format!("{}{new}{}", &whole[..at], &whole[at + 1..])
        };
        let other_type = whole.replace("vnd.in-toto+json", "vnd.in-toto+jsom");
        for text in [altered("payload"), altered("sig"), other_type] {
            fs::write(&file, text).unwrap();
            let outcome = run(&self.dir());
            assert!(outcome.code != Some(0), "an altered file was verified: {outcome}");
        }
        fs::write(&file, whole).unwrap();
        let key = self.dir().join("public-key.pem");
        let ours = fs::read(&key).unwrap();
        fs::copy(Host::new().path(crate::PUBLIC_KEY), &key).unwrap();
        let outcome = run(&self.dir());
        assert!(outcome.code != Some(0), "another key verified it: {outcome}");
        fs::write(&key, ours).unwrap();
        run(&self.dir()).ok();
    }
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

#[test]
fn openssl_verifies_it() {
    let export = Export::new();
    let script = format!("set -e\n{}", block("sh"));
    let run = |dir: &Path| Program::at("/bin/sh".into()).args(["-c", &script]).cwd(dir).run();
    export.tried(run, "Verified OK");
    let read = |name: &str| fs::read(export.dir().join(name)).unwrap();
    assert_eq!(read("verified-statement.json"), read("statement.json"));
}

#[test]
fn securesystemslib_verifies_it() {
    let Some(python) = found("python3") else { skip!("there is no python3") };
    let place = TempDir::new().unwrap();
    let venv = place.path().join("venv");
    let made = installer(python, place.path()).args(["-m", "venv"]).arg(&venv).run();
    if made.code != Some(0) {
        skip!("python3 makes no venv: {}", made.stderr.trim());
    }
    let install = ["install", "--quiet", "--disable-pip-version-check", "securesystemslib[crypto]>=1,<2"];
    let pip = installer(venv.join("bin/pip"), place.path()).args(install).run();
    if pip.code != Some(0) {
        skip!("pip cannot install securesystemslib: {}", pip.stderr.trim());
    }
    let script = block("python");
    let run = |dir: &Path| Program::at(venv.join("bin/python3")).args(["-c", &script]).cwd(dir).run();
    Export::new().tried(run, "verified: feature/1");
}

#[test]
fn sigstore_verifies_it() {
    let (Some(node), Some(npm)) = (found("node"), found("npm")) else { skip!("there is no node with npm") };
    let place = TempDir::new().unwrap();
    let options = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
    let packages = ["@sigstore/bundle@4", "@sigstore/verify@3"];
    let install = installer(npm, place.path()).args(options).args(packages).cwd(place.path()).run();
    let modules = place.path().join("node_modules");
    if install.code != Some(0) || !modules.join("@sigstore/verify").exists() {
        skip!("npm cannot install @sigstore/verify: {}", install.stderr.trim());
    }
    let script = block("js");
    let run = |dir: &Path| {
        Program::at(node.clone()).args(["-e", &script]).env("NODE_PATH", &modules).cwd(dir).run()
    };
    Export::new().tried(run, "verified: feature/1");
}
