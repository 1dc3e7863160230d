//! Finds the regular files of a path that a person named: a file, or everything in a folder.
//!
//! The folder may belong to somebody with fewer rights. So everything is opened below its handle. A link
//! counts only where it leads to a regular file of the same folder (as in a mounted ConfigMap); its content
//! then has the name of the link. Everything else that is no regular file is reported by name.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use crate::disk;
use crate::disk::beneath::{Dir, FileType};
use crate::error::{Error, Kind, Result};

/// Deeper folders are reported and not read.
const DEPTH_MAX: usize = 64;
/// Links that follow each other.
const LINKS_MAX: usize = 16;
/// Most names of one folder, whatever they are.
const NAMES_MAX: usize = 100_000;

/// A regular file.
#[derive(Debug)]
pub struct FoundFile {
    /// The folder that it is opened below.
    pub dir: Dir,
    /// Its path in that folder, without links.
    pub relative: PathBuf,
    /// The path by which it was found, from `/`.
    pub path: PathBuf,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Walked {
    /// Regular files.
    pub files: Vec<FoundFile>,
    /// Everything else, and what could not be looked at: the path, and why.
    pub odd: Vec<(PathBuf, String)>,
}

/// Looks at an absolute path. `skip` says which paths are left out; folders that it names are not entered.
///
/// # Errors
/// `Config` where there are more files than `files_max`. What is wrong with single paths is in
/// [`Walked::odd`].
pub fn walk(path: &Path, files_max: usize, skip: &dyn Fn(&Path) -> bool) -> Result<Walked> {
    let mut walked = Walked::default();
    if skip(path) {
        return Ok(walked);
    }
    match top(path) {
        Ok(Top::Folder(dir)) => {
            let mut walk = Walk { dir, top: path, files_max, skip, walked: &mut walked };
            walk.folder(Path::new(""), 0)?;
        }
        Ok(Top::File(dir, name)) => {
            let parent = path.parent().unwrap_or(path);
            let mut walk = Walk { dir, top: parent, files_max, skip, walked: &mut walked };
            walk.name(PathBuf::from(name), None, 0)?;
        }
        Ok(Top::Nothing) => walked.odd.push((path.to_owned(), "it does not exist".to_owned())),
        Err(e) => walked.odd.push((path.to_owned(), e.line())),
    }
    Ok(walked)
}

enum Top {
    Folder(Dir),
    /// The folder that the file is in, and its name.
    File(Dir, OsString),
    Nothing,
}

fn top(path: &Path) -> Result<Top> {
    if disk::is_dir(path) {
        return Ok(Dir::open_absolute(path)?.map_or(Top::Nothing, Top::Folder));
    }
    if disk::metadata(path)?.is_none() {
        return Ok(Top::Nothing);
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(Top::Nothing) };
    Ok(Dir::open_absolute(parent)?.map_or(Top::Nothing, |dir| Top::File(dir, name.to_owned())))
}

struct Walk<'a> {
    dir: Dir,
    /// The path of `dir`, as it was named.
    top: &'a Path,
    files_max: usize,
    skip: &'a dyn Fn(&Path) -> bool,
    walked: &'a mut Walked,
}

impl Walk<'_> {
    fn odd(&mut self, relative: &Path, why: impl Into<String>) {
        self.walked.odd.push((self.top.join(relative), why.into()));
    }

    fn folder(&mut self, relative: &Path, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            self.odd(relative, format!("it is more than {DEPTH_MAX} folders deep"));
            return Ok(());
        }
        let listed = self.dir.dir(relative).and_then(|dir| dir.some_entries(NAMES_MAX));
        let mut entries = match listed {
            Ok(entries) if entries.len() >= NAMES_MAX => return Err(too_many(self.top, NAMES_MAX)),
            Ok(entries) => entries,
            Err(e) => {
                self.odd(relative, format!("it cannot be listed: {e}"));
                return Ok(());
            }
        };
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            // Kubernetes keeps the versions of a mounted ConfigMap there; the links beside lead to them.
            if entry.name.as_encoded_bytes().starts_with(b"..") {
                continue;
            }
            let path = relative.join(&entry.name);
            if !(self.skip)(&self.top.join(&path)) {
                self.name(path, Some(entry.kind), depth)?;
            }
        }
        Ok(())
    }

    /// One name; `kind` is unknown for a file that was named itself.
    fn name(&mut self, path: PathBuf, kind: Option<std::io::Result<FileType>>, depth: usize) -> Result<()> {
        let kind = match kind {
            Some(Ok(kind)) => kind,
            Some(Err(e)) => {
                self.odd(&path, format!("it cannot be looked at: {e}"));
                return Ok(());
            }
            None => match self.dir.read_link(&path) {
                Ok(Some(_)) => FileType::Symlink,
                _ => FileType::RegularFile, // opening it says what it is
            },
        };
        match kind {
            FileType::Directory => self.folder(&path, depth + 1)?,
            FileType::RegularFile => self.file(path.clone(), path)?,
            FileType::Symlink => match inside(&self.dir, &path) {
                Ok(Some(target)) if self.is_file(&target) => self.file(target, path)?,
                Ok(Some(_)) => self.odd(&path, "a symbolic link to something that is not a regular file"),
                Ok(None) => {
                    self.odd(&path, "a symbolic link that leads out of its folder; it is not followed")
                }
                Err(e) => self.odd(&path, format!("a symbolic link that cannot be read: {e}")),
            },
            FileType::Fifo => self.odd(&path, "a FIFO, not a regular file"),
            FileType::Socket => self.odd(&path, "a socket, not a regular file"),
            _ => self.odd(&path, "a device, not a regular file"),
        }
        Ok(())
    }

    fn is_file(&self, relative: &Path) -> bool {
        self.dir.look(relative).is_ok_and(|meta| meta.is_some_and(|meta| meta.is_file()))
    }

    fn file(&mut self, relative: PathBuf, found: PathBuf) -> Result<()> {
        if self.walked.files.len() >= self.files_max {
            return Err(too_many(self.top, self.files_max));
        }
        let path = self.top.join(found);
        self.walked.files.push(FoundFile { dir: self.dir.clone(), relative, path });
        Ok(())
    }
}

