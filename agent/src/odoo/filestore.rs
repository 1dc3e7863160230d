//! Walks a tenant's filestore in a fixed order, and reads no more than the caller asks for.
//!
//! The filestore belongs to Odoo's user, who has fewer rights than we have. It is opened once, and whatever
//! that user does there meanwhile, nothing outside is ever opened (see [`Dir`]).

use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::archive::path::escape;
use crate::disk::beneath::{Dir, FileType};
use crate::error::{Error, Kind, Result};
use crate::odoo::blob::BlobName;

/// Odoo nests at most three levels; at more than this, something is wrong.
const DEPTH_MAX: usize = 64;

/// Something found in the filestore.
#[derive(Debug)]
pub struct WalkEntry {
    /// The relative path as text, see [`escape`]; the walk is sorted by it.
    pub path: String,
    /// The same path as it is on disk, below the walked directory.
    pub relative: PathBuf,
    /// The blob that the path names, if it names one.
    pub blob: Option<BlobName>,
    /// What it is.
    pub kind: WalkKind,
}

/// What an entry is.
#[derive(Debug)]
pub enum WalkKind {
    /// A regular file.
    File,
    /// Something that is never followed or read, and what: `symbolic link`, `FIFO`, ...
    Skipped(&'static str),
    /// An entry that could not be examined. The path of a directory ends with `/`; its content is unknown.
    Unreadable(Error),
}

impl WalkEntry {
    /// Size, time and mode, read now; `None` if the file is gone or is not a regular file any more.
    /// `dir` is the walked directory.
    pub fn metadata(&self, dir: &Dir) -> Result<Option<Metadata>> {
        let found = dir.look(&self.relative);
        let found = found.map_err(|e| Error::file("look at", &dir.path().join(&self.relative), e))?;
        Ok(found.filter(Metadata::is_file))
    }
}

/// Opens a tenant's filestore below Odoo's data directory, which belongs to the administrator. `None` if
/// it does not exist. `filestore` and the tenant's directory may be symbolic links of root or of our own
/// user only.
///
/// # Errors
/// `Filestore` for a symbolic link of another user; also if the directory cannot be opened.
pub fn open(data_dir: &Path, tenant: &str) -> Result<Option<Dir>> {
    open_below(data_dir, &Path::new("filestore").join(tenant))
}

/// The directory of all filestores; see [`open`].
pub fn open_all(data_dir: &Path) -> Result<Option<Dir>> {
    open_below(data_dir, Path::new("filestore"))
}

fn open_below(data_dir: &Path, below: &Path) -> Result<Option<Dir>> {
    match Dir::open(data_dir) {
        Ok(dir) => dir.linked_dir(below),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::file("open", data_dir, e)),
    }
}

/// The error that a filestore does not exist.
pub fn not_there(dir: &Path) -> Error {
    Error::new(Kind::Filestore, format!("the filestore {} does not exist", dir.display()))
        .next("check odoo.data_dir and the tenant's name")
}

/// The mode bits that matter in a filestore: who may read the file, and whether its owner may write it.
/// Other bits (setuid, setgid, write for all) are neither stored nor restored: Odoo's user may set any.
pub fn plain_mode(mode: u32) -> u32 {
    mode & 0o644 | 0o400
}

/// Visits everything below `dir` except directories, in byte order of the whole [`WalkEntry::path`],
/// so that two walks, or a walk and a sorted list, can be merged. It reads names and types only.
/// Memory is bounded by the largest directory of each level. Files that disappear meanwhile are left
/// out. It follows no symbolic link. It blocks: run it on a thread of its own.
///
/// # Errors
/// If `dir` itself cannot be listed; whatever `visit` returns, at once.
pub fn walk(dir: &Dir, visit: &mut dyn FnMut(WalkEntry) -> Result<()>) -> Result<()> {
    match children(dir, Path::new("")) {
        Err(e) => Err(e.context(format!("list the filestore {}", dir.path().display()))),
        Ok(found) => descend(dir, found.unwrap_or_default(), &[], 0, visit),
    }
}

struct Child {
    key: String,
    name: Vec<u8>,
    kind: std::io::Result<FileType>,
}

fn descend(
    dir: &Dir,
    found: Vec<Child>,
    relative: &[u8],
    depth: usize,
    visit: &mut dyn FnMut(WalkEntry) -> Result<()>,
) -> Result<()> {
    for child in found {
        let mut path = [relative, child.name.as_slice()].concat();
        let below = PathBuf::from(OsString::from_vec(path.clone()));
        let shown = || dir.path().join(&below);
        let kind = match child.kind {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue, // vanished
            Err(e) => WalkKind::Unreadable(Error::file("look at", &shown(), e)),
            Ok(kind) if kind.is_dir() => {
                path.push(b'/');
                match children(dir, &below) {
                    _ if depth == DEPTH_MAX => WalkKind::Unreadable(Error::new(
                        Kind::Filestore,
                        format!("{} is nested deeper than {DEPTH_MAX} directories", shown().display()),
                    )),
                    Err(e) => WalkKind::Unreadable(e),
                    Ok(found) => {
                        descend(dir, found.unwrap_or_default(), &path, depth + 1, visit)?;
                        continue;
                    }
                }
            }
            Ok(kind) if kind.is_file() => WalkKind::File,
            Ok(kind) => WalkKind::Skipped(special(kind)),
        };
        visit(WalkEntry { path: escape(&path), relative: below, blob: BlobName::parse(&path), kind })?;
    }
    Ok(())
}

