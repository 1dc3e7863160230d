//! WAL of format 1.

use std::fs;
use std::path::PathBuf;

use lifeboat::archive::digest::Sha256;
use lifeboat::archive::manifest::Origin;
use lifeboat::archive::signature::TrustedKeys;
use lifeboat::archive::wal::{WalName, WalOpener};
use lifeboat::repository::wal::coverage::assemble;
use lifeboat_tests::compare::walk;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options, Program, program};
use std::fmt::Write as _;

use crate::{Golden, keep_keys};

/// WAL of a cluster with segments of 1 MiB: a history, a segment as one object, one in pieces, the tail
/// of one. `wal.txt` has a line for each file: its SHA-256, its bytes, its objects.
fn wal_listing(golden: &Golden) -> String {
    let trusted = TrustedKeys::parse([golden.signing_key().as_str()]).unwrap();
    let [repository_sha256, instance_sha256] = ["lifeboat.json", "instances/golden/instance.json"]
        .map(|name| Sha256::of(&fs::read(golden.repository().join(name)).unwrap()));
    let repository: serde_json::Value =
        serde_json::from_slice(&fs::read(golden.repository().join("lifeboat.json")).unwrap()).unwrap();
    let origin = Origin {
        repository: repository["id"].as_str().unwrap().to_owned(),
        repository_sha256,
        instance: "golden".parse().unwrap(),
        instance_sha256,
    };
    let opener = WalOpener { origin, identities: golden.identities(), trusted: Some(trusted) };
    let wal = golden.repository().join("instances/golden/wal");
    let mut names: Vec<WalName> = Vec::new();
    walk(&wal, &mut |path| {
        let name = path.strip_prefix(&wal).unwrap().to_str().unwrap();
        names.extend(name.split_once('/').and_then(|(_, name)| name.parse::<WalName>().ok()));
    });
    names.sort();
    let mut text = String::new();
    for of_file in names.chunk_by(|a, b| a.file == b.file) {
        let mut content = Vec::new();
        for name in assemble(of_file) {
            let file = format!("{name}");
            let dir = if file.contains(".history") { "history" } else { "00000001" };
            let stored = fs::read(wal.join(dir).join(&file)).unwrap();
            content.extend_from_slice(
                &opener.open(&name, &stored).unwrap()[content.len() - name.begin as usize..],
            );
        }
        let (sha256, bytes) = (Sha256::of(&content), content.len());
        writeln!(text, "{} {sha256} {bytes} {}", of_file[0].file, of_file.len()).unwrap();
    }
    text
}

#[test]
fn format_1_of_wal_decodes_through_the_library() {
    let golden = Golden::open("format-1-wal");
    let expected = fs::read_to_string(golden.dir.join("wal.txt")).unwrap();
    let objects = |line: &str| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap();
    assert!(expected.lines().any(|line| line.starts_with("00000002.history ")), "{expected}");
    assert!(
        expected.lines().any(|line| objects(line) > 2) && expected.lines().any(|line| objects(line) == 1)
    );
    assert_eq!(wal_listing(&golden), expected);
}

#[test]
fn format_1_of_wal_decodes_by_the_runbook() {
    let golden = Golden::open("format-1-wal");
    let page = fs::read_to_string(program::workspace_root().join("runbooks/break-glass-wal.md")).unwrap();
    let script = page.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("wal-fetch.sh"), script).unwrap();
    let expected = fs::read_to_string(golden.dir.join("wal.txt")).unwrap();
    for line in expected.lines() {
        let [file, sha256, bytes, _] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let out = dir.path().join("out");
        Program::at("/bin/sh".into())
            .arg(dir.path().join("wal-fetch.sh"))
            .args([file.to_owned(), out.display().to_string()])
            .env("REPO", golden.repository())
            .env("INSTANCE", "golden")
            .env("IDENTITY", &golden.identity)
            .env("SIGNING_KEY", golden.signing_key().trim())
            .run()
            .ok();
        let mut content = fs::read(&out).unwrap();
        if !file.contains('.') {
            assert_eq!(content.len(), 1 << 20, "zeros behind the end of the WAL");
        }
        content.truncate(bytes.parse().unwrap());
        assert_eq!(Sha256::of(&content).to_string(), sha256, "{file}");
    }
}

/// How the committed WAL was made; see [`make`](super::make).
#[test]
#[ignore = "writes new golden WAL into the folder that TEST_GOLDEN_NEW names"]
fn make_wal() {
    let to = PathBuf::from(std::env::var_os("TEST_GOLDEN_NEW").expect("TEST_GOLDEN_NEW names a new folder"));
    fs::create_dir(&to).unwrap();
    let cluster = Cluster::with(Options { segment_mebibytes: Some(1), ..Options::default() });
    let site = Site::local(&cluster);
    site.edit("instance = \"prod\"", "instance = \"golden\"");
    let switch =
        "select pg_logical_emit_message(true, 'golden', 'WAL'); select pg_walfile_name(pg_switch_wal())";
    let whole = cluster.psql("postgres", switch).lines().last().unwrap().to_owned();
    site.run(&["wal", "push"]).arg(cluster.data_dir().join("pg_wal").join(&whole)).run().ok();
    let agent = site.run(&["agent"]).env("LIFEBOAT_WAL_PIECE_INTERVAL", "0s").spawn();
    for n in 0..6 {
        // Apart, so that each is a piece; the fourth ends the segment.
        cluster.psql("postgres", "select pg_logical_emit_message(true, 'golden', 'a piece')");
        if n == 3 {
            cluster.psql("postgres", "select pg_switch_wal()");
        }
        std::thread::sleep(std::time::Duration::from_secs(2));
    }
    agent.signal(rustix::process::Signal::TERM);
    agent.finish().ok();
    let history = site.path("00000002.history");
    fs::write(&history, "1\t0/3000000\tno recovery target specified\n").unwrap();
    site.run(&["wal", "push"]).arg(&history).run().ok();
    Program::at("/bin/cp".into()).arg("-r").arg(&site.stored).arg(to.join("repository")).run().ok();
    fs::remove_file(to.join("repository/instances/golden/wal/lease")).unwrap(); // names this host
    keep_keys(&site.path(""), &to);
    let golden = Golden {
        identity: site.path("lifeboat-identity.txt"),
        dir: to.clone(),
        _private: tempfile::tempdir().unwrap(),
    };
    fs::write(to.join("wal.txt"), wal_listing(&golden)).unwrap();
}
