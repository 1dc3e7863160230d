//! Restore drills: the agent starts them, and tells monitoring how they ended.

use std::time::Duration;

use lifeboat_tests::cluster::free_port;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};
use rustix::process::Signal;

use super::until_told;

/// A site whose agent does nothing but drills, and the address of its pages.
fn restore_host(cluster: &Cluster, more: &str) -> (Site, String) {
    let mut site = Site::local(cluster);
    small_tenant(cluster, &site.data_dir(), "shop", 5);
    let address = format!("127.0.0.1:{}", free_port());
    site.edit("[wal]", "[wal]\nstream = false");
    site.edit("[agent]", "[agent]\nfollow_filestore = false");
    site.set("LIFEBOAT_AGENT_LISTEN", &address);
    site.edit("[schedule]", &format!("[schedule]\njitter_max = \"0s\"\n{more}"));
    (site, address)
}

/// Each of these metrics in the rules for alarms is on the page.
fn all_on(page: &str, which: impl Fn(&str) -> bool) {
    let rules = lifeboat_tests::program::workspace_root().join("deploy/prometheus/drills.rules.yaml");
    let rules = std::fs::read_to_string(rules).unwrap();
    let words = rules.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let metrics: Vec<&str> = words.filter(|word| word.starts_with("lifeboat_") && which(word)).collect();
    assert!(metrics.len() > 3, "{metrics:?}");
    for metric in metrics {
        assert!(page.contains(&format!("# TYPE {metric} ")), "{metric} is not on\n{page}");
    }
}

#[test]
fn a_drill_is_started_by_schedule_and_its_result_is_told() {
    let cluster = Cluster::start_default();
    let (mut site, address) = restore_host(&cluster, "drill = \"* * * * *\"\ndrill_plan = \"drill.toml\"");
    site.run(&["agent"]).run().exits(4).says("schedule.drill").says("it belongs on a restore host");
    site.set("LIFEBOAT_SEAL_IDENTITY_FILES", site.path("lifeboat-identity.txt").display());
    site.back_up(&[]);
    drop(site.drill("shop", "")); // writes the plan
    let agent = site.run(&["agent"]).limit(Duration::from_secs(300)).spawn();
    let page = until_told(&address, "lifeboat_job_success_timestamp_seconds{job=\"drill\"}", &agent);
    for line in ["lifeboat_job_exit_code{job=\"drill\"} 0", "lifeboat_job_running{job=\"drill\"} 0"] {
        assert!(page.lines().any(|other| other == line), "{line}: {page}");
    }
    all_on(&page, |metric| metric.starts_with("lifeboat_job_"));
    agent.signal(Signal::TERM);
    let ended = agent.finish().exits(0);
    assert!(!ended.stderr.contains("never backs up a database"), "{}", ended.stderr);
    let stored = std::fs::read_dir(site.path("repo/instances/prod/drills")).unwrap().count();
    assert!(stored >= 1, "its report is stored");
}

#[test]
fn the_newest_drill_of_each_tenant_and_an_overdue_class_are_on_the_page() {
    let cluster = Cluster::start_default();
    // A production host: its agent backs up, and reads what the restore host stored.
    let (site, address) = restore_host(&cluster, "backup = \"30 1 1 1 *\"");
    let config = std::fs::read_to_string(site.config()).unwrap();
    let classes = "\n[class.gold]\ntenants = [\"shop\"]\ndrill_every = \"7d\"\n";
    std::fs::write(site.config(), config + classes).unwrap();
    site.back_up(&[]);
    site.drill("shop", "[objective]\nrto = \"1s\"").limit(Duration::from_secs(240)).run().exits(3);
    let agent = site.run(&["agent"]).limit(Duration::from_secs(300)).spawn();
    let page = until_told(
        &address,
        "lifeboat_drill_verdict{tenant=\"shop\",verdict=\"missed-objective\"} 1",
        &agent,
    );
    assert!(page.contains("lifeboat_drill_overdue{class=\"gold\"} 0\n"), "{page}");
    // Those of jobs are on the page of a host that runs drills.
    all_on(&page, |metric| !metric.starts_with("lifeboat_job_"));
    agent.signal(Signal::TERM);
    agent.finish().exits(0);
}
