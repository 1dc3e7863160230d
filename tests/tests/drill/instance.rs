//! A drill of a whole instance: base backup and WAL, production's own pages and indexes, and each tenant.

use std::fs;

use lifeboat_tests::Program;
use serde_json::Value;

use crate::shop::{Shop, state};

/// A plan for the whole instance, with these lines.
fn plan(shop: &Shop, more: &str) -> Program {
    let program = shop.drill("t1", "");
    let config = shop.site.config().display().to_string();
    let scratch = shop.site.path("scratch");
    fs::create_dir_all(&scratch).unwrap();
    let text = format!(
        "config = {config:?}\ninstance = true\n{more}\n[scratch]\ndir = {:?}\n",
        scratch.display().to_string()
    );
    fs::write(shop.site.path("drill.toml"), text).unwrap();
    program
}

/// Everything that a whole instance needs.
fn back_up(shop: &Shop) {
    shop.back_up(&[]);
    shop.back_up(&["--kind", "base"]);
}

fn reasons(report: &Value) -> String {
    format!("{:#}", report["reasons"])
}

/// The verdict of each tenant, by name.
fn verdicts(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let parts = report["tenants"].as_array().unwrap().iter();
    let mut all: Vec<_> = parts.map(|part| (text(&part["tenant"]), text(&part["verdict"]))).collect();
    all.sort();
    all
}

fn is_clean(shop: &Shop) {
    let left: Vec<_> =
        fs::read_dir(shop.site.path("scratch")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_clean_instance_passes_at_the_end_and_at_any_second() {
    let shop = Shop::made_up(&["t1", "t2"]);
    back_up(&shop);
    std::thread::sleep(std::time::Duration::from_millis(2500)); // a window of seconds
    shop.cluster.psql("t1", "UPDATE res_partner SET write_date = now() WHERE id = 1");
    shop.archive();
    let run = plan(&shop, "").run();
    println!("{}", run.stderr);
    let report = run.ok().json();
    let passed = |name: &str| (name.to_owned(), "passed".to_owned());
    assert_eq!(verdicts(&report), [passed("t1"), passed("t2")], "{report:#}");
    for part in ["archive", "page checksums", "tenants", "indexes", "files", "hard checks"] {
        assert_eq!(state(&report, part), "done", "{part}: {:#}", report["findings"]);
    }
    assert!(report["integrity"]["pages"].as_u64().unwrap() > 1000);
    assert!(report["integrity"]["indexes"].as_u64().unwrap() > 300, "of every database");
    assert!(report.get("tenant").is_none());
    is_clean(&shop);

    let random = plan(&shop, "target = \"random\"\nseed = 7").run().ok().json();
    assert_eq!(random["seed"], 7);
    assert_eq!(random["verdict"], "passed");
}
