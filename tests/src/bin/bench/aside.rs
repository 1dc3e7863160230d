//! Nothing is deleted during a run. For minutes, ext4 does not use a deleted file's inode again, and each
//! new file searches past them: after twenty thousand deletions that is half of the CPU time of a restore,
//! and it is not the time of the program that creates the file.

use std::fs;
use std::path::{Path, PathBuf};

/// Renames what is there; [`remove`] removes it at the end of the run.
pub fn set_aside(path: &Path) {
    let free = (1..).map(|n| path.with_extension(n.to_string())).find(|aside| !aside.exists());
    if path.exists() {
        fs::rename(path, free.unwrap()).unwrap();
    }
}

/// Removes what has one of these names below `work`, and what was set aside under it.
pub fn remove(work: &Path, names: &[&str]) {
    let entries = fs::read_dir(work).into_iter().flatten().flatten().map(|entry| entry.path());
    let ours = |path: &PathBuf| {
        path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| names.contains(&stem))
    };
    for path in entries.filter(ours) {
        let _ = fs::remove_dir_all(path);
    }
}
