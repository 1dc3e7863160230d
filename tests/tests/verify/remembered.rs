//! What a check found broken is what `lifeboat status` says, until a check finds it whole or something whole
//! is stored.

use std::path::PathBuf;

use lifeboat::archive::manifest::SnapshotKind;
use lifeboat_tests::damage::flip_bit;
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, small_tenant};
use serde_json::Value;

use crate::forge::folders;
use crate::{found, verify};

fn standing(site: &Site, tenant: &str, code: i32) -> Value {
    let told = site.run(&["status", "--json"]).run().exits(code).json();
    told["tenants"].as_array().unwrap().iter().find(|one| one["tenant"] == tenant).unwrap().clone()
}

fn pack(site: &Site, kind: SnapshotKind) -> PathBuf {
    folders(&site.stored, kind).last().unwrap().join("packs/000000.tar.zst.age")
}

#[test]
fn status_says_what_the_last_check_found() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "shop", 3);
    site.back_up(&[]);
    assert_eq!(standing(&site, "shop", 0)["standing"], "ok");

    // Nothing is whole: there is nothing that a restore could take.
    let dump = pack(&site, SnapshotKind::Dump);
    flip_bit(&dump, 900);
    assert_eq!(standing(&site, "shop", 0)["standing"], "ok", "nobody has looked yet");
    found(&site, &[], &dump);
    let broken = standing(&site, "shop", 3);
    assert_eq!((&broken["standing"], &broken["rpo_seconds"]), (&"broken".into(), &Value::Null), "{broken}");
    assert_eq!((broken["dumps"].as_u64(), broken["broken_dumps"].as_u64()), (Some(0), Some(1)));
    let text = site.run(&["status"]).run().exits(3).stdout;
    assert!(text.contains("BROKEN") && text.contains("everything"), "{text}");
    // A newer dump that is whole; the check of another tenant says nothing of this one.
    site.back_up(&[]);
    assert_eq!(standing(&site, "shop", 3)["standing"], "ok");
    let told = site.run(&["status"]).run().exits(3);
    assert!(
        told.stdout.contains("problem: lifeboat verify found: "),
        "the older one is still damaged: {told}"
    );
    // A check of something else, or one that reads nothing, does not end that.
    verify(&site, &["--tenant", "shop", "--quick"]).ok();
    verify(&site, &["--quick"]).ok();
    let told = site.run(&["status"]).run().exits(3);
    assert!(told.stdout.contains("1 snapshot cannot be restored whole"), "{told}");
    flip_bit(&dump, 900);
    verify(&site, &[]).ok();
    assert_eq!(standing(&site, "shop", 0)["broken_dumps"], 0);

    // The files of all dumps lie in the first filestore: those of one that comes later, too.
    let files = folders(&site.stored, SnapshotKind::Filestore)[0].join("packs/000000.tar.zst.age");
    flip_bit(&files, 9000);
    found(&site, &[], &files);
    assert_eq!(standing(&site, "shop", 3)["standing"], "broken");
    tenant.upload(&cluster, "new", b"new");
    site.back_up(&[]);
    assert_eq!(standing(&site, "shop", 3)["standing"], "broken", "it needs the broken one");
    // A sample, or a check of something else, forgets nothing.
    flip_bit(&files, 9000);
    verify(&site, &["--sample", "1"]).ok();
    assert_eq!(standing(&site, "shop", 3)["standing"], "broken");
    verify(&site, &["--tenant", "shop"]).ok();
    assert_eq!(standing(&site, "shop", 0)["standing"], "ok");
    // What was found before is not known: that is no "ok", whoever asks.
    std::fs::write(site.path("lifeboat-state/prod/verified.json"), "{").unwrap();
    for command in ["status", "window"] {
        let asked = site.run(&[command]).run().exits(3);
        assert!(words(&asked).contains("is damaged: it should contain the findings"), "{asked}");
        let told = site.run(&[command, "--json"]).run().exits(3).json();
        assert_eq!(told["problems"].as_array().unwrap().len(), 1, "{told}");
    }
}

#[test]
fn a_broken_base_backup_counts_for_nothing() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    site.edit("[odoo]", "[odoo]\ntenants = [\"shop\"]");
    site.back_up(&["--kind", "base"]);
    assert_eq!(standing(&site, "shop", 0)["standing"], "ok");
    let base = pack(&site, SnapshotKind::Base);
    flip_bit(&base, 9000);
    found(&site, &[], &base);
    assert_eq!(standing(&site, "shop", 3)["standing"], "never");
    assert!(site.run(&["status"]).run().exits(3).stdout.contains("BROKEN"));
    flip_bit(&base, 9000);
    verify(&site, &[]).ok();
    assert_eq!(standing(&site, "shop", 0)["standing"], "ok");
}
