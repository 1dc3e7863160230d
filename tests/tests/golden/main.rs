//! Repositories of every format version that was ever released are committed as bytes and must
//! decode for ever: through the library, and by stock `age`, `zstd`, `tar` and `ssh-keygen`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test panics, and touches files as a user does

mod base;
mod config;
mod evidence;
mod wal;

/// The repositories of snapshots.
const OF_SNAPSHOTS: [&str; 2] = ["format-1", "format-1-config"];

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lifeboat::archive::digest::Sha256;
use lifeboat::archive::index::{Entry, Header, IndexReader, Line};
use lifeboat::archive::manifest::{Manifest, SnapshotKind};
use lifeboat::archive::seal::Identities;
use lifeboat::archive::signature::TrustedKeys;
use lifeboat::archive::unpack::{read_pack, read_sealed};
use lifeboat::names::{InstanceName, SnapshotId};
use lifeboat_tests::compare::{assert_same, walk};
use lifeboat_tests::filestore::{make_dir, store_fname};
use lifeboat_tests::{Cluster, Program, program, skip};
use tempfile::TempDir;

/// Member names of a snapshot's packs, with the SHA-256 of their content: `packs/000000 files/x`.
type Members = BTreeMap<String, String>;
/// The content of members by snapshot, pack, offset and path.
type Contents = BTreeMap<(String, u32, u64, String), Vec<u8>>;

/// A committed repository and what is in it.
struct Golden {
    dir: PathBuf,
    identity: PathBuf,
    _private: TempDir,
}

impl Golden {
    fn open(format: &str) -> Golden {
        let dir = program::workspace_root().join("tests/golden").join(format);
        let private = tempfile::tempdir().unwrap(); // a checkout has no private files
        let identity = private.path().join("identity");
        fs::copy(dir.join("TEST-ONLY-identity.txt"), &identity).unwrap();
        fs::set_permissions(&identity, fs::Permissions::from_mode(0o600)).unwrap();
        Golden { dir, identity, _private: private }
    }

    fn repository(&self) -> PathBuf {
        self.dir.join("repository")
    }

    fn snapshots(&self) -> PathBuf {
        self.repository().join("instances/golden/snapshots")
    }

    fn identities(&self) -> Identities {
        Identities::load(std::slice::from_ref(&self.identity), &|_| None).unwrap()
    }

    fn signing_key(&self) -> String {
        fs::read_to_string(self.dir.join("TEST-ONLY-signing-key.pub")).unwrap()
    }

    /// Every manifest, believed as a restore would.
    fn manifests(&self) -> Vec<Manifest> {
        let trusted = TrustedKeys::parse([self.signing_key().as_str()]).unwrap();
        let instance: InstanceName = "golden".parse().unwrap();
        let origin = ["lifeboat.json", "instances/golden/instance.json"]
            .map(|name| Sha256::of(&fs::read(self.repository().join(name)).unwrap()));
        let mut dirs: Vec<_> = fs::read_dir(self.snapshots()).unwrap().map(|e| e.unwrap()).collect();
        dirs.sort_by_key(|dir| dir.file_name());
        let manifest = |dir: fs::DirEntry| {
            let id: SnapshotId = dir.file_name().to_str().unwrap().parse().unwrap();
            let bytes = fs::read(dir.path().join("manifest.json")).unwrap();
            let signature = fs::read(dir.path().join("manifest.json.sig")).unwrap();
            trusted.verify(id.as_str(), &bytes, &signature).unwrap();
            let manifest = Manifest::parse(&id, &instance, &bytes).unwrap();
            assert!(manifest.to_bytes().unwrap() == bytes, "{id} is not written as it was read");
            assert_eq!(origin, [manifest.origin.repository_sha256, manifest.origin.instance_sha256]);
            manifest
        };
        dirs.into_iter().map(manifest).collect()
    }

    fn object(&self, id: &SnapshotId, name: &str) -> fs::File {
        fs::File::open(self.snapshots().join(id.as_str()).join(name)).unwrap()
    }

    fn index(&self, manifest: &Manifest) -> (Header, Vec<Line>) {
        let object = manifest.object("index.zst.age").unwrap();
        let input = self.object(&manifest.id, &object.name);
        read_sealed(object, input, &self.identities(), |text| {
            let reader = IndexReader::new("golden", text)?;
            let header = reader.header().clone();
            Ok((header, reader.collect::<Result<Vec<_>, _>>()?))
        })
        .unwrap()
    }

