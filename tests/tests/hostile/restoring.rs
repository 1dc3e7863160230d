//! A hostile tenant restored beside production: whatever of its owner's runs, runs with no more rights
//! than his.

use lifeboat_tests::Program;
use lifeboat_tests::installed::hand_over;
use lifeboat_tests::program::bin_dir;
use lifeboat_tests::site::{Site, words};
use rustix::process::geteuid;

use crate::log::{hookable, mark, sprung};
use crate::trap::{cluster, evidence, tenant};

/// `lifeboat` as the server's own user: its archive_command adds to what this writes.
fn lifeboat(site: &Site, args: &[&str]) -> Program {
    let program = match geteuid().is_root() {
        true => Program::at("/usr/bin/setpriv".into())
            .args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"])
            .arg(bin_dir().join("lifeboat")),
        false => Program::lifeboat(),
    };
    program.cwd(site.path("")).args(args.to_vec())
}

#[test]
fn a_restore_beside_production_runs_nothing_with_our_rights() {
    let cluster = cluster(&[("archive_mode", "on"), ("archive_command", "false"), ("archive_timeout", "0")]);
    let site = Site::local(&cluster);
    tenant(&cluster, &site.data_dir(), "shop");
    hand_over(&site.path(""));
    let push =
        format!("{} --config {} wal push %p", bin_dir().join("lifeboat").display(), site.config().display());
    cluster.psql("postgres", &format!("alter system set archive_command = '{push}'"));
    cluster.psql("postgres", "select pg_reload_conf()");
    let before = mark(&cluster);
    for kind in ["base", "all"] {
        let kind: &[&str] = if kind == "base" { &["backup", "--kind", "base"] } else { &["backup"] };
        lifeboat(&site, kind).run().ok();
    }
    let restore = |more: &[&str]| {
        let common = ["restore", "--yes", "--identity", "lifeboat-identity.txt", "--tenant", "shop"];
        site.run(&common).args(more.to_vec()).run()
    };
    words(&restore(&["--as", "copy"]).ok());
    cluster.psql("postgres", "checkpoint");
    let segment = cluster.switch_wal();
    let archived = format!("select coalesce(last_archived_wal, '') >= '{segment}' from pg_stat_archiver");
    for _ in 0..600 {
        if cluster.psql("postgres", &archived) == "t" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    restore(&["--to", "latest", "--as", "earlier"]).ok();
    assert_eq!(sprung(&cluster, before), Vec::<String>::new());
    assert!(!evidence(&cluster).exists(), "{}", std::fs::read_to_string(evidence(&cluster)).unwrap());
    for copy in ["copy", "earlier"] {
        let silent = "set search_path = pg_catalog; select count(*) from public.ir_cron where active and id > 0 having count(*) > 1";
        assert_eq!(cluster.psql(copy, silent), "", "{copy} is neutralized");
        let forced = "set search_path = pg_catalog; select relname::text collate \"C\" from pg_class where relforcerowsecurity order by 1";
        assert_eq!(
            cluster.psql(copy, forced),
            "ir_attachment\ntrap_forced",
            "{copy}: row security is as it was"
        );
        assert_eq!(cluster.psql(copy, "copy public.trap_forced to stdout"), "1\n2");
    }
}

#[test]
fn promote_looks_into_a_copy_and_the_tenant_without_running_anything() {
    let cluster = cluster(&[]);
    let site = Site::local(&cluster);
    tenant(&cluster, &site.data_dir(), "shop");
    tenant(&cluster, &site.data_dir(), "copy");
    let before = mark(&cluster);
    for args in [["--dry-run"].as_slice(), &["--yes-replace", "shop", "--although-neutralized"]] {
        let said = site.run(&["promote", "copy", "--as", "shop"]).args(args.to_vec()).run();
        println!("{said}");
    }
    assert_eq!(sprung(&cluster, before), Vec::<String>::new());
    assert_eq!(hookable(&cluster, before, "copy"), Vec::<String>::new());
    assert!(!evidence(&cluster).exists(), "{}", std::fs::read_to_string(evidence(&cluster)).unwrap());
}

#[test]
fn a_drill_runs_nothing_with_more_than_the_owners_rights() {
    let cluster = cluster(&[]);
    let site = Site::local(&cluster);
    tenant(&cluster, &site.data_dir(), "shop");
    site.back_up(&[]);
    let drill = site.drill("shop", "").run();
    assert!(!evidence(&cluster).exists(), "{}", std::fs::read_to_string(evidence(&cluster)).unwrap());
    assert!(words(&drill).contains("hard checks passed"), "it came as far as the checks: {}", words(&drill));
}
