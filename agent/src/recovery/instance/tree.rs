//! The directories of a restored instance, opened once: everything is read and written beneath their handles.
//!
//! Users with fewer rights than ours may own the parent directories or write to them, and we may be root.
//! So a directory is opened along a path without links of such users, created or reused under its name,
//! and closed to everybody else until it is complete. After that no path is resolved again: the links in
//! `pg_tblspc`, which a server needs, are created but never followed.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::archive::path::unescape;
use crate::disk::beneath::{Dir, FileType};
use crate::error::{Error, Kind, Result};

/// The directory with a server's tablespaces.
const FILE_MODES: u32 = 0o640;
const LINKS_DIR: &str = "pg_tblspc";

/// A tablespace and its new place.
#[derive(Clone, Debug, Serialize)]
pub struct TablespacePlan {
    /// OID.
    pub oid: u32,
    /// Name.
    pub name: String,
    /// Its old place.
    pub was: String,
    /// Its new place; absent or empty now.
    pub location: PathBuf,
}

/// An instance's directories.
pub(super) struct Tree {
    /// The data directory.
    pub data: Dir,
    /// Each tablespace outside, with the place of its link below the data directory.
    tablespaces: Vec<(PathBuf, Dir)>,
}

/// A place in one of them.
pub(super) struct At<'a> {
    dir: &'a Dir,
    relative: PathBuf,
}

impl Tree {
    /// Creates what does not exist yet; all of it is ours and closed to everybody else.
    pub fn claim(data_dir: &Path, tablespaces: &[TablespacePlan], owner: Option<(u32, u32)>) -> Result<Tree> {
        let data = claim(data_dir, owner)?;
        let place = |t: &TablespacePlan| Ok((link_of(t.oid).into(), claim(&t.location, owner)?));
        Ok(Tree { data, tablespaces: tablespaces.iter().map(place).collect::<Result<_>>()? })
    }

    /// The directories that an earlier try completed.
    pub fn known(data_dir: &Path, tablespaces: &[TablespacePlan]) -> Result<Tree> {
        let data = open(data_dir)?;
        let place = |t: &TablespacePlan| Ok((link_of(t.oid).into(), open(&t.location)?));
        Ok(Tree { data, tablespaces: tablespaces.iter().map(place).collect::<Result<_>>()? })
    }

    /// The existing directories; it follows their own tablespace links, so this is for reading only.
    pub fn open(data_dir: &Path) -> Result<Tree> {
        let data = open(data_dir)?;
        let failed = |e| Error::file("list", &data_dir.join(LINKS_DIR), e);
        let mut tablespaces = Vec::new();
        for entry in data.dir(Path::new(LINKS_DIR)).and_then(|links| links.entries()).map_err(failed)? {
            let link = Path::new(LINKS_DIR).join(&entry.name);
            if !matches!(entry.kind, Ok(FileType::Symlink)) {
                continue;
            }
            let to = data.read_link(&link).map_err(|e| Error::file("read link", &data_dir.join(&link), e))?;
            // A missing one, or one that somebody's link points to, has nothing that we could use.
            if let Some(Ok(Some(dir))) = to.map(|to| Dir::open_absolute(&to)) {
                tablespaces.push((link, dir));
            }
        }
        Ok(Tree { data, tablespaces })
    }

    /// All of these directories.
    pub fn roots(&self) -> impl Iterator<Item = &Dir> {
        [&self.data].into_iter().chain(self.tablespaces.iter().map(|(_, dir)| dir))
    }

    /// The place of an escaped path of the backup.
    pub fn at(&self, path: &str) -> Result<At<'_>> {
        let path = unescaped(path)?;
        let outside = self.tablespaces.iter().find_map(|(link, dir)| {
            path.strip_prefix(link).ok().filter(|rest| !rest.as_os_str().is_empty()).map(|rest| (dir, rest))
        });
        Ok(match outside {
            Some((dir, rest)) => At { dir, relative: rest.to_owned() },
            None => At { dir: &self.data, relative: path },
        })
    }

    /// Syncs everything, file system by file system.
    pub fn sync(&self) -> Result<()> {
        let mut roots = self.roots();
        roots.try_for_each(|dir| dir.sync_file_system().map_err(|e| Error::file("sync", dir.path(), e)))
    }
}

