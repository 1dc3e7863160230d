//! Base backups of format 1: a full one, and an incremental one upon it.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lifeboat::archive::digest::Sha256;
use lifeboat::archive::manifest::SnapshotKind;
use lifeboat_tests::compare::{assert_same, walk};
use lifeboat_tests::installed::hand_over;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options, Program, program, skip};
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::{Golden, keep_keys, missing};

/// By path: SHA-256, bytes and mode.
type Files = BTreeMap<String, String>;

fn files_of(dir: &Path) -> Files {
    let mut files = Files::new();
    walk(dir, &mut |path| {
        let meta = fs::symlink_metadata(path).unwrap();
        if meta.is_symlink() {
            return; // of a tablespace
        }
        let data = fs::read(path).unwrap();
        let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
        let mode = meta.permissions().mode() & 0o7777;
        files.insert(name, format!("{} {} {mode:o}", Sha256::of(&data), data.len()));
    });
    files
}

/// Which base backups there are, oldest first, and what they hold.
fn expected(golden: &Golden) -> BTreeMap<String, Files> {
    let mut of: BTreeMap<String, Files> = BTreeMap::new();
    for line in fs::read_to_string(golden.dir.join("base.txt")).unwrap().lines() {
        let (id, rest) = line.split_once(' ').unwrap();
        let (looks, path) = rest.rsplit_once(' ').unwrap();
        of.entry(id.to_owned()).or_default().insert(path.to_owned(), looks.to_owned());
    }
    of
}

/// A place that the user of servers may use, with a copy of the repository.
struct Place {
    dir: TempDir,
}

