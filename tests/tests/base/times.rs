//! Files that are trusted by their times: almost nothing is read where nothing was written, and every way of
//! changing a file's content is seen. Files are written as the system lets people write them, ctimes above
//! all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_tests::compare::walk;
use lifeboat_tests::damage;
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, Options, Program};
use serde_json::Value;

use crate::contents::lay_out;
use crate::full::ledger;

/// WAL, control file and label of a backup, and the files that the server writes at each start and stop.
const ALWAYS_BYTES_MAX: u64 = (16 << 20) + (2 << 20);

/// A cluster that nobody writes to, with these tables of one page.
fn cluster(tables: &[&str]) -> Cluster {
    let settings = vec![("autovacuum".to_owned(), "off".to_owned())];
    let cluster = Cluster::with(Options { settings, ..Options::default() });
    ledger(&cluster, "shop");
    for table in tables {
        cluster.psql("shop", &format!("create table {table} (v int) with (fillfactor = 20); insert into {table} select 1 from generate_series(1, 20)"));
    }
    cluster
}

fn base(site: &Site) -> Value {
    site.back_up(&["--kind", "base"])
}

/// What was written before is older than the next backup by more than the clock's grain.
fn age() {
    std::thread::sleep(Duration::from_millis(2_100));
}

fn bytes(report: &Value, what: &str) -> u64 {
    report[what].as_u64().unwrap()
}

fn why(report: &Value) -> &str {
    report["times_not_trusted_because"].as_str().unwrap_or_else(|| panic!("{report}"))
}

fn file_of(cluster: &Cluster, table: &str) -> PathBuf {
    cluster.data_dir().join(cluster.psql("shop", &format!("select pg_relation_filepath('{table}')")))
}

/// Laid out by stock tools, the backup has every file of every database as the data directory has it. Nobody
/// writes to it meanwhile.
fn assert_same_files(cluster: &Cluster, site: &Site, report: &Value) {
    let laid = tempfile::Builder::new().prefix("lbx-").tempdir_in("/tmp").unwrap();
    let dir = laid.path().join("data");
    lay_out(site, report["manifest"]["id"].as_str().unwrap(), &dir);
    let files = |dir: &Path| {
        let mut files = BTreeMap::new();
        walk(&dir.join("base"), &mut |path| {
            if !path.to_string_lossy().contains("pg_internal.init") {
                files.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(path).unwrap());
            }
        });
        files
    };
    let (mut ours, theirs) = (files(&dir), files(&cluster.data_dir()));
    assert!(ours.len() > 1000, "{}", ours.len());
    for (path, content) in &theirs {
        let name = path.to_str().unwrap();
        let init = PathBuf::from(format!("{}_init", name.split('_').next().unwrap()));
        if theirs.contains_key(&init) && !name.ends_with("_init") {
            continue; // of an unlogged relation
        }
        assert!(ours.remove(path).is_some_and(|ours| ours == *content), "{} differs", path.display());
    }
    assert_eq!(ours.keys().collect::<Vec<_>>(), [] as [&PathBuf; 0]);
}

#[test]
fn where_nothing_was_written_almost_nothing_is_read() {
    let cluster = cluster(&[]);
    let mut site = Site::local(&cluster);
    let full = base(&site);
    assert_eq!((bytes(&full, "unread_bytes"), bytes(&full, "compared_bytes")), (0, 0));
    age();
    base(&site); // reads again what was written just before the full one
    let third = base(&site);
    let (read, trusted) = (bytes(&third, "read_bytes"), bytes(&third, "trusted_bytes"));
    assert!(read < ALWAYS_BYTES_MAX && trusted > 40 << 20, "{third}");
    assert_eq!((bytes(&third, "unread_bytes"), &third["read_all_because"]), (trusted, &Value::Null));
    let compared = bytes(&third, "compared_bytes");
    assert!(compared > 0 && compared < 12 << 20, "a share is read all the same: {third}");
    assert_same_files(&cluster, &site, &third);
    let said = site.run(&["backup", "--kind", "base"]).run().ok().stdout;
    assert!(
        said.contains("were not read: size, inode and times") && said.contains("were read as a sample"),
        "{said}"
    );

    site.set("LIFEBOAT_BACKUP_BASE_TRUST", "content");
    let content = base(&site);
    assert_eq!((bytes(&content, "trusted_bytes"), bytes(&content, "unread_bytes")), (0, 0), "{content}");
    assert_eq!(content["times_not_trusted_because"], Value::Null);
    site.set("LIFEBOAT_BACKUP_BASE_TRUST", "times");
    assert!(bytes(&base(&site), "trusted_bytes") > 40 << 20, "those that were read since are as good");
    let full = site.back_up(&["--kind", "base", "--full"]);
    assert_eq!((bytes(&full, "trusted_bytes"), bytes(&full, "compared_bytes")), (0, 0), "{full}");
}

