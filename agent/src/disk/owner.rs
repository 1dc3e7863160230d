//! Who owns the files that root creates: the owner of their directory.
//!
//! One command run as root by hand must not lock the service out. State directory and local repository belong
//! to the user of the service, and so does what root creates in them. It is given away through the handle
//! that it was created with, so that nobody can put something else in its place. Where the directory belongs
//! to root, nothing changes.
#![allow(clippy::disallowed_methods)] // a part of the door

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Result as IoResult};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use rustix::fs::OFlags;

use super::beneath::{Dir, odd};

/// How often a file may appear and disappear while we open it.
const TRIES_MAX: u32 = 16;

/// Opens a file according to `how`, created with `mode` where it does not exist; never the target of a link.
pub(super) fn open_or_create(path: &Path, how: &OpenOptions, mode: u32) -> IoResult<File> {
    for _ in 0..TRIES_MAX {
        match how.clone().custom_flags(OFlags::NOFOLLOW.bits() as i32).open(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            opened => return opened,
        }
        match create_new(path, how, mode) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {} // somebody has just created it
            made => return made,
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Creates a file that must not exist yet, and opens it according to `how`.
pub(super) fn create_new(path: &Path, how: &OpenOptions, mode: u32) -> IoResult<File> {
    let file = how.clone().create_new(true).mode(mode).open(path)?;
    keep(&file, path)?;
    Ok(file)
}

/// Creates one directory that must not exist yet.
pub(super) fn create_dir(dir: &Path, mode: u32) -> IoResult<()> {
    fs::DirBuilder::new().mode(mode).create(dir)?;
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY;
    keep(&OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(dir)?, dir)
}

/// Creates a directory and its parents; no error where it exists.
pub(super) fn create_dirs(dir: &Path, mode: u32) -> IoResult<()> {
    match create_dir(dir, mode) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists && dir.is_dir() => return Ok(()),
        done => return done,
    }
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => create_dirs(parent, mode)?,
        _ => return Err(ErrorKind::NotFound.into()),
    }
    match create_dir(dir, mode) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        done => done,
    }
}

fn keep(made: &File, path: &Path) -> IoResult<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // The owner of the directory could exchange a name on the way while we create something. So they get it
    // only where it is in the very directory that belongs to them.
    let above = Dir::open(parent)?;
    let (own, name) = (made.metadata()?, path.file_name().unwrap_or_default());
    let lies_there =
        above.look(Path::new(name))?.is_some_and(|it| (it.dev(), it.ino()) == (own.dev(), own.ino()));
    let above = above.metadata()?;
    // Some file systems give every file one owner, whatever is requested.
    if above.uid() == 0 || (above.uid(), above.gid()) == (own.uid(), own.gid()) {
        return Ok(());
    }
    if !lies_there {
        return Err(odd("replaced by somebody right after Lifeboat made it"));
    }
    fchown(made, Some(above.uid()), Some(above.gid()))
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use std::os::unix::fs::{MetadataExt, chown};

    #[test]
    fn what_root_makes_belongs_to_the_owner_of_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        if chown(dir.path(), Some(4_000_000), Some(4_000_001)).is_err() {
            println!("SKIPPED what root makes: this is not root");
            return;
        }
        create_private_dir(&at("a/b/c")).unwrap();
        create_private_dir(&at("a/b/c")).unwrap();
        create_new_dir(&at("d"), 0o700).unwrap();
        drop(create_new(&at("f"), 0o600).unwrap());
        drop(open_or_create(&at("a/g")).unwrap());
        write_new_durable(&at("a/b/i"), b"1").unwrap();
        replace_durable(&at("j"), b"1").unwrap();
        drop(try_lock(&at("k")).unwrap());
        for name in ["a", "a/b", "a/b/c", "d", "f", "a/g", "a/b/i", "j", "k"] {
            let meta = std::fs::metadata(at(name)).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (4_000_000, 4_000_001), "{name}");
        }
        // an existing file keeps its owner
        chown(at("j"), Some(0), Some(0)).unwrap();
        drop(open_or_create(&at("j")).unwrap());
        assert_eq!(std::fs::metadata(at("j")).unwrap().uid(), 0);
    }

    #[test]
    fn what_was_exchanged_while_it_was_made_is_not_given_away() {
        let dir = tempfile::tempdir().unwrap();
        let (his, roots) = (dir.path().join("his"), dir.path().join("roots"));
        for made in [&his, &roots] {
            std::fs::create_dir(made).unwrap();
        }
        if chown(&his, Some(4_000_000), Some(4_000_001)).is_err() {
            println!("SKIPPED what root makes: this is not root");
            return;
        }
        std::fs::create_dir(roots.join("ssh")).unwrap();
        std::fs::create_dir(his.join("ssh")).unwrap();
        // opened through a link that existed for a moment
        let opened = std::fs::File::open(roots.join("ssh")).unwrap();
        assert!(super::keep(&opened, &his.join("ssh")).is_err());
        assert_eq!(std::fs::metadata(roots.join("ssh")).unwrap().uid(), 0);
        super::keep(&std::fs::File::open(his.join("ssh")).unwrap(), &his.join("ssh")).unwrap();
        assert_eq!(std::fs::metadata(his.join("ssh")).unwrap().uid(), 4_000_000);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, link) = (dir.path().join("victim"), dir.path().join("link"));
        std::fs::write(&victim, "1").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("x.new")).unwrap();
        assert!(open_or_create(&link).is_err() && create_new(&link, 0o600).is_err());
        assert!(replace_durable(&dir.path().join("x"), b"2").is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "1");
    }
}