impl Place {
    fn with(golden: &Golden) -> Place {
        let dir = tempfile::Builder::new().prefix("lbg-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
        let place = Place { dir };
        Program::at("/bin/cp".into())
            .arg("-r")
            .arg(golden.repository())
            .arg(place.path("repository"))
            .run()
            .ok();
        fs::copy(&golden.identity, place.path("identity")).unwrap();
        hand_over(place.dir.path());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The files by `runbooks/break-glass-instance.md`, up to where a server is needed.
    fn by_the_runbook(&self, golden: &Golden, id: &str) -> Files {
        let page = program::workspace_root().join("runbooks/break-glass-instance.md");
        let page = fs::read_to_string(page).unwrap();
        let (files, _) = page.split_once("\n## 5.").unwrap();
        let blocks = files.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
        fs::write(self.path("page.sh"), blocks.collect::<String>()).unwrap();
        // The page wants a server's programs; up to here it only asks for their version.
        let postgres = self.path("bin/postgres");
        fs::create_dir_all(self.path("bin")).unwrap();
        fs::write(&postgres, "#!/bin/sh\necho 'postgres (PostgreSQL) 15.0'\n").unwrap();
        fs::set_permissions(&postgres, Permissions::from_mode(0o755)).unwrap();
        hand_over(self.dir.path());
        let bash = match geteuid().is_root() {
            true => Program::at("/usr/bin/setpriv".into()).args([
                "--reuid",
                "postgres",
                "--regid",
                "postgres",
                "--clear-groups",
                "--",
                "/bin/bash",
            ]),
            false => Program::at("/bin/bash".into()),
        };
        bash.cwd("/")
            .arg(self.path("page.sh"))
            .env("PATH", "/usr/bin:/bin")
            .env("REPO", self.path("repository"))
            .env("INSTANCE", "golden")
            .env("IDENTITY", self.path("identity"))
            .env("SIGNING_KEY", golden.signing_key().trim())
            .env("TARGET_DIR", self.path("back"))
            .env("SCRATCH", self.path("scratch"))
            .env("BASE", id)
            .env("PG_BIN", self.path("bin"))
            .run()
            .ok();
        files_of(&self.path("back.rescue/files"))
    }

    /// The files by the program, those aside that it writes or moves for the recovery.
    fn by_the_program(&self, golden: &Golden, id: &str) -> Files {
        let config = format!(
            "instance = \"golden\"\nstate_dir = \"state\"\n[repository]\nurl = \"repository\"\n\
             [signing]\ntrusted_keys = [\"{}\"]\n[postgres]\nhost = \"{}\"\n",
            golden.signing_key().trim(),
            self.dir.path().display(), // nobody answers there
        );
        fs::write(self.path("lifeboat.toml"), config).unwrap();
        let back = self.path("back");
        Program::lifeboat()
            .cwd(self.dir.path())
            .args(["restore", "--yes", "--to", "immediate", "--identity", "identity", "--snapshot", id])
            .args(["--tablespace-map".to_owned(), format!("far={}", self.path("far").display())])
            .arg("--instance-to")
            .arg(&back)
            .run()
            .ok();
        let mut files = files_of(&back);
        // production's configuration lies aside, byte for byte; what a copy runs on is the program's own
        for name in ["postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf"] {
            files.remove(name);
            if let Some(looks) = files.remove(&format!("lifeboat-put-aside/{name}")) {
                files.insert(name.to_owned(), looks);
            }
        }
        files.remove("lifeboat-put-aside/note.json");
        let links = fs::read_dir(back.join("pg_tblspc")).unwrap().map(|entry| entry.unwrap().file_name());
        for oid in links.map(|name| name.into_string().unwrap()) {
            let far = files_of(&self.path("far")).into_iter();
            files.extend(far.map(|(path, looks)| (format!("pg_tblspc/{oid}/{path}"), looks)));
        }
        files
    }
}

/// What a restore writes itself.
const OF_THE_RECOVERY: [&str; 2] = ["recovery.signal", "tablespace_map"];

fn without_recovery(files: &Files) -> Files {
    let kept = files.iter().filter(|(path, _)| !OF_THE_RECOVERY.contains(&path.as_str()));
    kept.map(|(path, looks)| (path.clone(), looks.clone())).collect()
}

#[test]
fn format_1_of_base_backups_is_restored() {
    let golden = Golden::open("format-1-base");
    let expected = expected(&golden);
    assert_eq!(expected.len(), 2, "a full one and an incremental one");
    for (id, files) in expected {
        let found = Place::with(&golden).by_the_program(&golden, &id);
        assert_same(&format!("base.txt and {id}"), &without_recovery(&files), &without_recovery(&found));
    }
}

#[test]
fn format_1_of_base_backups_decodes_by_the_runbook() {
    let missing = missing(&["age", "zstd", "tar", "ssh-keygen", "b3sum"]);
    if !missing.is_empty() {
        skip!("{missing:?} not in /usr/bin");
    }
    let golden = Golden::open("format-1-base");
    for (id, files) in expected(&golden) {
        let found = Place::with(&golden).by_the_runbook(&golden, &id);
        assert_same(&format!("base.txt and {id}"), &files, &found);
    }
}

/// How the committed base backups were made; see [`make`](super::make). One database and segments of
/// 1 MiB, so that they are small.
#[test]
#[ignore = "writes new golden base backups into the folder that TEST_GOLDEN_NEW names"]
fn make_base() {
    let to = PathBuf::from(std::env::var_os("TEST_GOLDEN_NEW").expect("TEST_GOLDEN_NEW names a new folder"));
    fs::create_dir(&to).unwrap();
    let cluster = Cluster::with(Options { segment_mebibytes: Some(1), ..Options::default() });
    assert_eq!(cluster.major(), 15, "the runbook's test says so");
    let outside = tempfile::Builder::new().prefix("lbts-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
    hand_over(outside.path());
    for sql in [
        "update pg_database set datistemplate = false",
        "drop database template0",
        "drop database template1",
        &format!("create tablespace far location '{}'", outside.path().display()),
        "create table rows as select n, repeat('a row ', 20) filler from generate_series(1, 5000) n",
        "create table away tablespace far as select n from generate_series(1, 100) n",
        "create table goes as select 1 n",
        "vacuum freeze",
    ] {
        cluster.psql("postgres", sql);
    }
    let site = Site::local(&cluster);
    site.edit("instance = \"prod\"", "instance = \"golden\"");
    site.back_up(&["--kind", "base"]);
    cluster.psql("postgres", "update rows set n = n + 1 where n % 500 = 0; drop table goes; checkpoint");
    let second = site.back_up(&["--kind", "base"]);
    assert_eq!(second["manifest"]["base"]["chain"].as_array().unwrap().len(), 2);
    Program::at("/bin/cp".into()).arg("-r").arg(&site.stored).arg(to.join("repository")).run().ok();
    fs::remove_file(to.join("repository/instances/golden/lease")).unwrap(); // names this host
    keep_keys(&site.path(""), &to);
    let identity = site.path("lifeboat-identity.txt");
    let golden = Golden { identity, dir: to.clone(), _private: tempfile::tempdir().unwrap() };
    let bases = golden.manifests().into_iter().filter(|manifest| manifest.kind() == SnapshotKind::Base);
    let mut text = String::new();
    for id in bases.map(|manifest| manifest.id.to_string()) {
        for (path, looks) in Place::with(&golden).by_the_runbook(&golden, &id) {
            text += &format!("{id} {looks} {path}\n");
        }
    }
    fs::write(to.join("base.txt"), text).unwrap();
}