    /// The members of a snapshot's packs, and their content.
    fn unpack(&self, manifest: &Manifest) -> (Contents, Members) {
        let (mut contents, mut members) = (Contents::new(), Members::new());
        for object in manifest.packs() {
            let number: u32 = object.name["packs/".len()..][..6].parse().unwrap();
            let input = self.object(&manifest.id, &object.name);
            read_pack(object, input, &self.identities(), |member, content| {
                let mut data = Vec::new();
                content.read_to_end(&mut data).unwrap();
                assert_eq!(data.len() as u64, member.bytes);
                let name = match member.whole {
                    true => format!("files/{}", member.path),
                    false => format!("extents/{}/{:020}", member.path, member.offset),
                };
                members.insert(format!("{} {name}", object.name), Sha256::of(&data).to_string());
                contents.insert((manifest.id.to_string(), number, member.offset, member.path), data);
                Ok(())
            })
            .unwrap();
        }
        (contents, members)
    }

    /// What the library finds: a line for each file of each snapshot's list.
    fn listing(&self) -> String {
        let manifests = self.manifests();
        let find = |id: &SnapshotId| manifests.iter().find(|m| m.id == *id).unwrap();
        let contents: BTreeMap<_, _> = manifests.iter().flat_map(|m| self.unpack(m).0).collect();
        let mut text = String::new();
        for manifest in &manifests {
            let own = vec![manifest.id.clone()];
            let chain = manifest.filestore().map_or(&own, |facts| &facts.index_chain);
            let mut files: BTreeMap<String, (Header, Entry)> = BTreeMap::new();
            for id in chain {
                let (header, lines) = self.index(find(id));
                for line in lines {
                    match line {
                        Line::File(entry) => drop(files.insert(entry.path.clone(), (header.clone(), entry))),
                        Line::Removed(path) => assert!(files.remove(&path).is_some(), "{path} was there"),
                    }
                }
            }
            for (path, (header, entry)) in files {
                let mut data = Vec::new();
                for part in &entry.parts {
                    let from = header.snapshots[part.snapshot as usize].to_string();
                    data.extend(&contents[&(from, part.pack, part.offset, path.clone())]);
                }
                assert!(entry.digest.is_of(&data), "{path}");
                let (id, mode) = (&manifest.id, entry.mode);
                writeln!(text, "{id} {} {} {mode:o} {path}", Sha256::of(&data), data.len()).unwrap();
            }
            if manifest.kind() == SnapshotKind::Dump {
                let object = manifest.object("baseline.zst.age").unwrap();
                let input = self.object(&manifest.id, &object.name);
                let baseline = read_sealed(object, input, &self.identities(), |text| {
                    let mut data = Vec::new();
                    text.read_to_end(&mut data).unwrap();
                    Ok(data)
                });
                writeln!(text, "{} {} baseline", manifest.id, Sha256::of(&baseline.unwrap())).unwrap();
            }
        }
        text
    }
}

#[test]
fn format_1_decodes_through_the_library() {
    for (folder, lines_min) in OF_SNAPSHOTS.into_iter().zip([13, 5]) {
        let golden = Golden::open(folder);
        let expected = fs::read_to_string(golden.dir.join("expected.txt")).unwrap();
        let numbered = |text: &str| text.lines().map(str::to_owned).enumerate().collect::<BTreeMap<_, _>>();
        assert!(expected.lines().count() >= lines_min, "the golden repository is not empty");
        assert_same("expected.txt and what was decoded", &numbered(&expected), &numbered(&golden.listing()));
    }
}

