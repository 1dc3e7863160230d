//! Restoring onto an old data directory of the same cluster: what is the same is copied from it, the
//! rest is fetched, all of it into a new directory beside the old one; in the end the two change
//! places in one step, so that at every moment a whole cluster lies under the name.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};
use serde::Serialize;

use crate::archive::base::{BaseFacts, CONTROL_FILE};
use crate::archive::blake3::Blake3;
use crate::clock;
use crate::disk;
use crate::disk::beneath::Dir;
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, shell_path};
use crate::postgres::control;
use crate::postgres::server_command;
use crate::recovery::instance::Marker;
use crate::recovery::instance::tree::{self, At};

/// Between the old directory's name and the time of the restore.
const INFIX: &str = ".lifeboat-";
/// While it is found out whether directories can change places.
const PROBE: &str = ".probe";
/// What is read and written at a time.
const BUFFER_BYTES: u64 = 256 << 10;
/// Where a server says that it runs.
const PID_FILE: &str = "postmaster.pid";
/// Largest `postmaster.pid` or `PG_VERSION` that is read.
const SMALL_BYTES_MAX: u64 = 64 << 10;

/// An old data directory that a restore builds upon and replaces.
#[derive(Clone, Debug, Serialize)]
pub struct Replaced {
    /// Where its state is kept: until the end the new one is made here, and then they change places.
    pub old_state: PathBuf,
    /// Everything was done but the last word about it.
    pub is_done: bool,
    /// Whether an earlier try left something.
    pub goes_on: bool,
    /// Where `pg_wal` was a link to.
    pub wal_elsewhere: Option<PathBuf>,
}

impl Replaced {
    /// What tells this restore from others: it ends the names of all that it makes.
    pub fn stamp(&self) -> String {
        let name = self.old_state.to_string_lossy().into_owned();
        name.rsplit_once(INFIX).map_or(String::new(), |(_, stamp)| stamp.to_owned())
    }

    /// The commands that put the old state back, for a shell.
    pub fn undo(&self, dir: &Path) -> String {
        let mut undone = dir.as_os_str().to_owned();
        undone.push(".undone");
        let [dir, undone, old] = [dir, Path::new(&undone), &self.old_state].map(shell_path);
        format!("mv -T {dir} {undone} && mv -T {old} {dir}")
    }
}

/// Looks at the old data directory in `dir`; `settings` are those that this restore would write.
///
/// # Errors
/// `Refused` where it is of another cluster or version, where a server runs in it, or where an
/// earlier restore of something else is unfinished beside it.
pub fn look(dir: &Path, facts: &BaseFacts, snapshot: &SnapshotId, settings: &str) -> Result<Replaced> {
    let refused = |what: String| Error::new(Kind::Refused, what).effect("nothing was changed");
    let old = match tree::open(dir) {
        Ok(old) => old,
        Err(e) if e.kind() == Kind::NotFound => {
            return Err(refused(format!("there is no data directory {} to build upon", dir.display()))
                .next("leave --delta out: everything is fetched into a new directory"));
        }
        Err(e) => return Err(e),
    };
    check_cluster(&old, facts)?;
    check_stopped(&old)?;
    let (above, name) = tree::beside(dir)?;
    if is_mount_point(&old, &above)? {
        let what = format!("{} is a mount point, and cannot change places with another", dir.display());
        return Err(refused(what).next("leave --delta out and restore into a directory below or beside it"));
    }
    let wal_elsewhere =
        old.read_link(Path::new("pg_wal")).map_err(|e| Error::file("look at pg_wal in", dir, e))?;
    let kept = |old_state, is_done, goes_on| Replaced { old_state, is_done, goes_on, wal_elsewhere };
    if let Some(Marker { snapshot: of, replaces: Some(said), .. }) = Marker::read(&old)?
        && (of == *snapshot && said.settings == settings && said.dir == dir)
        && tree::open(&said.old_state).is_ok()
    {
        return Ok(kept(said.old_state, true, true));
    }
    match unfinished(name, &above)? {
        None => {
            let mut name = dir.as_os_str().to_owned();
            name.push(INFIX);
            name.push(clock::now().strftime("%Y%m%dT%H%M%SZ").to_string());
            Ok(kept(name.into(), false, false))
        }
        Some((old_state, of)) if of == *snapshot => Ok(kept(old_state, false, true)),
        Some((left, of)) => Err(refused(format!("{} holds an unfinished restore of {of}", left.display()))
            .next(format!(
                "continue it with --snapshot {of}; or remove that directory, which holds nothing else"
            ))),
    }
}

