//! `lifeboat.json` and `instance.json`, which every signature covers: altered, they are one thing
//! that is wrong; gone, nothing makes new ones over the snapshots that need the old.

use std::fs;

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};

use crate::{found, verify};

#[test]
fn an_altered_description_is_one_finding_and_a_lost_one_is_not_made_anew() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 1);
    site.back_up(&[]);
    let away = site.path("away");
    for name in ["lifeboat.json", "instances/prod/instance.json"] {
        let file = site.stored.join(name);
        let whole = fs::read_to_string(&file).unwrap();
        let altered = whole.replace("\"created\": \"20", "\"created\": \"19");
        assert_ne!(altered, whole);
        fs::write(&file, altered).unwrap();
        let outcome = found(&site, &[], &file);
        assert_eq!(outcome.stdout.matches("bad: ").count(), 1, "{outcome}");
        assert!(outcome.stdout.contains("3 snapshots cannot be restored whole"), "{outcome}");
        // Everything else is checked all the same.
        assert!(outcome.stdout.contains("\n3 snapshots: "), "{outcome}");
        assert!(!outcome.stdout.contains("not checked"), "{outcome}");
        fs::write(&file, &whole).unwrap();

        fs::rename(&file, &away).unwrap();
        for command in [&["verify"][..], &["list"], &["backup"]] {
            let outcome = site.run(command).run();
            assert!(matches!(outcome.code, Some(9 | 10)), "{outcome}");
            outcome.says(" is missing in ").says("damaged-repository.md");
        }
        assert!(!file.exists(), "a new {name} would disown every snapshot");
        fs::rename(&away, &file).unwrap();
    }
    let meta = site.stored.join("lifeboat.json");
    fs::rename(&meta, &away).unwrap();
    let config = site.path("second.toml").display().to_string();
    let url = site.stored.display().to_string();
    let (identity, key) = (site.path("i2").display().to_string(), site.path("k2").display().to_string());
    let keys = ["--identity-file", &identity, "--signing-key", &key, "--config", &config];
    let init = site.run(&["init", "--instance", "prod", "--repository", &url]).args(keys).run();
    assert!(matches!(init.code, Some(9)), "{init}");
    assert!(!meta.exists());
    fs::rename(&away, &meta).unwrap();
    verify(&site, &[]).ok();
}
