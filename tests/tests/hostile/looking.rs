//! Every command that looks into a hostile tenant, and what of it the tenant's owner could hook.

use lifeboat_tests::checkpointed::checkpointed;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};

use crate::log::{hookable, mark, sprung};
use crate::trap::{OWNER, as_owner, cluster, evidence, tenant};

/// Runs `command` and proves that nothing of the tenant's owner ran with our rights.
fn unharmed(cluster: &Cluster, database: &str, name: &str, command: impl FnOnce()) {
    let before = mark(cluster);
    command();
    assert_eq!(sprung(cluster, before), Vec::<String>::new(), "{name} sprang a trap");
    assert_eq!(hookable(cluster, before, database), Vec::<String>::new(), "{name} can be hooked");
}

#[test]
fn no_command_that_looks_into_a_tenant_runs_what_its_owner_wrote() {
    let cluster = cluster(&[("wal_level", "replica")]);
    let site = Site::local(&cluster);
    tenant(&cluster, &site.data_dir(), "shop");
    let database = "shop";
    unharmed(&cluster, database, "doctor", || {
        site.run(&["doctor"]).run();
    });
    unharmed(&cluster, database, "backup", || {
        let report = site.back_up(&[]);
        assert!(report.to_string().contains("\"shop\""), "{report}");
    });
    for kind in ["dump", "filestore"] {
        unharmed(&cluster, database, kind, || {
            site.back_up(&["--kind", kind]);
        });
    }
    // files that a row names and that are gone are asked for again
    let folders = std::fs::read_dir(site.data_dir().join("filestore/shop")).unwrap();
    let mut lost: Vec<_> = folders.map(|entry| entry.unwrap().path()).collect();
    lost.sort(); // file systems list in any order, and what lies in the checklist is no row's
    lost.iter().take(5).for_each(|folder| std::fs::remove_dir_all(folder).unwrap());
    unharmed(&cluster, database, "backup with files lost", || {
        site.backup(&[])
            .run()
            .exits(3)
            .says("files that the databases name are missing or damaged in the filestores");
    });
    checkpointed(&cluster, &site, "7", &[database]);
    unharmed(&cluster, database, "rollback plan", || {
        let plan = site.run(&["rollback", "plan", "--release", "7", "--json"]).run().exits(3);
        assert!(plan.stdout.contains("\"sale-order\""), "{plan}");
    });
    unharmed(&cluster, database, "release watch", || {
        let since = ["--since", "2020-01-01T00:00:00Z", "--for", "1min"];
        site.run(&["release", "watch", "--release", "7"]).args(since).run();
    });
    cluster.copy_db(database, "shop_point", false).unwrap();
    unharmed(&cluster, database, "rollback salvage", || {
        let to = ["--against", "shop_point", "--to", "salvaged"];
        site.run(&["rollback", "salvage", "--release", "7", "--tenant", "shop"]).args(to).run();
    });
    for command in [&["status"][..], &["list"], &["verify"]] {
        let before = mark(&cluster);
        site.run(command).run();
        assert_eq!(sprung(&cluster, before), Vec::<String>::new(), "{command:?} sprang a trap");
    }
    assert!(!evidence(&cluster).exists(), "a program ran with a superuser's rights");
}

/// The scanner itself: what an owner could hook is seen in the log, by whoever it was asked.
#[test]
fn a_statement_that_an_owner_could_hook_is_seen() {
    let cluster = cluster(&[]);
    cluster.psql("postgres", "create role evil login; create database shop owner evil");
    cluster.psql("shop", "create table public.t (id integer, name varchar)");
    let guarded = "BEGIN; SET LOCAL search_path = pg_catalog, pg_temp; ";
    for (sql, seen) in [
        ("SELECT count(*) FROM pg_class WHERE relname = 'x'", true), // wherever pg_class is
        (
            "BEGIN; SET LOCAL search_path = pg_catalog, pg_temp; SELECT count(*) FROM pg_class WHERE relname = 'x'",
            false,
        ),
        (&format!("{guarded}SELECT max(id) FROM public.t"), true),
        (&format!("{guarded}SELECT 1 OPERATOR(public.+) 1"), true),
        (&format!("{guarded}SELECT 'a'::public.t"), true),
        (&format!("{guarded}LOCK TABLE public.t"), true),
    ] {
        let before = mark(&cluster);
        let mut psql = cluster.client("psql");
        psql.env("PGAPPNAME", "lifeboat").args(["-XAtq", "-d", "shop", "-c", sql]).output().unwrap();
        let found = hookable(&cluster, before, "shop");
        assert_eq!(!found.is_empty(), seen, "{sql}: {found:?}");
    }
}

#[test]
fn a_tenant_that_cannot_be_looked_into_is_named_and_stops_no_other() {
    let cluster = cluster(&[]);
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "good", 3);
    tenant(&cluster, &site.data_dir(), "trapped");
    for (name, trick) in TRICKS {
        cluster.psql("postgres", &format!("create database {name} template trapped owner {OWNER}"));
        as_owner(&cluster, name, trick);
    }
    let before = mark(&cluster);
    let doctor = site.run(&["doctor"]).run();
    let backup = site.backup(&["--json"]).run().exits(3);
    assert_eq!(sprung(&cluster, before), Vec::<String>::new());
    let (doctor, said) =
        (format!("{}{}", doctor.stdout, doctor.stderr), format!("{}{}", backup.stdout, backup.stderr));
    for ((name, _), word) in TRICKS.iter().zip(WORDS) {
        assert!(said.contains(word), "{name}: {word:?} is not in {said}");
        if !name.starts_with("later") {
            assert!(doctor.contains(word), "{name}: {word:?} is not in {doctor}");
        }
    }
    let list = site.run(&["list"]).run().ok().stdout;
    assert!(list.contains("good"), "{list}");
}

/// What takes the place of a table. Those of `later` are seen when the tenant is backed up.
const TRICKS: [(&str, &str); 6] = [
    (
        "view",
        "alter table ir_module_module rename to hidden; \
         create view ir_module_module as select public.seen('view of modules'), name, state, latest_version from hidden",
    ),
    (
        "domain",
        "create table modules (name public.trap_name, state varchar, latest_version varchar); drop table ir_module_module cascade; \
         alter table modules rename to ir_module_module",
    ),
    ("sequence", "drop table ir_module_module cascade; create sequence ir_module_module"),
    (
        "later_view",
        "alter table ir_attachment rename to hidden; \
         create view ir_attachment as select public.seen('view of attachments'), store_fname, file_size from hidden",
    ),
    (
        "later_stored",
        "alter table ir_config_parameter rename to hidden; \
         create materialized view ir_config_parameter as select key, value from hidden",
    ),
    (
        "later_computed",
        "alter table ir_attachment drop column store_fname; \
         alter table ir_attachment add column store_fname varchar generated always as (public.planned('store_fname')::varchar) stored",
    ),
];
const WORDS: [&str; 6] = [
    "ir_module_module is a view, not a table",
    "column ir_module_module.name does not have the type that Odoo gives it",
    "ir_module_module is a sequence, not a table",
    "ir_attachment is a view, not a table",
    "ir_config_parameter is a materialized view, not a table",
    "column ir_attachment.store_fname does not have the type that Odoo gives it",
];
