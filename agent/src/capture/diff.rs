//! What differs between two captures, from their manifests alone: no identity is needed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::archive::manifest::{Attached, ConfigFacts, NotCaptured};
use crate::error::{Error, Kind, Result};

/// The differences, each list sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Differences {
    /// Paths that only the second one has.
    pub added: Vec<String>,
    /// Paths that only the first one has.
    pub removed: Vec<String>,
    /// Paths with other content.
    pub changed: Vec<String>,
    /// Paths that only one of them could not capture: nothing is known of a change there.
    pub unknown: Vec<String>,
    /// Artifacts that only the second one has, or has with other content.
    pub artifacts_added: Vec<String>,
    /// Artifacts that only the first one has.
    pub artifacts_removed: Vec<String>,
}

impl Differences {
    /// Compares two captures of one host.
    ///
    /// # Errors
    /// `Refused` where their digests were made with different keys.
    pub fn between(a: &ConfigFacts, b: &ConfigFacts) -> Result<Differences> {
        if a.digest_key != b.digest_key {
            return Err(Error::new(Kind::Refused, "the two captures cannot be compared by their digests")
                .because("they were made by hosts with different signing keys, or the signing key was changed")
                .effect("nothing was compared")
                .next("restore both on a host with the identity, and compare the files: lifeboat config restore --release ID DIR"));
        }
        let mut found = Differences::default();
        let before: BTreeMap<&str, _> = a.entries.iter().map(|e| (e.path.as_str(), e.digest)).collect();
        let after: BTreeMap<&str, _> = b.entries.iter().map(|e| (e.path.as_str(), e.digest)).collect();
        let left = |facts: &ConfigFacts, path: &str| {
            facts.left_out.binary_search_by(|left| left.path.as_str().cmp(path)).is_ok()
        };
        for (path, digest) in &after {
            match before.get(path) {
                None if left(a, path) => found.unknown.push((*path).to_owned()),
                None => found.added.push((*path).to_owned()),
                Some(known) if known != digest => found.changed.push((*path).to_owned()),
                Some(_) => {}
            }
        }
        for path in before.keys().filter(|path| !after.contains_key(*path)) {
            match left(b, path) {
                true => found.unknown.push((*path).to_owned()),
                false => found.removed.push((*path).to_owned()),
            }
        }
        found.unknown.extend(only_in(&a.left_out, b).chain(only_in(&b.left_out, a)));
        found.unknown.sort();
        found.unknown.dedup();
        let has = |list: &[Attached], one: &Attached| list.contains(one);
        let named = |list: &[Attached], one: &Attached| list.iter().any(|other| other.name == one.name);
        let new = b.artifacts.iter().filter(|one| !has(&a.artifacts, one));
        found.artifacts_added = new.map(|one| one.name.clone()).collect();
        let gone = a.artifacts.iter().filter(|one| !named(&b.artifacts, one));
        found.artifacts_removed = gone.map(|one| one.name.clone()).collect();
        Ok(found)
    }

    /// Whether nothing of the captured configuration differs. Artifacts do not count: each release has its
    /// own.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty() && self.unknown.is_empty()
    }

    /// One line a difference, for people and for evidence: `changed files/etc/odoo/odoo.conf`.
    pub fn lines(&self) -> Vec<String> {
        let lists = [
            ("added", &self.added),
            ("removed", &self.removed),
            ("changed", &self.changed),
            ("not captured in one of them", &self.unknown),
            ("artifact new or changed", &self.artifacts_added),
            ("artifact removed", &self.artifacts_removed),
        ];
        let named = |(word, list): (&str, &Vec<String>)| {
            list.iter().map(|path| format!("{word} {path}")).collect::<Vec<_>>()
        };
        lists.into_iter().flat_map(named).collect()
    }
}

/// What is missing in one of them, and neither there nor missing in the other.
fn only_in<'a>(left_out: &'a [NotCaptured], other: &'a ConfigFacts) -> impl Iterator<Item = String> + 'a {
    let missing = |path: &str| other.left_out.iter().any(|left| left.path == path);
    left_out.iter().filter(move |left| !missing(&left.path)).map(|left| left.path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::keyed::DigestKey;
    use crate::archive::manifest::ConfigEntry;
    use crate::archive::signature::SigningKey;

    fn facts(key: &DigestKey, files: &[(&str, &str)], left: &[&str]) -> ConfigFacts {
        let entry = |(path, content): &(&str, &str)| ConfigEntry {
            path: (*path).to_owned(),
            digest: key.of_file(path, content.as_bytes()),
        };
        let entries: Vec<ConfigEntry> = files.iter().map(entry).collect();
        let left_out: Vec<NotCaptured> =
            left.iter().map(|path| NotCaptured { path: (*path).to_owned(), why: "x".into() }).collect();
        ConfigFacts {
            digest_key: key.id(),
            files: entries.len() as u64,
            objects: 0,
            sha256: ConfigFacts::digest_of(&entries, &left_out),
            entries,
            left_out,
            artifacts: Vec::new(),
        }
    }

    #[test]
    fn differences_are_named_and_other_keys_refused() {
        let key = DigestKey::of(&SigningKey::generate("test").unwrap()).unwrap();
        let a = facts(&key, &[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")], &["f"]);
        let b = facts(&key, &[("a", "1"), ("b", "2"), ("e", "1"), ("f", "1")], &["d"]);
        let found = Differences::between(&a, &b).unwrap();
        assert_eq!((found.added, found.removed), (vec!["e".to_owned()], vec!["c".to_owned()]));
        assert_eq!(
            (found.changed, found.unknown),
            (vec!["b".to_owned()], vec!["d".to_owned(), "f".to_owned()])
        );
        assert!(Differences::between(&a, &a).unwrap().is_empty());
        assert!(a.sha256 != b.sha256 && a.sha256 == a.clone().sha256);
        let other = DigestKey::of(&SigningKey::generate("other").unwrap()).unwrap();
        let foreign = facts(&other, &[("a", "1")], &[]);
        assert_eq!(Differences::between(&a, &foreign).unwrap_err().kind(), Kind::Refused);
    }
}
