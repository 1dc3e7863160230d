//! What a pipeline attaches: files as they are, folders with everything in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::archive::manifest::ENTRIES_MAX;
use crate::archive::path::escape;
use crate::capture::item::ARTIFACTS;
use crate::capture::walk::{FoundFile, walk};
use crate::error::{Error, Kind, Result};

/// A file to attach.
pub(super) struct Attachment {
    /// Its escaped path in the snapshot: `artifacts/<name>`.
    pub(super) path: String,
    /// Where it is.
    pub(super) file: FoundFile,
}

/// The files of these paths. A file has its own name, a file in a folder that of the folder before it. Opens
/// none of them. Blocking.
///
/// # Errors
/// `NotFound`; `Usage` where two have the same name, or one is neither a file nor a folder.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<Attachment>> {
    let (mut found, mut names) = (Vec::new(), BTreeSet::new());
    for path in paths {
        let path = std::path::absolute(path).map_err(|e| Error::file("find", path, e))?;
        let Some(parent) = path.parent() else {
            return Err(refused(&path, "the root of the file system cannot be attached".to_owned()));
        };
        let walked = walk(&path, ENTRIES_MAX - found.len(), &|_| false)?;
        if let Some((odd, why)) = walked.odd.into_iter().next() {
            let e = refused(&odd, why);
            return Err(if odd.exists() { e } else { e.with_kind(Kind::NotFound) });
        }
        for file in walked.files {
            let relative = file.path.strip_prefix(parent).unwrap_or(&file.path);
            let path = format!("{ARTIFACTS}/{}", escape(relative.as_os_str().as_encoded_bytes()));
            if !names.insert(path.clone()) {
                let why = "another attached file has the same name".to_owned();
                return Err(refused(&file.path, why).next("rename one of them, or attach their folder"));
            }
            found.push(Attachment { path, file });
        }
    }
    Ok(found)
}

/// The error of a path that cannot be attached.
pub(super) fn refused(path: &Path, why: String) -> Error {
    Error::new(Kind::Usage, format!("{} cannot be attached", path.display()))
        .because(why)
        .effect("nothing was stored")
        .next("correct --attach")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk;

    #[test]
    fn files_and_folders_are_found_under_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        for name in ["a/sbom.json", "b/sbom.json", "a/deep/x"] {
            disk::create_private_dir(top.join(name).parent().unwrap()).unwrap();
            disk::write_new_durable(&top.join(name), b"x").unwrap();
        }
        let paths = |names: &[&str]| names.iter().map(|name| top.join(name)).collect::<Vec<_>>();
        let found = find(&paths(&["a", "b/sbom.json"])).unwrap();
        let names: Vec<&str> = found.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(names, ["artifacts/a/deep/x", "artifacts/a/sbom.json", "artifacts/sbom.json"]);
        let kind = |names: &[&str]| find(&paths(names)).err().unwrap().kind();
        assert_eq!(kind(&["a/sbom.json", "b/sbom.json"]), Kind::Usage);
        assert_eq!(kind(&["gone"]), Kind::NotFound);
        std::os::unix::fs::symlink("/etc/passwd", top.join("a/out")).unwrap();
        assert_eq!(kind(&["a"]), Kind::Usage);
    }
}
