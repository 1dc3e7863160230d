//! Completions as bash asks for them, on a small repository: what is offered, what is never offered, and how
//! long it takes.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use lifeboat_tests::Program;
use lifeboat_tests::compare::walk;
use lifeboat_tests::program::{bin_dir, workspace_root};
use tempfile::TempDir;

/// Names that a shell would act upon.
const HOSTILE: [&str; 5] = ["x; touch pwned", "$(touch pwned)", "`touch pwned`", "*", "-rf"];

/// A configuration whose repository is a copy of the golden one.
fn site() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let golden = workspace_root().join("tests/golden/format-1");
    let from = golden.join("repository");
    walk(&from, &mut |path| {
        let to = dir.path().join("repository").join(path.strip_prefix(&from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    });
    let key = fs::read_to_string(golden.join("TEST-ONLY-signing-key.pub")).unwrap();
    configure(dir.path(), &format!("url = {:?}", dir.path().join("repository")), key.trim(), &HOSTILE);
    dir
}

fn configure(dir: &Path, repository: &str, key: &str, tenants: &[&str]) {
    let state_dir = dir.join("state");
    let text = format!(
        "instance = \"golden\"\nstate_dir = {state_dir:?}\n[repository]\n{repository}\n\
         [odoo]\ntenants = {tenants:?}\n[signing]\ntrusted_keys = [{key:?}]\n"
    );
    fs::write(dir.join("lifeboat.toml"), text).unwrap();
}

/// What bash has in COMPREPLY after TAB at the end of `line`; `word` is the part of it that bash would
/// replace.
fn tab(dir: &Path, line: &str, word: &str) -> Vec<String> {
    let program = line.split(' ').next().unwrap();
    let function = format!("_{}_complete", program.replace('-', "_"));
    let script = format!(
        "source <({program} completions bash) && complete -p {program} >&2 || exit 9\n\
         COMP_LINE=$1 COMP_POINT=${{#1}}\n\
         {function} {program} \"$2\" ''\n\
         ((${{#COMPREPLY[@]}})) && printf '%s\\n' \"${{COMPREPLY[@]}}\"; true"
    );
    let path = format!("{}:{}", bin_dir().display(), std::env::var("PATH").unwrap());
    let bash = Program::at("/bin/bash".into()).cwd(dir).env("PATH", path);
    let bash = bash.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "y");
    let said = bash.args(["--norc", "-c", &script, "bash", line, word]).run().ok();
    assert_eq!(said.stderr, format!("complete -o default -F {function} {program}\n"), "nothing else is said");
    said.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn bash_is_offered_commands_options_tenants_and_snapshots() {
    let site = site();
    let tab = |line: &str, word: &str| tab(site.path(), line, word);
    assert_eq!(tab("lifeboat rest", "rest"), ["restore"]);
    assert!(tab("lifeboat restore --to", "--to").contains(&"--to-time".to_owned()));
    assert!(tab("lifeboat restore --js", "--js").contains(&"--json".to_owned()));
    assert_eq!(tab("lifeboat backup --kind b", "b"), ["base"]);
    for line in ["lifeboat restore --tenant ", "lifeboat verify --tenant ", "lifeboat promote x --as "] {
        assert_eq!(tab(line, ""), ["shop"], "{line}");
    }
    assert_eq!(tab("lifeboat restore --tenant=sh", "sh"), ["shop"]);
    assert!(tab("lifeboat restore --tenant x", "x").is_empty());
    assert!(tab("lifeboat restore --as ", "").is_empty(), "a new name");
    let ids = tab("lifeboat show ", "");
    assert!(ids.len() > 3 && ids.is_sorted_by(|a, b| a > b), "the newest first: {ids:?}");
    assert_eq!(tab("lifeboat restore --tenant shop --snapshot ", ""), ids);
    assert_eq!(tab(&format!("lifeboat verify {}", ids[0]), &ids[0]), [ids[0].clone()]);
    let elsewhere = tempfile::tempdir().unwrap();
    let config = site.path().join("lifeboat.toml");
    let line = format!("lifeboat --config {} list --tenant ", config.display());
    assert_eq!(super::completions::tab(elsewhere.path(), &line, ""), ["shop"]);
    fs::write(site.path().join("drill.toml"), "config = \"lifeboat.toml\"\ntenant = \"shop\"\n").unwrap();
    assert_eq!(tab("restore-drill run drill.toml --snapshot ", ""), ids);
    assert_eq!(tab("restore-drill che", "che"), ["checks"]);
    assert!(!site.path().join("pwned").exists());
}

#[test]
fn what_this_host_knows_is_offered_although_the_repository_does_not_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap(); // accepts, and never answers
    let port = silent.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let repository =
        format!("url = \"s3://bucket/prefix\"\nendpoint = \"http://127.0.0.1:{port}\"\nallow_http = true");
    let key =
        fs::read_to_string(workspace_root().join("tests/golden/format-1/TEST-ONLY-signing-key.pub")).unwrap();
    configure(dir.path(), &repository, key.trim(), &["shop"]);
    let known = dir.path().join("state/golden/filestore");
    fs::create_dir_all(&known).unwrap();
    fs::write(known.join("north.known.zst"), "").unwrap();
    let begun = Instant::now();
    assert_eq!(tab(dir.path(), "lifeboat restore --tenant ", ""), ["north", "shop"]);
    let shown = tab(dir.path(), "lifeboat show ", "");
    assert!(shown.iter().all(|option| option.starts_with("--")), "no snapshot is known: {shown:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "two of about a second: {:?}", begun.elapsed());
}

#[test]
fn nothing_is_said_where_nothing_can_be_offered() {
    let dir = tempfile::tempdir().unwrap();
    assert!(tab(dir.path(), "lifeboat restore --tenant ", "").is_empty(), "no configuration");
    fs::write(dir.path().join("lifeboat.toml"), "not a configuration").unwrap();
    assert!(tab(dir.path(), "lifeboat restore --tenant ", "").is_empty());
    for shell in ["fish", "zsh", "elvish"] {
        let asked = Program::lifeboat()
            .cwd(dir.path())
            .env("_LIFEBOAT_COMPLETE", shell)
            .env("_CLAP_COMPLETE_INDEX", "3");
        let said = asked.args(["--", "lifeboat", "restore", "--tenant", ""]).run().ok();
        assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""), "{shell}");
    }
}

#[test]
fn the_other_shells_are_offered_the_same() {
    let site = site();
    for shell in ["fish", "zsh", "elvish"] {
        let script = Program::lifeboat().args(["completions", shell]).run().ok().stdout;
        assert!(script.contains("_LIFEBOAT_COMPLETE"), "{script}");
        let asked = Program::lifeboat()
            .cwd(site.path())
            .env("_LIFEBOAT_COMPLETE", shell)
            .env("_CLAP_COMPLETE_INDEX", "3");
        let said = asked.args(["--", "lifeboat", "restore", "--tenant", ""]).run().ok();
        assert_eq!((said.stdout.trim(), said.stderr.as_str()), ("shop", ""), "{shell}");
    }
}
