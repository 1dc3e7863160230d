//! What a server that a restore starts finds in its environment: with it comes what it runs, our own `wal
//! fetch` and whatever code a tenant gets to run there.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use lifeboat_tests::Program;

use crate::archiving::{Archiving, DIGEST, LIMIT, as_server};
use crate::copy::Copied;
use lifeboat_tests::program::bin_dir;

/// The programs of the server, `pg_ctl` wrapped: it leaves its environment in a file.
fn wrapped(archiving: &Archiving) -> (PathBuf, PathBuf) {
    let (bin, dump) = (archiving.site.path("bin"), archiving.site.path("dump"));
    fs::create_dir(&bin).unwrap();
    for entry in fs::read_dir(archiving.cluster.bin_dir()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "pg_ctl" {
            symlink(entry.path(), bin.join(entry.file_name())).unwrap();
        }
    }
    let real = archiving.cluster.bin("pg_ctl");
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *\" start \"*) env > {0}; chmod 666 {0};; esac\nexec {1} \"$@\"\n",
        dump.display(),
        real.display()
    );
    fs::write(bin.join("pg_ctl"), script).unwrap();
    for path in [bin.join("pg_ctl"), bin.clone(), archiving.site.path("")] {
        fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
    }
    (bin, dump)
}

/// Restores and starts; the names of what the server's `pg_ctl` found.
fn found(archiving: &Archiving, program: Program, bin: &Path, dump: &Path, ledger: &str) -> String {
    let copied = Copied::new();
    let done = program
        .args([
            "restore",
            "--yes",
            "--json",
            "--identity",
            "lifeboat-identity.txt",
            "--start",
            "--instance-to",
        ])
        .arg(copied.data_dir())
        .cwd(archiving.site.path(""))
        .env("LIFEBOAT_POSTGRES_BIN_DIR", bin)
        .env("LIFEBOAT_PASSPHRASE", "marker")
        .env("AWS_SECRET_ACCESS_KEY", "marker")
        .env("AWS_REGION", "eu-central-1")
        .env("PGPASSWORD", "marker")
        .env("VAULT_TOKEN", "marker")
        .limit(LIMIT)
        .run();
    assert!(done.code == Some(0), "{done}\n{}", copied.log());
    copied.started(&archiving.cluster, done.json()["started"]["socket_dir"].as_str().unwrap());
    assert_eq!(copied.psql("shop", DIGEST), ledger, "WAL was fetched");
    let text = fs::read_to_string(dump).unwrap();
    fs::remove_file(dump).unwrap();
    let names = text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    format!(" {} ", names.collect::<Vec<_>>().join(" "))
}

#[test]
fn a_server_as_another_user_gets_no_secret_and_one_as_ourselves_only_what_fetching_needs() {
    let archiving = Archiving::start(None);
    archiving.base();
    let truth = archiving.step();
    archiving.archive();
    let (bin, dump) = wrapped(&archiving);
    let names = found(&archiving, as_server(&bin_dir().join("lifeboat")), &bin, &dump, &truth.ledger);
    for needed in ["AWS_SECRET_ACCESS_KEY", "AWS_REGION", "LIFEBOAT_PASSPHRASE", "PATH"] {
        assert!(names.contains(&format!(" {needed} ")), "{needed}: {names}");
    }
    assert!(!names.contains("VAULT") && !names.contains(" PG"), "{names}");
    if !rustix::process::geteuid().is_root() {
        lifeboat_tests::skip::announce(module_path!(), "only root can start a server as another user");
        return;
    }
    let names = found(&archiving, Program::lifeboat(), &bin, &dump, &truth.ledger);
    assert!(names.contains(" AWS_REGION ") && names.contains(" PATH "), "{names}");
    for secret in ["AWS_SECRET", "PASSPHRASE", "VAULT", " PG", " HOME "] {
        assert!(!names.contains(secret), "{secret}: {names}");
    }
}
