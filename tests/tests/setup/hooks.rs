//! deploy/: hooks of pipelines and of Kubernetes. Every file parses, no file is for two systems at once, and
//! the built program takes each command in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_tests::compare::walk;
use lifeboat_tests::program::{bin_dir, workspace_root};
use lifeboat_tests::{Outcome, Program, skip};
use serde_json::Value;

/// All documents of the files, by path, or why not: this machine has Python with PyYAML, or the test is
/// skipped.
const AS_JSON: &str = "import json, sys, yaml\n\
    print(json.dumps({path: list(yaml.safe_load_all(open(path))) for path in sys.argv[1:]}, default=str))";

const PIPELINES: [&str; 3] = [
    "deploy/azure-devops/lifeboat-checkpoint.yml",
    "deploy/github/action.yml",
    "deploy/gitlab/lifeboat-checkpoint.gitlab-ci.yml",
];
const HOOKS: [&str; 3] = [
    "deploy/argo-cd/checkpoint-presync.yaml",
    "deploy/helm/checkpoint-pre-upgrade.yaml",
    "deploy/kubernetes/evidence-init-container.yaml",
];

fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&workspace_root().join("deploy"), &mut |path| {
        if path.extension().is_some_and(|kind| kind == "yml" || kind == "yaml") {
            found.push(path.to_owned());
        }
    });
    assert!(found.len() > PIPELINES.len() + HOOKS.len(), "{found:?}");
    found
}

/// Each file's documents, by its path below the root.
fn parsed() -> Option<BTreeMap<String, Vec<Value>>> {
    let python = Path::new("/usr/bin/python3");
    let has =
        |code: &str| python.exists() && Program::at(python.into()).args(["-c", code]).run().code == Some(0);
    if !has("import yaml") {
        return None;
    }
    let out = Program::at(python.into()).args(["-c", AS_JSON]).args(files()).run().ok();
    let all: BTreeMap<String, Vec<Value>> = serde_json::from_str(&out.stdout).unwrap();
    let root = workspace_root();
    let short = |path: String| Path::new(&path).strip_prefix(root).unwrap().display().to_string();
    Some(all.into_iter().map(|(path, documents)| (short(path), documents)).collect())
}

