//! An archive that is not whole fails a drill: it is no drill that could not run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::shop::{Shop, state};

/// The files below a directory of the repository, largest first.
fn objects(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut rest = vec![dir.to_owned()];
    while let Some(dir) = rest.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() { rest.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    found
}

#[test]
fn an_object_that_is_deleted_cut_or_changed_fails_the_drill() {
    let shop = Shop::made_up(&["t1"]);
    shop.back_up(&[]);
    let objects = objects(&shop.site.path("repo/instances/prod"));
    let of = |kind: &str| {
        let own = objects.iter().filter(|path| path.to_string_lossy().contains(kind));
        own.filter(|path| path.to_string_lossy().contains("/snapshots/")).cloned().collect::<Vec<_>>()
    };
    for (kind, what) in [("-dump-", "pack"), ("-filestore-", "pack"), ("-dump-", "baseline")] {
        let object = of(kind).into_iter().find(|path| path.to_string_lossy().contains(what));
        let object = object.unwrap_or_else(|| panic!("{kind} {what}: {objects:?}"));
        let whole = fs::read(&object).unwrap();
        for damage in ["deleted", "cut", "changed"] {
            let mut bytes = whole.clone();
            match damage {
                "deleted" => fs::remove_file(&object).unwrap(),
                "cut" => fs::write(&object, &bytes[..bytes.len() / 2]).unwrap(),
                _ => {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    fs::write(&object, &bytes).unwrap();
                }
            }
            let drill = shop.drill("t1", "").run();
            println!(
                "{kind} {what} {damage}: {}",
                drill.stderr.lines().filter(|l| l.starts_with("  - ")).collect::<Vec<_>>().join("\n")
            );
            let report = drill.exits(1).json();
            assert_eq!(report["verdict"], "failed", "{damage}");
            fs::write(&object, &whole).unwrap();
        }
    }
    shop.drill("t1", "").run().ok();
}

#[test]
fn rows_that_violate_a_foreign_key_fail_the_drill_by_name() {
    let shop = Shop::made_up(&["t1"]);
    let sql = "SET session_replication_role = replica; UPDATE sale_order_line SET order_id = 999999 WHERE id = \
               (SELECT min(id) FROM sale_order_line)";
    shop.cluster.psql("t1", sql);
    shop.back_up(&[]);
    let report = shop.drill("t1", "").run().exits(1).says("sale_order_line").json();
    assert_eq!(state(&report, "baseline"), "failed");
    assert!(report["reasons"].to_string().contains("999999"), "{:#}", report["reasons"]);
}
