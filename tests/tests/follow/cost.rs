//! What following costs, and what many small batches cost a restore: numbers for docs/decisions/arrivals.md.
//!
//! `cargo test -p lifeboat-tests --test follow cost -- --ignored --nocapture`; `TEST_BATCHES` (1000),
//! `TEST_SECONDS` (60).

use std::time::{Duration, Instant};

use lifeboat_tests::compare::walk;
use lifeboat_tests::filestore::Seeded;

use crate::times::number;
use crate::world::{Repo, World, end};

/// Objects below `arrivals/`, and their bytes.
fn stored(world: &World) -> (u64, u64) {
    let (mut objects, mut bytes) = (0, 0);
    walk(&world.site.stored.join("instances/prod/arrivals"), &mut |path| {
        objects += 1;
        bytes += path.metadata().unwrap().len();
    });
    (objects, bytes)
}

#[test]
#[ignore = "a measurement: see the top of this file"]
fn objects_and_bytes_of_one_upload_a_second() {
    let world = World::start(2);
    let agent = world.following(world.agent());
    let (objects, bytes) = stored(&world);
    let mut random = Seeded::new(3);
    let (begun, mut plain) = (Instant::now(), 0);
    let mut names = std::collections::BTreeSet::new();
    let seconds = number("TEST_SECONDS", 60);
    for n in 0..seconds {
        let content = random.noise(20_000);
        plain += content.len() as u64;
        names.insert(world.tenants[n as usize % 2].filestore().add(&content));
        std::thread::sleep(Duration::from_secs(n + 1).saturating_sub(begun.elapsed()));
    }
    world.wait_held(&names);
    let (objects, bytes) = (stored(&world).0 - objects, stored(&world).1 - bytes);
    let hour = |count: u64| count * 3_600 / seconds;
    println!(
        "{seconds} files of 20 kB in {seconds} s: {} objects and {} bytes beyond their content an hour",
        hour(objects),
        hour(bytes - plain)
    );
    end(agent);
}

#[test]
#[ignore = "a measurement: see the top of this file"]
fn a_restore_from_many_batches() {
    let world = World::start(1);
    let t1 = &world.tenants[0];
    let agent = world.following(world.agent().env("LIFEBOAT_AGENT_FOLLOW_INTERVAL", "0s"));
    world.back_up("base");
    let before = Repo::of(&world.site).batches().len();
    let mut sql = String::new();
    let mut names = std::collections::BTreeSet::new();
    for n in 0..number("TEST_BATCHES", 1_000) {
        let name = t1.filestore().put(format!("batch {n}").as_bytes());
        sql += &format!(
            "insert into ir_attachment (name, type, store_fname, checksum, file_size) values ('b', 'binary', '{name}', '{}', {});\n",
            &name[3..],
            format!("batch {n}").len()
        );
        names.insert(name);
        std::thread::sleep(Duration::from_millis(100));
    }
    world.cluster.psql("t1", &sql);
    let time = world.now();
    world.cluster.psql("t1", "create table after_it ()");
    world.wait_held(&names);
    world.wait_wal();
    let batches = Repo::of(&world.site).batches().len() - before;
    end(agent);
    let args = ["restore", "--yes", "--json", "--identity", "lifeboat-identity.txt", "--tenant", "t1"];
    let target = ["--to-time", &time, "--as", "back", "--no-neutralize"];
    let report = world.site.run(&args).args(target).limit(Duration::from_secs(600)).run().ok().json();
    println!("{batches} batches: {}", serde_json::to_string_pretty(&report["stages"]).unwrap());
    println!("{}", report["missing_files"]);
    let begun = Instant::now();
    world.site.run(&["status"]).run();
    println!("status in {:?}", begun.elapsed());
}