fn too_many(top: &Path, most: usize) -> Error {
    Error::new(Kind::Config, format!("{} has more than {most} files", top.display()))
        .effect("nothing was stored")
        .next("name only the folders that hold configuration, or leave some out with configuration.exclude")
}

/// The path in `dir` that a link leads to, link by link; `None` where one leads out.
fn inside(dir: &Dir, link: &Path) -> std::io::Result<Option<PathBuf>> {
    let names = |path: &Path| path.components().map(|c| c.as_os_str().to_owned()).collect::<Vec<_>>();
    let mut rest: VecDeque<OsString> = names(link).into();
    let (mut at, mut links) = (PathBuf::new(), 0);
    while let Some(name) = rest.pop_front() {
        match Path::new(&name).components().next() {
            Some(Component::ParentDir) if !at.pop() => return Ok(None),
            Some(Component::ParentDir | Component::CurDir) => continue,
            Some(Component::Normal(_)) => {}
            _ => return Ok(None), // an absolute target
        }
        at.push(&name);
        if let Some(target) = dir.read_link(&at)? {
            links += 1;
            if links > LINKS_MAX {
                return Ok(None);
            }
            at.pop();
            names(&target).into_iter().rev().for_each(|name| rest.push_front(name));
        }
    }
    Ok((!at.as_os_str().is_empty()).then_some(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn paths(walked: &Walked, top: &Path) -> Vec<String> {
        let shown = |file: &FoundFile| file.path.strip_prefix(top).unwrap().display().to_string();
        walked.files.iter().map(shown).collect()
    }

    fn write(path: &Path) {
        disk::create_private_dir(path.parent().unwrap()).unwrap();
        disk::write_new_durable(path, b"x").unwrap();
    }

    #[test]
    fn files_are_found_and_what_leads_out_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap().join("top");
        for name in ["a/one", "two", "..2026_11/odoo.conf", "skip/three"] {
            write(&top.join(name));
        }
        write(&dir.path().join("outside"));
        symlink("..2026_11", top.join("..data")).unwrap();
        symlink("..data/odoo.conf", top.join("odoo.conf")).unwrap();
        symlink("../outside", top.join("out")).unwrap();
        symlink("/etc/passwd", top.join("away")).unwrap();
        symlink("loop", top.join("loop")).unwrap();
        symlink("a", top.join("folder")).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, top.join("fifo"), fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        let skip = |path: &Path| path.ends_with("skip");
        let walked = walk(&top, 100, &skip).unwrap();
        assert_eq!(paths(&walked, &top), ["a/one", "odoo.conf", "two"]);
        assert_eq!(walked.files[1].relative, Path::new("..2026_11/odoo.conf"));
        let odd: Vec<_> = walked.odd.iter().map(|(path, _)| path.strip_prefix(&top).unwrap()).collect();
        assert_eq!(odd, ["away", "fifo", "folder", "loop", "out"].map(Path::new));
        assert_eq!(walk(&top, 2, &skip).unwrap_err().kind(), Kind::Config);
        assert_eq!(walk(&top.join("nothing"), 9, &skip).unwrap().odd.len(), 1);
        assert_eq!(walk(&top.join("two"), 9, &skip).unwrap().files.len(), 1);
        assert_eq!(walk(&top.join("odoo.conf"), 9, &skip).unwrap().files.len(), 1);
        assert_eq!(walk(&top.join("out"), 9, &skip).unwrap().odd.len(), 1);
    }
}
