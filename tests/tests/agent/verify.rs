//! `schedule.verify`: the agent checks the repository beside its other jobs. What somebody else did there is
//! in metrics and status after the next run, and gone from them after a repair.

use std::time::{Duration, Instant};

use lifeboat_tests::cluster::free_port;
use lifeboat_tests::faults::on;
use lifeboat_tests::program::Running;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, S3, Versioned, small_tenant};
use rustix::process::Signal;

use super::{FIRST_RUN, until_told};

/// How long several runs may take.
const AGENT: Duration = Duration::from_secs(600);

/// Writes these lines of the schedule; gives the address of the pages.
fn scheduled(site: &mut Site, lines: &str) -> String {
    let address = format!("127.0.0.1:{}", free_port());
    site.edit("[wal]", "[wal]\nstream = false");
    site.edit("[agent]", "[agent]\nfollow_filestore = false");
    site.set("LIFEBOAT_AGENT_LISTEN", &address);
    site.edit("[schedule]", &format!("[schedule]\n{lines}\njitter_max = \"0s\""));
    address
}

/// The value of a metric, once it is there.
fn value(address: &str, name: &str, agent: &Running) -> f64 {
    let page = until_told(address, &format!("{name} "), agent);
    let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().parse().unwrap()
}

#[test]
fn what_somebody_did_is_told_after_the_next_run_until_it_is_repaired() {
    let (cluster, bucket) = (Cluster::start_default(), Versioned::default());
    let s3 = S3::versioned(&bucket);
    let mut site = Site::s3(&cluster, &s3, "odoo");
    small_tenant(&cluster, &site.data_dir(), "shop", 5);
    site.back_up(&["--tenant", "shop"]);
    let address = scheduled(&mut site, "verify = \"* * * * *\"");
    let agent = site.run(&["agent"]).limit(AGENT).spawn();
    let page = until_told(&address, "lifeboat_verify_findings 0", &agent);
    for zero in ["problems", "warnings", "unknown", "foreign_objects", "failed", "broken"] {
        assert!(page.contains(&format!("lifeboat_verify_{zero} 0\n")), "{zero}: {page}");
    }
    until_told(&address, "lifeboat_job_success_timestamp_seconds{job=\"verify\"}", &agent);
    let well = site.run(&["status"]).run().ok();
    assert!(well.stdout.contains("last verify  ") && well.stdout.contains("no content was read"), "{well}");

    // A thief deletes one object, and replaces another with as many bytes.
    let before = bucket.content();
    let find = |part: &str| before.keys().find(|key| key.contains(part)).unwrap().clone();
    let (deleted, replaced) = (find("/index.zst.age"), find("/packs/000000.tar.zst.age"));
    bucket.hide(&deleted);
    let bytes = bucket.read(&replaced).unwrap().len();
    bucket.write(&replaced, vec![7; bytes]);
    until_told(&address, "lifeboat_verify_findings 1", &agent);
    until_told(&address, "lifeboat_verify_problems 2", &agent);
    until_told(&address, "lifeboat_job_exit_code{job=\"verify\"} 10", &agent);
    let told = site.run(&["status"]).run().exits(3);
    for words in ["it is missing", "was deleted, and no tombstone announced it", "was written again"] {
        let is_told =
            |line: &str| line.starts_with("problem: lifeboat verify found: ") && line.contains(words);
        assert!(told.stdout.lines().any(is_told), "{words}: {told}");
    }
    let json = site.run(&["status", "--json"]).run().exits(3).json();
    let done = &json["verify"]["done"];
    assert_eq!((&done["verdict"], &done["quick"]), (&"integrity".into(), &true.into()), "{json}");

    // Somebody puts both back.
    bucket.restore(before);
    until_told(&address, "lifeboat_verify_findings 0", &agent);
    until_told(&address, "lifeboat_verify_problems 0", &agent);
    until_told(&address, "lifeboat_job_exit_code{job=\"verify\"} 0", &agent);
    // The content of what was named was not read again.
    let told = site.run(&["status"]).run().exits(3);
    assert!(told.stdout.contains("did not look for; run lifeboat verify"), "{told}");
    site.run(&["verify"]).run().ok();
    site.run(&["status"]).run().ok();
    until_told(&address, "lifeboat_verify_broken 0", &agent);
    agent.signal(Signal::TERM);
    agent.finish().exits(0);

    // Nobody checks any more.
    let file = site.path("lifeboat-state/prod/last-verify.json");
    let mut last: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    last["done"]["at"] = "2026-01-01T00:00:00Z".into();
    std::fs::write(&file, last.to_string()).unwrap();
    let late = site.run(&["status"]).run().exits(3);
    assert!(late.stdout.contains("the last check of the repository ended at 2026-01-01T00:00:00Z"), "{late}");
    site.run(&["verify", "--quick"]).run().ok();
    site.run(&["status"]).run().ok();
}

#[test]
fn a_check_waits_for_no_backup_and_finds_nothing_wrong_beside_it() {
    let (cluster, bucket) = (Cluster::start_default(), Versioned::default());
    let s3 = S3::versioned(&bucket);
    let mut site = Site::s3(&cluster, &s3, "odoo");
    small_tenant(&cluster, &site.data_dir(), "shop", 5);
    site.back_up(&["--tenant", "shop"]);
    let address = scheduled(&mut site, "backup = \"* * * * *\"\nverify = \"* * * * *\"");
    // The backup hangs when all of it is stored but its manifest.
    let hangs = s3.plan(on("PUT", "manifest.json.sig").hang());
    let agent = site.run(&["agent"]).limit(AGENT).spawn();
    let began = value(&address, "lifeboat_job_began_timestamp_seconds{job=\"backup\"}", &agent);
    let begun = Instant::now();
    while hangs.fired() == 0 {
        assert!(begun.elapsed() < FIRST_RUN, "it never stored anything: {}", agent.stderr_so_far());
        std::thread::sleep(Duration::from_millis(100));
    }
    let hanging = jiff::Timestamp::now().as_second() as f64;
    let begun = Instant::now();
    while value(&address, "lifeboat_verify_timestamp_seconds", &agent) < hanging {
        assert!(begun.elapsed() < FIRST_RUN, "no check ended: {}", agent.stderr_so_far());
        std::thread::sleep(Duration::from_millis(200));
    }
    let page = until_told(&address, "lifeboat_job_exit_code{job=\"verify\"} 0", &agent);
    assert!(!page.contains("lifeboat_job_exit_code{job=\"backup\"}"), "it still hangs: {page}");
    assert!(
        page.contains("lifeboat_verify_findings 0\n") && page.contains("lifeboat_verify_problems 0\n"),
        "{page}"
    );
    assert_eq!(value(&address, "lifeboat_job_began_timestamp_seconds{job=\"backup\"}", &agent), began);
    s3.faults().clear();
    agent.signal(Signal::TERM);
    agent.finish().exits(0);
}
