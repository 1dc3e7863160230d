//! What a check covers: the snapshots that were asked for with all that they need, a share of the
//! objects, at a rate.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat::archive::manifest::SnapshotKind;
use lifeboat_tests::damage::flip_bit;
use lifeboat_tests::filestore::Seeded;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};

use crate::forge::folders;
use crate::{found, objects, those, verify};

fn id(folder: &Path) -> String {
    folder.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn snapshots_that_others_need_are_missed_when_gone_and_checked_with_them() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "shop", 3);
    small_tenant(&cluster, &site.data_dir(), "other", 1);
    for text in ["one", "two"] {
        tenant.upload(&cluster, text, text.as_bytes());
        site.back_up(&[]);
    }
    let of_shop = |kind| -> Vec<PathBuf> {
        let all = folders(&site.stored, kind);
        let ours = |p: &PathBuf| {
            fs::read_to_string(p.join("manifest.json")).unwrap().contains("\"tenant\": \"shop\"")
        };
        all.into_iter().filter(ours).collect()
    };
    let (dumps, filestores) = (of_shop(SnapshotKind::Dump), of_shop(SnapshotKind::Filestore));
    let [first, second] = &filestores[..] else { panic!("{filestores:?}") };
    let pack = first.join("packs/000000.tar.zst.age");
    let (old, new) = (id(&dumps[0]), id(&dumps[1]));

    // The content of the newest dump's filestore lies in an older snapshot: checked with it.
    flip_bit(&pack, 9000);
    let outcome = found(&site, &[&new], &pack);
    assert!(outcome.stdout.contains("4 snapshots cannot be restored whole"), "{outcome}");
    found(&site, &["--tenant", "shop"], &pack);
    verify(&site, &["--tenant", "other"]).ok();
    verify(&site, &[&id(&folders(&site.stored, SnapshotKind::Globals)[0])]).ok();
    flip_bit(&pack, 9000);
    // What only the newer one has, the older does not need.
    let pack = second.join("packs/000000.tar.zst.age");
    flip_bit(&pack, 2000);
    verify(&site, &[&old]).ok();
    let outcome = found(&site, &[&old, &new], &pack);
    assert!(outcome.stdout.contains("2 snapshots cannot be restored whole"), "{outcome}");
    // What a restore would take then: of one the older dump, of the other the newest.
    let told = verify(&site, &["--json"]).exits(10).json();
    let newest = told["newest_whole"].as_array().unwrap();
    assert_eq!((&newest[1]["tenant"], &newest[1]["snapshot"]), (&"shop".into(), &old.clone().into()));
    assert_ne!(newest[0]["snapshot"], serde_json::Value::Null);
    let line = format!("newest undamaged dump of shop: {old}\n");
    assert!(outcome.stdout.contains(&line), "{outcome}");
    flip_bit(&pack, 2000);

    // The parent, gone as a whole, or as far as it counts.
    let away = site.path("away");
    fs::rename(first, &away).unwrap();
    for args in [vec![], vec!["--tenant", "shop"], vec![new.as_str()]] {
        let outcome = verify(&site, &args).exits(10);
        let gone = format!("bad: instances/prod/snapshots/{}\n", id(first));
        assert!(outcome.stdout.contains(&gone), "{outcome}");
        assert!(
            outcome.stdout.contains("gone, and others need it") && outcome.stdout.contains(&id(second)),
            "{outcome}"
        );
    }
    let listed = site.run(&["list", "--tenant", "shop"]).run().exits(3);
    assert_eq!(listed.stdout.matches("cannot be restored whole without").count(), 3, "{listed}");
    assert!(listed.stdout.contains(&id(first)), "{listed}");
    site.run(&["list", "--tenant", "other"]).run().ok();
    site.run(&["show", &id(first)]).run().exits(5).says("there is no snapshot");
    verify(&site, &["--tenant", "other"]).ok();
    fs::rename(&away, first).unwrap();
    fs::rename(first.join("manifest.json"), &away).unwrap();
    let outcome = verify(&site, &[]).exits(10);
    assert!(outcome.stdout.contains("its manifest is missing, so it cannot be used"), "{outcome}");
    fs::rename(&away, first.join("manifest.json")).unwrap();
    // The newest dump, which nothing else needs.
    let dump = folders(&site.stored, SnapshotKind::Dump).pop().unwrap();
    fs::rename(dump.join("manifest.json"), &away).unwrap();
    let outcome = verify(&site, &[]).exits(10);
    assert!(outcome.stdout.contains("its signature is stored and its manifest is not"), "{outcome}");
    assert!(
        outcome.stdout.contains(&format!("snapshot {} cannot be restored whole", id(&dump))),
        "{outcome}"
    );
    fs::rename(&away, dump.join("manifest.json")).unwrap();

    verify(&site, &["20200101T000000Z-dump-00000000"]).exits(5).says("there is no snapshot");
    verify(&site, &["--tenant", "nobody"]).exits(5).says("there is no snapshot of tenant nobody");
    verify(&site, &[]).ok();

    // A repository that somebody emptied is not a sound one.
    fs::rename(site.stored.join("instances/prod/snapshots"), &away).unwrap();
    verify(&site, &[]).exits(5).says("there is no snapshot of instance prod");
}

