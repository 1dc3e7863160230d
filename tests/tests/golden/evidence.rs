//! Evidence of every version verifies for ever, by the library and by the built program.

use std::fs;
use std::path::PathBuf;

use lifeboat::archive::evidence::key::{EvidenceKey, TrustedEvidenceKeys};
use lifeboat::archive::evidence::predicate::Checkpoint;
use lifeboat::archive::evidence::verdict::Verdict;
use lifeboat::archive::evidence::{statement, svr};
use lifeboat_tests::{Program, program};

const PUBLIC_KEY: &str = "public-key.pem";

#[test]
fn evidence_of_version_1_verifies() {
    let dir = program::workspace_root().join("tests/golden/evidence-1");
    let read = |name: &str| fs::read(dir.join(name)).unwrap();
    let trusted = TrustedEvidenceKeys::load(&[dir.join(PUBLIC_KEY)]).unwrap();
    let evidence = statement::open("the golden evidence", &read("checkpoint.json"), &trusted).unwrap();
    assert_eq!(evidence.statement, read("statement.json"));
    let checkpoint = &evidence.checkpoint;
    assert_eq!((checkpoint.format, checkpoint.release.id.as_str()), (1, "2026.11.29-rc1"));
    assert_eq!((checkpoint.verdict(), checkpoint.scorecard.readiness), (Verdict::Overridden, 90));
    assert_eq!(checkpoint.point.as_ref().unwrap().lsn.to_string(), "2/A7000130");
    svr::check("the golden result", &read("svr.json"), checkpoint, &trusted).unwrap();
    let run =
        Program::lifeboat().cwd(&dir).args(["evidence", "verify", "checkpoint.json", "--key", PUBLIC_KEY]);
    run.run().ok();
}

/// How the committed evidence was made; nobody has the private key any more.
#[test]
#[ignore = "writes new golden evidence into the folder that TEST_GOLDEN_NEW names"]
fn make_evidence() {
    let to = PathBuf::from(std::env::var_os("TEST_GOLDEN_NEW").expect("TEST_GOLDEN_NEW names a new folder"));
    fs::create_dir(&to).unwrap();
    let sample = program::workspace_root().join("agent/src/archive/evidence/sample.json");
    let checkpoint: Checkpoint = serde_json::from_slice(&fs::read(sample).unwrap()).unwrap();
    let key = EvidenceKey::generate().unwrap();
    let trusted = TrustedEvidenceKeys::new([key.public().clone()]);
    let envelope = statement::sign(&checkpoint, &key).unwrap();
    let evidence = statement::open("new", &envelope, &trusted).unwrap();
    for (name, bytes) in [
        ("checkpoint.json", envelope),
        ("statement.json", evidence.statement),
        ("svr.json", svr::sign(&checkpoint, &key).unwrap()),
        (PUBLIC_KEY, key.public().to_pem().unwrap().into_bytes()),
    ] {
        fs::write(to.join(name), bytes).unwrap();
    }
}
