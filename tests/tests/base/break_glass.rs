//! `runbooks/break-glass-instance.md` does what it says: its own commands, run as they stand, bring a
//! cluster back from a chain of base backups and archived WAL, tablespaces included.

use lifeboat_tests::Program;
use lifeboat_tests::program::workspace_root;

use crate::contents::check_pages;
use crate::copy::Copied;
use crate::full::ledger;
use crate::restore::Archiving;

#[test]
fn the_page_brings_a_cluster_back_by_stock_tools() {
    let archiving = Archiving::start();
    let (cluster, site) = (&archiving.cluster, &archiving.site);
    ledger(cluster, "shop");
    let place = tempfile::Builder::new().prefix("lbts-").tempdir_in("/tmp").unwrap();
    Program::at("/bin/chown".into()).arg("postgres:postgres").arg(place.path()).run();
    cluster.psql("postgres", &format!("create tablespace north location '{}'", place.path().display()));
    cluster.psql("shop", "create table far tablespace north as select generate_series(1, 1000) n");
    archiving.base();
    cluster.psql("shop", "update big set v = 'changed' where id % 100 = 1; drop table scratch");
    archiving.base();
    cluster.psql("shop", "insert into far select 1; insert into ledger select from generate_series(1, 7)");
    archiving.archive();

    let text = std::fs::read_to_string(workspace_root().join("runbooks/break-glass-instance.md")).unwrap();
    let mut inside = false;
    let mut script = String::new();
    for line in text.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => script.extend([line, "\n"]),
            _ => {}
        }
    }
    assert!(!inside && script.contains("recovery.signal") && !script.contains("lifeboat backup"));
    let copied = Copied::new();
    let config = std::fs::read_to_string(site.config()).unwrap();
    let key = config.lines().find(|line| line.trim_start().starts_with("\"ssh-ed25519")).unwrap();
    archiving
        .as_server("/bin/bash")
        .args(["-c", &script])
        .env("REPO", &site.stored)
        .env("IDENTITY", site.path("lifeboat-identity.txt"))
        .env("SIGNING_KEY", key.trim().trim_matches([',', '"']))
        .env("TARGET_DIR", copied.data_dir())
        .env("TABLESPACES", copied.data_dir().with_extension("tablespaces"))
        .env("SCRATCH", copied.data_dir().with_extension("scratch"))
        .run()
        .ok();
    copied.start(cluster);
    crate::full::wait_until("recovery ends", || copied.psql("postgres", "select pg_is_in_recovery()") == "f");
    for sql in [
        "select count(*) from big where v = 'changed'",
        "select count(*) from far",
        "select max(n) from ledger",
    ] {
        assert_eq!(copied.psql("shop", sql), cluster.psql("shop", sql), "{sql}");
    }
    copied.amcheck("shop");
    copied.stop();
    check_pages(cluster, copied.data_dir());
    assert_eq!(cluster.psql("shop", "select count(*) from far"), "1001");
}