/// Every object in a value that has this key.
fn with_key<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(object) => {
            if object.contains_key(key) {
                found.push(value);
            }
            object.values().for_each(|inner| with_key(inner, key, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| with_key(inner, key, found)),
        _ => {}
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// The program took the line where it then misses its configuration; a wrong flag or value ends before that.
#[track_caller]
fn is_taken(outcome: &Outcome) {
    let misses = outcome.stderr.contains("error[config]") && outcome.stderr.contains("no configuration");
    assert!(misses, "{outcome}");
}

/// A value for what stands in a file of ours.
fn filled(text: &str) -> String {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let known = [
        ("$(RELEASE_ID)", "2026.11.20"),
        ("$(IMAGE_DIGEST)", &digest),
        ("$(APPROVED_BY)", "anna"),
        ("$(MIGRATION_APPROVED_BY)", "jonas"),
    ];
    known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

fn nowhere() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn every_file_parses_and_none_is_a_hook_of_two_systems() {
    let Some(all) = parsed() else { skip!("no python3 with yaml on this machine") };
    for (path, documents) in &all {
        assert!(documents.iter().any(|document| document.is_object()), "{path} is empty");
        let text = fs::read_to_string(workspace_root().join(path)).unwrap();
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        let (argo, helm) =
            (code.join("\n").contains("argocd.argoproj.io/"), code.join("\n").contains("helm.sh/"));
        assert!(!(argo && helm), "{path}: Argo CD would ignore the hooks of Helm");
        assert_eq!((argo, helm), (path == HOOKS[0], path == HOOKS[1]), "{path}");
    }
    // Two hooks, one Job: what differs is when it runs.
    let spec = |path: &str| all[path][0]["spec"].clone();
    assert_eq!(spec(HOOKS[0]), spec(HOOKS[1]));
}

#[test]
fn the_program_takes_each_command_of_a_container() {
    let Some(all) = parsed() else { skip!("no python3 with yaml on this machine") };
    let mut count = 0;
    for path in HOOKS {
        let documents = &all[path];
        let mut containers = Vec::new();
        documents.iter().for_each(|document| with_key(document, "command", &mut containers));
        for container in containers {
            let words = [texts(&container["command"]), texts(&container["args"])].concat();
            assert_eq!(words[0], "lifeboat", "{path}");
            let dir = nowhere();
            let run = Program::lifeboat().args(words[1..].iter().map(|word| filled(word))).cwd(dir.path());
            is_taken(&run.run());
            count += 1;
            // What a pipeline puts in can never be a flag, nor be read by a shell.
            for word in texts(&container["args"]) {
                assert!(word.starts_with("--") && word.contains("=$("), "{path}: {word}");
            }
            let security = &container["securityContext"];
            assert_eq!(security["readOnlyRootFilesystem"], true, "{path}");
            assert_eq!(security["allowPrivilegeEscalation"], false, "{path}");
        }
    }
    assert_eq!(count, 3);
}

/// The shell text of a pipeline's file.
fn script(path: &str, documents: &[Value]) -> String {
    let document = &documents[0];
    let step = match path {
        _ if path == PIPELINES[0] => &document["steps"][0]["bash"],
        _ if path == PIPELINES[1] => &document["runs"]["steps"][0]["run"],
        _ => &document["lifeboat-checkpoint"]["script"][0],
    };
    step.as_str().unwrap_or_else(|| panic!("{path} has a script")).to_owned()
}

#[test]
fn pipelines_have_one_script_which_a_shell_runs_and_no_value_breaks_out_of() {
    let Some(all) = parsed() else { skip!("no python3 with yaml on this machine") };
    let scripts: Vec<String> = PIPELINES.iter().map(|path| script(path, &all[*path])).collect();
    for (text, ci) in scripts.iter().zip(["azure", "github", "gitlab"]) {
        assert_eq!(text.replace(&format!("--ci {ci} "), ""), scripts[0].replace("--ci azure ", ""));
        assert!(!text.contains("${{") && !text.contains("$("), "values come by the environment: {text}");
    }
    let (text, dir) = (&scripts[2], nowhere());
    let shell = |more: &[&str]| {
        let names = ["RELEASE", "IMAGE", "COMMIT", "TIER", "COHORT", "TICKET", "MODULES"];
        let names = names.iter().copied().chain(["APPROVED_BY", "MIGRATION_APPROVED_BY"]);
        let run = Program::at("/bin/sh".into()).args(more).env("PATH", path_of_ours()).cwd(dir.path());
        names.fold(run, |run, name| run.env(format!("HOOK_{name}"), ""))
    };
    shell(&["-n", "-c", text]).run().ok();
    is_taken(&shell(&["-c", text]).env("HOOK_RELEASE", "r1").run());
    let image = format!("sha256:{}", "ab".repeat(32));
    let whole = shell(&["-c", text]).env("HOOK_IMAGE", image).env("HOOK_COMMIT", "4f3a9c1");
    let whole = whole.env("HOOK_APPROVED_BY", "anna,--override=chain,*").env("HOOK_TICKET", "$(touch here)");
    is_taken(&whole.env("HOOK_RELEASE", "--override x; touch here `touch here`").run());
    assert!(!dir.path().join("here").exists(), "a value was run");
    let wrong = shell(&["-c", text]).env("HOOK_RELEASE", "").run();
    assert!(wrong.code != Some(0) && !wrong.stderr.contains("no configuration"), "{wrong}");
}

fn path_of_ours() -> String {
    format!("{}:/usr/bin:/bin", bin_dir().display())
}

#[test]
fn the_body_of_the_environment_check_has_variables_of_azure_only() {
    let text =
        fs::read_to_string(workspace_root().join("deploy/azure-devops/environment-check.json")).unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    for (name, value) in body.as_object().unwrap() {
        let value = value.as_str().unwrap();
        assert!(value.is_empty() || value.starts_with("$(") && value.ends_with(')'), "{name}: {value}");
    }
}
