//! `./check` and `./demo` say which Rust they need before they install or build anything.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lifeboat_tests::program::workspace_root;
use lifeboat_tests::{Outcome, Program};

/// Runs a script of the project's folder where `rustc` is of this version.
fn with_rust(script: &str, version: Option<&str>) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    if let Some(version) = version {
        tool(&dir.path().join("rustc"), &format!("echo 'rustc {version} (0123456789 2020-01-01)'"));
        tool(&dir.path().join("cargo"), "echo cargo was called: $*; exit 9");
    }
    // Nothing of a newer Rust that this machine has: the usual places of the shell's own tools only.
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    Program::at("/bin/bash".into()).args(["-c", script]).cwd(workspace_root()).env("PATH", path).run()
}

fn tool(path: &Path, what: &str) {
    fs::write(path, format!("#!/bin/sh\n{what}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn an_old_rust_is_told_before_anything_else() {
    let needed = fs::read_to_string(workspace_root().join("Cargo.toml")).unwrap();
    let needed = needed.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().to_owned();
    let needed = needed.trim_matches('"');
    for script in ["./check", "./demo"] {
        for version in ["1.63.0", "1.85.1", "1.94.0-beta.3"] {
            let told = with_rust(script, Some(version)).exits(1);
            told.says(&format!("Rust {needed} or newer is needed, and rustc is {version}"))
                .says("rustup update stable")
                .says("https://sh.rustup.rs");
        }
    }
    let readme = fs::read_to_string(workspace_root().join("README.md")).unwrap();
    assert!(readme.contains(&format!("Rust {needed}")), "README names the version that Cargo.toml needs");
}

#[test]
fn a_rust_that_is_new_enough_is_taken() {
    let script = ". .ci/packages; need_rust; say fine";
    for version in ["1.95.0", "1.100.0", "1.96.0-nightly", "2.0.0"] {
        assert_eq!(with_rust(script, Some(version)).ok().stdout, "fine\n", "{version}");
    }
    if !Path::new("/usr/bin/rustc").exists() {
        with_rust(script, None).exits(1).says("there is no cargo and rustc on the PATH");
    }
}
