//! Whether this user may read the filestores, and what would let it: the way to them, then some files of each.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Check;
use crate::config::Config;
use crate::disk;
use crate::error::{Kind, Result};

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
    match disk::read_dir(&filestore) {
        Err(error) if error.kind() == Kind::Denied => {
            let closed = first_closed(&filestore);
            Check::error(NAME, &error.next(let_in(&filestore, &closed, &owner(&closed))))
        }
        Err(error) => Check::error(NAME, &error),
        Ok(None) => Check::fail(NAME, format!("there is no directory {}", filestore.display()), CORRECT),
        Ok(Some(entries)) => {
            let tenants = entries.iter().map(|entry| entry.path()).take(TENANTS_MAX);
            match tenants.map(|tenant| unreadable(&tenant)).collect::<Result<Vec<_>>>() {
                Err(error) => Check::error(NAME, &error),
                Ok(tried) => tried_some(&filestore, entries.len(), tried.into_iter().flatten().collect()),
            }
        }
    }
}

fn tried_some(filestore: &Path, count: usize, closed: Vec<PathBuf>) -> Check {
    match closed.first() {
        None => {
            let text = format!(
                "{}: {count} filestores; some files of each were tried and can be read",
                filestore.display()
            );
            Check::ok(NAME, text)
        }
        Some(path) => Check::fail(
            NAME,
            format!("{} cannot be read by {}: its backup would be incomplete", path.display(), user()),
            let_in(filestore, filestore, &owner(path)),
        ),
    }
}

/// The first of some files and folders of one filestore that may not be read.
fn unreadable(tenant: &Path) -> Result<Option<PathBuf>> {
    if !disk::is_dir(tenant) {
        return Ok(None); // a file that somebody left there
    }
    let mut folders = vec![tenant.to_owned()];
    let listed = |dir: &Path| match disk::read_dir(dir) {
        Err(error) if error.kind() == Kind::Denied => Ok(None),
        listed => Ok(Some(listed?.unwrap_or_default())),
    };
    let mut tried = 0;
    while let Some(dir) = folders.pop() {
        let Some(entries) = listed(&dir)? else { return Ok(Some(dir)) };
        let mut files = 0;
        for entry in entries {
            let path = entry.path();
            match disk::metadata(&path)? {
                Some(meta) if meta.is_dir() && dir == tenant && tried < FOLDERS_MAX => {
                    tried += 1;
                    folders.push(path);
                }
                Some(meta) if meta.is_file() && files < FILES_MAX => {
                    files += 1;
                    if disk::open_nofollow(&path)
                        .is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
                    {
                        return Ok(Some(path));
                    }
                }
                _ => {}
            }
        }
    }
    Ok(None)
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
