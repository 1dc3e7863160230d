//! `schedule.expire`: the agent runs it, and a run that was refused is an alarm in metrics and status.

use std::time::Duration;

use lifeboat_tests::cluster::free_port;
use lifeboat_tests::compare::walk;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};
use rustix::process::Signal;

use super::until_told;

/// Makes everything that is stored so many days older.
fn age(site: &Site, days: u64) {
    walk(&site.stored, &mut |path| {
        if path.is_file() {
            let file = std::fs::File::options().append(true).open(path).unwrap();
            let by = Duration::from_secs(days * 86_400);
            file.set_modified(file.metadata().unwrap().modified().unwrap() - by).unwrap();
        }
    });
}

#[test]
fn the_agent_expires_and_a_refused_run_is_an_alarm() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 5);
    for days in [9, 8, 7] {
        site.back_up(&["--tenant", "shop", "--kind", "dump"]);
        age(&site, if days > 7 { 1 } else { 7 });
    }
    site.back_up(&["--tenant", "shop", "--kind", "dump"]);
    let classes = "[class.all]\ntenants = ['*']\nwindow = '1d'\ndaily = 1\nweekly = 0\nmonthly = 0\n";
    let refused = site.run(&["agent"]).env("LIFEBOAT_SCHEDULE_EXPIRE", "* * * * *").run().exits(4);
    assert!(refused.stderr.contains("expire.key_file is not set"), "{refused}");

    let key = site.path("lifeboat-signing-key").display().to_string();
    let address = format!("127.0.0.1:{}", free_port());
    site.edit("[wal]", "[wal]\nstream = false");
    site.set("LIFEBOAT_AGENT_LISTEN", &address);
    site.edit("[schedule]", "[schedule]\nexpire = \"* * * * *\"\njitter_max = \"0s\"");
    site.edit("[expire]", &format!("[expire]\nkey_file = \"{key}\""));
    let text = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), format!("{text}\n{classes}")).unwrap();
    let agent = site.run(&["agent"]).limit(Duration::from_secs(400)).spawn();
    let page = until_told(&address, "lifeboat_job_exit_code{job=\"expire\"} 16", &agent);
    assert!(page.contains("lifeboat_backups_scheduled 0"), "{page}");
    until_told(&address, "lifeboat_expire_refused 1", &agent);
    let told = site.run(&["status"]).run().exits(3);
    assert!(told.stdout.contains("problem: lifeboat expire deleted nothing at"), "{told}");
    assert!(told.stdout.contains("the limit is 30 %"), "{told}");

    // A person has read the plan.
    site.run(&["expire", "--yes", "--max-percent", "100"]).run().ok();
    until_told(&address, "lifeboat_expire_refused 0", &agent);
    until_told(&address, "lifeboat_expire_pending_tombstones 1", &agent);
    age(&site, 2);
    site.back_up(&["--tenant", "shop", "--kind", "dump"]);
    until_told(&address, "lifeboat_job_success_timestamp_seconds{job=\"expire\"}", &agent);
    let status = site.run(&["status", "--json"]).run().json();
    let run = &status["expire"]["done"];
    assert!(run["freed_bytes"].as_u64().unwrap() > 0 && run["snapshots"].as_u64().unwrap() >= 2, "{status}");
    assert!(status["expire"]["failed"].is_null(), "{status}");
    assert!(site.run(&["status"]).run().stdout.contains("last expiry  "));
    agent.signal(Signal::TERM);
    agent.finish().exits(0);
}
