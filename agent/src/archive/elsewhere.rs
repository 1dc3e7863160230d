//! Attachments in another storage than the filestore, according to their `store_fname`: no backup of the
//! filestore can contain them, so they are not counted as missing files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Storages that are listed by name: a tenant's rows may name any number.
const STORAGES_MAX: usize = 50;
/// The name under which the others are counted.
const MORE: &str = "others";
/// Longest name of a storage.
const CODE_BYTES_MAX: usize = 64;

/// Attachments in one other storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// The part before `://`: a scheme such as `s3`, or the code of a storage of OCA's fs_attachment.
    pub storage: String,
    /// Rows that name something in it.
    pub attachments: u64,
    /// Different names.
    pub files: u64,
    /// Their sizes according to the rows, added up.
    pub bytes: u64,
}

/// The storage that a `store_fname` names: `s3` of `s3://bucket/key` (attachment_s3, attachment_azure and
/// similar modules), `docs` of `docs://key` (fs_attachment, which names its storages by their code). `None`
/// for all others.
pub fn other_storage(store_fname: &str) -> Option<&str> {
    let (code, key) = store_fname.split_once("://")?;
    let fits = |c: char| c.is_alphanumeric() || "._+-".contains(c);
    let is_code = !code.is_empty() && code.len() <= CODE_BYTES_MAX && code.chars().all(fits);
    (is_code && !key.is_empty()).then_some(code)
}

/// Counts attachments in other storages.
#[derive(Default)]
pub struct Elsewheres(BTreeMap<String, Elsewhere>);

impl Elsewheres {
    /// Counts a name, each of them once; returns whether it is in another storage.
    pub fn add(&mut self, store_fname: &str, rows: u64, bytes: u64) -> bool {
        let Some(code) = other_storage(store_fname) else { return false };
        let code = match self.0.contains_key(code) || self.0.len() < STORAGES_MAX {
            true => code,
            false => MORE,
        };
        let of = self.0.entry(code.to_owned()).or_default();
        of.attachments += rows;
        of.files += 1;
        of.bytes = of.bytes.saturating_add(bytes);
        true
    }

    /// By storage, the one with most attachments first.
    pub fn finish(self) -> Vec<Elsewhere> {
        let named = self.0.into_iter().map(|(storage, of)| Elsewhere { storage, ..of });
        let mut all: Vec<Elsewhere> = named.collect();
        all.sort_by_key(|of| std::cmp::Reverse(of.attachments));
        all
    }
}

/// One sentence about them; `None` where there are none. The same words in every report.
pub fn told(all: &[Elsewhere]) -> Option<String> {
    let count: u64 = all.iter().map(|of| of.attachments).sum();
    let by_storage: Vec<String> =
        all.iter().map(|of| format!("{} ({})", of.storage, of.attachments)).collect();
    let are = if count == 1 { "attachment is" } else { "attachments are" };
    (count > 0).then(|| {
        format!(
            "{count} {are} in an object store, which this backup does not contain: {}",
            by_storage.join(", ")
        )
    })
}

/// The same for a database that is restored: a copy's garbage collector would delete production's objects.
pub fn shared(all: &[Elsewhere]) -> Option<String> {
    let told = told(all)?;
    Some(format!(
        "{told}. The restored database names the same objects: unless it replaces production, do not let its \
         Odoo write there"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_storages_are_told_from_odoos_own_and_from_odd_ones() {
        for (name, storage) in [
            ("s3://acme-prod/0a1b", Some("s3")),
            ("azure://acme/x", Some("azure")),
            ("docs://0a1b", Some("docs")),
            ("büro-2://a/b c", Some("büro-2")),
            ("da/da39a3ee5e6b4b0d3255bfef95601890afd80709", None),
            ("da3/da39a3ee5e6b4b0d3255bfef95601890afd80709", None),
            ("../../etc/passwd", None),
            ("s3://", None),
            ("://key", None),
            ("da/x://y", None),
            ("two words://y", None),
            ("s3:key", None),
        ] {
            assert_eq!(other_storage(name), storage, "{name}");
        }
    }

    #[test]
    fn storages_are_counted_and_a_flood_of_them_is_bounded() {
        let mut all = Elsewheres::default();
        assert!(!all.add("da/da39a3ee5e6b4b0d3255bfef95601890afd80709", 1, 1));
        for n in 0..30 {
            assert!(all.add(&format!("s3://b/{n}"), 1, 10));
        }
        assert!(all.add("docs://x", 5, 7));
        let all = all.finish();
        assert_eq!((all[0].files, all[0].bytes, all[1].attachments), (30, 300, 5));
        let text =
            "35 attachments are in an object store, which this backup does not contain: s3 (30), docs (5)";
        assert_eq!(told(&all).as_deref(), Some(text));
        assert_eq!(told(&[]), None);
        let mut flood = Elsewheres::default();
        (0..1000).for_each(|n| assert!(flood.add(&format!("x{n}://y"), 1, 0)));
        let flood = flood.finish();
        assert_eq!(flood.len(), STORAGES_MAX + 1);
        assert_eq!(flood.iter().map(|of| of.attachments).sum::<u64>(), 1000);
    }
}