impl At<'_> {
    /// The path for messages.
    pub fn shown(&self) -> PathBuf {
        self.dir.path().join(&self.relative)
    }

    /// The directory from which it is opened, and the path from there.
    pub fn parts(&self) -> (&Dir, &Path) {
        (self.dir, &self.relative)
    }

    /// What is there.
    pub fn look(&self) -> Result<Option<Metadata>> {
        self.dir.look(&self.relative).map_err(|e| Error::file("look at", &self.shown(), e))
    }

    /// A regular file, for reading.
    pub fn open(&self) -> Result<(File, Metadata)> {
        self.dir.open_file(&self.relative).map_err(|e| Error::file("open", &self.shown(), e))
    }

    /// A private file that must not exist yet.
    pub fn create_new(&self) -> Result<File> {
        self.dir.create_new(&self.relative).map_err(|e| Error::file("create", &self.shown(), e))
    }

    /// A private file; created if it does not exist.
    pub fn open_or_create(&self) -> Result<File> {
        self.dir.open_or_create(&self.relative).map_err(|e| Error::file("open", &self.shown(), e))
    }

    /// Removes a file; no error if it is already gone.
    pub fn remove_file(&self) -> Result<()> {
        self.dir.remove_file(&self.relative).map_err(|e| Error::file("remove", &self.shown(), e))
    }

    /// A directory with this mode and owner; created if it does not exist.
    pub fn settle_dir(&self, mode: u32, owner: Option<(u32, u32)>) -> Result<()> {
        let made = self.dir.settle_dir(&self.relative, mode, owner);
        made.map(drop).map_err(|e| Error::file("create directory", &self.shown(), e))
    }

    /// A link to this place and no other.
    pub fn settle_link(&self, to: &Path, owner: Option<(u32, u32)>) -> Result<()> {
        let settle = || {
            if self.dir.read_link(&self.relative)?.as_deref() != Some(to) {
                self.dir.remove_file(&self.relative)?;
                self.dir.make_link(to, &self.relative, owner)?;
            }
            Ok(())
        };
        settle().map_err(|e| Error::file("make link", &self.shown(), e))
    }
}

/// The link of a tablespace, below the data directory.
pub(super) fn link_of(oid: u32) -> String {
    format!("{LINKS_DIR}/{oid}")
}

/// The path of a directory with its links resolved; no link may belong to a user with fewer rights than
/// ours. `None` if it does not exist.
pub(super) fn itself(path: &Path) -> Result<Option<PathBuf>> {
    Ok(open_above(path)?.map(|dir| dir.path().to_owned()))
}

/// An existing directory itself, not a link to it; see the head of this file.
///
/// # Errors
/// `NotFound`, and `Refused` if the path has a link of a user with fewer rights.
pub(super) fn open(path: &Path) -> Result<Dir> {
    let (above, name) = split(path)?;
    let gone = || Error::file("open", path, std::io::ErrorKind::NotFound.into());
    let above = open_above(above)?.ok_or_else(gone)?;
    above
        .dir(Path::new(name))
        .and_then(|dir| dir.begin_here())
        .map_err(|e| Error::file("open directory", path, e))
}

/// The parent directory, in which names are exchanged, and the name of this one in it.
pub(super) fn beside(path: &Path) -> Result<(Dir, &OsStr)> {
    let (above, name) = split(path)?;
    let gone = || Error::file("open", above, std::io::ErrorKind::NotFound.into());
    Ok((open_above(above)?.ok_or_else(gone)?, name))
}

/// A directory that is ours and closed; created if it does not exist, with its parents, which belong to
/// `owner`.
fn claim(path: &Path, owner: Option<(u32, u32)>) -> Result<Dir> {
    let (above, name) = split(path)?;
    let claim = || {
        let dir = make_above(above, owner)?.make_or_open(name);
        let dir = dir.and_then(|dir| dir.give(CLOSED, ours(owner)).and_then(|()| dir.begin_here()));
        dir.map_err(|e| Error::file("make directory", path, e))
    };
    claim()
}

/// Closed to everybody else.
const CLOSED: u32 = 0o700;

/// Our user, if we are root and it will belong to somebody else.
pub(super) fn ours(owner: Option<(u32, u32)>) -> Option<(u32, u32)> {
    owner.map(|_| (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()))
}

fn make_above(path: &Path, owner: Option<(u32, u32)>) -> Result<Dir> {
    if let Some(dir) = open_above(path)? {
        return Ok(dir);
    }
    let (above, name) = split(path)?;
    let made = make_above(above, owner)?.make_dir(name);
    let made = made.and_then(|made| made.give(CLOSED, owner).map(|()| made));
    made.map_err(|e| Error::file("make directory", path, e))
}

fn open_above(path: &Path) -> Result<Option<Dir>> {
    Dir::open_absolute(path).map_err(|e| match e.kind() {
        Kind::Filestore => e.with_kind(Kind::Refused),
        _ => e,
    })
}

fn split(path: &Path) -> Result<(&Path, &OsStr)> {
    path.parent().zip(path.file_name()).ok_or_else(|| {
        Error::new(Kind::Usage, format!("{} is not the name of a directory", path.display()))
            .effect("nothing was changed")
    })
}

/// The unescaped path.
fn unescaped(path: &str) -> Result<PathBuf> {
    let bytes: std::ffi::OsString = OsStringExt::from_vec(unescape(path)?);
    Ok(bytes.into())
}

/// The mode of a file, independent of the backup.
pub(super) fn file_mode(mode: u16) -> u32 {
    u32::from(mode) & FILE_MODES | 0o600
}
