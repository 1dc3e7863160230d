//! Batches hold files a second time: a filestore's backup that is damaged is made up for by them, each
//! tenant's by what came from it; and a batch that was lost is missed.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use lifeboat_tests::damage::flip_bit;
use lifeboat_tests::filestore::Filestore;
use lifeboat_tests::site::words;
use lifeboat_tests::tenant::referenced;

use crate::world::{Repo, World, end, wait_for};

fn folder(world: &World, batch: &str) -> PathBuf {
    world.site.stored.join("instances/prod/arrivals").join(&batch[..8]).join(batch)
}

#[test]
fn a_damaged_backup_of_a_filestore_is_made_up_for_by_batches_of_the_same_tenant() {
    let world = World::start(2);
    let [t1, t2] = [&world.tenants[0], &world.tenants[1]];
    let agent = world.following(world.agent().env("LIFEBOAT_AGENT_FOLLOW_INTERVAL", "1s"));
    // both have the same content, and a batch stores it for both
    let same = b"terms of delivery, the same for everybody";
    let [name, also] = [t1, t2].map(|tenant| tenant.upload(&world.cluster, "terms.pdf", same));
    assert_eq!(name, also);
    let secret = t2.upload(&world.cluster, "secret.pdf", b"what t2 pays");
    world.wait_held(&BTreeSet::from([name.clone(), secret.clone()]));
    // knows the digest, has neither row nor file of its own
    let last = t1.upload(&world.cluster, "x.pdf", b"x");
    world.wait_held(&BTreeSet::from([last.clone()]));
    std::thread::sleep(std::time::Duration::from_secs(3));
    end(agent);
    world.cluster.psql(
        "t1",
        &format!(
            "update ir_attachment set store_fname = '{secret}', file_size = 12 where store_fname = '{last}'"
        ),
    );
    world.lifeboat(&["backup", "--tenant", "t1"]).run().exits(3).says("1 files");
    let filestore = fs::read_dir(world.site.stored.join("instances/prod/snapshots")).unwrap();
    let filestore =
        filestore.map(|e| e.unwrap().path()).find(|p| p.to_string_lossy().contains("-filestore-")).unwrap();
    flip_bit(&filestore.join("packs/000000.tar.zst.age"), 5_000);
    let identity = ["--yes", "--json", "--identity", "lifeboat-identity.txt"];
    let done = world.lifeboat(&["restore", "--tenant", "t1", "--as", "back"]).args(identity).run().ok();
    let report = done.json();
    assert!(report["warnings"].to_string().contains("-arrivals-"), "{}", report["warnings"]);
    let missing: Vec<&str> = report["missing_files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["store_fname"].as_str().unwrap())
        .collect();
    assert_eq!(missing, [secret.as_str()], "whoever knows a digest gets no file of another tenant");
    let there = Filestore::of(&world.site.data_dir(), "back");
    let mut rows = referenced(&world.cluster, "back");
    rows.remove(&secret);
    assert!(there.faults(&rows).is_empty(), "{:?}", there.faults(&rows));
    assert!(rows.contains_key(&name) && !there.path(&secret).exists());
}

#[test]
fn a_batch_whose_manifest_is_lost_is_missed() {
    let world = World::start(1);
    let agent = world.following(world.agent());
    end(agent);
    world.lifeboat(&["backup"]).run().ok();
    world.lifeboat(&["verify"]).run().ok();
    let batch = Repo::of(&world.site).batches()[0].id.to_string();
    let folder = folder(&world, &batch);
    for gone in [&["manifest.json"][..], &["manifest.json", "manifest.json.sig"]] {
        let was: Vec<_> =
            gone.iter().map(|name| (folder.join(name), fs::read(folder.join(name)).unwrap())).collect();
        was.iter().for_each(|(path, _)| fs::remove_file(path).unwrap());
        let found = world.lifeboat(&["verify"]).run().exits(10);
        let said = words(&found);
        assert!(said.contains(&batch) && !said.contains("all of it is as it was stored"), "{said}");
        was.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    }
    world.lifeboat(&["verify"]).run().ok();
    // all of it gone; and the agent stores once more what is still there
    fs::remove_dir_all(&folder).unwrap();
    world.lifeboat(&["verify"]).run().exits(10);
    let agent = world.agent().spawn();
    wait_for("the agent looks what there is", || world.lifeboat(&["verify"]).run().code == Some(0));
    wait_for("what is still there is stored", || world.lacking().is_empty());
    end(agent);
}
