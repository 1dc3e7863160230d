//! The findings about the integrity of the restored data; `blobs` and `amcheck` fill them in.

use serde::{Deserialize, Serialize};

/// How many examples of problems are kept.
const EXAMPLES_MAX: usize = 20;

/// The findings. Counts are of distinct files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integrity {
    /// Distinct files that attachments name.
    pub files: u64,
    /// Files that were read completely and are right.
    pub files_right: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The size of the restored database.
    #[serde(default)]
    pub database_bytes: u64,
    /// Named but missing.
    pub missing: u64,
    /// Named but missing, and known to be missing in the snapshot: the source had lost them, or they could
    /// not be read when the backup was taken.
    pub missing_known: u64,
    /// Named with size 0 but missing: Odoo does not always write an empty file.
    pub empty_absent: u64,
    /// Present, but with another size than every attachment says.
    pub wrong_size: u64,
    /// Present, but the content does not match the SHA-1 in the name.
    pub wrong_content: u64,
    /// Present, but not readable or not a regular file.
    pub unreadable: u64,
    /// Names in other storages than the filestore, which the backup does not contain: not checked.
    #[serde(default)]
    pub elsewhere: u64,
    /// Missing, and written after the restored backup of the filestore: of a whole instance only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub later: u64,
    /// Names that are not `<2 or 3 hex digits>/<40 hex digits>`; the file is not checked.
    pub bad_names: u64,
    /// Indexes that amcheck checked.
    pub indexes: u64,
    /// Tables that amcheck checked.
    pub tables: u64,
    /// Problems that amcheck found.
    pub index_problems: u64,
    /// Files of the data directory whose page checksums were verified; only of a whole instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_files: Option<u64>,
    /// Their pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<u64>,
    /// Pages with a wrong checksum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad_pages: Option<u64>,
    /// Why amcheck did not run; absent if it did.
    pub amcheck_skipped: Option<String>,
    /// The first problems, in no particular order.
    pub examples: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Integrity {
    /// Adds what was found in another database; its examples begin with `whose`.
    pub fn add(&mut self, other: &Integrity, whose: &str) {
        for (own, more) in [
            (&mut self.files, other.files),
            (&mut self.files_right, other.files_right),
            (&mut self.bytes, other.bytes),
            (&mut self.database_bytes, other.database_bytes),
            (&mut self.missing, other.missing),
            (&mut self.missing_known, other.missing_known),
            (&mut self.empty_absent, other.empty_absent),
            (&mut self.wrong_size, other.wrong_size),
            (&mut self.wrong_content, other.wrong_content),
            (&mut self.unreadable, other.unreadable),
            (&mut self.elsewhere, other.elsewhere),
            (&mut self.later, other.later),
            (&mut self.bad_names, other.bad_names),
            (&mut self.indexes, other.indexes),
            (&mut self.tables, other.tables),
            (&mut self.index_problems, other.index_problems),
        ] {
            *own += more;
        }
        self.amcheck_skipped = self.amcheck_skipped.take().or_else(|| other.amcheck_skipped.clone());
        other.examples.iter().for_each(|example| self.example(format!("{whose}: {example}")));
    }

    /// Keeps it, if there is room.
    pub fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text);
        }
    }
}
