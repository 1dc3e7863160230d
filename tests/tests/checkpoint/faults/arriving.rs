//! A restore to a release while the agent goes on storing WAL.

use std::fs;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use lifeboat_tests::faults::on;

use crate::world::{TIERS, World, until};

#[test]
fn wal_that_arrives_while_the_point_is_looked_for_hides_nothing() {
    let world = World::on_s3(&["shop"], TIERS, &[("LIFEBOAT_WAL_PIECE_INTERVAL", "0s")]);
    let report = world.pass("r1", &[]);
    let lsn = report["checkpoint"]["point"]["lsn"].as_str().unwrap();
    let segment = world.cluster.psql("postgres", &format!("select pg_walfile_name('{lsn}'::pg_lsn - 1)"));
    let folder = world.site.stored.join("instances/prod/wal/00000001").join(&segment);
    let pieces = || fs::read_dir(&folder).unwrap().count();

    // All WAL was listed; before the segment of the point is listed again, more of it is stored.
    let door = world.door();
    let ((asks, asked), (answer, answered)) = (channel(), channel::<()>());
    let (asks, answered) = (Mutex::new(asks), Mutex::new(answered));
    let list = format!("wal%2F00000001%2F{segment}%2F");
    let planned = door.plan(on("GET", &list).nth(1).call(move |_| {
        asks.lock().unwrap().send(()).unwrap();
        answered.lock().unwrap().recv().unwrap();
    }));
    let plan = ["restore", "--tenant", "shop", "--release", "r1", "--as", "back", "--dry-run"];
    let plan = world.site.run(&plan).arg("--identity").arg(world.site.path("lifeboat-identity.txt"));
    let plan = plan
        .env("LIFEBOAT_REPOSITORY_ENDPOINT", door.endpoint())
        .env("LIFEBOAT_REPOSITORY_REQUEST_TIMEOUT", "60s")
        .spawn();
    asked.recv().unwrap();
    for _ in 0..2 {
        let before = pieces();
        world.cluster.psql("shop", "update res_partner set name = 'later' where id = 1");
        until("a piece is stored", || pieces() > before);
    }
    answer.send(()).unwrap();
    plan.finish().ok();
    assert_eq!(planned.fired(), 1);
}
