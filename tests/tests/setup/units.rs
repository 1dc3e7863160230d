//! deploy/systemd: units that systemd reads without a word, and of which none stops another.

use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_tests::program::{self, workspace_root};
use lifeboat_tests::{Program, skip};

fn units() -> Vec<PathBuf> {
    let entries = fs::read_dir(workspace_root().join("deploy/systemd")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "service" || kind == "timer"));
    paths.sort();
    assert!(paths.len() >= 3, "{paths:?}");
    paths
}

#[test]
fn systemd_understands_every_line() {
    let Some(analyze) =
        ["/usr/bin/systemd-analyze", "/bin/systemd-analyze"].iter().find(|p| Path::new(p).exists())
    else {
        skip!("no systemd-analyze on this machine");
    };
    // The program lies elsewhere here; what else is said is about us.
    let dir = tempfile::tempdir().unwrap();
    let lifeboat = program::bin_dir().join("lifeboat");
    let mut copies = Vec::new();
    for unit in units() {
        let drill = program::bin_dir().join("restore-drill");
        let text = fs::read_to_string(&unit).unwrap();
        let text = text.replace("/usr/bin/lifeboat", lifeboat.to_str().unwrap());
        let text = text.replace("/usr/bin/restore-drill", drill.to_str().unwrap());
        let copy = dir.path().join(unit.file_name().unwrap());
        fs::write(&copy, text).unwrap();
        copies.push(copy);
    }
    for example in fs::read_dir(workspace_root().join("deploy/systemd/examples")).unwrap() {
        let example = example.unwrap().path();
        let dropin = dir.path().join("lifeboat-agent.service.d");
        fs::create_dir_all(&dropin).unwrap();
        fs::copy(&example, dropin.join(example.file_name().unwrap())).unwrap();
    }
    let said = Program::at(analyze.into()).args(["--man=no", "verify"]).args(copies).run();
    let ours: Vec<_> = said.stderr.lines().filter(|line| line.contains("lifeboat")).collect();
    assert!(ours.is_empty(), "{said}");
}

#[test]
fn no_unit_stops_another_and_none_needs_a_group_that_may_not_be_there() {
    for unit in units() {
        let text = fs::read_to_string(&unit).unwrap();
        for word in ["Conflicts=", "SupplementaryGroups=", "PartOf=", "BindsTo="] {
            assert!(!text.lines().any(|line| line.starts_with(word)), "{word} in {}", unit.display());
        }
        if text.contains("[Service]") {
            assert!(text.contains("\nUser=lifeboat\n") && text.contains("\nGroup=lifeboat\n"), "{text}");
        }
    }
}