fn is_mount_point(dir: &Dir, above: &Dir) -> Result<bool> {
    let device =
        |dir: &Dir| dir.metadata().map(|meta| meta.dev()).map_err(|e| Error::file("look at", dir.path(), e));
    Ok(device(dir)? != device(above)?)
}

/// The directory beside that of this name in which an earlier try was making the new one, and of what.
fn unfinished(name: &OsStr, above: &Dir) -> Result<Option<(PathBuf, SnapshotId)>> {
    let name = name.to_string_lossy().into_owned() + INFIX;
    for entry in above.entries().map_err(|e| Error::file("list", above.path(), e))? {
        if entry.name.to_string_lossy().starts_with(&name)
            && let Ok(beside) = above.dir(Path::new(&entry.name))
            && let Some(Marker { snapshot, replaces: Some(said), .. }) = Marker::read(&beside)?
            && said.old_state == beside.path()
        {
            return Ok(Some((said.old_state, snapshot)));
        }
    }
    Ok(None)
}

fn check_cluster(dir: &Dir, facts: &BaseFacts) -> Result<()> {
    let refused = |what: String| {
        Error::new(Kind::Refused, what)
            .effect("nothing was changed")
            .next("leave --delta out and restore into a new directory")
    };
    let bytes = match dir.read(Path::new(CONTROL_FILE), SMALL_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == Kind::NotFound => Vec::new(),
        Err(e) => return Err(e),
    };
    let Some(control) = control::parse(&bytes) else {
        return Err(refused(format!(
            "{} holds no data directory: its {CONTROL_FILE} is absent or damaged",
            dir.path().display()
        )));
    };
    let (found, wanted) = (control.system_identifier.to_string(), &facts.system_identifier);
    if found != *wanted {
        return Err(refused(format!(
            "{} is of another cluster: its system identifier is {found}, that of the backup is {wanted}",
            dir.path().display()
        )));
    }
    let version = dir.read_text(Path::new("PG_VERSION"), SMALL_BYTES_MAX)?;
    if version.trim() != facts.server_major.to_string() {
        return Err(refused(format!(
            "{} is of PostgreSQL {}, the backup of {}",
            dir.path().display(),
            version.trim(),
            facts.server_major
        )));
    }
    Ok(())
}

/// Refuses where a server runs in `dir`, or where that cannot be ruled out.
pub fn check_stopped(dir: &Dir) -> Result<()> {
    let text = match dir.read_text(Path::new(PID_FILE), SMALL_BYTES_MAX) {
        Ok(text) => text,
        Err(e) if e.kind() == Kind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let pid = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok()).and_then(Pid::from_raw);
    // Of another user's process it may be told that it is there and no more.
    let runs = |pid: Pid| !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH));
    match pid {
        Some(pid) if !runs(pid) => Ok(()),
        _ => Err(Error::new(Kind::Refused, format!("a server runs in {}", dir.path().display()))
            .because(format!("{PID_FILE} names process {}", text.lines().next().unwrap_or("unknown")))
            .effect("nothing was replaced")
            .next(format!(
                "{}; where no server is alive there and the number is another's, remove that file",
                server_command::pg_ctl(None, dir.path(), "stop")
            ))),
    }
}

/// Makes the directory that will change places with the old one, and sees that it can.
pub fn make_beside(replaced: &Replaced) -> Result<()> {
    let (above, name) = tree::beside(&replaced.old_state)?;
    let mut probe = name.to_owned();
    probe.push(PROBE);
    let failed = |e| Error::file("create directory", &replaced.old_state, e);
    above.make_dir(name).and_then(|_| above.make_dir(&probe)).map_err(failed)?;
    let exchanged = above.exchange(name, &probe);
    above.remove_tree(&probe).map_err(failed)?;
    exchanged.map_err(|e| {
        let _ = above.remove_tree(name); // empty; the error that came first is told
        Error::new(Kind::Refused, "two directories cannot change places in this file system")
            .because(e)
            .effect("nothing was changed")
            .next("leave --delta out, restore into a new directory, and rename by hand")
    })
}

