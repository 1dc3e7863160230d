//! What is found about the wholeness of the restored parts; `blobs` and `amcheck` look.

use serde::{Deserialize, Serialize};

/// Examples kept of everything that is wrong.
const EXAMPLES_MAX: usize = 20;

/// What was found. Counts are of distinct files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integrity {
    /// Distinct files that attachments name.
    pub files: u64,
    /// Files read to their end and found right.
    pub files_right: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Named and not there.
    pub missing: u64,
    /// Named and not there, but told so by the snapshot: the source had lost them, or they could
    /// not be read when the backup was taken.
    pub missing_known: u64,
    /// Named with size 0 and not there: Odoo does not always write an empty file.
    pub empty_absent: u64,
    /// There with another size than every attachment says.
    pub wrong_size: u64,
    /// There with other content than the SHA-1 in the name.
    pub wrong_content: u64,
    /// There and not readable, or not a plain file.
    pub unreadable: u64,
    /// Names in other storages than the filestore, which the backup does not hold: not looked at.
    #[serde(default)]
    pub elsewhere: u64,
    /// Names that are not `<2 or 3 hex digits>/<40 hex digits>`; the file is not looked at.
    pub bad_names: u64,
    /// Indexes that amcheck looked at.
    pub indexes: u64,
    /// Tables that amcheck looked at.
    pub tables: u64,
    /// What amcheck found.
    pub index_problems: u64,
    /// Why amcheck did not run; absent where it did.
    pub amcheck_skipped: Option<String>,
    /// The first of everything that is wrong, in no particular order.
    pub examples: Vec<String>,
}

impl Integrity {
    pub(crate) fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text);
        }
    }
}