#[test]
fn each_way_of_changing_a_file_is_seen() {
    const PUT_BACK: [&str; 4] = ["copied", "renamed", "touched", "linked"];
    let tables = [&PUT_BACK[..], &["changed", "hinted", "grown", "vacuumed"]].concat();
    let cluster = cluster(&tables);
    let site = Site::local(&cluster);
    cluster.psql("postgres", "checkpoint");
    // What is put back later: files as they are now, with their times, made before the last backup begins.
    let old = PUT_BACK.map(|table| {
        let (file, old) = (file_of(&cluster, table), cluster.data_dir().with_file_name(table));
        Program::at("/bin/cp".into()).arg("-p").arg(&file).arg(&old).run().ok();
        (file, old)
    });
    for table in PUT_BACK {
        cluster.psql("shop", &format!("update {table} set v = 2"));
    }
    cluster.psql("shop", "insert into hinted select 2 from generate_series(1, 20); checkpoint");
    base(&site);
    age();
    base(&site);
    age();
    let before = base(&site);
    assert!(bytes(&before, "trusted_bytes") > 40 << 20, "{before}");

    // written by the server
    cluster.psql("shop", "update changed set v = 3 where ctid = '(0,1)'");
    cluster.psql("shop", "select count(*) from hinted"); // sets hint bits
    cluster.psql("shop", "insert into grown select 1 from generate_series(1, 2000)");
    cluster.psql("shop", "vacuum (freeze) vacuumed");
    cluster.stop();
    // written by others: the size stays, and the modification time is what it was or older
    for ((file, old), table) in old.iter().zip(PUT_BACK) {
        let meta = file.metadata().unwrap();
        assert_eq!(meta.len(), old.metadata().unwrap().len(), "{table}");
        match table {
            "copied" => {
                Program::at("/bin/cp".into()).arg("-p").arg(old).arg(file).run().ok();
            }
            "renamed" => fs::rename(old, file).unwrap(),
            "linked" => {
                fs::remove_file(file).unwrap();
                fs::hard_link(old, file).unwrap();
            }
            _ => {
                fs::write(file, fs::read(old).unwrap()).unwrap();
                File::options()
                    .write(true)
                    .open(file)
                    .unwrap()
                    .set_modified(meta.modified().unwrap())
                    .unwrap();
                assert_eq!(file.metadata().unwrap().modified().unwrap(), meta.modified().unwrap());
            }
        }
    }
    cluster.start_again();
    let after = base(&site);
    assert!(bytes(&after, "trusted_bytes") > 40 << 20, "the others are still trusted: {after}");
    assert_same_files(&cluster, &site, &after);
}

#[test]
fn a_clock_that_was_set_makes_everything_be_read() {
    let cluster = cluster(&["changed"]);
    let site = Site::local(&cluster);
    base(&site);
    age();
    base(&site);
    assert!(bytes(&base(&site), "trusted_bytes") > 40 << 20);
    // set back, and then forth again
    let run = |offset: &str| site.backup(&["--kind", "base", "--json"]).off_by(offset).run().ok().json();
    for (offset, passed) in [("-3600s", "the clock was set"), ("+0s", "the clock was set")] {
        cluster.psql("shop", "update changed set v = v + 1");
        let report = run(offset);
        assert!(why(&report).contains(passed), "{offset}: {report}");
        assert_eq!((bytes(&report, "trusted_bytes"), bytes(&report, "unread_bytes")), (0, 0), "{report}");
        assert_same_files(&cluster, &site, &report);
    }
    assert!(bytes(&run("+0s"), "trusted_bytes") > 40 << 20);
}

