//! A name in the filestore: what to do with it, and what was done.

use std::path::PathBuf;

use crate::archive::index::Entry;

/// What to do with a name.
pub(super) enum Item {
    Keep(Entry),
    Read { relative: PathBuf, path: String, sha1: Option<String>, replaces: bool },
    Removed(String),
    Problem { text: String, removes: Option<String> },
}

/// What was done with a name.
pub(super) enum Handled {
    Keep(Entry),
    New(Entry),
    Removed(String),
    Nothing,
    Problem { text: String, removes: Option<String> },
}
