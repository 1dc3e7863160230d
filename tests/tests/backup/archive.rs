//! What a repository holds, read through the library: every manifest, every object that it names,
//! and all content, decoded and compared.

use std::collections::BTreeMap;

use lifeboat::archive::digest::Sha256;
use lifeboat::archive::index::{self, Entry, IndexReader, Line};
use lifeboat::archive::manifest::{Manifest, SnapshotKind};
use lifeboat::archive::seal::Identities;
use lifeboat::config::{Config, Inputs};
use lifeboat::names::SnapshotId;
use lifeboat::repository::Repository;
use lifeboat::repository::snapshots::{Found, Trust};
use tokio::runtime::Runtime;

use lifeboat_tests::site::Site;

/// An opened repository, with the identity that the production host does not have.
pub struct Archive {
    runtime: Runtime,
    repository: Repository,
    identities: Identities,
    manifests: BTreeMap<SnapshotId, Manifest>,
}

impl Archive {
    /// Opens the repository of a site and checks that every snapshot in it is whole: signed, and
    /// each of its objects there with size and SHA-256 right.
    pub fn of(site: &Site) -> Archive {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Runtime::new().unwrap();
        let inputs = Inputs {
            config: Some(site.config()),
            repository: Some(site.stored.display().to_string()),
            ..Inputs::default()
        };
        let config = Config::load(&inputs).unwrap();
        let trust = Trust::keys(&config.signing.trusted_keys).unwrap();
        let (repository, found) = runtime.block_on(async {
            let repository = Repository::configured(&config).await.unwrap();
            let found = match repository.origin().await {
                Ok(origin) => repository.all_snapshots(&origin, &trust).await.unwrap(),
                Err(_) => Vec::new(), // nothing was ever stored
            };
            (repository, found)
        });
        let mut manifests = BTreeMap::new();
        for (id, found) in found {
            match found.unwrap_or_else(|e| panic!("snapshot {id}: {e:?}")) {
                Found::Snapshot(manifest) => drop(manifests.insert(id, *manifest)),
                Found::Unfinished(_) => {}
            }
        }
        let identity = site.path("lifeboat-identity.txt");
        let archive = Archive {
            identities: Identities::load(&[identity], &|_| None).unwrap(),
            runtime,
            repository,
            manifests,
        };
        archive.check_objects();
        archive
    }

    fn check_objects(&self) {
        for (id, manifest) in &self.manifests {
            for object in &manifest.objects {
                self.repository
                    .check_object(self.runtime.handle(), id, object, |_| {})
                    .unwrap_or_else(|e| panic!("{id}: {e:?}"));
            }
        }
    }

    /// The IDs of all snapshots, oldest first.
    pub fn ids(&self) -> Vec<SnapshotId> {
        self.manifests.keys().cloned().collect()
    }

    /// A snapshot's manifest.
    pub fn manifest(&self, id: &SnapshotId) -> &Manifest {
        &self.manifests[id]
    }

    /// The newest snapshot of a kind, of a tenant where there is one.
    pub fn newest(&self, kind: SnapshotKind, tenant: Option<&str>) -> &Manifest {
        let fits = |m: &&Manifest| m.kind() == kind && m.tenant.as_ref().map(|t| t.as_str()) == tenant;
        let mut all: Vec<&Manifest> = self.manifests.values().filter(fits).collect();
        all.sort_by_key(|manifest| manifest.begun);
        all.pop().unwrap_or_else(|| panic!("no {kind} of {tenant:?}"))
    }

    /// The files of a filestore snapshot, by escaped path, from its chain of indexes; parts
    /// name their snapshot by ID.
    pub fn files(&self, manifest: &Manifest) -> BTreeMap<String, (Entry, Vec<SnapshotId>)> {
        let mut files = BTreeMap::new();
        for (place, id) in manifest.filestore().unwrap().index_chain.iter().enumerate() {
            let object = self.manifests[id].object(index::NAME).unwrap();
            self.repository
                .read_sealed(self.runtime.handle(), id, object, &self.identities, |input| {
                    let lines = IndexReader::new("of a test", input)?;
                    assert_eq!(lines.header().complete, place == 0);
                    let table = lines.header().snapshots.clone();
                    for line in lines {
                        match line? {
                            Line::File(entry) => {
                                drop(files.insert(entry.path.clone(), (entry, table.clone())))
                            }
                            Line::Removed(path) => drop(files.remove(&path)),
                        }
                    }
                    Ok(())
                })
                .unwrap();
        }
        files
    }

    /// The content of every file of a filestore snapshot, each checked against its own SHA-256.
    pub fn contents(&self, manifest: &Manifest) -> BTreeMap<String, Vec<u8>> {
        let files = self.files(manifest);
        let mut wanted: BTreeMap<(SnapshotId, u32), Vec<(&str, u64)>> = BTreeMap::new();
        let mut contents = BTreeMap::new();
        for (path, (entry, table)) in &files {
            contents.insert(path.clone(), vec![0; entry.bytes as usize]);
            for part in &entry.parts {
                let pack = (table[part.snapshot as usize].clone(), part.pack);
                wanted.entry(pack).or_default().push((path, part.offset));
            }
        }
        for ((id, pack), parts) in wanted {
            let mut left: Vec<_> = parts;
            for (path, offset, data) in self.pack(&id, pack) {
                if let Some(at) = left.iter().position(|(p, o)| *p == path && *o == offset) {
                    left.swap_remove(at);
                    let content = contents.get_mut(&path).unwrap();
                    content[offset as usize..offset as usize + data.len()].copy_from_slice(&data);
                }
            }
            assert!(left.is_empty(), "pack {pack} of {id} does not hold {left:?}");
        }
        for (path, content) in &contents {
            assert!(files[path].0.digest.is_of(content), "{path}");
        }
        contents
    }

    fn pack(&self, id: &SnapshotId, number: u32) -> Vec<(String, u64, Vec<u8>)> {
        let object = self.manifests[id].object(&lifeboat::archive::pack::name(number)).unwrap();
        let mut members = Vec::new();
        self.repository
            .read_pack(self.runtime.handle(), id, object, &self.identities, |member, content| {
                let mut data = Vec::new();
                content.read_to_end(&mut data).unwrap();
                members.push((member.path, member.offset, data));
                Ok(())
            })
            .unwrap();
        members
    }

    /// The whole dump (or globals) of a snapshot.
    pub fn stream(&self, manifest: &Manifest) -> Vec<u8> {
        let mut extents = BTreeMap::new();
        for pack in 0..manifest.packs().count() as u32 {
            extents.extend(self.pack(&manifest.id, pack).into_iter().map(|(_, offset, data)| (offset, data)));
        }
        let whole: Vec<u8> = extents.into_values().flatten().collect();
        assert_eq!(whole.len() as u64, manifest.plain_bytes);
        if let Some(facts) = manifest.dump() {
            assert_eq!(Sha256::of(&whole), facts.sha256);
        }
        whole
    }
}
