//! What a person confirmed is what is applied, also in a second round: a base backup that is stored after the
//! plan was printed is not used.

use lifeboat_tests::compare::assert_same;
use lifeboat_tests::terminal::AtTerminal;

use crate::shared::{LIMIT, Shared, wait_until, write};

#[test]
fn a_base_backup_that_is_stored_while_a_person_reads_the_plan_is_not_used() {
    let shared = Shared::start();
    let cluster = &shared.cluster;
    let id = |report: serde_json::Value| report["manifest"]["id"].as_str().unwrap().to_owned();
    let first = id(shared.back_up(&["--kind", "base"]));
    // under this name it is in no base backup yet: its files come in a second round
    cluster.psql("postgres", "alter database t1 rename to t1_new");
    write(cluster, "t1_new");
    shared.archive();
    let restore = ["restore", "--identity", "lifeboat-identity.txt", "--tenant", "t1_new", "--to", "latest"];
    let program = shared.site.run(&restore).args(["--as", "back", "--no-neutralize"]).limit(LIMIT);
    let mut person = AtTerminal::start(program);
    wait_until("the plan is printed", || person.screen().contains("Do this?"));
    write(cluster, "t1_new");
    let second = id(shared.back_up(&["--kind", "base"]));
    // whoever chose it now, for it is the newest, could not restore from it
    std::fs::remove_file(
        shared.site.stored.join("instances/prod/snapshots").join(&second).join("index.zst.age"),
    )
    .unwrap();
    write(cluster, "t1_new");
    shared.archive();
    person.answer("Do this?", "y\n");
    let (code, screen) = person.finish();
    assert_eq!(code, Some(3), "its attachments are in no backup: {screen}");
    assert!(screen.contains(&first) && !screen.contains(&second), "{screen}");
    assert!(screen.contains("a second round restores up to"), "{screen}");
    // the target was the latest WAL
    assert_same("back", &shared.digest("back"), &shared.digest("t1_new"));
    assert!(shared.scratches().is_empty());
}
