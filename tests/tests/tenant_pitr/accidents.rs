//! Accidents in one tenant while the others write: it comes back as it was just before, and they
//! notice nothing.

use lifeboat_tests::compare::assert_same;

use crate::shared::{Shared, write};

#[test]
fn a_truncated_and_a_dropped_tenant_come_back_as_they_were() {
    let shared = Shared::start();
    let (cluster, t1) = (&shared.cluster, &shared.tenants[0]);
    let base = shared.back_up(&["--kind", "base"]);
    shared.under_load(|| {
        write(cluster, "t1");
        cluster.psql("t1", "vacuum (freeze) ledger; cluster ledger using ledger_pkey");
        let gone = t1.upload(cluster, "gone.txt", b"collected before the next backup");
        shared.back_up(&["--kind", "filestore", "--tenant", "t1"]);
        t1.upload(cluster, "invoice.pdf", &[7; 70_000]);
        write(cluster, "t1");
        let (before, truth) = (shared.now(), shared.state("t1"));
        // the accident; afterwards a file is collected, and the filestore is backed up once more
        cluster.psql("t1", "truncate ledger; delete from ir_attachment where name = 'gone.txt'");
        std::fs::remove_file(t1.filestore().path(&gone)).unwrap();
        shared.back_up(&["--kind", "filestore", "--tenant", "t1"]);
        write(cluster, "t1");
        shared.archive();
        let others_before = cluster.psql("t3", "select max(n) from ledger");

        let done =
            shared.restore("t1", &["--to-time", &before, "--as", "t1_before", "--no-neutralize"]).run().ok();
        let report = done.json();
        shared.assert_is("t1_before", &truth);
        shared.amcheck("t1_before");
        // the same in two halves
        let halves = ["--to-time", &before, "--as", "t1_halves"];
        let done = shared.restore("t1", &halves).args(["--database-only", "--no-neutralize"]).run().ok();
        assert!(done.json()["plan"]["filestore"].is_null(), "{done}");
        let done = shared.restore("t1", &halves).arg("--filestore-only").run().ok().json();
        assert!(done["baseline"].is_null() && done["files"].as_u64() > Some(10), "{done}");
        shared.assert_is("t1_halves", &truth);
        assert_eq!(report["missing_files"], serde_json::json!([]));
        let plan = &report["plan"];
        let number = |value: &serde_json::Value| value.as_u64().unwrap();
        // packs of 1 MiB of plain bytes: at most some that hold neighbours' files are fetched, too
        let (fetched, own, shared_bytes, out) = (
            number(&report["base_fetched_bytes"]),
            number(&plan["own_bytes"]),
            number(&plan["shared_bytes"]),
            number(&plan["left_out_bytes"]),
        );
        assert!(out > 2 * own, "{plan}");
        assert!(fetched < own + shared_bytes, "{fetched} of {own} and {shared_bytes}");
        let objects = base["manifest"]["objects"].as_array().unwrap();
        let all: u64 = objects.iter().map(|object| number(&object["bytes"])).sum();
        assert!(fetched * 3 < all * 2, "fetched {fetched} of {all}");
        let others_after = cluster.psql("t3", "select max(n) from ledger");
        assert!(others_after.parse::<u64>().unwrap() > others_before.parse().unwrap());

        // a copy under another name is silent unless it is told otherwise
        let dropped = shared.now();
        let truth = shared.digest("t1");
        cluster.psql("postgres", "drop database t1 with (force)");
        write(cluster, "t2");
        shared.archive();
        let report = shared.restore("t1", &["--to-time", &dropped]).run().ok().json();
        let name = report["plan"]["database"].as_str().unwrap();
        assert!(report["neutralized"].is_object() && name.starts_with("t1_2"), "{name}");
        // ... and the tenant itself, under its own name, is what it was
        std::fs::rename(t1.filestore().dir(), shared.site.path("lost")).unwrap();
        shared.restore("t1", &["--to-time", &dropped, "--as", "t1"]).run().ok();
        assert_same("t1", &shared.digest("t1"), &truth);
        shared.amcheck("t1");
    });
    assert!(shared.scratches().is_empty());
}

