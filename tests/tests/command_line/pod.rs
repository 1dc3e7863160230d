//! `lifeboat init` in a pod: configured by its environment alone, with secrets that are mounted, and again at
//! every start.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use lifeboat::archive::signature::SigningKey;
use lifeboat::config::{Config, Inputs};
use lifeboat_tests::Program;
use lifeboat_tests::program::bin_dir;
use tempfile::TempDir;

use crate::RECIPIENT;

/// User and group of the pod, as its security context says.
const USER: u32 = 10_001;
const GROUP: u32 = 20_001;

/// A pod's files: a Secret as kubelet mounts it, and a volume of its own.
struct Pod {
    dir: TempDir,
    trusted: String,
}

impl Pod {
    fn new() -> Pod {
        let dir = tempfile::Builder::new().prefix("lbp-").tempdir().unwrap();
        let key = SigningKey::generate("pod").unwrap();
        let secret = dir.path().join("secret/..2026_11_28");
        fs::create_dir_all(&secret).unwrap();
        fs::write(secret.join("signing-key"), key.to_openssh().unwrap()).unwrap();
        symlink("..2026_11_28", dir.path().join("secret/..data")).unwrap();
        symlink("..data/signing-key", dir.path().join("secret/signing-key")).unwrap();
        fs::create_dir(dir.path().join("volume")).unwrap();
        let pod = Pod { trusted: key.public_text().unwrap(), dir };
        let mode = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        mode(pod.dir.path(), 0o755);
        if is_root() {
            // root's, of the group of fsGroup: 0440
            chown(secret.join("signing-key"), Some(0), Some(GROUP)).unwrap();
            chown(pod.path("volume"), Some(0), Some(GROUP)).unwrap();
            mode(&secret.join("signing-key"), 0o440);
            mode(&pod.path("volume"), 0o2775);
        } else {
            mode(&secret.join("signing-key"), 0o400);
        }
        pod
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn key(&self) -> PathBuf {
        self.path("secret/..2026_11_28/signing-key")
    }

    /// As the container runs it: a user without a name, the group of the volumes.
    fn run(&self, args: &[&str]) -> Program {
        let lifeboat = bin_dir().join("lifeboat");
        let program = match is_root() {
            true => Program::at("/usr/bin/setpriv".into())
                .args(["--reuid", &USER.to_string(), "--regid", &USER.to_string()])
                .args(["--groups", &GROUP.to_string(), "--no-new-privs", "--"])
                .arg(lifeboat),
            false => Program::lifeboat(),
        };
        program
            .args(args.to_vec())
            .cwd(self.path("volume"))
            .env("LIFEBOAT_INSTANCE", "prod")
            .env("LIFEBOAT_REPOSITORY_URL", self.path("volume/repository"))
            .env("LIFEBOAT_STATE_DIR", self.path("volume/state"))
            .env("LIFEBOAT_SEAL_RECIPIENTS", RECIPIENT)
            .env("LIFEBOAT_SIGNING_KEY_FILE", self.path("secret/signing-key"))
            .env("LIFEBOAT_SIGNING_TRUSTED_KEYS", &self.trusted)
            .env("LIFEBOAT_POSTGRES_HOST", "/nonexistent")
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_pod_begins_from_its_environment_alone_and_again_at_every_start() {
    let pod = Pod::new();
    let first = pod.run(&["init", "--if-missing", "--json"]).run().ok().json();
    assert_eq!((&first["made_repository"], &first["config"]), (&true.into(), &serde_json::Value::Null));
    assert!(!pod.path("volume/lifeboat.toml").exists(), "no file is written");
    let again = pod.run(&["init", "--if-missing", "--json"]).run().ok().json();
    assert_eq!((&again["made_repository"], &again["made_state_dir"]), (&false.into(), &false.into()));
    assert_eq!(again["repository_id"], first["repository_id"]);
    pod.run(&["init"]).run().ok(); // the environment says it all: there is nothing to overwrite
    let checks = pod.run(&["doctor", "--json"]).run().json().to_string();
    assert!(checks.contains("private, and its public half is trusted"), "{checks}");
}

#[test]
fn what_does_not_fit_is_said_before_anything_is_made() {
    let pod = Pod::new();
    let nothing = || assert!(!pod.path("volume/repository").exists() && !pod.path("volume/state").exists());
    let stranger = SigningKey::generate("other").unwrap().public_text().unwrap();
    pod.run(&["init", "--if-missing"])
        .env("LIFEBOAT_SIGNING_TRUSTED_KEYS", stranger)
        .run()
        .exits(4)
        .says("is not in signing.trusted_keys")
        .says(&format!("LIFEBOAT_SIGNING_TRUSTED_KEYS='{}'", pod.trusted));
    nothing();
    pod.run(&["init", "--if-missing", "--data-dir", "/other"]).run().exits(17).says("--data-dir says /other");
    nothing();
    fs::set_permissions(pod.key(), PermissionsExt::from_mode(0o444)).unwrap();
    pod.run(&["init"]).run().exits(4).says("can be read by others").says("mode 0444");
    nothing();
    fs::remove_file(pod.key()).unwrap();
    pod.run(&["init"]).run().exits(5).says("signing-key").says("ssh-keygen -t ed25519");
    nothing();
}

#[test]
fn a_file_that_is_there_is_fine_where_it_is_the_same_and_refused_where_it_is_another() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| Program::lifeboat().cwd(dir.path()).arg("init").args(args.to_vec()).run();
    run(&["--if-missing", "--instance", "prod", "--data-dir", "/d", "--set", "backup.workers=3"]).ok();
    let text = fs::read_to_string(dir.path().join("lifeboat.toml")).unwrap();
    run(&["--if-missing", "--instance", "prod", "--data-dir", "/d", "--set", "backup.workers=3"]).ok();
    run(&["--if-missing"]).ok();
    assert_eq!(fs::read_to_string(dir.path().join("lifeboat.toml")).unwrap(), text);
    run(&["--instance", "prod"]).exits(17).says("already exists");
    for (args, says) in [
        (["--instance", "other"], "says instance = \"prod\", but this command says \"other\""),
        (["--repository", "elsewhere"], "says repository.url = "),
        (["--data-dir", "/e"], "--data-dir says /e, but the configuration says /d"),
        (["--set", "backup.workers=4"], "--set backup.workers=4 contradicts the configuration"),
        (["--recipient", RECIPIENT], "is not in the configuration"),
    ] {
        run(&[&["--if-missing"], args.as_slice()].concat()).exits(17).says(says);
    }
    assert_eq!(fs::read_to_string(dir.path().join("lifeboat.toml")).unwrap(), text);
    // Killed before the configuration was written: keys that are there are taken.
    let key = fs::read(dir.path().join("lifeboat-signing-key")).unwrap();
    fs::remove_file(dir.path().join("lifeboat.toml")).unwrap();
    run(&["--instance", "prod"]).exits(17).says("already exists");
    run(&["--if-missing", "--instance", "prod", "--data-dir", "/d", "--set", "backup.workers=3"]).ok();
    assert_eq!(fs::read(dir.path().join("lifeboat-signing-key")).unwrap(), key);
    assert_eq!(fs::read_to_string(dir.path().join("lifeboat.toml")).unwrap(), text);
}

#[test]
fn the_example_for_kubernetes_is_a_configuration_that_fits() {
    let file = lifeboat_tests::program::workspace_root().join("deploy/kubernetes/lifeboat.yaml");
    let text = fs::read_to_string(file).unwrap();
    let given = text.lines().filter_map(|line| line.trim().split_once(": "));
    let given: Vec<_> = given.filter(|(name, _)| name.starts_with("LIFEBOAT_")).collect();
    let pod = Pod::new();
    let load = |recipients: &str, trusted: &str| {
        let value = |name: &str, text: &str| match name {
            "LIFEBOAT_SEAL_RECIPIENTS" => recipients.to_owned(),
            "LIFEBOAT_SIGNING_TRUSTED_KEYS" => trusted.to_owned(),
            _ => text.trim_matches('"').to_owned(),
        };
        let environment = given.iter().map(|(name, text)| (name.into(), value(name, text).into())).collect();
        Config::load(&Inputs { environment, ..Inputs::default() })
    };
    let config = load(&format!("{RECIPIENT},{RECIPIENT}"), &pod.trusted).unwrap();
    assert!(config.agent.listen.is_some_and(|address| !address.ip().is_loopback()));
    assert!(config.schedule.backup.is_some() && config.schedule.base.is_some());
    assert!(
        config.state_dir.starts_with("/var/lib/lifeboat/"),
        "a directory of ours in the volume, not the volume"
    );
    assert!(load("REPLACE", &pod.trusted).is_err() && load(RECIPIENT, "REPLACE").is_err());
    let port = format!("containerPort: {}", config.agent.listen.unwrap().port());
    for words in ["path: /livez", "path: /readyz", "defaultMode: 0440", "fsGroup:", "--if-missing", &port] {
        assert!(text.contains(words), "{words} is not in the example");
    }
}

#[test]
fn the_example_of_expire_for_kubernetes_is_a_configuration_that_fits() {
    let file = lifeboat_tests::program::workspace_root().join("deploy/kubernetes/expire.yaml");
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().skip_while(|line| !line.contains("lifeboat.toml: |")).skip(1);
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
    let toml: String = lines.map(|line| format!("{}\n", line.get(4..).unwrap_or_default())).collect();
    let pod = Pod::new();
    let parse = |text: &str| Config::parse("lifeboat.toml".as_ref(), text, &Inputs::default());
    assert!(parse(&toml).is_err(), "what is to be replaced is no key");
    let toml = toml.replace("\"REPLACE\"", "\"shop\"");
    let config = parse(&toml.replace("REPLACE: the line of signing-key.pub", &pod.trusted)).unwrap();
    assert!(
        config.expire.key_file.is_some() && !config.classes.is_empty() && !config.odoo.tenants.is_empty()
    );
    assert!(
        config.seal.recipients.is_empty() && config.signing.key_file.is_none(),
        "it seals and signs nothing"
    );
    for words in ["concurrencyPolicy: Forbid", "backoffLimit: 0", "\"expire\", \"--yes\", \"--stored-only\""]
    {
        assert!(text.contains(words), "{words} is not in the example");
    }
}
