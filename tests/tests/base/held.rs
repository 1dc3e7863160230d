//! What a base backup was meant to hold and does not: never only a note.

use std::os::unix::fs::symlink;
use std::path::Path;

use lifeboat_tests::installed::{available_majors, hand_over};
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, Options, Outcome, Program};
use serde_json::Value;

use crate::contents::{bases, index, text};
use crate::copy::Copied;

const WAYS: [&str; 2] = ["files", "protocol"];

fn site_of(cluster: &Cluster, way: &str) -> Site {
    let mut site = Site::local(cluster);
    site.set("LIFEBOAT_BACKUP_BASE_SOURCE", way);
    hand_over(&site.path("")); // the restored server fetches from there
    site
}

/// Moves something of a data directory elsewhere and leaves a link.
fn behind_a_link(path: &Path, elsewhere: &Path) {
    let to = elsewhere.join(path.file_name().unwrap());
    Program::at("/bin/mv".into()).arg(path).arg(&to).run().ok();
    symlink(to, path).unwrap();
}

fn left_out(outcome: &Outcome) -> Vec<String> {
    let facts = &outcome.json()["manifest"]["base"]["left_out"];
    let all = facts.as_array().unwrap_or_else(|| panic!("{outcome}"));
    all.iter().map(|left| left["what"].as_str().unwrap().to_owned()).collect()
}

fn restore(site: &Site, copied: &Copied, args: &[&str]) -> Program {
    site.run(&["restore", "--yes", "--json", "--identity", "lifeboat-identity.txt", "--instance-to"])
        .arg(copied.data_dir())
        .args(["--to", "immediate", "--start"])
        .args(args.to_vec())
}

#[test]
fn a_database_and_a_table_behind_links_are_told_as_loss() {
    let cluster = Cluster::start_default();
    for name in ["shop", "far"] {
        cluster.create_db(name);
        cluster.psql(name, "create table t as select generate_series(1, 1000) n");
    }
    let oid = cluster.psql("postgres", "select oid from pg_database where datname = 'far'");
    let table = cluster.psql("shop", "select pg_relation_filepath('t')");
    let whole = site_of(&cluster, "files").back_up(&["--kind", "base"]);
    assert!(whole["manifest"]["base"].get("left_out").is_none(), "{whole}");

    let elsewhere =
        tempfile::Builder::new().prefix("lbte-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
    Program::at("/bin/chown".into()).arg("postgres:postgres").arg(elsewhere.path()).run();
    cluster.stop();
    behind_a_link(&cluster.data_dir().join(format!("base/{oid}")), elsewhere.path());
    behind_a_link(&cluster.data_dir().join(&table), elsewhere.path());
    cluster.start_again();
    assert_eq!(cluster.psql("far", "select count(*) from t"), "1000", "PostgreSQL follows them");

    for way in WAYS {
        let site = site_of(&cluster, way);
        let outcome = site.backup(&["--kind", "base", "--json"]).run().exits(3);
        let left = left_out(&outcome);
        // the server passes over files behind links without a word to us
        let expected = match way {
            "files" => vec!["database far".to_owned(), table.clone()],
            _ => vec!["database far".to_owned()],
        };
        assert_eq!(left, expected, "{way}: {outcome}");
        assert!(words(&outcome).contains("missing in the base backup: database far"), "{outcome}");
        let status = site.run(&["status"]).run();
        assert!(status.code != Some(0) && status.stdout.contains("MISSING IN IT: database far"), "{status}");
        let list = site.run(&["list"]).run().ok();
        assert!(list.stdout.contains("missing: database far"), "{list}");
        let missing = format!("problem: missing in base backup {}: {}", bases(&site)[0], expected.join(", "));
        let verify = site.run(&["verify"]).run().exits(3);
        assert!(verify.stdout.contains(&missing), "{missing}: {verify}");
        let copied = Copied::new();
        let plan = restore(&site, &copied, &["--dry-run"]).run().ok();
        assert!(
            plan.json()["warnings"].to_string().contains("missing in the base backup: database far"),
            "{plan}"
        );
        // who restores with --yes reads the exit code
        let args = ["restore", "--yes", "--to", "immediate", "--identity", "lifeboat-identity.txt"];
        let done = site.run(&args).arg("--instance-to").arg(copied.data_dir()).run().exits(3);
        assert!(done.stdout.contains("LACKS database far: "), "{done}");
    }
}

#[test]
fn a_tablespace_in_place_is_backed_up_in_both_ways_and_comes_back() {
    for major in available_majors().into_iter().filter(|major| *major >= 15) {
        println!("PostgreSQL {major}");
        let settings = vec![("allow_in_place_tablespaces".to_owned(), "on".to_owned())];
        let cluster = Cluster::with(Options { major: Some(major), settings, ..Options::default() });
        let outside =
            tempfile::Builder::new().prefix("lbts-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
        Program::at("/bin/chown".into()).arg("postgres:postgres").arg(outside.path()).run();
        cluster.psql("postgres", &format!("create tablespace north location '{}'", outside.path().display()));
        cluster.psql("postgres", "create tablespace here location ''");
        cluster.psql("postgres", "create database shop tablespace here");
        for (database, place) in [("shop", "here"), ("postgres", "here"), ("shop", "north")] {
            let table =
                format!("create table t_{place} tablespace {place} as select generate_series(1, 5000) n");
            cluster.psql(database, &table);
        }
        let oid = cluster.psql("postgres", "select oid from pg_tablespace where spcname = 'here'");
        let table = cluster.psql("postgres", "select pg_relation_filepath('t_here')");
        for way in WAYS {
            let site = site_of(&cluster, way);
            let report = site.back_up(&["--kind", "base"]);
            let facts = &report["manifest"]["base"];
            let id = report["manifest"]["id"].as_str().unwrap();
            assert!(facts.get("left_out").is_none(), "{way}: {report}");
            let named = facts["tablespaces"].as_array().unwrap();
            assert_eq!(named.iter().map(|t| t["name"].as_str().unwrap()).collect::<Vec<_>>(), ["north"]);
            let listed = index(&site, id);
            assert!(listed.contains_key(&table), "{way}: {table}");
            let layout: Value = serde_json::from_str(&text(&site, id, "cluster.zst.age")).unwrap();
            let paths: Vec<&str> = layout["directories"]
                .as_array()
                .unwrap()
                .iter()
                .map(|d| d["path"].as_str().unwrap())
                .collect();
            assert!(paths.contains(&format!("pg_tblspc/{oid}").as_str()), "{way}: {paths:?}");
            let copied = Copied::new();
            let map = format!("north={}", copied.data_dir().with_extension("north").display());
            let done = restore(&site, &copied, &["--tablespace-map", &map]).run();
            assert!(done.code == Some(0), "{major} {way}: {done}\n{}", copied.log());
            copied.started(&cluster, done.json()["started"]["socket_dir"].as_str().unwrap());
            for (database, place) in [("shop", "here"), ("postgres", "here"), ("shop", "north")] {
                assert_eq!(copied.psql(database, &format!("select count(*) from t_{place}")), "5000");
            }
            copied.stop();
        }
    }
}
