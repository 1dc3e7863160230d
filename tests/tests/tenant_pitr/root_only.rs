//! Root restores with an identity, a configuration and a repository that only root can read: the scratch
//! server, which runs as another user, gets its WAL all the same, and nothing else.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::shared::{Shared, wait_until, write};

/// Closes a file or a directory to everybody but root.
pub fn close(path: &Path) {
    chown(path, Some(0), Some(0)).unwrap();
    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// Whether the server's user can read it.
pub fn is_open(path: &Path) -> bool {
    let test = lifeboat_tests::Program::at("/usr/bin/setpriv".into())
        .args(["--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"])
        .args(["/usr/bin/test", "-r"])
        .arg(path);
    test.cwd("/").run().code == Some(0)
}

/// The environments of all processes that work in this directory, or below.
fn environments(dir: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let there =
        processes.filter(|path| fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir)));
    there
        .filter_map(|path| fs::read(path.join("environ")).ok())
        .map(|e| String::from_utf8_lossy(&e).into())
        .collect()
}

#[test]
fn the_servers_user_can_read_neither_identity_nor_configuration_nor_repository() {
    if !geteuid().is_root() {
        lifeboat_tests::skip!("only root restores for another user");
    }
    let shared = Shared::start();
    shared.back_up(&["--kind", "base"]);
    shared.back_up(&["--kind", "filestore", "--tenant", "t1"]);
    write(&shared.cluster, "t1");
    // more than one segment, so that some is fetched ahead and some is removed again
    for _ in 0..4 {
        write(&shared.cluster, "t1");
        shared.archive();
    }
    let (then, truth) = (shared.now(), shared.state("t1"));
    write(&shared.cluster, "t1");
    shared.archive();
    let closed: Vec<PathBuf> = ["lifeboat-identity.txt", "lifeboat.toml", "repo", "lifeboat-state"]
        .iter()
        .map(|name| shared.site.path(name))
        .collect();
    for path in &closed {
        assert!(is_open(path), "{}", path.display());
        close(path);
    }
    let args = ["--to-time", &then, "--as", "back", "--no-neutralize"];
    let plan = shared.restore("t1", &args).arg("--dry-run").run().ok().json();
    assert!(!plan["warnings"].to_string().contains("cannot be read"), "{plan}");
    let running = shared
        .restore("t1", &args)
        .env("LIFEBOAT_PASSPHRASE", "marker")
        .env("AWS_SECRET_ACCESS_KEY", "marker")
        .spawn();
    let mut found = Vec::new();
    let mut dir = PathBuf::new();
    wait_until("the scratch server runs", || {
        dir = shared.scratches().pop().map(|(_, dir)| dir).unwrap_or_default();
        found = if dir.as_os_str().is_empty() { vec![] } else { environments(&dir) };
        !found.is_empty()
    });
    for environment in &found {
        for ours in ["marker", "LIFEBOAT_", "AWS_", "HOME="] {
            assert!(!environment.contains(ours), "{environment}");
        }
    }
    for path in &closed {
        assert!(!is_open(path), "{}", path.display());
    }
    let report = running.finish().ok().json();
    assert_eq!(report["missing_files"], serde_json::json!([]));
    shared.assert_is("back", &truth);
    shared.amcheck("back");
    assert!(!dir.exists() && shared.scratches().is_empty());
}
