//! A name in the filestore: what is to be done with it, and what became of it.

use std::path::PathBuf;

use crate::archive::index::Entry;

/// What is to be done with a name.
pub(super) enum Item {
    Keep(Entry),
    Read { relative: PathBuf, path: String, sha1: Option<String>, replaces: bool },
    Removed(String),
    Problem { text: String, removes: Option<String> },
}

/// What became of a name.
pub(super) enum Handled {
    Keep(Entry),
    New(Entry),
    Removed(String),
    Nothing,
    Problem { text: String, removes: Option<String> },
}
