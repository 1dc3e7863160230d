//! A name in the filestore: what to do with it, and what was done.

use std::path::PathBuf;

use crate::archive::index::Entry;

/// What to do with a name.
pub(super) enum Item {
    Keep(Entry),
    Read {
        relative: PathBuf,
        path: String,
        sha1: Option<String>,
        replaces: bool,
    },
    /// A known file whose source goes: it is stored again. If that fails, what is stored of it counts.
    Again {
        relative: PathBuf,
        sha1: Option<String>,
        old: Entry,
    },
    Removed(String),
    Problem {
        text: String,
        removes: Option<String>,
    },
}

/// What was done with a name.
pub(super) enum Handled {
    Keep(Entry),
    New(Entry),
    /// Stored again.
    Again(Entry),
    Removed(String),
    Nothing,
    Problem {
        text: String,
        removes: Option<String>,
    },
}
