//! The steps of deploy/ for pipelines, run as their runners run them: the shell text of the file, its
//! variables, the shipped program, a real repository. What the next job reads is what was stored.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_tests::compare::sha256;
use lifeboat_tests::program::{bin_dir, workspace_root};
use lifeboat_tests::{Outcome, Program};

use crate::world::World;

const IMAGE: &str = "sha256:abababababababababababababababababababababababababababababababab";
/// What a pipeline hands over by name; a step that does not take one of them loses it.
const INPUTS: [&str; 9] = [
    "release",
    "image",
    "commit",
    "tier",
    "cohort",
    "ticket",
    "modules",
    "approvedby",
    "migrationapprovedby",
];

/// A step of a pipeline's file.
struct Step {
    script: String,
    /// What the file puts into each variable.
    variables: BTreeMap<String, String>,
}

impl Step {
    /// The shell text below `begins`, and every line `HOOK_NAME: value`.
    fn of(file: &str, begins: &str) -> Step {
        let text = fs::read_to_string(workspace_root().join("deploy").join(file)).unwrap();
        let (_, after) =
            text.split_once(&format!("{begins}\n")).unwrap_or_else(|| panic!("{file}: {begins}"));
        let indent = after.len() - after.trim_start_matches(' ').len();
        let is_inside =
            |line: &&str| line.trim().is_empty() || line.len() - line.trim_start().len() >= indent;
        let lines = after.lines().take_while(is_inside).map(|line| line.get(indent..).unwrap_or_default());
        let script = lines.map(|line| format!("{line}\n")).collect();
        let variables = text.lines().filter_map(|line| line.trim().split_once(": "));
        let variables = variables.filter(|(name, _)| name.starts_with("HOOK_"));
        let variables: BTreeMap<String, String> =
            variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(variables.len(), INPUTS.len(), "{file}: {variables:?}");
        Step { script, variables }
    }

    /// Runs it with these inputs, by a shell with these words, in an environment with these variables.
    fn run(&self, world: &World, shell: &[&str], inputs: &[(&str, &str)], env: &[(&str, &Path)]) -> Outcome {
        let file = world.site.path("step.sh");
        fs::write(&file, &self.script).unwrap();
        let run =
            Program::at(shell[0].into()).args(shell[1..].to_vec()).arg(&file).cwd(world.site.path("work"));
        let run = run.env("PATH", format!("{}:/usr/bin:/bin", bin_dir().display()));
        let run = run.env("LIFEBOAT_CONFIG", world.site.config()).envs(env.to_vec());
        let value = |template: &str| {
            let name: String = template.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
            // `${{ inputs.approved-by }}`, `${{ parameters.approvedBy }}`, or nothing
            let given = inputs.iter().filter(|(input, _)| {
                name.ends_with(&format!("s{input}")) && !name.ends_with(&format!("migration{input}"))
            });
            let given: Vec<&str> = given.map(|(_, value)| *value).collect();
            assert!(given.len() <= 1, "{template} is two of {inputs:?}");
            given.first().map_or(String::new(), |value| (*value).to_owned())
        };
        run.envs(self.variables.iter().map(|(name, template)| (name, value(template)))).run()
    }
}

fn release(id: &str, approved_by: &'static str) -> [(&'static str, String); 4] {
    let text = |text: &str| text.to_owned();
    [
        ("release", text(id)),
        ("image", text(IMAGE)),
        ("approvedby", text(approved_by)),
        ("ticket", text("CHG-7")),
    ]
}

/// The release asks for exactly what the hook made.
fn is_required(world: &World, release: &str) -> String {
    let require = ["evidence", "require", "--release", release, "--image", IMAGE];
    world.site.run(&require).run().ok();
    sha256(&world.evidence(release))
}

fn world() -> (World, PathBuf) {
    let world = World::new(&["shop"]);
    let work = world.site.path("work");
    fs::create_dir(&work).unwrap();
    (world, work)
}