#[test]
fn what_production_still_has_is_stored_anew_as_the_runbook_says() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    site.back_up(&[]);
    let pack = folders(&site.stored, SnapshotKind::Filestore)[0].join("packs/000000.tar.zst.age");
    flip_bit(&pack, 9000);
    let newest_dump = || id(&folders(&site.stored, SnapshotKind::Dump).pop().unwrap());
    site.back_up(&[]);
    found(&site, &[&newest_dump()], &pack);
    fs::remove_file(site.known_file("shop")).unwrap();
    site.back_up(&[]);
    verify(&site, &[&newest_dump()]).ok();
    let outcome = found(&site, &[], &pack);
    let line = format!("newest undamaged dump of shop: {}\n", newest_dump());
    assert!(outcome.stdout.contains(&line), "{outcome}");
}

#[test]
fn a_sample_reads_its_share_and_a_rate_is_kept() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "shop", 2);
    tenant.upload(&cluster, "noise", &Seeded::new(1).noise(3 << 20));
    site.back_up(&[]);
    let count = |args: &[&str]| {
        let told = verify(&site, &[args, &["--json"]].concat()).ok().json();
        (told["objects_checked"].as_u64().unwrap(), told["objects_not_checked"].as_u64().unwrap())
    };
    let (all, none) = count(&[]);
    assert_eq!(none, 0);
    assert_eq!(count(&["--sample", "100"]), (all, 0));
    assert_eq!(count(&["--sample", "50"]), (all.div_ceil(2), all / 2));
    assert_eq!(count(&["--sample", "0.01%"]), (1, all - 1));
    for wrong in ["0", "101", "-1", "nan", "few"] {
        verify(&site, &["--sample", wrong]).exits(2);
    }
    // Which ones is by chance: of one bad object among all, some samples of the half tell.
    let stored = objects(&site.stored);
    let pack = those(&stored, "packs/")[0];
    flip_bit(pack, 4000);
    let codes: Vec<_> = (0..24).map(|_| verify(&site, &["--sample", "50"]).code.unwrap()).collect();
    assert!(codes.contains(&0) && codes.contains(&10), "{codes:?}");
    flip_bit(pack, 4000);

    // Some 3 MiB: at 1 MiB/s about three seconds, without a limit far less.
    let bytes = verify(&site, &["--json"]).ok().json()["bytes_checked"].as_u64().unwrap();
    for deep in [&[][..], &["--deep", "--identity", "lifeboat-identity.txt"]] {
        let took = verify(&site, &[&["--rate-limit", "1MiB/s"], deep].concat()).ok().took;
        let due = Duration::from_secs_f64(bytes as f64 / f64::from(1 << 20));
        assert!(due > Duration::from_secs(2) && took > due.mul_f64(0.7), "{took:?} for {bytes} bytes");
        assert!(took < due.mul_f64(3.0) + Duration::from_secs(10), "{took:?} for {bytes} bytes");
    }
    verify(&site, &["--rate-limit", "0"]).exits(2);
}
