//! A recovery class with a schedule of its own has a job of its own.

use std::time::Duration;

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};
use rustix::process::Signal;

use crate::{every_minute, until_told};

#[test]
fn the_tenants_of_a_class_are_backed_up_by_its_own_job_only() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 5);
    small_tenant(&cluster, &site.data_dir(), "books", 6);
    let address = every_minute(&site, "[class.a]\ntenants = [\"shop\"]\nbackup = \"* * * * *\"\n");
    let agent = site.run(&["agent"]).limit(Duration::from_secs(300)).spawn();
    for job in ["backup", "class.a.backup"] {
        let told = format!("lifeboat_job_success_timestamp_seconds{{job=\"{job}\"}}");
        until_told(&address, &told, &agent);
    }
    agent.signal(Signal::TERM);
    agent.finish().exits(0);
    let listed = site.run(&["list", "--json"]).run().ok().json();
    let count = |kind: &str, tenant: &str| {
        let all = listed["snapshots"].as_array().unwrap().iter();
        let fits = |one: &&serde_json::Value| {
            one["id"].as_str().unwrap().contains(kind) && one["tenant"].as_str().unwrap_or_default() == tenant
        };
        all.filter(fits).count()
    };
    // each run stores the roles once, and one of the two tenants
    let (runs, shop, books) = (count("-globals-", ""), count("-dump-", "shop"), count("-dump-", "books"));
    assert!(shop > 0 && books > 0 && runs == shop + books, "{listed}");
    let status = site.run(&["status"]).run().ok().stdout;
    assert!(status.contains("last run     class.a.backup: done"), "{status}");
}
