//! Who owns the files in the directories that the service writes to: one command that somebody runs as root
//! can lock it out.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Check;
use crate::disk;

/// Most entries that are looked at: a repository may hold millions.
const ENTRIES_MAX: usize = 50_000;

/// A failed check if files have another owner than their directory; `None` if all is well.
pub fn check(name: &'static str, dir: &Path) -> Option<Check> {
    let (mut dirs, mut looked_at) = (vec![dir.to_owned()], 0);
    let mut odd: Vec<(PathBuf, u32, u32)> = Vec::new();
    while let Some(at) = dirs.pop() {
        let Ok(Some(above)) = disk::metadata(&at) else { continue };
        // What cannot be listed was told when it was met.
        for entry in disk::read_dir(&at).ok().flatten().unwrap_or_default() {
            looked_at += 1;
            let Ok(meta) = entry.metadata() else { continue };
            if above.uid() != 0 && meta.uid() != above.uid() {
                odd.push((entry.path(), meta.uid(), above.uid()));
            } else if meta.is_dir() && looked_at < ENTRIES_MAX {
                dirs.push(entry.path());
            }
        }
    }
    let (first, uid, owner) = odd.first()?;
    let who = if *uid == 0 { "root".to_owned() } else { format!("user {uid}") };
    let text = format!(
        "{} in {} with another owner than the directory (user {owner}); the first belongs to {who}: {}",
        if odd.len() == 1 { "a file".to_owned() } else { format!("{} files", odd.len()) },
        dir.display(),
        first.display()
    );
    // Below a directory that is root's, each directory is its own reference.
    let reference = first.parent().unwrap_or(dir).display();
    Some(Check::fail(
        name,
        text,
        format!(
            "chown -hR --reference={reference} {reference}; run lifeboat as the user who owns them: sudo -u '#{owner}' lifeboat …"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::chown;

    #[test]
    fn files_of_another_owner_are_told_with_the_mend() {
        let dir = tempfile::tempdir().unwrap();
        disk::create_private_dir(&dir.path().join("a/b")).unwrap();
        disk::write_new_durable(&dir.path().join("a/b/file"), b"1").unwrap();
        assert!(check("x", dir.path()).is_none());
        if chown(dir.path().join("a/b"), Some(4_000_000), None).is_err() {
            println!("SKIPPED files of another owner: only root can make them");
            return;
        }
        let found = check("x", dir.path()).unwrap();
        let told = format!("{found:?}");
        assert!(told.contains("a file in") && told.contains("the first belongs to root"), "{told}");
        assert!(told.contains("chown -hR --reference="), "{told}");
    }
}
