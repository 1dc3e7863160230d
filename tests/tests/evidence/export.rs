//! `lifeboat evidence export`: files for other verifiers.

use std::fs;

use lifeboat_tests::compare::walk;

use crate::{Host, PUBLIC_KEY};

#[test]
fn the_files_are_what_is_stored_and_are_never_replaced() {
    let host = Host::new();
    let stored = host.store("feature/1", |_| {});
    let export = ["evidence", "export", "--release", "feature/1", "out/here"];
    let json = host.run(&export).args(["--json"]).run().ok().json();
    assert_eq!(json["key"], stored.evidence.keyid);
    let read = |name: &str| fs::read(host.path("out/here").join(name)).unwrap();
    let mut names = Vec::new();
    walk(&host.path("out"), &mut |path| names.push(path.file_name().unwrap().to_str().unwrap().to_owned()));
    names.sort();
    let expected =
        ["checkpoint.json", "evidence.md", "public-key.pem", "schema.json", "statement.json", "svr.json"];
    assert_eq!(names, expected);
    assert_eq!(read("checkpoint.json"), stored.envelope);
    assert_eq!(read("statement.json"), stored.evidence.statement);
    assert_eq!(read("public-key.pem"), fs::read(host.path(PUBLIC_KEY)).unwrap());
    let folder = fs::read_dir(host.folder("")).unwrap().next().unwrap().unwrap().path();
    for name in ["svr.json", "evidence.md", "schema.json"] {
        assert_eq!(read(name), fs::read(folder.join(name)).unwrap(), "{name}");
    }
    host.run(&export).run().ok(); // the same again
    fs::write(host.path("out/here/evidence.md"), "mine").unwrap();
    host.run(&export).run().exits(17).says("was not replaced");
    assert_eq!(read("evidence.md"), b"mine");
    host.run(&["evidence", "export", "--release", "none", "x"]).run().exits(5);

    // Cut short after checkpoint.json; then somebody else's result.
    fs::remove_file(folder.join("svr.json")).unwrap();
    let short = ["evidence", "export", "--release", "feature/1", "short"];
    host.run(&short).run().exits(3).says("svr.json is not stored");
    let other =
        host.store("other", |checkpoint| checkpoint.gates.iter_mut().for_each(|gate| gate.found.clear()));
    let theirs = host.folder("other").join("svr.json");
    host.run(&["evidence", "export", "--release", "other", "other"]).run().ok();
    fs::write(folder.join("svr.json"), fs::read(theirs).unwrap()).unwrap();
    let changed = host.run(&["evidence", "export", "--release", "feature/1", "changed"]).run();
    assert!(other.evidence.checkpoint.gates[0].found.is_empty());
    changed.exits(10).says("is not the result of this checkpoint");
}
