//! Snapshots as somebody makes them who holds the signing key and lies, or whose program is wrong:
//! stored bytes altered, and the manifest signed anew over them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use lifeboat::archive::compress::{Compressor, Content};
use lifeboat::archive::digest::Sha256;
use lifeboat::archive::index::{self, Entry, IndexReader, IndexWriter, Line};
use lifeboat::archive::manifest::{self, Manifest, Object, SnapshotKind};
use lifeboat::archive::pack::{Frames, Member, PackBuilder};
use lifeboat::archive::seal::{Identities, Recipients};
use lifeboat::archive::signature::SigningKey;
use lifeboat::archive::unpack;
use lifeboat_tests::site::Site;

/// One stored snapshot, opened for lying.
pub struct Forge {
    /// Its folder.
    pub folder: PathBuf,
    /// What its manifest will say.
    pub manifest: Manifest,
    key: SigningKey,
    identities: Identities,
    recipients: Recipients,
    before: Vec<(PathBuf, Vec<u8>)>,
}

impl Forge {
    /// The newest snapshot of a kind.
    pub fn newest(site: &Site, kind: SnapshotKind) -> Forge {
        Forge::at(site, &folders(&site.stored, kind).pop().unwrap())
    }

    /// The snapshot in this folder.
    pub fn at(site: &Site, folder: &Path) -> Forge {
        let name =
            |above: usize| folder.ancestors().nth(above).unwrap().file_name().unwrap().to_str().unwrap();
        let (id, instance) = (name(0).parse().unwrap(), name(2).parse().unwrap());
        let bytes = fs::read(folder.join(manifest::NAME)).unwrap();
        let manifest = Manifest::parse(&id, &instance, &bytes).unwrap();
        Forge {
            folder: folder.to_owned(),
            key: SigningKey::load(&site.path("lifeboat-signing-key")).unwrap(),
            identities: Identities::load(&[site.path("lifeboat-identity.txt")], &|_| None).unwrap(),
            recipients: Recipients::parse(manifest.recipients.iter().map(String::as_str)).unwrap(),
            manifest,
            before: Vec::new(),
        }
    }

    /// Packs one pack again, each member's content as `change` leaves it; none where it says so.
    pub fn repack(&mut self, name: &str, mut change: impl FnMut(&str, u64, &mut Vec<u8>) -> bool) {
        let mut builder = PackBuilder::new(&self.recipients, Vec::new()).unwrap();
        let mut zstd = Compressor::new(3, Content::Text).unwrap();
        let mut take = |frame: &mut Vec<u8>| builder.frame(&mut zstd, frame);
        let mut frames = Frames::default();
        let stored = fs::read(self.folder.join(name)).unwrap();
        let object = self.manifest.object(name).unwrap().clone();
        unpack::read_pack(&object, &stored[..], &self.identities, |member, content| {
            let mut data = Vec::new();
            content.read_to_end(&mut data).unwrap();
            if change(&member.path, member.offset, &mut data) {
                let path = member.path.as_str();
                let as_it_was = match member.whole {
                    true => Member::Whole(path),
                    false => Member::Extent(path, member.offset),
                };
                frames.append(as_it_was, 0o644, 0, &data, &mut take).unwrap();
            }
            Ok(())
        })
        .unwrap();
        frames.end(&mut take).unwrap();
        let end = builder.finish().unwrap();
        self.replace(name, &end.sink, end.frames);
    }

    /// Writes the index again, each file as `change` leaves it.
    pub fn reindex(&mut self, mut change: impl FnMut(&mut Entry)) {
        let stored = fs::read(self.folder.join(index::NAME)).unwrap();
        let object = self.manifest.object(index::NAME).unwrap().clone();
        let text = unpack::read_sealed(&object, &stored[..], &self.identities, |input| {
            let lines = IndexReader::new("of a test", input)?;
            let mut out = IndexWriter::new(Vec::new(), lines.header())?;
            for line in lines {
                let mut line = line?;
                if let Line::File(entry) = &mut line {
                    change(entry);
                }
                out.write(&line)?;
            }
            Ok(out.into_inner())
        })
        .unwrap();
        self.seal(index::NAME, &text);
    }

    /// Seals another text under this name.
    pub fn seal(&mut self, name: &str, text: &[u8]) {
        let mut frame = Vec::new();
        Compressor::new(3, Content::Text).unwrap().frame(text, &mut frame).unwrap();
        let mut sealed = self.recipients.seal(Vec::new()).unwrap();
        sealed.write_all(&frame).unwrap();
        let stored = sealed.finish().unwrap();
        self.replace(name, &stored, Vec::new());
    }

    fn replace(&mut self, name: &str, stored: &[u8], frames: Vec<u64>) {
        self.write(name, stored);
        let object = self.manifest.objects.iter_mut().find(|o| o.name == name).unwrap();
        *object =
            Object { name: name.to_owned(), bytes: stored.len() as u64, sha256: Sha256::of(stored), frames };
    }

    fn write(&mut self, name: &str, data: &[u8]) {
        let path = self.folder.join(name);
        self.before.push((path.clone(), fs::read(&path).unwrap()));
        fs::write(path, data).unwrap();
    }

    /// Signs the manifest, as it is now, with the key that is trusted.
    pub fn sign(&mut self) {
        let bytes = self.manifest.to_bytes().unwrap();
        let signature = self.key.sign(&bytes).unwrap();
        self.write(manifest::NAME, &bytes);
        self.write(manifest::SIGNATURE_NAME, signature.as_bytes());
    }

    /// Everything as it was.
    pub fn undo(self) {
        for (path, data) in self.before.into_iter().rev() {
            fs::write(path, data).unwrap();
        }
    }
}

/// The folders of all snapshots of a kind, oldest first.
pub fn folders(stored: &Path, kind: SnapshotKind) -> Vec<PathBuf> {
    let all = fs::read_dir(stored.join("instances/prod/snapshots")).unwrap();
    let of_kind = |path: &PathBuf| path.to_string_lossy().contains(&format!("-{kind}-"));
    let mut folders: Vec<PathBuf> = all.map(|entry| entry.unwrap().path()).filter(of_kind).collect();
    folders.sort();
    folders
}
