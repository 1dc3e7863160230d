//! One command as root by hand, between runs of the service: nobody is locked out. Runs as root only, which
//! is who can do that.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_tests::compare::walk;
use lifeboat_tests::program::{Program, bin_dir};
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, skip, small_tenant};

/// Whom the service runs as.
const SERVICE: &str = "postgres";

/// Gives everything to the service.
fn give(dir: &Path) {
    let done =
        Command::new("chown").args(["-hR", &format!("{SERVICE}:{SERVICE}")]).arg(dir).status().unwrap();
    assert!(done.success());
}

/// `lifeboat`, run by the service beside the configuration.
fn service(dir: &Path, args: &[&str]) -> Program {
    let program = dir.join("lifeboat");
    if !program.exists() {
        fs::copy(bin_dir().join("lifeboat"), &program).unwrap(); // it cannot reach that of the build everywhere
        give(&program);
    }
    Program::at("/usr/bin/setpriv".into())
        .args([
            format!("--reuid={SERVICE}"),
            format!("--regid={SERVICE}"),
            "--init-groups".into(),
            "--".into(),
        ])
        .arg(program)
        .args(args.to_vec())
        .cwd(dir)
}

fn of_root(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(dir, &mut |path| {
        if fs::symlink_metadata(path).unwrap().uid() == 0 {
            found.push(path.to_owned());
        }
    });
    found
}

#[test]
fn one_run_as_root_does_not_lock_the_service_out() {
    if !rustix::process::geteuid().is_root() {
        skip!("only root can run something as root between the service's runs");
    }
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 3);
    let dir = site.path("");
    give(&dir);
    service(&dir, &["backup"]).run().ok();
    tenant.upload(&cluster, "new", b"what root will be the first to back up");
    give(&site.data_dir());

    // by hand, everything that writes
    let identity = ["--identity", "lifeboat-identity.txt"];
    site.backup(&[]).run().ok();
    site.backup(&["--kind", "base"]).run().ok();
    site.run(&["verify"]).run().ok();
    let _ = site.run(&["status"]).run();
    site.run(&["restore", "--tenant", "acme", "--as", "by_root", "--yes"]).args(identity).run().ok();
    site.run(&["cat", "--help"]).run().ok();
    let segment = cluster.data_dir().join("pg_wal").join(
        cluster
            .psql("postgres", "select pg_walfile_name(pg_current_wal_lsn()); select pg_switch_wal()")
            .lines()
            .next()
            .unwrap(),
    );
    site.run(&["wal", "push"]).arg(&segment).run().ok();
    assert_eq!(of_root(&dir), Vec::<PathBuf>::new());

    // the service goes on: nothing is stored again, and what root stored can be restored
    let again = service(&dir, &["backup", "--json"]).run().ok();
    assert!(!again.stdout.contains("full_because\":\""), "{again}");
    service(&dir, &["backup", "--kind", "base"]).run().ok();
    service(&dir, &["wal", "push"]).arg(&segment).run().ok();
    service(&dir, &["restore", "--tenant", "acme", "--as", "by_service", "--yes"]).args(identity).run().ok();

    // what an older version left behind is told, with a mend that works as it stands
    let known = site.known_file("acme");
    chown(&known, Some(0), Some(0)).unwrap();
    let told = service(&dir, &["doctor"]).run();
    assert!(
        words(&told).contains("with another owner than the directory") && words(&told).contains("known.zst"),
        "{told}"
    );
    let told = words(&told);
    let mend = told.split("chown ").nth(1).unwrap().split(';').next().unwrap();
    assert!(Command::new("sh").arg("-c").arg(format!("chown {mend}")).status().unwrap().success());
    let mended = service(&dir, &["doctor"]).run();
    assert!(!words(&mended).contains("with another owner than the directory"), "{mended}");
}

#[test]
fn init_as_root_in_the_services_directory_gives_it_everything() {
    if !rustix::process::geteuid().is_root() {
        skip!("only root can run something as root in the service's directory");
    }
    let dir = tempfile::tempdir().unwrap();
    give(dir.path());
    let init = Program::lifeboat().cwd(dir.path());
    init.args(["init", "--instance", "prod", "--repository", "deep/repo"]).run().ok();
    assert_eq!(of_root(dir.path()), Vec::<PathBuf>::new());
    assert!(dir.path().join("lifeboat.toml").exists());
}
