//! Puts production's configuration aside. A server on a restored directory reads only the configuration
//! that we wrote, and nothing from the backup, whoever starts it, until a person makes it production.
//!
//! The files from the backup are in [`ASIDE_DIR`], with a note about what they are. `lifeboat
//! as-production DIR` puts them back and removes ours, so that nothing of the copy is in the next base
//! backup. A base backup that was taken of a copy contains both; then production's configuration is the
//! one that was put aside.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::disk::beneath::Dir;
use crate::error::{Error, Kind, Result};
use crate::postgres::quote::{ident, literal};

/// The directory below the data directory.
pub const ASIDE_DIR: &str = "lifeboat-put-aside";
/// The note in it: what it is, and what was switched off in the databases.
const NOTE_FILE: &str = "note.json";
/// The main configuration file of a server.
pub const CONF_FILE: &str = "postgresql.conf";
/// The file of ALTER SYSTEM; it wins over the main file.
pub const AUTO_FILE: &str = "postgresql.auto.conf";
/// Who may connect.
pub const HBA_FILE: &str = "pg_hba.conf";
/// The map of operating system users for that.
pub const IDENT_FILE: &str = "pg_ident.conf";
/// All configuration files that a server finds by their place.
pub const NAMES: [&str; 4] = [AUTO_FILE, HBA_FILE, IDENT_FILE, CONF_FILE];
/// The first line of each of our files.
const HEADER: &str = "# written by lifeboat restore for a copy";
/// The first line of what earlier versions appended.
const EARLIER: &str = "# lifeboat restore\n";
/// Largest note, and largest `postgresql.auto.conf`, that is read.
const BYTES_MAX: u64 = 1 << 20;

/// A disabled subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its database.
    pub database: String,
    /// Its name.
    pub name: String,
}

impl Subscription {
    /// The command that turns it on again.
    pub fn enable(&self) -> String {
        let (name, database) = (ident(&self.name), literal(&self.database));
        format!("ALTER SUBSCRIPTION {name} ENABLE in database {database}")
    }
}

/// The note beside the files.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Note {
    /// The text for a person who finds it.
    pub what: String,
    /// The files that were put here; a file that is not here any more is back in its place.
    #[serde(default)]
    pub files: Vec<String>,
    /// What was enabled in the databases and is now disabled.
    #[serde(default)]
    pub disabled_subscriptions: Vec<Subscription>,
}

impl Note {
    /// Reads the note of this data directory; `None` if nothing was put aside.
    ///
    /// # Errors
    /// Those of reading it, and `Integrity` if it is not one of ours.
    pub fn read(dir: &Dir) -> Result<Option<Note>> {
        let path = note_path();
        match dir.read(Path::new(&path), BYTES_MAX) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| {
                let shown = dir.path().join(path);
                Error::new(Kind::Integrity, format!("{} cannot be read", shown.display())).because(e)
            }),
            Err(e) if e.kind() == Kind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Writes it; durable when this returns.
    pub fn write(&self, dir: &Dir, owner: Option<(u32, u32)>) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::new(Kind::Internal, "cannot write a note").because(e))?;
        dir.replace_durable(Path::new(&note_path()), &text, owner)
    }
}

/// The path of the note in a backup of a data directory.
pub fn note_path() -> String {
    format!("{ASIDE_DIR}/{NOTE_FILE}")
}

/// Whether we wrote this text.
pub fn is_ours(text: &[u8]) -> bool {
    text.starts_with(HEADER.as_bytes())
}

/// The beginning of a file; empty if it does not exist.
pub fn head(dir: &Dir, name: &str) -> Result<Vec<u8>> {
    let failed = |e| Error::file("read", &dir.path().join(name), e);
    let mut out = Vec::new();
    if lies(dir, name)? {
        let (input, _) = dir.open_file(Path::new(name)).map_err(failed)?;
        input.take(HEADER.len() as u64).read_to_end(&mut out).map_err(failed)?;
    }
    Ok(out)
}

fn lies(dir: &Dir, name: &str) -> Result<bool> {
    let found = dir.look(Path::new(name)).map_err(|e| Error::file("look at", &dir.path().join(name), e))?;
    Ok(found.is_some())
}

/// Renames from one directory to the other, durably.
fn move_file(name: &str, from: &Dir, to: &Dir) -> Result<()> {
    let moved = from.rename_into(OsStr::new(name), to, OsStr::new(name));
    let synced = moved.and_then(|()| to.sync()).and_then(|()| from.sync());
    synced
        .map_err(|e| Error::file(&format!("rename to {}:", to.path().display()), &from.path().join(name), e))
}

