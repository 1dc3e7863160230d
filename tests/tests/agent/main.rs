//! `lifeboat agent` as systemd and monitoring meet it: it runs what is due, records it, tells it, and
//! ends when it is asked to.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test panics, waits and listens by itself

mod classes;
mod drills;
mod environment;
mod expire;
mod least_privilege;
mod pages;
mod policies;
mod rights;
mod status;
mod verify;

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use lifeboat_tests::http::get;
use lifeboat_tests::program::Running;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};
use rustix::process::Signal;

/// A line of cron has whole minutes: this is the longest that the first run may take to end.
const FIRST_RUN: Duration = Duration::from_secs(100);

/// Writes a schedule of a run each minute; gives the address of the pages.
fn every_minute(site: &Site, more: &str) -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    site.edit("[wal]", "[wal]\nstream = false");
    let config = std::fs::read_to_string(site.config()).unwrap();
    let begin = config.find("[agent]").unwrap();
    let agent = format!(
        "[agent]\nlisten = \"127.0.0.1:{port}\"\n[schedule]\nbackup = \"* * * * *\"\njitter_max = \"0s\"\n{more}\n"
    );
    std::fs::write(site.config(), format!("{}{agent}", &config[..begin])).unwrap();
    format!("127.0.0.1:{port}")
}

/// Waits until the metrics have a line with these words; the whole page.
fn until_told(address: &str, words: &str, agent: &Running) -> String {
    let begun = Instant::now();
    loop {
        let page = get(address, "/metrics").map(|(_, body)| body).unwrap_or_default();
        if page.lines().any(|line| line.starts_with(words)) {
            return page;
        }
        assert!(begun.elapsed() < FIRST_RUN, "{words} was never told:\n{page}\n{}", agent.stderr_so_far());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn it_runs_what_is_due_tells_it_and_ends_on_sigterm() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 5);
    let address = every_minute(&site, "");
    let socket = site.path("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    site.set("NOTIFY_SOCKET", socket.display());
    let agent = site.run(&["agent"]).limit(Duration::from_secs(300)).spawn();
    let mut message = [0; 100];
    let length = systemd.recv(&mut message).unwrap();
    assert_eq!(&message[..length], b"READY=1\n");

    site.run(&["agent"])
        .run()
        .exits(15)
        .says("another lifeboat agent is running for instance prod on this host");
    let page = until_told(&address, "lifeboat_job_success_timestamp_seconds{job=\"backup\"}", &agent);
    assert!(page.contains("lifeboat_job_exit_code{job=\"backup\"} 0"), "{page}");
    assert_eq!(get(&address, "/healthz").unwrap(), ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned()));
    let listed = site.run(&["list", "--json"]).run().ok().json();
    assert!(listed.to_string().contains("-dump-"), "{listed}");
    site.back_up(&[]); // by hand, beside the agent

    agent.signal(Signal::TERM);
    let ended = agent.finish().exits(0);
    assert!(ended.stderr.contains("the agent has ended"), "{}", ended.stderr);
    assert!(get(&address, "/healthz").is_none());
}

#[test]
fn a_run_that_fails_is_tried_again_as_often_as_was_said() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let address = every_minute(&site, "retries_max = 2\nretry_delay = \"1s\"");
    drop(cluster); // PostgreSQL is down
    let agent = site.run(&["agent"]).limit(Duration::from_secs(300)).spawn();
    let page = until_told(&address, "lifeboat_job_runs_total{job=\"backup\",result=\"failure\"} 3", &agent);
    assert!(page.contains("lifeboat_job_exit_code{job=\"backup\"} 13"), "{page}");
    assert!(!page.contains("success_timestamp"), "{page}");
    agent.signal(Signal::TERM);
    let ended = agent.finish().exits(0);
    assert!(ended.stderr.contains("attempt 3"), "{}", ended.stderr);
}

#[test]
fn a_second_agent_on_the_same_port_says_which_key_to_change() {
    let cluster = Cluster::start_default();
    let first = Site::local(&cluster);
    let address = every_minute(&first, "");
    let agent = first.run(&["agent"]).limit(Duration::from_secs(120)).spawn();
    let begun = Instant::now();
    while get(&address, "/healthz").is_none() {
        assert!(begun.elapsed() < FIRST_RUN, "{}", agent.stderr_so_far());
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut second = Site::local(&cluster);
    second.set("LIFEBOAT_AGENT_LISTEN", &address);
    second
        .run(&["agent"])
        .run()
        .exits(4)
        .says("cannot listen on")
        .says(&address)
        .says("set agent.listen to a free address");
    agent.signal(Signal::TERM);
    agent.finish().exits(0);
}

#[test]
fn without_a_line_it_says_what_to_write() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    site.edit("[wal]", "[wal]\nstream = false");
    site.edit("[agent]", "[agent]\nfollow_filestore = false");
    site.run(&["agent"]).run().exits(4).says("[schedule] is empty").says("schedule.backup");
    site.edit("[schedule]", "[schedule]\nbackup = \"61 * * * *\"");
    site.run(&["agent"]).run().exits(4).says("schedule.backup").says("crontab line");
    site.edit("\"61 * * * *\"", "\"1 * * * *\"");
    site.edit("listen = \"off\"", "listen = \"everywhere:9345\"");
    site.run(&["agent"]).run().exits(4).says("agent.listen").says("[::]:9345");
}
