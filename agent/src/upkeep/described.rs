//! Whether the index of a configuration lists what its manifest describes: the same paths, and attached files
//! with the same sizes and digests.

use crate::archive::index::Entry;
use crate::archive::manifest::ConfigFacts;
use crate::capture::item::ARTIFACTS;
use crate::error::{Error, Kind, Result};

/// Crosses off the entries of an index.
pub(super) struct Described<'a> {
    facts: &'a ConfigFacts,
    found: usize,
    odd: Option<String>,
}

impl<'a> Described<'a> {
    /// Nothing was found yet.
    pub(super) fn new(facts: &'a ConfigFacts) -> Described<'a> {
        Described { facts, found: 0, odd: None }
    }

    /// One line of the index; each path comes once.
    pub(super) fn add(&mut self, entry: &Entry) {
        let facts = self.facts;
        let name = entry.path.strip_prefix(ARTIFACTS).and_then(|rest| rest.strip_prefix('/'));
        let fits = match name {
            Some(name) => {
                let at = facts.artifacts.binary_search_by(|one| one.name.as_str().cmp(name));
                at.is_ok_and(|at| {
                    let one = &facts.artifacts[at];
                    one.bytes == entry.bytes && entry.digest.sha256().is_ok_and(|digest| digest == one.sha256)
                })
            }
            None => facts.entries.binary_search_by(|one| one.path.cmp(&entry.path)).is_ok(),
        };
        match fits {
            true => self.found += 1,
            false => drop(self.odd.get_or_insert_with(|| entry.path.clone())),
        }
    }

    /// # Errors
    /// `Integrity`, naming the first path that differs.
    pub(super) fn finish(self) -> Result<()> {
        let all = self.facts.entries.len() + self.facts.artifacts.len();
        let what = match self.odd {
            Some(path) => {
                format!("the index lists {path}, which the manifest does not, or describes differently")
            }
            None if self.found != all => {
                format!("the index lists {} of the {all} files that the manifest names", self.found)
            }
            None => return Ok(()),
        };
        Err(Error::new(Kind::Integrity, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::digest::{FileDigest, Sha256};
    use crate::archive::manifest::Attached;

    #[test]
    fn the_index_and_the_manifest_must_say_the_same() {
        let attached = Attached { name: "sbom".into(), bytes: 1, sha256: Sha256::of(b"x") };
        let facts = ConfigFacts {
            digest_key: String::new(),
            files: 0,
            objects: 0,
            sha256: Sha256::of(b""),
            entries: Vec::new(),
            left_out: Vec::new(),
            artifacts: vec![attached],
        };
        let entry = |path: &str, bytes: u64| Entry {
            path: path.to_owned(),
            bytes,
            mode: 0o600,
            mtime_ns: 0,
            digest: FileDigest::Sha256(Sha256::of(b"x")),
            flaw: None,
            tenants: Vec::new(),
            parts: Vec::new(),
        };
        let check = |entries: &[Entry]| {
            let mut described = Described::new(&facts);
            entries.iter().for_each(|entry| described.add(entry));
            described.finish()
        };
        check(&[entry("artifacts/sbom", 1)]).unwrap();
        assert!(check(&[]).is_err());
        assert!(check(&[entry("artifacts/sbom", 2)]).is_err());
        assert!(
            check(&[entry("artifacts/sbom", 1), entry("files/x", 1)]).unwrap_err().what().contains("files/x")
        );
    }
}
