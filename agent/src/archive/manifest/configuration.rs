//! What the manifest of a configuration snapshot says: names, keyed digests, and one digest of all of them.

use serde::{Deserialize, Serialize};

use crate::archive::digest::Sha256;
use crate::archive::keyed::KeyedDigest;

/// Most files and objects of one capture: its manifest lists all of them.
pub const ENTRIES_MAX: usize = 20_000;

/// The facts of a configuration snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFacts {
    /// Which key made the digests. Digests of different keys cannot be compared.
    pub digest_key: String,
    /// Captured files of the host.
    pub files: u64,
    /// Captured objects of Kubernetes.
    pub objects: u64,
    /// Digest of everything captured ([`ConfigFacts::digest_of`]): equal where nothing changed. Artifacts are
    /// not part of it.
    pub sha256: Sha256,
    /// Everything captured, sorted by path, each path once.
    pub entries: Vec<ConfigEntry>,
    /// What the configuration names and the capture does not have, sorted by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<NotCaptured>,
    /// What was attached, sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Attached>,
}

/// One captured file or object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigEntry {
    /// Its escaped path in the snapshot: `files/etc/odoo/odoo.conf`,
    /// `kubernetes/prod/deployment-odoo.json`, `secrets/prod/odoo.json`.
    pub path: String,
    /// Keyed digest of path and content. In the content, keyed digests stand in place of secrets.
    pub digest: KeyedDigest,
}

/// A path that could not be captured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCaptured {
    /// Its escaped path, as it would be in the snapshot.
    pub path: String,
    /// Why, in a sentence.
    pub why: String,
}

impl std::fmt::Display for NotCaptured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.why)
    }
}

/// A file that was attached: stored as it is, byte for byte, as `artifacts/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// Its escaped name, with slashes where it came from a folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its digest.
    pub sha256: Sha256,
}

impl ConfigFacts {
    /// The digest of a capture: SHA-256 over one line an entry, `<digest>  <path>`, and one line
    /// `-  <path>` for each path that is missing.
    pub fn digest_of(entries: &[ConfigEntry], left_out: &[NotCaptured]) -> Sha256 {
        let mut text = String::new();
        for entry in entries {
            text.push_str(&format!("{}  {}\n", entry.digest, entry.path));
        }
        for missing in left_out {
            text.push_str(&format!("-  {}\n", missing.path));
        }
        Sha256::of(text.as_bytes())
    }

    /// Whether the lists are in order, within their bounds, and what the digest says.
    pub(super) fn fit(&self) -> bool {
        self.entries.len() <= ENTRIES_MAX
            && self.entries.is_sorted_by(|a, b| a.path < b.path)
            && self.left_out.is_sorted_by(|a, b| a.path < b.path)
            && self.artifacts.is_sorted_by(|a, b| a.name < b.name)
            && self.sha256 == ConfigFacts::digest_of(&self.entries, &self.left_out)
    }
}