/// The entries of a directory, sorted so that the whole paths are sorted: a directory is compared
/// with its `/`, because `a-b` is before `a/x` (`-` sorts before `/`) although `a` is before `a-b`.
/// Each name is escaped on its own, so the escaped paths sort in the same order.
fn children(dir: &Dir, below: &Path) -> Result<Option<Vec<Child>>> {
    let listed = match dir.dir(below).and_then(|dir| dir.entries()) {
        // It is gone, or is now a file or a link: the next backup will see it.
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound) => return Ok(None),
        listed => listed.map_err(|e| Error::file("list", &dir.path().join(below), e))?,
    };
    let mut out: Vec<Child> = listed
        .into_iter()
        .map(|entry| {
            let name = entry.name.into_vec();
            let slash = if entry.kind.as_ref().is_ok_and(|kind| kind.is_dir()) { "/" } else { "" };
            Child { key: escape(&name) + slash, name, kind: entry.kind }
        })
        .collect();
    out.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(Some(out))
}

fn special(kind: FileType) -> &'static str {
    match () {
        () if kind.is_symlink() => "symbolic link",
        () if kind.is_fifo() => "FIFO",
        () if kind.is_socket() => "socket",
        () if kind.is_block_device() || kind.is_char_device() => "device",
        () => "special file",
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // trees for the walk are made with bare hands
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;

    fn opened(dir: &Path) -> Dir {
        Dir::open(dir).unwrap()
    }

    fn walked(dir: &Path) -> Vec<(String, String)> {
        let mut out = Vec::new();
        walk(&opened(dir), &mut |entry| {
            let kind = match entry.kind {
                WalkKind::File => "file".to_owned(),
                WalkKind::Skipped(what) => what.to_owned(),
                WalkKind::Unreadable(e) => format!("unreadable: {e}"),
            };
            out.push((entry.path, kind));
            Ok(())
        })
        .unwrap();
        out
    }

    #[test]
    fn the_order_is_that_of_whole_escaped_paths() {
        let dir = tempfile::tempdir().unwrap();
        let names: [&[u8]; 16] = [
            b"a",
            b"a-b",
            b"a.b",
            b"a0",
            b"a b",
            b"a%",
            b"a%25",
            b"a\xff",
            b"a\n",
            b"a+",
            b"ab",
            b"b",
            b"B",
            b"\xc3\xa9",
            b"\xc3",
            b"~",
        ];
        // Every name once as a file and once as a directory, in two levels and below each other.
        for outer in names {
            let sub = dir.path().join(OsStr::from_bytes(&[b"d", outer].concat()));
            fs::create_dir(&sub).unwrap();
            fs::write(dir.path().join(OsStr::from_bytes(outer)), "").unwrap();
            for inner in names {
                fs::write(sub.join(OsStr::from_bytes(inner)), "").unwrap();
            }
            fs::create_dir(sub.join("z")).unwrap();
            fs::write(sub.join("z").join("a-b"), "").unwrap();
        }
        for (file, below) in [("k-l", "k"), ("k.l", "k"), ("k!", "k"), ("k0", "k")] {
            fs::create_dir_all(dir.path().join(below)).unwrap();
            fs::write(dir.path().join(below).join("x"), "").unwrap();
            fs::write(dir.path().join(file), "").unwrap();
        }
        let paths: Vec<String> = walked(dir.path()).into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths.len(), 16 * 18 + 5);
        let mut sorted = paths.clone();
        sorted.sort();
        assert_eq!(paths, sorted);
        let at = |path: &str| paths.iter().position(|p| p == path).unwrap();
        assert!(at("k-l") < at("k/x") && at("k/x") < at("k0"));
    }

    #[test]
    fn only_regular_files_are_files_and_nothing_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("da")).unwrap();
        let blob = "da/da39a3ee5e6b4b0d3255bfef95601890afd80709";
        fs::write(dir.path().join(blob), "").unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("link")).unwrap();
        std::os::unix::net::UnixListener::bind(dir.path().join("sock")).unwrap();
        let seen = walked(dir.path());
        let expected = [(blob, "file"), ("link", "symbolic link"), ("sock", "socket")];
        assert_eq!(seen, expected.map(|(path, kind)| (path.to_owned(), kind.to_owned())));
        let dir = opened(dir.path());
        walk(&dir, &mut |entry| {
            assert_eq!(entry.blob.is_some(), entry.path == blob);
            assert_eq!(entry.metadata(&dir).unwrap().is_some(), entry.path == blob);
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn a_filestore_that_is_not_there_is_none_and_a_callback_can_stop() {
        let dir = tempfile::tempdir().unwrap();
        assert!(open(dir.path(), "none").unwrap().is_none());
        assert!(open(&dir.path().join("none"), "none").unwrap().is_none());
        fs::write(dir.path().join("a"), "").unwrap();
        fs::write(dir.path().join("b"), "").unwrap();
        let mut seen = 0;
        let stopped = walk(&opened(dir.path()), &mut |_| {
            seen += 1;
            Err(Error::new(Kind::Interrupted, "stop"))
        });
        assert_eq!((stopped.unwrap_err().kind(), seen), (Kind::Interrupted, 1));
    }
}
