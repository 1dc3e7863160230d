//! The pages as strangers meet them: few of them cost little, none of them keeps the agent, and what they
//! say of data that is gone is true.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lifeboat_tests::children::HANGS;
use lifeboat_tests::cluster::free_port;
use lifeboat_tests::http::get;
use lifeboat_tests::program::Running;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options, small_tenant};
use rustix::process::Signal;

const LIMIT: Duration = Duration::from_secs(60);

fn wait_for(what: &str, mut check: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !check() {
        assert!(begun.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A cluster that can be streamed from, a site, and an agent whose pages are at the address.
fn streaming(listen: &str) -> (Cluster, Site, String) {
    let settings = vec![("wal_level".to_owned(), "replica".to_owned())];
    let cluster = Cluster::with(Options { settings, ..Options::default() });
    let mut site = Site::local(&cluster);
    let port = free_port();
    site.set("LIFEBOAT_AGENT_LISTEN", format!("{listen}:{port}"));
    (cluster, site, format!("127.0.0.1:{port}"))
}

fn started(site: &Site, cluster: &Cluster) -> Running {
    let agent = site.run(&["agent"]).limit(Duration::from_secs(300)).spawn();
    let sql = "select count(*) from pg_stat_replication where application_name = 'lifeboat' and state = 'streaming'";
    wait_for("the agent streams", || cluster.psql("postgres", sql) == "1");
    agent
}

fn status(address: &str, page: &str) -> (bool, String) {
    let (status, body) = get(address, page).unwrap_or_else(|| panic!("{page} does not answer"));
    (status.ends_with(" 200 OK"), body)
}

/// What the kernel says of a process's memory, in KiB.
fn memory(agent: &Running, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn half_a_request_keeps_no_agent_from_ending() {
    let (cluster, site, address) = streaming("127.0.0.1");
    let agent = started(&site, &cluster);
    let mut half: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(&address).unwrap()).collect();
    for socket in &mut half {
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Endless: ").unwrap();
    }
    let begun = Instant::now();
    agent.signal(Signal::TERM);
    let ended = agent.finish().exits(0);
    assert!(begun.elapsed() < Duration::from_secs(8), "it took {:?}\n{ended}", begun.elapsed());
    assert!(ended.stderr.contains("the agent has ended"), "{ended}");
    // Locks, slot and address are free again.
    let again = started(&site, &cluster);
    wait_for("the pages answer", || get(&address, "/livez").is_some());
    again.signal(Signal::TERM);
    again.finish().exits(0);
}

#[test]
fn hundreds_who_say_nothing_cost_little_and_keep_nobody_away() {
    let (cluster, site, address) = streaming("127.0.0.1");
    let agent = started(&site, &cluster);
    wait_for("it is ready", || status(&address, "/readyz").0);
    let before = memory(&agent, "VmRSS:");
    let mut idle = Vec::new();
    for n in 0..500 {
        let mut socket = TcpStream::connect(&address).unwrap();
        let _ = socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: "); // it may be cut off by now
        idle.push(socket);
        if n % 100 == 99 {
            let asked = Instant::now();
            assert!(status(&address, "/healthz").0);
            assert!(asked.elapsed() < Duration::from_secs(5), "{:?} beside {n} others", asked.elapsed());
        }
    }
    let open = fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().count();
    assert!(open < 200, "{open} descriptors are open");
    let grown = memory(&agent, "VmRSS:").saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB more than before");
    // Who says nothing to the end is not waited for either.
    let mut last = idle.pop().unwrap();
    last.set_read_timeout(Some(2 * HANGS)).unwrap();
    let mut answer = Vec::new();
    let asked = Instant::now();
    let _ = last.read_to_end(&mut answer); // closed or reset
    assert!(asked.elapsed() < HANGS, "{:?}", asked.elapsed());
    agent.signal(Signal::TERM);
    agent.finish().exits(0);
}

#[test]
fn what_is_no_plain_question_is_not_listened_to() {
    let (cluster, site, address) = streaming("[::]");
    let agent = started(&site, &cluster);
    let said = |request: &[u8]| {
        let mut socket = TcpStream::connect(&address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = socket.write_all(request);
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    };
    // A body is announced and never read.
    let post = b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n";
    assert_eq!(said(post), "HTTP/1.1 405 Method Not Allowed");
    assert_eq!(said(b"GET /etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 404 Not Found");
    let endless = format!("GET /livez HTTP/1.1\r\nX: {}", "x".repeat(20_000));
    assert!(!said(endless.as_bytes()).contains("200"));
    let many = format!("GET /livez HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert!(!said(many.as_bytes()).contains("200"));
    assert_eq!(said(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 OK");
    assert!(
        agent.stderr_so_far().contains("other machines can read the agent's pages"),
        "{}",
        agent.stderr_so_far()
    );
    let through_six = address.replace("127.0.0.1", "[::1]");
    assert!(get(&through_six, "/livez").is_some_and(|(status, _)| status.ends_with("200 OK")));
    agent.signal(Signal::TERM);
    agent.finish().exits(0);
}

#[test]
fn a_volume_that_is_gone_is_seen_and_a_tenant_that_was_dropped_is_not_missed() {
    let (cluster, site, address) = streaming("0.0.0.0");
    small_tenant(&cluster, &site.data_dir(), "shop", 1);
    small_tenant(&cluster, &site.data_dir(), "mill", 2);
    let agent = started(&site, &cluster);
    wait_for("it is ready", || status(&address, "/readyz").0);
    let (_, told) = status(&address, "/readyz");
    assert!(told.contains("note: this agent never backs up a database"), "{told}");
    assert!(agent.stderr_so_far().contains("this agent never backs up a database"));
    let page = get(&address, "/metrics").unwrap().1;
    assert!(page.contains("lifeboat_backups_scheduled 0\n") && page.contains("lifeboat_ready 1\n"), "{page}");

    let filestore = site.data_dir().join("filestore");
    let (shop, aside) = (filestore.join("shop"), site.path("aside"));
    let unwell = |words: &str| {
        wait_for(words, || {
            let (well, told) = status(&address, "/healthz");
            !well && told.contains(words)
        });
        assert!(status(&address, "/livez").0, "that the data is gone is no reason to start it again");
    };
    let well = || wait_for("it is well again", || status(&address, "/healthz").0);
    fs::rename(&shop, &aside).unwrap();
    fs::create_dir(&shop).unwrap(); // as a volume's directory is when it is not mounted
    unwell("the filestore of shop is missing, but its database exists");
    fs::remove_dir(&shop).unwrap();
    fs::rename(&aside, &shop).unwrap();
    well();
    fs::rename(site.data_dir(), &aside).unwrap();
    unwell("is the volume of odoo.data_dir mounted?");
    assert!(get(&address, "/metrics").unwrap().1.contains("lifeboat_ready 0\n"));
    fs::rename(&aside, site.data_dir()).unwrap();
    well();
    cluster.psql("postgres", "drop database mill");
    fs::remove_dir_all(filestore.join("mill")).unwrap();
    std::thread::sleep(Duration::from_secs(6)); // a look lies in between
    assert!(status(&address, "/healthz").0, "{}", status(&address, "/healthz").1);
    agent.signal(Signal::TERM);
    agent.finish().exits(0);

    // An agent that begins without the volume knows what a backup found there.
    site.back_up(&[]);
    fs::rename(&shop, &aside).unwrap();
    let agent = started(&site, &cluster);
    unwell("the filestore of shop is missing, but its database exists");
    agent.signal(Signal::TERM);
    agent.finish().exits(0);
}
