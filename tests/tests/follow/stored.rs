//! What is written is stored within seconds, and stays when Odoo collects it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lifeboat_tests::children::HANGS;
use lifeboat_tests::site::words;
use lifeboat_tests::small_tenant;

use crate::world::{LIMIT, Repo, World, end, wait_for};

/// From the moment that a file was written until the repository holds it, with the configuration as
/// `init` writes it: one second to gather, five between batches; the next scan would be minutes away.
const WITHIN: Duration = HANGS;

#[test]
fn a_new_file_is_in_the_repository_within_seconds_and_without_a_backup() {
    let world = World::start(2);
    let t1 = &world.tenants[0];
    let agent = world.following(world.agent());
    let before = Repo::of(&world.site).batches().len();
    for (n, bytes) in [100, 70_000, 9_000_000].into_iter().enumerate() {
        let content = vec![n as u8; bytes];
        let name = t1.upload(&world.cluster, "new", &content);
        let written = Instant::now();
        world.wait_held(&BTreeSet::from([name]));
        assert!(written.elapsed() < WITHIN, "{:?}", written.elapsed());
    }
    let batches = Repo::of(&world.site).batches().len() - before;
    assert!((1..=3).contains(&batches), "{batches} batches for 3 files");

    // the same content of another tenant is stored for that one, too: its name alone proves nothing
    let count = Repo::of(&world.site).batches().len();
    world.tenants[1].upload(&world.cluster, "same", &[0; 100]);
    // a tenant that comes while it runs, and a folder that nobody had
    let t3 = small_tenant(&world.cluster, &world.site.data_dir(), "t3", 3);
    let names = t3.filestore().files().into_keys().collect();
    world.wait_held(&names);
    let name = t3.upload(&world.cluster, "newer", b"of the new tenant");
    world.wait_held(&BTreeSet::from([name]));
    let repo = Repo::of(&world.site);
    let files: u64 = repo.batches()[count..].iter().map(|m| m.arrivals().unwrap().files).sum();
    assert!(files <= names.len() as u64 + 2, "{files} stored for {}", names.len());
    end(agent);
    world.verify();
}

#[test]
fn half_written_and_renamed_files_are_stored_when_they_are_whole() {
    let world = World::start(1);
    let store = world.tenants[0].filestore();
    let agent = world.following(world.agent().env("LIFEBOAT_AGENT_FOLLOW_INTERVAL", "1s"));
    let (slow, moved) = (vec![7; 600_000], vec![8; 5_000_000]);
    let name = |content: &[u8]| lifeboat_tests::filestore::store_fname(content);
    // half of it, closed: the name does not fit yet, and no batch may say that it does
    let path = store.path(&name(&slow));
    lifeboat_tests::filestore::make_dir(path.parent().unwrap());
    std::fs::write(&path, &slow[..300_000]).unwrap();
    // under another name first
    let path_moved = store.path(&name(&moved));
    lifeboat_tests::filestore::make_dir(path_moved.parent().unwrap());
    std::fs::write(path_moved.with_extension("tmp"), &moved).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let held = Repo::of(&world.site).held();
    assert!(!held.contains(&name(&slow)) && !held.contains(&name(&moved)));
    std::fs::write(&path, &slow).unwrap();
    std::fs::rename(path_moved.with_extension("tmp"), &path_moved).unwrap();
    world.wait_held(&BTreeSet::from([name(&slow), name(&moved)]));
    // one that will never fit: said, and not stored
    let odd = store.path(&name(b"what it was"));
    lifeboat_tests::filestore::make_dir(odd.parent().unwrap());
    std::fs::write(&odd, "what it is").unwrap();
    let last = world.tenants[0].upload(&world.cluster, "after it", b"after it");
    world.wait_held(&BTreeSet::from([last]));
    assert!(!Repo::of(&world.site).held().contains(&name(b"what it was")));
    end(agent);
    world.verify();
}

#[test]
fn what_is_collected_comes_back_with_the_tenant_as_it_was_before() {
    let world = World::start(2);
    let t1 = &world.tenants[0];
    // Collected as soon as its row is gone, before the batch: it is held open until then.
    let agent = world.following(world.agent().env("LIFEBOAT_AGENT_FOLLOW_INTERVAL", "3s"));
    world.back_up("base");
    let first = t1.upload(&world.cluster, "quarterly report", &[1; 50_000]);
    let quick = t1.upload(&world.cluster, "gone at once", &[2; 60_000]);
    let (time, rows) = (world.now(), t1.referenced(&world.cluster));
    world.delete_and_collect(t1, &quick);
    world.wait_held(&BTreeSet::from([first.clone(), quick.clone()]));
    world.delete_and_collect(t1, &first);
    world.wait_wal();
    // no backup of a filestore was ever made: all comes from what was stored as it came
    let names = world.recovered("t1", &time, "t1_before");
    assert_eq!(names, rows.into_keys().collect());
    assert!(names.contains(&first) && names.contains(&quick));
    end(agent);
}

#[test]
fn backups_run_beside_it_and_what_they_hold_is_not_stored_again() {
    let world = World::start(2);
    let held = |world: &World| -> BTreeSet<String> {
        world.tenants.iter().flat_map(|t| t.filestore().files().into_keys()).collect()
    };
    world.back_up("filestore");
    let agent = world.agent().env("LIFEBOAT_AGENT_FOLLOW_INTERVAL", "1s").spawn();
    let mut uploaded = BTreeSet::new();
    // each of them begins at once and ends well, whatever is followed meanwhile
    for round in 0..4 {
        uploaded.insert(world.tenants[round % 2].upload(
            &world.cluster,
            "new",
            format!("{round}").as_bytes(),
        ));
        let begun = Instant::now();
        world.back_up("filestore");
        assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    }
    wait_for("the batches hold them, too", || {
        let repo = Repo::of(&world.site);
        let batches: u64 = repo.batches().iter().map(|m| m.arrivals().unwrap().files).sum();
        batches as usize == uploaded.len()
    });
    let repo = Repo::of(&world.site);
    assert!(repo.held().is_superset(&held(&world)));
    end(agent);
    world.verify();
    // what was altered in a batch is found and named, like anything else that is stored
    let batch = repo.batches()[0].id.to_string();
    let folder = world.site.stored.join("instances/prod/arrivals").join(&batch[..8]).join(&batch);
    let pack = folder.join("packs/000000.tar.zst.age");
    lifeboat_tests::damage::flip_bit(&pack, 999);
    std::fs::write(folder.join("foreign"), "").unwrap();
    let found = world.site.run(&["verify"]).run();
    let words = words(&found);
    assert_ne!(found.code, Some(0), "{words}");
    assert!(words.contains(&format!("{batch}/packs/000000.tar.zst.age")), "{words}");
    assert!(words.contains(&format!("{batch}/foreign")), "{words}");
}
