//! Whether this user may read the filestores, and which commands allow it: first the path to them, then some
//! files of each.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Check;
use crate::config::Config;
use crate::disk;
use crate::disk::beneath::{Dir, Entry, FileType};
use crate::error::{Error, Kind, Result};
use crate::names::counted;

const NAME: &str = "data directory";
/// Filestores that are tried, folders of each, files of each folder.
const TENANTS_MAX: usize = 200;
const FOLDERS_MAX: usize = 4;
const FILES_MAX: usize = 4;

/// The check of `odoo.data_dir`.
pub fn data_dir(config: &Config) -> Check {
    const CORRECT: &str = "set odoo.data_dir to Odoo's data_dir, the directory that holds filestore/";
    let Some(dir) = &config.odoo.data_dir else {
        return Check::warn(NAME, "odoo.data_dir is not set: filestores cannot be backed up", CORRECT);
    };
    let filestore = dir.join("filestore");
    match look(dir) {
        Err(error) if error.kind() == Kind::Denied => {
            let closed = first_closed(&filestore);
            Check::error(NAME, &error.next(let_in(&filestore, &closed, &owner(&closed))))
        }
        Err(error) => Check::error(NAME, &error),
        Ok(None) => Check::fail(NAME, format!("there is no directory {}", filestore.display()), CORRECT),
        Ok(Some((count, closed))) => tried_some(&filestore, count, closed),
    }
}

/// How many filestores there are, and what of them may not be read. They belong to Odoo's user: all of it
/// through handles, as the backup will do it.
fn look(data_dir: &Path) -> Result<Option<(usize, Vec<PathBuf>)>> {
    let opened = match Dir::open(data_dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|e| Error::file("open", data_dir, e))?,
    };
    let Some(filestore) = opened.linked_dir(Path::new("filestore"))? else { return Ok(None) };
    let tenants = filestore.entries().map_err(|e| Error::file("list", filestore.path(), e))?;
    let mut closed = Vec::new();
    for tenant in tenants.iter().filter(|tenant| may_be_dir(tenant)).take(TENANTS_MAX) {
        if let Some(dir) = filestore.linked_dir(Path::new(&tenant.name))? {
            closed.extend(unreadable(&dir)?);
        }
    }
    Ok(Some((tenants.len(), closed)))
}

fn tried_some(filestore: &Path, count: usize, closed: Vec<PathBuf>) -> Check {
    match closed.first() {
        None => {
            let text = format!(
                "{}: {}; some files of each were tried and can be read",
                filestore.display(),
                counted(count as u64, "filestore")
            );
            Check::ok(NAME, text)
        }
        Some(path) => Check::fail(
            NAME,
            format!("{} cannot read {}: its backup would be incomplete", user(), path.display()),
            let_in(filestore, filestore, &owner(path)),
        ),
    }
}

/// The first of some files and folders of one filestore that may not be read.
fn unreadable(tenant: &Dir) -> Result<Option<PathBuf>> {
    let (mut folders, mut tried) = (vec![(tenant.clone(), true)], 0);
    while let Some((dir, is_top)) = folders.pop() {
        let entries = match dir.entries() {
            Err(e) if e.kind() == ErrorKind::PermissionDenied => return Ok(Some(dir.path().to_owned())),
            listed => listed.map_err(|e| Error::file("list", dir.path(), e))?,
        };
        let mut files = 0;
        for Entry { name, kind } in entries {
            let name = Path::new(&name);
            match kind {
                Ok(FileType::Directory) if is_top && tried < FOLDERS_MAX => {
                    tried += 1;
                    folders.extend(dir.dir(name).ok().map(|folder| (folder, false))); // gone meanwhile
                }
                Ok(FileType::RegularFile) if files < FILES_MAX => {
                    files += 1;
                    if dir.open_file(name).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied) {
                        return Ok(Some(dir.path().join(name)));
                    }
                }
                _ => {}
            }
        }
    }
    Ok(None)
}

/// Not a file that somebody left there.
fn may_be_dir(entry: &Entry) -> bool {
    matches!(entry.kind, Ok(FileType::Directory | FileType::Symlink))
}

/// The first directory on the way, from the root, that does not let this user through.
fn first_closed(filestore: &Path) -> PathBuf {
    let mut way: Vec<&Path> = filestore.ancestors().collect();
    way.reverse();
    let steps = way.windows(2);
    let closed = steps.filter(|step| disk::metadata(step[1]).is_err_and(|e| e.kind() == Kind::Denied));
    closed.map(|step| step[0].to_owned()).next().unwrap_or_else(|| filestore.to_owned())
}

/// The commands that let this user in: through the directories from `closed` on, and into the filestore. They
/// run as the owner, not as root: whoever may exchange files there could lead root elsewhere.
fn let_in(filestore: &Path, closed: &Path, owner: &str) -> String {
    let user = user();
    let word = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', "'\\''"));
    let through = filestore.ancestors().skip(1).filter(|dir| dir.starts_with(closed));
    let through: Vec<_> = through.map(word).collect();
    let through = match through.is_empty() {
        true => String::new(),
        false => format!("sudo -u {owner} setfacl -m u:{user}:x {}; ", through.join(" ")),
    };
    format!("{through}sudo -u {owner} setfacl -R -m u:{user}:rX,d:u:{user}:rX {}", word(filestore))
}

/// Whose it is: a name, or `#` and a number, as sudo takes it.
fn owner(path: &Path) -> String {
    let uid = disk::metadata(path).ok().flatten().map_or(0, |meta| meta.uid());
    disk::user_name(uid).ok().flatten().unwrap_or_else(|| format!("'#{uid}'"))
}

/// This user's name; its number where it has none.
fn user() -> String {
    let uid = rustix::process::geteuid().as_raw();
    disk::user_name(uid).ok().flatten().unwrap_or_else(|| uid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_open_what_is_closed_and_nothing_above_it() {
        let store = Path::new("/var/lib/o'doo/.local/Odoo/filestore");
        let user = user();
        assert_eq!(
            let_in(store, Path::new("/var/lib/o'doo/.local"), "odoo"),
            format!(
                "sudo -u odoo setfacl -m u:{user}:x '/var/lib/o'\\''doo/.local/Odoo' '/var/lib/o'\\''doo/.local'; \
                 sudo -u odoo setfacl -R -m u:{user}:rX,d:u:{user}:rX '/var/lib/o'\\''doo/.local/Odoo/filestore'"
            )
        );
        assert!(!let_in(store, store, "odoo").contains(":x "));
        assert_eq!(owner(Path::new("/proc/1")), "root");
        assert_eq!(first_closed(Path::new("/proc/1/nothing")), Path::new("/proc/1/nothing"));
    }
}
