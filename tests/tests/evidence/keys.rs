//! The keys of evidence: `init` makes them, doctor looks at them, OpenSSL's are as good.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use lifeboat_tests::Program;

use crate::{Host, PUBLIC_KEY};

const KEY: &str = "lifeboat-evidence-key.pem";

fn doctor(host: &Host) -> Option<(String, String)> {
    let report = host.run(&["doctor", "--json"]).run().json();
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "evidence key")?;
    let text = |name: &str| check[name].as_str().unwrap().to_owned();
    Some((text("status"), text("text")))
}

#[test]
fn init_makes_a_private_key_and_its_public_half() {
    let host = Host::new();
    let mode = |name: &str| fs::metadata(host.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(KEY), mode(PUBLIC_KEY)), (0o600, 0o600));
    assert_eq!(fs::read_to_string(host.path(PUBLIC_KEY)).unwrap(), host.key().public().to_pem().unwrap());
    assert_eq!(doctor(&host).unwrap().0, "ok");
    let config = fs::read_to_string(host.path("lifeboat.toml")).unwrap();
    assert!(config.contains(&format!("key_file = \"{KEY}\"")), "{config}");
    fs::set_permissions(host.path(KEY), fs::Permissions::from_mode(0o644)).unwrap();
    let (status, text) = doctor(&host).unwrap();
    assert!(status == "fail" && text.contains("can be read by others"), "{text}");
    host.run(&["init", "--if-missing"]).run().exits(4).says("can be read by others");
}

#[test]
fn an_existing_configuration_gets_its_key_from_init() {
    let host = Host::new();
    let file = host.path("lifeboat.toml");
    let whole = fs::read_to_string(&file).unwrap();
    host.forget_keys();
    [KEY, PUBLIC_KEY].iter().for_each(|name| fs::remove_file(host.path(name)).unwrap());
    assert_eq!(doctor(&host), None, "not configured, not checked");
    let json = host.run(&["init", "--if-missing", "--json"]).run().ok().json();
    assert!(json["evidence_key"].is_null() && !host.path(KEY).exists(), "{json}");
    host.run(&["evidence", "list"]).run().exits(4).says("checkpoint.trusted_key_files is empty");
    // As docs/evidence.md says.
    fs::write(&file, &whole).unwrap();
    assert_eq!(doctor(&host).unwrap().0, "fail");
    host.run(&["init", "--if-missing"]).run().ok();
    assert_eq!(doctor(&host).unwrap().0, "ok");
    let key = fs::read(host.path(KEY)).unwrap();
    host.run(&["init", "--if-missing"]).run().ok();
    assert_eq!(fs::read(host.path(KEY)).unwrap(), key, "an existing key stays");
    host.store("one", |_| {});
    // A public half that is lost is written again; one of another key is refused.
    fs::remove_file(host.path(PUBLIC_KEY)).unwrap();
    host.run(&["init", "--if-missing"]).run().ok();
    assert!(host.path(PUBLIC_KEY).exists());
    fs::copy(Host::new().path(PUBLIC_KEY), host.path(PUBLIC_KEY)).unwrap();
    host.run(&["init", "--if-missing"]).run().exits(17).says("is not the public half of");
    assert_eq!(doctor(&host).unwrap().0, "warn");
}

#[test]
fn a_pair_that_openssl_made_is_as_good() {
    let host = Host::new();
    let openssl = |args: &[&str]| {
        let done = Command::new("openssl").args(args).current_dir(host.dir.path()).output();
        let done = done.expect("openssl is installed (package openssl)");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", KEY]);
    openssl(&["pkey", "-in", KEY, "-pubout", "-out", PUBLIC_KEY]);
    fs::set_permissions(host.path(KEY), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(doctor(&host).unwrap().0, "ok");
    let stored = host.store("one", |_| {});
    fs::write(host.path("file.json"), &stored.envelope).unwrap();
    host.run(&["evidence", "verify", "file.json", "--key", PUBLIC_KEY]).run().ok();
    // A key of another curve is not a key of evidence.
    openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", "p384.pem"]);
    openssl(&["pkey", "-in", "p384.pem", "-pubout", "-out", "p384.pub.pem"]);
    let refused = host.run(&["evidence", "verify", "file.json", "--key", "p384.pub.pem"]).run();
    refused.exits(4).says("p384.pub.pem");
}

#[test]
fn a_host_that_only_verifies_needs_three_variables() {
    let host = Host::new();
    host.store("one", |_| {});
    let away = tempfile::tempdir().unwrap();
    let require = |env: [(&str, &str); 3]| {
        Program::lifeboat().cwd(away.path()).envs(env).args(["evidence", "require", "--release", "one"]).run()
    };
    let (repository, key) = (host.path("lifeboat-repository"), host.path(PUBLIC_KEY));
    let env = |key| {
        [
            ("LIFEBOAT_INSTANCE", "prod"),
            ("LIFEBOAT_REPOSITORY_URL", repository.to_str().unwrap()),
            ("LIFEBOAT_CHECKPOINT_TRUSTED_KEY_FILES", key),
        ]
    };
    require(env(key.to_str().unwrap())).ok();
    require(env("none.pem")).exits(4).says("none.pem");
}
