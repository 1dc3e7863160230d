//! Killed at any moment, and with a store that fails: nothing that lies in a filestore is missed.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use lifeboat_tests::faults::on;
use lifeboat_tests::filestore::Seeded;
use lifeboat_tests::{S3, skip};

use crate::load::{Load, Truth};
use crate::times::{assert_held, number};
use crate::world::{Repo, World, end, wait_for};

/// `TEST_KILLS=50` for the long run.
#[test]
fn killed_at_any_moment_it_misses_nothing() {
    let seed = number("TEST_SEED", 7);
    println!("seed {seed}");
    let mut random = Seeded::new(seed);
    let world = World::start(2);
    let program = world.agent().env("LIFEBOAT_AGENT_FOLLOW_INTERVAL", "500ms");
    let agent = world.following(program.clone());
    // Nothing is collected while no agent runs: what comes and goes then, nobody can know.
    let kills = number("TEST_KILLS", 5);
    let mut agent = Some(agent);
    let load = Load { seconds: 5, seed, collect: false };
    let truths = load.run(&world, || {
        for _ in 0..kills {
            std::thread::sleep(Duration::from_millis(300 + random.below(2_500)));
            agent.take().unwrap().kill9();
            agent = Some(program.spawn());
        }
    });
    let ever: BTreeSet<String> = truths.iter().flat_map(Truth::ever).collect();
    world.wait_held(&ever);
    world.tenants.iter().for_each(|tenant| world.collect(tenant));
    assert_held(&Repo::of(&world.site).held(), &truths, &mut random);
    end(agent.unwrap());
    world.verify();
}

#[test]
fn what_comes_while_the_store_fails_waits_and_is_told() {
    let s3 = S3::start();
    let world = World::on_s3(&s3, 1);
    let t1 = &world.tenants[0];
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let program = world.agent().env("LIFEBOAT_AGENT_LISTEN", &address);
    let agent = world.following(program.env("LIFEBOAT_AGENT_FOLLOW_INTERVAL", "1s"));
    let told = |metric: &str| -> Option<f64> {
        let page = page(&address)?;
        let line = page.lines().find(|line| line.starts_with(&format!("{metric}{{tenant=\"t1\"}}")))?;
        line.split(' ').next_back()?.parse().ok()
    };
    wait_for("all is told to be stored", || told("lifeboat_filestore_waiting_files") == Some(0.0));
    s3.plan(on("PUT", "arrivals").respond(503));
    let first = t1.upload(&world.cluster, "first", &[1; 30_000]);
    let gone = t1.upload(&world.cluster, "gone", &[2; 30_000]);
    wait_for("they are told to wait", || told("lifeboat_filestore_waiting_files") == Some(2.0));
    let until = told("lifeboat_filestore_followed_timestamp_seconds").unwrap();
    std::thread::sleep(Duration::from_secs(5));
    // it is not in the repository when it is collected, and comes there all the same
    world.delete_and_collect(t1, &gone);
    assert_eq!(told("lifeboat_filestore_followed_timestamp_seconds"), Some(until), "it stands still");
    assert!(agent.stderr_so_far().contains("new files are waiting"), "{}", agent.stderr_so_far());
    s3.faults().clear();
    world.wait_held(&BTreeSet::from([first, gone]));
    wait_for("nothing waits", || told("lifeboat_filestore_waiting_files") == Some(0.0));
    assert!(told("lifeboat_filestore_followed_timestamp_seconds") > Some(until));
    end(agent);
    world.verify();
}

/// As many as come while a store is away for long: each is held open, so that a collector cannot take it.
#[test]
fn thousands_that_are_collected_while_the_store_fails_come_there_all_the_same() {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    if most.is_some_and(|most| most < 4_096) {
        skip!("at most {most:?} open files are allowed here (ulimit -Hn)");
    }
    let s3 = S3::start();
    let world = World::on_s3(&s3, 1);
    let filestore = world.tenants[0].filestore();
    let agent = world.following(world.agent().env("LIFEBOAT_AGENT_FOLLOW_INTERVAL", "1s"));
    s3.plan(on("PUT", "arrivals").respond(503));
    // one more than a batch takes, so some are only waiting
    let names: BTreeSet<String> = (0..3_000).map(|n| filestore.add(format!("file {n}").as_bytes())).collect();
    wait_for("a batch has failed", || agent.stderr_so_far().contains("new files are waiting"));
    std::thread::sleep(Duration::from_secs(2)); // what the kernel told last is heard
    names.iter().for_each(|name| std::fs::remove_file(filestore.path(name)).unwrap());
    s3.faults().clear();
    world.wait_held(&names);
    end(agent);
    world.verify();
}

/// `/metrics`; `None` while nobody answers.
fn page(address: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
