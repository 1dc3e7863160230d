//! The server that a tenant's point in time goes to is held against the tenant's nearest dump before anything
//! is fetched, and against what was recovered after that.

use lifeboat_tests::site::words;
use lifeboat_tests::{Cluster, Program};

use crate::shared::{Shared, write};

#[test]
fn what_the_nearest_dump_tells_is_known_at_the_plan_and_the_rest_after_recovery() {
    let shared = Shared::start();
    let cluster = &shared.cluster;
    cluster.psql(
        "t1",
        "create role bi; create function public.of_bi() returns int language sql as 'select 1'; \
         alter function public.of_bi() owner to bi; create extension pg_trgm; \
         update pg_extension set extname = 'gone_trgm' where extname = 'pg_trgm'",
    );
    shared.back_up(&["--kind", "dump", "--tenant", "t1"]);
    shared.back_up(&["--kind", "base"]);
    cluster.psql("t1", "create role late; grant select on ledger to late");
    write(cluster, "t1");
    let then = shared.now();
    write(cluster, "t1");
    shared.archive();
    let target = Cluster::start_default();
    let into = |tenant: &str, args: &[&str]| -> Program {
        shared
            .restore(tenant, args)
            .args(["--to-time", &then, "--database-only", "--no-neutralize"])
            .env("LIFEBOAT_POSTGRES_HOST", target.host())
            .env("LIFEBOAT_POSTGRES_PORT", target.port().to_string())
            .env("LIFEBOAT_POSTGRES_BIN_DIR", target.bin_dir().display().to_string())
    };
    let databases = || target.psql("postgres", "select string_agg(datname, ' ' order by 1) from pg_database");
    let before = databases();

    // Before anything is fetched, in the words of every restore, and as a guess.
    let refused = into("t1", &["--as", "back"]).run().exits(16);
    for said in [
        "as of the dump of 2",
        "this tenant needs 2 things that the server does not have",
        "the server has no role bi (it owns something): CREATE ROLE \"bi\"",
        "the server does not have extension gone_trgm",
        "nothing was changed",
    ] {
        assert!(words(&refused).contains(said), "{said}: {refused}");
    }
    assert!(!words(&refused).contains("scratch cluster is gone"), "nothing was recovered: {refused}");

    // Each point has its mend; what is left as a guess is told as one.
    target.psql("postgres", "create role bi");
    let plan = into("t1", &["--as", "back", "--partial", "--dry-run"]).run().ok().json();
    let foreseen = plan["as_of"]["foreseen"].as_array().unwrap();
    assert!(foreseen.iter().all(|one| one.as_str().unwrap().starts_with("as of the dump of 2")), "{plan}");
    assert!(plan["as_of"].to_string().contains("objects of bi will belong to the tenant's owner"), "{plan}");

    // What the dump did not know is known after recovery, of the very state.
    let refused = into("t1", &["--as", "back", "--partial"]).run().exits(16);
    assert!(words(&refused).contains("the server has no role late (it has rights)"), "{refused}");
    let whole = words(&refused);
    let error = whole.split("error[").last().unwrap();
    assert!(!error.contains("as of the dump"), "it is no guess any more: {refused}");
    assert_eq!(databases(), before);
    assert!(shared.scratches().is_empty());
    let done =
        into("t1", &["--as", "back", "--partial", "--skip-grants-of-missing-roles"]).run().exits(3).json();
    assert!(!done["warnings"].to_string().contains("as of the dump"), "what came of it is told: {done}");
    assert_eq!(target.psql("back", "select count(*) > 0 from ledger"), "t");

    // Of a tenant without a dump nothing is known before.
    let plan = into("t2", &["--as", "other", "--dry-run"]).run().ok().json();
    assert!(plan["warnings"].to_string().contains("no dump of this tenant is stored"), "{plan}");
    assert!(plan["as_of"].is_null(), "{plan}");
}

/// The name of a copy says of when its state is, and is the same each time.
#[test]
fn a_copy_without_a_name_is_called_by_the_time_of_its_state_and_commands_keep_what_was_typed() {
    let shared = Shared::start();
    let base = shared.back_up(&["--kind", "base"]);
    write(&shared.cluster, "t1");
    shared.archive();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let plan = shared.restore("t1", &["--to", "immediate", "--dry-run"]).run().ok().json();
    let point = base["manifest"]["point"].as_str().unwrap();
    let digits: String =
        point.chars().take_while(|c| *c != '.' && *c != 'Z').filter(|c| !"-:".contains(*c)).collect();
    assert_eq!(plan["database"], format!("t1_{digits}"));
    let early = "2001-01-01T00:00:00Z";
    let refused = shared
        .restore("t1", &["--to-time", early, "--as", "an 'old' one", "--dry-run", "--database-only"])
        .run()
        .exits(16);
    for said in [
        "--identity lifeboat-identity.txt",
        "--tenant t1",
        "--as 'an '\\''old'\\'' one' --dry-run --database-only --to-time 2",
    ] {
        assert!(words(&refused).contains(said), "{said}: {refused}");
    }
    assert!(!words(&refused).contains("--to-time 2001"), "{refused}");
}
