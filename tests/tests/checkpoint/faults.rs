//! Damage of what a checkpoint relies on: each kind of object, removed, cut or with one bit flipped. The gate
//! fails and names it; none passes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lifeboat::archive::wal::WalName;
use lifeboat::names::wal::WalFile;
use lifeboat::repository::wal::coverage::assemble;
use lifeboat_tests::compare::walk;
use lifeboat_tests::damage::{cut, flip_bit};
use lifeboat_tests::filestore::Seeded;

use crate::world::{World, gates};

/// The objects that the newest checkpoint relies on, below the repository: of snapshots and of WAL.
fn relied_on(world: &World, report: &serde_json::Value) -> Vec<PathBuf> {
    let instance = world.site.stored.join("instances/prod");
    let checkpoint = &report["checkpoint"];
    let mut ids: Vec<String> = Vec::new();
    let mut add = |refs: &serde_json::Value| {
        ids.extend(refs.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
    };
    add(&checkpoint["base"]["chain"]);
    checkpoint["tenants"].as_array().unwrap().iter().for_each(|state| add(&state["files"]["held_in"]));
    let mut all = Vec::new();
    walk(&instance, &mut |path| {
        let text = path.to_str().unwrap();
        if ids.iter().any(|id| text.contains(id.as_str())) {
            all.push(path.to_owned());
        }
    });
    all.extend(wal_relied_on(&instance));
    all.sort();
    all
}

/// The fewest WAL objects that give every segment from the base backup on.
fn wal_relied_on(instance: &Path) -> Vec<PathBuf> {
    let folder = instance.join("wal/00000001");
    let mut of: BTreeMap<WalFile, Vec<WalName>> = BTreeMap::new();
    walk(&folder, &mut |path| {
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap();
        if let Ok(name) = name.parse::<WalName>() {
            of.entry(name.file).or_default().push(name);
        }
    });
    let needed = of.values().flat_map(|names| assemble(names));
    let all: Vec<PathBuf> = needed.map(|name| folder.join(name.to_string())).collect();
    assert!(!all.is_empty() && all.iter().all(|path| path.is_file()), "{all:?}");
    all
}

fn kind(path: &Path) -> String {
    if path.to_str().unwrap().contains("/wal/") {
        return "wal".to_owned();
    }
    let name = path.file_name().unwrap().to_str().unwrap();
    let folder = if path.to_str().unwrap().contains("/arrivals/") { "arrivals" } else { "snapshot" };
    let is_pack = path.parent().unwrap().ends_with("packs");
    format!("{folder} {}", if is_pack { "pack" } else { name })
}

#[test]
fn damage_of_any_object_that_the_restore_needs_blocks_the_next_release() {
    let cases: u64 = std::env::var("TEST_TIMES").ok().and_then(|n| n.parse().ok()).unwrap_or(18);
    let world = World::new(&["shop"]);
    world.tenants[0].upload(&world.cluster, "new.pdf", b"followed by the agent");
    let report = world.pass("r0", &[]);
    let all = relied_on(&world, &report);
    let mut kinds: Vec<String> = all.iter().map(|path| kind(path)).collect();
    kinds.sort();
    kinds.dedup();
    assert!(kinds.len() >= 6, "{kinds:?}");
    let mut random = Seeded::new(7);
    for case in 0..cases {
        // each kind in turn
        let wanted = &kinds[case as usize % kinds.len()];
        let of_kind: Vec<&PathBuf> = all.iter().filter(|path| kind(path) == *wanted).collect();
        let path = of_kind[random.below(of_kind.len() as u64) as usize];
        let whole = fs::read(path).unwrap();
        let how = match (case / kinds.len() as u64) % 3 {
            0 => {
                flip_bit(path, random.below(whole.len() as u64 * 8));
                "one bit flipped"
            }
            1 => {
                cut(path, random.below(whole.len() as u64));
                "cut"
            }
            _ => {
                fs::remove_file(path).unwrap();
                "removed"
            }
        };
        let what = format!("case {case}: {} {how}", path.display());
        let outcome = world.checkpoint(&format!("r{}", case + 1), &["--json"]).run();
        // a file that only a damaged batch holds is stored again from the disk: then nothing is missing
        let stored_again = wanted.starts_with("arrivals") && outcome.code == Some(0);
        if !stored_again {
            assert_eq!(outcome.code, Some(19), "{what}: {outcome:?}");
            let report = outcome.json();
            let told: Vec<_> =
                gates(&report).into_iter().filter(|(_, outcome, _)| outcome == "failed").collect();
            let wal = path.to_str().unwrap().split_once("/wal/").map(|(_, name)| name.to_owned());
            let id = wal.or_else(|| {
                path.ancestors().find_map(|dir| {
                    let name = dir.file_name()?.to_str()?;
                    (name.contains("-base-") || name.contains("-arrivals-")).then(|| name.to_owned())
                })
            });
            // without a piece of WAL nothing leads to the point: the gate says up to where it leads
            let gap = how != "one bit flipped" && wanted == "wal";
            let named = told.iter().any(|(.., found)| id.as_ref().is_some_and(|id| found.contains(id)));
            assert!(named || gap && !told.is_empty(), "{what}: {told:#?}");
        }
        fs::write(path, &whole).unwrap();
    }
    world.pass("last", &[]);
}