/// The new directory, which `new` is open as, takes the place of the old one, whose state is kept.
///
/// # Errors
/// `Refused` where somebody put another directory in the place of one of the two, or started a server.
pub fn exchange(replaced: &Replaced, dir: &Path, new: &Dir, old: &Dir) -> Result<()> {
    check_stopped(old)?;
    let (above, name) = tree::beside(dir)?;
    let kept = replaced.old_state.file_name().unwrap_or_default();
    let failed = |e| Error::file("exchange directories:", dir, e);
    let lies = |name: &OsStr, dir: &Dir| Ok(above.dir(Path::new(name))?.id()? == dir.id()?);
    if !lies(kept, new).and_then(|new| Ok(new && lies(name, old)?)).map_err(failed)? {
        let what =
            format!("{} or {} is another directory by now", dir.display(), replaced.old_state.display());
        return Err(Error::new(Kind::Refused, what).because("they were exchanged during the restore"));
    }
    above.exchange(kept, name).map_err(failed)
}

/// Copies `from` to `to`, which is new, where it has this size and digest. Blocks are shared where
/// the file system can.
///
/// # Errors
/// Where `to` cannot be written; a `from` that cannot be read is as good as another.
pub fn copy_if_same(from: &At<'_>, to: &At<'_>, bytes: u64, digest: Blake3) -> Result<Option<File>> {
    let Ok((mut source, meta)) = from.open() else { return Ok(None) };
    if meta.len() != bytes {
        return Ok(None);
    }
    let mut copy = to.create_new()?;
    let copied = match disk::clone_blocks(&source, &copy) {
        true => Blake3::of_file(&copy, &to.shown()).ok(),
        false => copy_hashed(&mut source, &mut copy, bytes, to)?,
    };
    match copied == Some(digest) {
        true => Ok(Some(copy)),
        false => to.remove_file().map(|()| None),
    }
}

/// The digest of what was copied; `None` where it could not be read.
fn copy_hashed(source: &mut File, copy: &mut File, bytes: u64, to: &At<'_>) -> Result<Option<Blake3>> {
    let (mut source, mut hasher) = (source.take(bytes), blake3::Hasher::new());
    let mut buffer = vec![0; bytes.clamp(1, BUFFER_BYTES) as usize];
    loop {
        let Ok(n) = source.read(&mut buffer) else { return Ok(None) };
        if n == 0 {
            return Ok(Some(Blake3(hasher.finalize().into())));
        }
        hasher.update(&buffer[..n]);
        copy.write_all(&buffer[..n]).map_err(|e| Error::file("write", &to.shown(), e))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::instance::tree::Tree;

    #[test]
    fn only_the_same_is_copied() {
        let dir = tempfile::tempdir().unwrap();
        disk::write_new_durable(&dir.path().join("from"), b"content").unwrap();
        disk::create_new_dir(&dir.path().join("pg_tblspc"), 0o700).unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let [from, to, none] = ["from", "to", "none"].map(|path| tree.at(path).unwrap());
        let right = Blake3::of(b"content");
        assert!(copy_if_same(&from, &to, 7, Blake3::of(b"CONTENT")).unwrap().is_none());
        assert!(copy_if_same(&from, &to, 8, right).unwrap().is_none());
        assert!(copy_if_same(&none, &to, 7, right).unwrap().is_none());
        assert!(to.look().unwrap().is_none(), "what is not the same leaves nothing");
        assert!(copy_if_same(&from, &to, 7, right).unwrap().is_some());
        assert_eq!(disk::read(&dir.path().join("to"), 100).unwrap(), b"content");
    }

    #[test]
    fn the_undo_is_for_a_shell() {
        let old_state = PathBuf::from("/srv/it's.lifeboat-20261120T015812Z");
        let replaced = Replaced { old_state, is_done: false, goes_on: false, wal_elsewhere: None };
        assert_eq!(replaced.stamp(), "20261120T015812Z");
        let undo = replaced.undo(Path::new("/srv/it's"));
        assert_eq!(
            undo,
            r"mv -T '/srv/it'\''s' '/srv/it'\''s.undone' && mv -T '/srv/it'\''s.lifeboat-20261120T015812Z' '/srv/it'\''s'"
        );
    }
}