/// Changes what the state directory knows of files.
fn forge(site: &Site, mut change: impl FnMut(&mut Value)) {
    let known = site.path("lifeboat-state/prod/base.known.zst");
    let lines = Program::at("/usr/bin/zstd".into()).arg("-dqc").arg(&known).run().ok().stdout;
    let (first, files) = lines.split_once('\n').unwrap();
    let mut out = format!("{first}\n");
    for line in files.lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        change(&mut line);
        out += &format!("{line}\n");
    }
    let plain = site.path("forged");
    fs::write(&plain, out).unwrap();
    Program::at("/usr/bin/zstd".into()).args(["-qf", "-o"]).arg(&known).arg(&plain).run().ok();
}

#[test]
fn a_file_that_is_not_as_its_times_say_is_found_and_times_are_trusted_no_more() {
    use std::os::unix::fs::MetadataExt;
    let cluster = cluster(&["lied"]);
    let site = Site::local(&cluster);
    let lied = file_of(&cluster, "lied");
    base(&site);
    cluster.psql("shop", "update lied set v = 2; checkpoint");
    age();
    base(&site);
    // One whose times are said to be those of the last backup, and all whose content is said to be another:
    // of each piece a hundredth is compared, so that one of a thousand files is found for sure.
    let meta = lied.metadata().unwrap();
    cluster.psql("shop", "update lied set v = 3; checkpoint");
    let path = lied.strip_prefix(cluster.data_dir()).unwrap().to_str().unwrap().to_owned();
    let now = lied.metadata().unwrap();
    age();
    let mut forged = 0;
    forge(&site, |line| {
        if line["entry"]["path"] == path.as_str() {
            assert_eq!(line["seen"]["ctime_ns"], meta.ctime() * 1_000_000_000 + meta.ctime_nsec());
            line["seen"]["ctime_ns"] = (now.ctime() * 1_000_000_000 + now.ctime_nsec()).into();
            line["entry"]["mtime_ns"] = (now.mtime() * 1_000_000_000 + now.mtime_nsec()).into();
            forged += 1;
        } else if let Some(blocks) = line["blocks"].as_str().filter(|blocks| !blocks.is_empty()) {
            line["blocks"] = "0".repeat(blocks.len()).into();
        }
    });
    assert_eq!(forged, 1);
    let outcome = site.backup(&["--kind", "base", "--json"]).run().exits(3);
    let report = outcome.json();
    let found = report["doubt"]["path"].as_str().unwrap().to_owned();
    assert_eq!((bytes(&report, "trusted_bytes"), bytes(&report, "unread_bytes")), (0, 0), "{report}");
    assert!(why(&report).contains(&found), "{report}");
    let said = words(&outcome);
    for part in [
        format!("the content of {found} had changed although its size, inode and times had not").as_str(),
        "lifeboat backup --kind base --full",
        "may hold an older content",
    ] {
        assert!(said.contains(part), "{part}: {outcome}");
    }
    assert_same_files(&cluster, &site, &report);

    // It stays so, and is told, until a full one.
    age();
    let next = base(&site);
    assert!(why(&next).contains(&found) && bytes(&next, "unread_bytes") == 0, "{next}");
    assert_eq!(next["doubt"], Value::Null);
    let problem = format!("the content of {found} had changed");
    let status = || site.run(&["status"]).run();
    assert!(words(&status().exits(3)).contains(&problem), "{}", status());
    site.back_up(&["--kind", "base", "--full"]);
    assert!(!words(&status()).contains(&problem), "{}", status());
    age();
    base(&site);
    assert!(bytes(&base(&site), "trusted_bytes") > 40 << 20);

    // A record that nobody can read is a doubt, too.
    fs::write(site.path("lifeboat-state/prod/base.doubt.json"), "nonsense").unwrap();
    assert!(why(&base(&site)).contains("is damaged"));
    assert!(words(&status().exits(3)).contains("is not known"), "{}", status());
}

#[test]
fn bad_pages_are_named_again_although_the_times_are_old() {
    let cluster = cluster(&[]);
    let path = file_of(&cluster, "big");
    cluster.stop();
    damage::flip_bit(&path, (7 * 8192 + 5000) * 8);
    cluster.start_again();
    let site = Site::local(&cluster);
    for _ in 0..3 {
        let report = site.backup(&["--kind", "base", "--json"]).run().exits(3).json();
        assert_eq!(report["manifest"]["base"]["bad_page_count"], 1, "{report}");
        age();
    }
}