#[test]
fn format_1_decodes_by_stock_tools() {
    let missing = missing(&["age", "zstd", "tar", "ssh-keygen"]);
    if !missing.is_empty() {
        skip!("{missing:?} not in /usr/bin");
    }
    for folder in OF_SNAPSHOTS {
        let golden = Golden::open(folder);
        let dir = tempfile::tempdir().unwrap();
        let signers = dir.path().join("allowed_signers");
        fs::write(&signers, format!("golden {}", golden.signing_key())).unwrap();
        for manifest in golden.manifests() {
            let (to, id) = (dir.path().join(manifest.id.as_str()), manifest.id.as_str());
            let script = r#"cd "$SNAPSHOT"
                ssh-keygen -q -Y verify -n lifeboat -I golden -f "$SIGNERS" -s manifest.json.sig < manifest.json
                age -d -i "$IDENTITY" index.zst.age | zstd -dqc | head -n 1 | grep -q '"lifeboat_index":1'
                for pack in packs/*; do
                  mkdir -p "$TO/$pack"
                  age -d -i "$IDENTITY" "$pack" | zstd -dqc | tar -x -C "$TO/$pack"
                done"#;
            Program::at("/bin/bash".into())
                .args(["-euo", "pipefail", "-c", script])
                .env("SNAPSHOT", golden.snapshots().join(id))
                .env("SIGNERS", &signers)
                .env("IDENTITY", &golden.identity)
                .env("TO", &to)
                .run()
                .ok();
            let mut found = Members::new();
            walk(&to, &mut |path| {
                let name = path.strip_prefix(&to).unwrap().to_str().unwrap();
                let name = name.replacen(".age/", ".age ", 1);
                found.insert(name, Sha256::of(&fs::read(path).unwrap()).to_string());
            });
            assert_same(
                &format!("members of {id}, by the library and by tar"),
                &golden.unpack(&manifest).1,
                &found,
            );
        }
    }
}

/// Those of these programs that are not here.
fn missing<'a>(programs: &[&'a str]) -> Vec<&'a str> {
    programs.iter().copied().filter(|program| !Path::new("/usr/bin").join(program).exists()).collect()
}

/// Copies what opens and who signed a repository that was made in `site`.
fn keep_keys(site: &Path, to: &Path) {
    fs::copy(site.join("lifeboat-identity.txt"), to.join("TEST-ONLY-identity.txt")).unwrap();
    let config = fs::read_to_string(site.join("lifeboat.toml")).unwrap();
    let key = config.lines().find(|line| line.trim_start().starts_with("\"ssh-ed25519")).unwrap();
    fs::write(to.join("TEST-ONLY-signing-key.pub"), format!("{}\n", key.trim().trim_matches([',', '"'])))
        .unwrap();
}

/// How the committed repository was made. Run it for a new format version only, into a new folder:
/// what is committed is never made anew.
#[test]
#[ignore = "writes a new golden repository into the folder that TEST_GOLDEN_NEW names"]
fn make() {
    let to = PathBuf::from(std::env::var_os("TEST_GOLDEN_NEW").expect("TEST_GOLDEN_NEW names a new folder"));
    fs::create_dir(&to).unwrap();
    let (site, cluster) = (tempfile::tempdir().unwrap(), Cluster::start_default());
    let store = site.path().join("odoo/filestore/shop");
    make_dir(&store);
    cluster.create_db("shop");
    cluster.psql(
        "shop",
        "create table ir_module_module (id serial, name text, state text, latest_version text);
         insert into ir_module_module (name, state, latest_version) values ('base', 'installed', '17.0.1.3');
         create table ir_config_parameter (id serial, key text, value text);
         create table ir_attachment (id serial, name text, type text, store_fname text, file_size int, checksum text);
         create table res_partner (id serial primary key, name text);
         insert into res_partner (name) select 'Partner ' || n from generate_series(1, 20) n;",
    );
    let run = |args: &[&str]| {
        Program::lifeboat()
            .cwd(site.path())
            .env("LIFEBOAT_POSTGRES_HOST", cluster.host())
            .env("LIFEBOAT_POSTGRES_PORT", cluster.port().to_string())
            .env("LIFEBOAT_POSTGRES_USER", cluster.user())
            .args(args.to_vec())
            .run()
            .ok()
    };
    let write = |name: &str, content: &[u8]| {
        make_dir(store.join(name).parent().unwrap());
        fs::write(store.join(name), content).unwrap();
    };
    let blob = |content: &[u8]| write(&store_fname(content), content);
    run(&["init", "--instance", "golden", "--data-dir", site.path().join("odoo").to_str().unwrap()]);
    blob(b"first attachment\n");
    blob(b"goes away\n");
    blob(b"");
    blob(&vec![b'x'; 9_000_000]);
    write("odd %41 \"q\"\n\u{e9}", b"odd name\n");
    write(&format!("long/{}", "d".repeat(120)), b"long name\n");
    run(&["backup", "--release", "2026.11.20-rc1"]);
    fs::remove_file(store.join(store_fname(b"goes away\n"))).unwrap();
    blob(b"second attachment\n");
    run(&["backup"]);
    let copy = Program::at("/bin/cp".into()).arg("-r").arg(site.path().join("lifeboat-repository"));
    copy.arg(to.join("repository")).run().ok();
    keep_keys(site.path(), &to);
    let private = tempfile::tempdir().unwrap();
    let golden =
        Golden { identity: site.path().join("lifeboat-identity.txt"), dir: to.clone(), _private: private };
    fs::write(to.join("expected.txt"), golden.listing()).unwrap();
}