#[test]
fn azure_gets_output_variables_and_a_summary() {
    let (world, work) = world();
    let step = Step::of("azure-devops/lifeboat-checkpoint.yml", "  - bash: |");
    let run = |id: &str, who: &'static str| {
        let inputs = release(id, who);
        let inputs: Vec<_> = inputs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let env = [("TF_BUILD", Path::new("True")), ("AGENT_TEMPDIRECTORY", &work)];
        step.run(&world, &["/bin/bash", "--noprofile", "--norc"], &inputs, &env)
    };
    let variable = |out: &Outcome, name: &str| {
        let begins = format!("##vso[task.setvariable variable={name};isOutput=true;isreadonly=true;]");
        let found = out.stdout.lines().find_map(|line| line.strip_prefix(&begins));
        found.unwrap_or_else(|| panic!("no variable {name}: {out}")).to_owned()
    };
    let blocked = run("r1", "").exits(19);
    assert_eq!(variable(&blocked, "lifeboatCheckpoint"), "blocked");
    assert!(blocked.stdout.contains("##vso[task.complete result=Failed;]"), "{blocked}");
    let passed = run("r1", "anna,ben").ok();
    assert_eq!(variable(&passed, "lifeboatCheckpoint"), "passed");
    assert_eq!(variable(&passed, "lifeboatEvidenceSha256"), is_required(&world, "r1"));
    let summary =
        passed.stdout.lines().find_map(|line| line.strip_prefix("##vso[task.uploadsummary]")).unwrap();
    let summary = fs::read_to_string(summary).unwrap();
    assert!(summary.contains("CHG-7") && summary.contains("anna, ben"), "{summary}");
}

#[test]
fn github_gets_outputs_and_a_summary() {
    let (world, work) = world();
    let step = Step::of("github/action.yml", "      run: |");
    let (output, summary) = (work.join("output"), work.join("summary"));
    let run = |id: &str, who: &'static str| {
        fs::write(&output, "").unwrap();
        fs::write(&summary, "").unwrap();
        let inputs = release(id, who);
        let inputs: Vec<_> = inputs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let env = [
            ("GITHUB_ACTIONS", Path::new("true")),
            ("GITHUB_OUTPUT", &output),
            ("GITHUB_STEP_SUMMARY", &summary),
        ];
        step.run(&world, &["/bin/sh", "-e"], &inputs, &env)
    };
    // As the runner reads the file: NAME<<MARK, the value, MARK.
    let outputs = || {
        let text = fs::read_to_string(&output).unwrap();
        let (mut lines, mut found) = (text.lines(), BTreeMap::new());
        while let Some(line) = lines.next() {
            let (name, mark) = line.split_once("<<").unwrap_or_else(|| panic!("{line:?} in {text}"));
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != mark).collect();
            found.insert(name.to_owned(), value.join("\n"));
        }
        found
    };
    let blocked = run("r1", "").exits(19);
    assert!(blocked.stdout.starts_with("::error title=Lifeboat::release r1 is blocked"), "{blocked}");
    assert_eq!(outputs()["checkpoint"], "blocked");
    run("r1", "anna,ben").ok();
    assert_eq!(
        (outputs()["checkpoint"].as_str(), &outputs()["evidence-sha256"]),
        ("passed", &is_required(&world, "r1"))
    );
    let page = fs::read_to_string(&summary).unwrap();
    assert!(page.contains("CHG-7") && page.contains("anna, ben"), "{page}");
}

#[test]
fn gitlab_gets_a_report_of_variables_that_the_next_job_has() {
    let (world, work) = world();
    let step = Step::of("gitlab/lifeboat-checkpoint.gitlab-ci.yml", "    - |");
    // GitLab puts its own variables into those of the file, and a pipeline overrides the empty ones.
    assert_eq!(step.variables["HOOK_RELEASE"], "$CI_COMMIT_TAG");
    assert_eq!(step.variables["HOOK_COMMIT"], "$CI_COMMIT_SHA");
    let run = |who: &'static str| {
        let file = world.site.path("job.sh");
        fs::write(&file, &step.script).unwrap();
        let run =
            Program::at("/bin/bash".into()).args(["--noprofile", "-eo", "pipefail"]).arg(&file).cwd(&work);
        let run = run.env("PATH", format!("{}:/usr/bin:/bin", bin_dir().display()));
        let run = run.env("LIFEBOAT_CONFIG", world.site.config());
        let run = run.env("GITLAB_CI", "true").env("CI_PROJECT_DIR", &work);
        let of = |name: &str, template: &str| match (name, template) {
            ("HOOK_APPROVED_BY", _) => who,
            ("HOOK_IMAGE", _) => IMAGE,
            (_, "$CI_COMMIT_TAG") => "v1",
            (_, "$CI_COMMIT_SHA") => "4f3a9c1",
            _ => "",
        };
        run.envs(step.variables.iter().map(|(name, template)| (name, of(name, template)))).run()
    };
    let next_job = || {
        let job = ". ./lifeboat.env; echo \"$LIFEBOAT_CHECKPOINT $LIFEBOAT_EVIDENCE_SHA256\"";
        Program::at("/bin/sh".into()).args(["-c", job]).cwd(&work).run().ok().stdout
    };
    run("").exits(19);
    assert_eq!(next_job(), "blocked \n");
    run("anna").ok();
    assert_eq!(next_job(), format!("passed {}\n", is_required(&world, "v1")));
    world.site.run(&["evidence", "require", "--release", "v1", "--commit", "4f3a9c1"]).run().ok();
}