/// Replay makes it anew, whatever of its files the base backup has.
#[test]
fn a_tenant_that_is_copied_while_the_base_backup_runs_comes_back() {
    let shared = Shared::start();
    let cluster = &shared.cluster;
    let mut slow = shared
        .lifeboat(&["backup", "--kind", "base"])
        .env("LIFEBOAT_BACKUP_READ_BYTES_PER_SECOND_MAX", "20MiB/s")
        .spawn();
    let runs = "select count(*) from pg_replication_slots where temporary and active";
    while cluster.psql("postgres", runs) == "0" {
        assert!(slow.is_running(), "it has ended already");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    cluster.copy_db("t2", "meanwhile", true).unwrap();
    assert!(slow.is_running(), "it ended before the copy");
    slow.finish().ok();
    write(cluster, "meanwhile");
    let (before, truth) = (shared.now(), shared.digest("meanwhile"));
    write(cluster, "t2");
    shared.archive();
    let args = ["--to-time", &before, "--as", "meanwhile_back", "--no-neutralize"];
    shared.restore("meanwhile", &args).run().exits(3);
    assert_same("meanwhile_back", &shared.digest("meanwhile_back"), &truth);
    shared.amcheck("meanwhile_back");
}

#[test]
fn renamed_and_new_tenants_are_found_without_page_checksums_too() {
    let shared = Shared::start();
    let cluster = &shared.cluster;
    cluster.stop();
    shared.offline("pg_checksums", &["--disable"]);
    cluster.start_again();
    shared.back_up(&["--kind", "base"]);
    shared.back_up(&["--kind", "filestore", "--tenant", "t1"]);
    // pages that are only found to be visible to all are in the WAL without their content
    for tenant in &shared.tenants {
        cluster.psql(&tenant.name, "vacuum");
    }
    write(cluster, "t1");
    cluster.psql("postgres", "alter database t1 rename to t1_new");
    cluster.psql("postgres", "create database late template t2");
    // a copy of a copy, file by file: replay needs the files of the first one
    cluster.copy_db("t2", "copied", true).unwrap();
    cluster.copy_db("copied", "copied_again", true).unwrap();
    write(cluster, "copied_again");
    write(cluster, "t1_new");
    let (before, truth, late) = (shared.now(), shared.digest("t1_new"), shared.digest("late"));
    let copied = shared.digest("copied_again");
    for name in ["t1_new", "late", "copied", "copied_again"] {
        cluster.psql("postgres", &format!("drop database {name}"));
    }
    write(cluster, "t2");
    shared.archive();

    // its old name is not that of the moment, and the answer says the new one
    shared.restore("t1", &["--to-time", &before]).run().exits(5).says("same command with --tenant t1_new");
    // its files are under the oid that it had: they come in a second round
    let args = ["--to-time", &before, "--as", "t1_back", "--no-neutralize"];
    let report = shared.restore("t1_new", &args).run().ok().json();
    assert_eq!(report["missing_files"], serde_json::json!([]), "the filestore's backup has the old name");
    assert_same("t1_back", &shared.digest("t1_back"), &truth);
    shared.amcheck("t1_back");
    // made after the base backup, it is in the WAL as a whole; of its files there is no backup
    let args = ["--to-time", &before, "--as", "late_back", "--no-neutralize"];
    let report = shared.restore("late", &args).run().exits(3).json();
    assert!(!report["missing_files"].as_array().unwrap().is_empty(), "{report}");
    assert_same("late_back", &shared.digest("late_back"), &late);
    shared.amcheck("late_back");
    // another tenant's backup has them: only a person knows whether they are this one's
    shared.back_up(&["--kind", "filestore", "--tenant", "t2"]);
    let args = ["--to-time", &before, "--as", "late_alone", "--no-neutralize"];
    let missing = shared.restore("late", &args).run().exits(3).json()["missing_files"].clone();
    assert_eq!(missing, report["missing_files"]);
    let args = ["--to-time", &before, "--as", "late_whole", "--no-neutralize", "--files-of", "t2"];
    let report = shared.restore("late", &args).run().ok().json();
    assert_eq!(report["missing_files"], serde_json::json!([]));
    // of a copy file by file the WAL says what it was copied from
    let args = ["--to-time", &before, "--as", "copied_back", "--no-neutralize"];
    shared.restore("copied_again", &args).run().ok();
    assert_same("copied_back", &shared.digest("copied_back"), &copied);
    shared.amcheck("copied_back");
    assert!(shared.scratches().is_empty());
}
