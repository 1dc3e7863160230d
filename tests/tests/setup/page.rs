//! Commands of a Markdown page, and a machine to run them on: a Debian of its own over this one.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lifeboat_tests::program::{bin_dir, workspace_root};
use lifeboat_tests::{Outcome, Program, skip};

/// How long all commands of a page may take.
const LIMIT: Duration = Duration::from_secs(600);
/// What the machine is made with, and the package that brings it.
const TOOLS: [(&str, &str); 7] = [
    ("/usr/sbin/ip", "iproute2"),
    ("/usr/bin/unshare", "util-linux"),
    ("/usr/bin/pg_createcluster", "postgresql-common"),
    ("/usr/bin/systemd-sysusers", "systemd"),
    ("/usr/bin/systemd-tmpfiles", "systemd"),
    ("/usr/bin/setfacl", "acl"),
    ("/usr/sbin/useradd", "passwd"),
];

/// The `sh` blocks of a page, in order, as one script. What asks a person is answered: nobody is there.
pub fn commands(page: &str) -> String {
    let text = fs::read_to_string(workspace_root().join(page)).unwrap();
    let (mut script, mut inside) = (String::new(), false);
    for line in text.replace("\\\n", " ").lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => {
                let (command, comment) = line.split_once("   #").unwrap_or((line, ""));
                script += &format!("{command}{}  #{comment}\n", answer(command));
            }
            _ => {}
        }
    }
    assert!(!inside && !script.is_empty(), "{page}");
    script
}

/// What a script says in place of the person who is asked.
pub fn answer(command: &str) -> String {
    let replaced = command.split(" --as ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    match command {
        dry if dry.contains("--dry-run") => String::new(),
        restore if restore.contains(" restore --") => " --yes".to_owned(),
        promote if promote.contains(" promote ") => format!(" --yes-replace {replaced}"),
        _ => String::new(),
    }
}

/// Whether such a machine can be made here; else the skip is told.
pub fn can_make_a_machine() -> bool {
    let missing: Vec<_> = TOOLS.iter().filter(|(tool, _)| !Path::new(tool).exists()).collect();
    let why = match (rustix::process::geteuid().is_root(), missing.is_empty()) {
        (false, _) => "only root can make users and mounts".to_owned(),
        (true, false) => format!("{missing:?} are not on this machine"),
        (true, true) => {
            let try_it = "mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w /mnt/r && \
                mount -t overlay o -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/r";
            let mut command = Command::new("/usr/bin/unshare");
            command.args(["--mount", "--net", "--pid", "--fork", "/bin/sh", "-c", try_it]);
            match command.output().unwrap() {
                done if done.status.success() => return true,
                done => format!("no mounts of our own: {}", String::from_utf8_lossy(&done.stderr).trim()),
            }
        }
    };
    skip::announce(module_path!(), &why);
    false
}

/// Runs a script on a machine that is made for it, as root, in a checkout of the project.
pub fn on_a_machine(script: &str) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    Program::at("/usr/bin/unshare".into())
        .args(["--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child"])
        .arg(workspace_root().join("tests/tests/setup/world.sh"))
        .args([dir.path(), workspace_root(), &bin_dir()])
        .input(script)
        .limit(LIMIT)
        .run()
}
