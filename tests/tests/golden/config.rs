//! A captured configuration of format 1, with attached files; and how it was made.

use std::fs;
use std::path::PathBuf;

use lifeboat_tests::{Cluster, Program};

use crate::{Golden, keep_keys};

#[test]
fn its_manifest_says_what_the_folder_holds() {
    let golden = Golden::open("format-1-config");
    let [manifest] = &golden.manifests()[..] else { panic!("one snapshot") };
    let facts = manifest.config_facts().unwrap();
    let paths: Vec<&str> = facts.entries.iter().map(|entry| entry.path.as_str()).collect();
    assert!(paths.len() == 2 && paths.iter().all(|path| path.starts_with("files/")), "{paths:?}");
    assert!(paths[0].ends_with("/etc/odoo/new%0Aline.conf") && paths[1].ends_with("/etc/odoo/odoo.conf"));
    let artifacts: Vec<_> = facts.artifacts.iter().map(|one| (one.name.as_str(), one.bytes)).collect();
    assert_eq!(artifacts, [("modules/empty", 0), ("modules/large", 4_194_305), ("sbom.json", 3)]);
    assert_eq!(facts.left_out.len(), 1);
    let members = golden.unpack(manifest).0;
    let conf = members.iter().find(|((.., path), _)| path.ends_with("odoo.conf")).unwrap().1;
    let conf = String::from_utf8(conf.clone()).unwrap();
    assert!(conf.starts_with("[options]\ndb_host = db\ndb_password = lifeboat-hmac-sha256:"), "{conf}");
}

/// How the committed repository was made. Run it for a new format version only, into a new folder.
#[test]
#[ignore = "writes a new golden repository into the folder that TEST_GOLDEN_NEW names"]
fn make_config() {
    let to = PathBuf::from(std::env::var_os("TEST_GOLDEN_NEW").expect("TEST_GOLDEN_NEW names a new folder"));
    fs::create_dir(&to).unwrap();
    let (site, cluster) = (tempfile::tempdir().unwrap(), Cluster::start_default());
    let etc = site.path().join("etc/odoo");
    fs::create_dir_all(&etc).unwrap();
    fs::create_dir(site.path().join("modules")).unwrap();
    fs::write(etc.join("odoo.conf"), "[options]\ndb_host = db\ndb_password = for the test\n").unwrap();
    fs::write(etc.join("new\nline.conf"), "a = 1\n").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", etc.join("out")).unwrap();
    fs::write(site.path().join("modules/empty"), "").unwrap();
    fs::write(site.path().join("modules/large"), vec![b'x'; 4_194_305]).unwrap();
    fs::write(site.path().join("sbom.json"), "{}\n").unwrap();
    let run = |args: &[&str]| {
        Program::lifeboat()
            .cwd(site.path())
            .env("LIFEBOAT_POSTGRES_HOST", cluster.host())
            .env("LIFEBOAT_POSTGRES_PORT", cluster.port().to_string())
            .env("LIFEBOAT_POSTGRES_USER", cluster.user())
            .env("LIFEBOAT_CONFIGURATION_FILES", &etc)
            .args(args.to_vec())
            .run()
    };
    run(&["init", "--instance", "golden"]).ok();
    let attach = ["--attach", "modules", "--attach", "sbom.json"];
    run(&[&["backup", "--kind", "config", "--release", "2026.11.20-rc1"], &attach[..]].concat()).exits(3);
    let copy = Program::at("/bin/cp".into()).arg("-r").arg(site.path().join("lifeboat-repository"));
    copy.arg(to.join("repository")).run().ok();
    keep_keys(site.path(), &to);
    let golden = Golden {
        identity: site.path().join("lifeboat-identity.txt"),
        dir: to.clone(),
        _private: tempfile::tempdir().unwrap(),
    };
    fs::write(to.join("expected.txt"), golden.listing()).unwrap();
}
