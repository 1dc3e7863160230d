//! Odoo's filestore: files named by the SHA-1 of their content, made from a seed, and checked.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

use crate::compare::{hex, walk};

/// Numbers that follow from a seed alone (splitmix64).
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Seeded {
        Seeded(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next_u64() % limit
    }

    /// Bytes that do not compress, like images and office documents.
    pub fn noise(&mut self, bytes: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next_u64().to_le_bytes());
        words.take(bytes.div_ceil(8)).flatten().take(bytes).collect()
    }

    /// Text that compresses to a third or so, like exports, scripts and style sheets.
    pub fn text(&mut self, bytes: usize) -> Vec<u8> {
        const WORDS: [&str; 12] = [
            "order;",
            "12.50;",
            "customer;",
            "Kiel;",
            "2025-03-",
            "delivered;",
            "EUR;",
            "\"",
            "0;",
            "invoice",
            "\n",
            "stock.move ",
        ];
        let mut text = Vec::with_capacity(bytes + 24);
        while text.len() < bytes {
            let number = self.next_u64();
            text.extend_from_slice(WORDS[(number % 12) as usize].as_bytes());
            if number.is_multiple_of(3) {
                text.extend_from_slice((number >> 32).to_string().as_bytes());
            }
        }
        text.truncate(bytes);
        text
    }

    /// A length as filestores have them: most of a few kilobytes, some of hundreds, few larger.
    pub fn file_bytes(&mut self) -> usize {
        let (low, high) = match self.below(100) {
            0..=19 => (60, 1_000),
            20..=69 => (1_000, 12_000),
            70..=93 => (12_000, 60_000),
            94..=98 => (60_000, 300_000),
            _ => (300_000, 900_000),
        };
        (low + self.below(high - low)) as usize
    }
}

/// A folder `<data_dir>/filestore/<database>`.
#[derive(Clone, Debug)]
pub struct Filestore(PathBuf);

impl Filestore {
    /// The filestore of a database below Odoo's data directory.
    pub fn of(data_dir: &Path, database: &str) -> Filestore {
        Filestore(data_dir.join("filestore").join(database))
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// Where a file is.
    pub fn path(&self, store_fname: &str) -> PathBuf {
        self.0.join(store_fname)
    }

    /// Writes a file under its name and lists it for the collector, as Odoo does with each new
    /// one; returns its `store_fname`.
    pub fn add(&self, content: &[u8]) -> String {
        let name = self.put(content);
        self.list_for_collection(&name);
        name
    }

    /// Writes a file under its name, as it is after the collector's next run.
    pub fn put(&self, content: &[u8]) -> String {
        let name = store_fname(content);
        write(&self.path(&name), content);
        name
    }

    /// Lists a file in `checklist/`: at its next run the collector deletes it if no row names it.
    pub fn list_for_collection(&self, store_fname: &str) {
        write(&self.0.join("checklist").join(store_fname), b"");
    }

    /// All files by their `store_fname`, with their lengths; the checklist is not among them.
    pub fn files(&self) -> BTreeMap<String, u64> {
        let mut files = BTreeMap::new();
        walk(&self.0, &mut |path| {
            let name = path.strip_prefix(&self.0).unwrap().to_str().unwrap().to_owned();
            if !name.starts_with("checklist/") {
                files.insert(name, path.metadata().unwrap().len());
            }
        });
        files
    }

    /// What is wrong between the rows of `ir_attachment` (`store_fname` and `file_size`) and the
    /// files: missing, of another length, of another content than its name says. Files that no
    /// row names are not wrong.
    pub fn faults(&self, referenced: &BTreeMap<String, u64>) -> Vec<String> {
        let wrong = |(name, bytes): (&String, &u64)| match fs::read(self.path(name)) {
            Err(e) => Some(format!("{name}: {e}")),
            Ok(content) if content.len() as u64 != *bytes => {
                Some(format!("{name}: {} bytes, not {bytes}", content.len()))
            }
            Ok(content) if store_fname(&content) != *name => {
                Some(format!("{name}: its content is {}", store_fname(&content)))
            }
            Ok(_) => None,
        };
        referenced.iter().filter_map(wrong).collect()
    }
}

/// The name Odoo gives this content: two digits, a slash, SHA-1.
pub fn store_fname(content: &[u8]) -> String {
    let sha1 = hex(&Sha1::digest(content));
    format!("{}/{sha1}", &sha1[..2])
}

/// Modes as Odoo leaves them under the usual umask, whatever ours is.
fn write(path: &Path, content: &[u8]) {
    let dir = path.parent().unwrap();
    make_dir(dir);
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}

/// Creates a directory and its missing parents with mode 0755.
pub fn make_dir(dir: &Path) {
    if !dir.exists() {
        make_dir(dir.parent().unwrap());
        fs::create_dir(dir).unwrap();
        fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    }
}
