//! `lifeboat evidence list`: the chain, and what breaks it.

use std::fs;

use serde_json::Value;

use crate::{Host, PUBLIC_KEY, previous};

/// The list as JSON, and its exit code.
fn list(host: &Host) -> (Value, i32) {
    let outcome = host.run(&["evidence", "list", "--json"]).run();
    (outcome.json(), outcome.code.unwrap())
}

/// Release and kind of each hole.
fn holes(list: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = list["checkpoints"].as_array().unwrap().iter();
    rows.flat_map(|row| {
        row["holes"].as_array().unwrap().iter().map(|hole| (text(&row["release"]), text(&hole["kind"])))
    })
    .collect()
}

#[test]
fn a_chain_is_shown_in_order_and_each_break_of_it_is_named() {
    let host = Host::new();
    let empty = host.run(&["evidence", "list"]).run().ok();
    assert!(empty.stdout.contains("no checkpoint of instance prod"), "{empty}");
    let one = host.store("one", |_| {});
    let two = host.store("feature/2 é", |checkpoint| checkpoint.previous = previous(&one));
    let three = host.store("three", |checkpoint| checkpoint.previous = previous(&two));
    let (json, code) = list(&host);
    assert_eq!((code, holes(&json)), (0, Vec::new()));
    let releases: Vec<&Value> =
        json["checkpoints"].as_array().unwrap().iter().map(|row| &row["release"]).collect();
    assert_eq!(releases, ["one", "feature/2 é", "three"]);
    let shown = host.run(&["evidence", "list"]).run().ok();
    assert!(
        shown.stdout.lines().any(|line| line.contains("feature/2 é") && line.contains("overridden")),
        "{shown}"
    );

    // Two checkpoints name the same one.
    host.store("fork", |checkpoint| checkpoint.previous = previous(&two));
    let (json, code) = list(&host);
    let fork = |release: &str| (release.to_owned(), "fork".to_owned());
    assert_eq!((code, holes(&json)), (3, vec![fork("three"), fork("fork")]));
    fs::remove_dir_all(host.folder("fork")).unwrap();

    // The second is removed, exchanged, forged.
    let folder = fs::read_dir(host.folder("")).unwrap().map(|entry| entry.unwrap().path());
    let second = folder.into_iter().find(|path| path.to_string_lossy().contains("feature-2=")).unwrap();
    let file = second.join("checkpoint.json");
    let hole = |kind: &str| (3, vec![("three".to_owned(), kind.to_owned())]);
    fs::remove_file(&file).unwrap();
    let (json, code) = list(&host);
    assert_eq!((code, holes(&json)), hole("missing"));
    assert_eq!(json["unfinished"].as_array().unwrap().len(), 1);
    host.store("feature/2 é", |checkpoint| checkpoint.previous = previous(&one));
    let (json, code) = list(&host);
    assert!(holes(&json).contains(&("three".to_owned(), "differs".to_owned())) && code == 3, "{json}");
    fs::write(&file, b"garbage").unwrap();
    let outcome = host.run(&["evidence", "list"]).run().exits(3).says("bad: feature-2=");
    assert!(
        outcome.stdout.contains("problem: three: the checkpoint before it, of release feature/2 é"),
        "{outcome}"
    );
    fs::write(&file, &two.envelope).unwrap();
    let (json, _) = list(&host);
    assert_eq!(holes(&json), [("three".to_owned(), "order".to_owned())], "it was put back later");
    drop(three);
}

#[test]
fn verify_checks_checkpoints_too() {
    let host = Host::with_snapshots();
    host.store("feature/1", |_| {});
    let other = host.store("other", |_| {});
    let code = host.run(&["verify"]).run().code.unwrap();
    assert!([0, 3].contains(&code), "the committed snapshots are whole");
    let verify = |code: i32| host.run(&["verify", "--json"]).run().exits(code).json();
    let whole = verify(code);
    assert!(!whole.to_string().contains("releases/"), "{whole}");
    let folder = host.path("lifeboat-repository/instances/golden/releases/other");
    let (file, result) = (folder.join("checkpoint.json"), folder.join("svr.json"));
    let found = |report: &Value| report["findings"][0]["object"].as_str().unwrap_or_default().to_owned();
    let svr = fs::read(&result).unwrap();
    fs::write(&result, &other.envelope).unwrap();
    assert_eq!(found(&verify(10)), "instances/golden/releases/other/svr.json");
    fs::write(&result, svr).unwrap();
    let mut flipped = other.envelope.clone();
    flipped[500] ^= 1;
    fs::write(&file, flipped).unwrap();
    assert_eq!(found(&verify(10)), "instances/golden/releases/other/checkpoint.json");
    fs::remove_file(&file).unwrap();
    assert_eq!(verify(code)["unfinished"][0]["id"], "other");
    fs::remove_file(host.path(PUBLIC_KEY)).unwrap();
    host.run(&["verify"]).run().exits(code).says("not checked: evidence of checkpoints");
    host.forget_keys();
    let report = verify(code);
    assert!(report["warnings"].to_string().contains("was not checked"), "{report}");
}