/// Puts the configuration from the backup aside, and `ours` (name and text) in its place. `of_copy` says that
/// the backup was taken of a copy: then production's configuration is already aside. May be repeated.
pub fn put_aside(dir: &Dir, ours: &[(&str, String)], of_copy: bool, owner: Option<(u32, u32)>) -> Result<()> {
    let aside = dir.settle_dir(Path::new(ASIDE_DIR), 0o700, owner);
    let aside = aside.map_err(|e| Error::file("create directory", &dir.path().join(ASIDE_DIR), e))?;
    for name in NAMES {
        if lies(dir, name)? && !of_copy && !is_ours(&head(dir, name)?) {
            move_file(name, dir, &aside)?;
        }
        let text = ours.iter().find(|(of, _)| *of == name).map_or("", |(_, text)| text.as_str());
        dir.replace_durable(Path::new(name), format!("{HEADER}\n{text}").as_bytes(), owner)?;
    }
    let lies_aside = NAMES.iter().filter(|name| lies(&aside, name).unwrap_or(false));
    let note = Note {
        what:
            "production's configuration, put aside by lifeboat restore: lifeboat as-production DIR puts it back"
                .to_owned(),
        files: lies_aside.map(|name| (*name).to_owned()).collect(),
        disabled_subscriptions: Vec::new(),
    };
    note.write(dir, owner)
}

/// `postgresql.auto.conf` without the lines that earlier versions of Lifeboat appended for a copy (archiving
/// off, the target of an earlier recovery). They are in the backup if nobody removed them.
pub fn without_earlier(text: &str) -> &str {
    match text.find(EARLIER) {
        Some(at) if at == 0 || text[..at].ends_with('\n') => &text[..at],
        _ => text,
    }
}

/// Puts production's configuration back and removes ours. May be repeated after an interruption.
///
/// # Errors
/// `Refused` if the configuration in place is not ours any more.
pub fn put_back(dir: &Dir, owner: Option<(u32, u32)>) -> Result<()> {
    let failed = |e| Error::file("open", &dir.path().join(ASIDE_DIR), e);
    let aside = dir.dir(Path::new(ASIDE_DIR)).map_err(failed)?;
    let put = Note::read(dir)?.unwrap_or_default().files;
    let remove = |name: &str| {
        dir.remove_file(Path::new(name)).map_err(|e| Error::file("remove", &dir.path().join(name), e))
    };
    for name in NAMES {
        match lies(&aside, name)? {
            true => move_file(name, &aside, dir)?,
            false if put.iter().any(|put| put == name) => {} // already put back
            // it was outside the data directory, so it is not in the backup
            false if name == AUTO_FILE || is_ours(&head(dir, name)?) => remove(name)?,
            false => {}
        }
    }
    if lies(dir, AUTO_FILE)? {
        let text = dir.read(Path::new(AUTO_FILE), BYTES_MAX)?;
        let text = String::from_utf8_lossy(&text);
        let kept = without_earlier(&text);
        if kept.len() < text.len() {
            dir.replace_durable(Path::new(AUTO_FILE), kept.as_bytes(), owner)?;
        }
    }
    dir.sync().and_then(|()| dir.remove_tree(OsStr::new(ASIDE_DIR))).and_then(|()| dir.sync()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk;

    fn text(dir: &Path, name: &str) -> String {
        disk::read_text(&dir.join(name), 1000).unwrap_or_default()
    }

    #[test]
    fn what_came_goes_aside_and_comes_back_and_nothing_of_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        let opened = Dir::open(dir.path()).unwrap();
        let dir = dir.path();
        disk::write_new_durable(&dir.join(CONF_FILE), b"port = 1\n").unwrap();
        let earlier = b"port = 2\n\n# lifeboat restore\narchive_mode = 'off'\n";
        disk::write_new_durable(&dir.join(AUTO_FILE), earlier).unwrap();
        let ours = [(CONF_FILE, "port = 3\n".to_owned())];
        for _ in 0..2 {
            put_aside(&opened, &ours, false, None).unwrap();
            assert_eq!(text(dir, CONF_FILE), format!("{HEADER}\nport = 3\n"));
            assert_eq!(text(&dir.join(ASIDE_DIR), CONF_FILE), "port = 1\n");
            assert_eq!(text(dir, AUTO_FILE), format!("{HEADER}\n"));
        }
        // somebody used the copy, and a backup was taken of it: production's is what lies aside
        disk::replace_durable(&dir.join(AUTO_FILE), b"port = 9\n").unwrap();
        put_aside(&opened, &ours, true, None).unwrap();
        assert!(text(&dir.join(ASIDE_DIR), AUTO_FILE).starts_with("port = 2\n"));
        // cut short after the first file, and again
        disk::rename(&dir.join(ASIDE_DIR).join(AUTO_FILE), &dir.join(AUTO_FILE)).unwrap();
        put_back(&opened, None).unwrap();
        assert_eq!(
            (text(dir, CONF_FILE), text(dir, AUTO_FILE)),
            ("port = 1\n".into(), "port = 2\n\n".into())
        );
        assert_eq!(disk::read_dir(dir).unwrap().unwrap().len(), 2, "nothing else is there");
    }
}
