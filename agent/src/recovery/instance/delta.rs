//! Restores over an old data directory of the same cluster (`--delta`). Unchanged files are copied from it
//! and the rest is fetched, all into a new directory beside the old one. At the end the two are exchanged
//! in one step, so that there is always a complete cluster under the name.

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

/// The text between the old directory's name and the time of the restore.
const INFIX: &str = ".lifeboat-";
/// The suffix of directories that test whether directories can be exchanged.
const PROBE: &str = ".probe";
/// How much is read and written at a time.
const BUFFER_BYTES: u64 = 256 << 10;
/// The file that says that a server runs.
const PID_FILE: &str = "postmaster.pid";
/// Largest `postmaster.pid` or `PG_VERSION` that is read.
const SMALL_BYTES_MAX: u64 = 64 << 10;

/// An old data directory that a restore uses and replaces.
#[derive(Clone, Debug, Serialize)]
pub struct Replaced {
    /// Where its state is kept. The new one is built here; at the end the two are exchanged.
    pub old_state: PathBuf,
    /// Whether everything is done except removing the marker.
    pub is_done: bool,
    /// Whether an earlier try left something.
    pub goes_on: bool,
    /// The target of the link `pg_wal`, if it was one.
    pub wal_elsewhere: Option<PathBuf>,
}

impl Replaced {
    /// What distinguishes this restore from others: the end of the names of everything that it creates.
    pub fn stamp(&self) -> String {
        let name = self.old_state.to_string_lossy().into_owned();
        name.rsplit_once(INFIX).map_or(String::new(), |(_, stamp)| stamp.to_owned())
    }

    /// The shell commands that bring back the old state.
    pub fn undo(&self, dir: &Path) -> String {
        let mut undone = dir.as_os_str().to_owned();
        undone.push(".undone");
        let [dir, undone, old] = [dir, Path::new(&undone), &self.old_state].map(shell_path);
        format!("mv -T {dir} {undone} && mv -T {old} {dir}")
    }
}

/// Checks the old data directory in `dir`; `settings` are those that this restore would write.
///
/// # Errors
/// `Refused` if it is of another cluster or version, if a server runs in it, or if an unfinished restore of
/// something else is beside it.
pub fn look(dir: &Path, facts: &BaseFacts, snapshot: &SnapshotId, settings: &str) -> Result<Replaced> {
    let refused = |what: String| Error::new(Kind::Refused, what).effect("nothing was changed");
    let old = match tree::open(dir) {
        Ok(old) => old,
        Err(e) if e.kind() == Kind::NotFound => {
            return Err(refused(format!(
                "--delta needs an old data directory, but {} does not exist",
                dir.display()
            ))
            .next("restore without --delta: everything is fetched into a new directory"));
        }
        Err(e) => return Err(e),
    };
    check_cluster(&old, facts)?;
    check_stopped(&old)?;
    let (above, name) = tree::beside(dir)?;
    if is_mount_point(&old, &above)? {
        let what =
            format!("{} is a mount point, so it cannot be exchanged with another directory", dir.display());
        return Err(refused(what).next("restore without --delta into a directory below or beside it"));
    }
    let wal_elsewhere =
        old.read_link(Path::new("pg_wal")).map_err(|e| Error::file("read the link pg_wal in", dir, e))?;
    let kept = |old_state, is_done, goes_on| Replaced { old_state, is_done, goes_on, wal_elsewhere };
    if let Some(Marker { snapshot: of, replaces: Some(said), .. }) = Marker::read(&old)?
        && (of == *snapshot && said.settings == settings && said.dir == dir)
        && tree::open(&said.old_state).is_ok()
    {
        return Ok(kept(said.old_state, true, true));
    }
    match unfinished(name, &above)? {
        None => {
            let time = clock::now().strftime("%Y%m%dT%H%M%SZ").to_string();
            Ok(kept(free_place(dir, name, &above, &time)?, false, false))
        }
        Some((old_state, of)) if of == *snapshot => Ok(kept(old_state, false, true)),
        Some((left, of)) => Err(refused(format!("{} holds an unfinished restore of {of}", left.display()))
            .next(format!(
                "continue it with --snapshot {of}; or remove that directory, which contains nothing else"
            ))),
    }
}

/// Where the old state of `dir` is kept: the name has the time, and a number if another restore in the same
/// second has taken that name.
fn free_place(dir: &Path, name: &OsStr, above: &Dir, time: &str) -> Result<PathBuf> {
    let mut n = 1;
    loop {
        let end = if n == 1 { format!("{INFIX}{time}") } else { format!("{INFIX}{time}-{n}") };
        let [mut place, mut name] = [dir.as_os_str(), name].map(OsStr::to_owned);
        place.push(&end);
        name.push(&end);
        match above.look(Path::new(&name)) {
            Ok(None) => return Ok(place.into()),
            Ok(Some(_)) => n += 1,
            Err(e) => return Err(Error::file("look at", Path::new(&place), e)),
        }
    }
}

fn is_mount_point(dir: &Dir, above: &Dir) -> Result<bool> {
    let device =
        |dir: &Dir| dir.metadata().map(|meta| meta.dev()).map_err(|e| Error::file("look at", dir.path(), e));
    Ok(device(dir)? != device(above)?)
}

/// The directory of an earlier try beside the one of this name, and which snapshot it restores.
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
            .next("restore without --delta into a new directory")
    };
    let bytes = match dir.read(Path::new(CONTROL_FILE), SMALL_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == Kind::NotFound => Vec::new(),
        Err(e) => return Err(e),
    };
    let Some(control) = control::parse(&bytes) else {
        return Err(refused(format!(
            "{} is not a data directory: its {CONTROL_FILE} is missing or damaged",
            dir.path().display()
        )));
    };
    let (found, wanted) = (control.system_identifier.to_string(), &facts.system_identifier);
    if found != *wanted {
        return Err(refused(format!(
            "{} belongs to another cluster: its system identifier is {found}, the backup's is {wanted}",
            dir.path().display()
        )));
    }
    let version = dir.read_text(Path::new("PG_VERSION"), SMALL_BYTES_MAX)?;
    if version.trim() != facts.server_major.to_string() {
        return Err(refused(format!(
            "{} is of PostgreSQL {}, but the backup is of {}",
            dir.path().display(),
            version.trim(),
            facts.server_major
        )));
    }
    Ok(())
}

/// Refuses if a server runs in `dir`, or if that cannot be ruled out.
pub fn check_stopped(dir: &Dir) -> Result<()> {
    let text = match dir.read_text(Path::new(PID_FILE), SMALL_BYTES_MAX) {
        Ok(text) => text,
        Err(e) if e.kind() == Kind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let pid = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok()).and_then(Pid::from_raw);
    // For another user's process we may only learn that it exists.
    let runs = |pid: Pid| !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH));
    match pid {
        Some(pid) if !runs(pid) => Ok(()),
        _ => Err(Error::new(Kind::Refused, format!("a server runs in {}", dir.path().display()))
            .because(format!("{PID_FILE} names process {}", text.lines().next().unwrap_or("unknown")))
            .effect("nothing was replaced")
            .next(format!(
                "{}; if no server runs there and this number is another process, remove that file",
                server_command::pg_ctl(None, dir.path(), "stop")
            ))),
    }
}

/// Creates the directory that will be exchanged with the old one, and checks that this works.
pub fn make_beside(replaced: &Replaced) -> Result<()> {
    let (above, name) = tree::beside(&replaced.old_state)?;
    let mut probe = name.to_owned();
    probe.push(PROBE);
    let failed = |e| Error::file("create directory", &replaced.old_state, e);
    above.make_dir(name).and_then(|_| above.make_dir(&probe)).map_err(failed)?;
    let exchanged = above.exchange(name, &probe);
    above.remove_tree(&probe).map_err(failed)?;
    exchanged.map_err(|e| {
        let _ = above.remove_tree(name); // empty; the first error is reported
        Error::new(Kind::Refused, "this file system cannot exchange two directories")
            .because(e)
            .effect("nothing was changed")
            .next("restore without --delta into a new directory, and rename by hand")
    })
}

/// Puts the new directory (opened as `new`) in the place of the old one, whose state is kept.
///
/// # Errors
/// `Refused` if somebody replaced one of the two directories, or started a server.
pub fn exchange(replaced: &Replaced, dir: &Path, new: &Dir, old: &Dir) -> Result<()> {
    check_stopped(old)?;
    let (above, name) = tree::beside(dir)?;
    let kept = replaced.old_state.file_name().unwrap_or_default();
    let failed = |e| Error::file("exchange directories:", dir, e);
    let lies = |name: &OsStr, dir: &Dir| Ok(above.dir(Path::new(name))?.id()? == dir.id()?);
    if !lies(kept, new).and_then(|new| Ok(new && lies(name, old)?)).map_err(failed)? {
        let what = format!("{} or {} is now another directory", dir.display(), replaced.old_state.display());
        return Err(Error::new(Kind::Refused, what).because("they were exchanged during the restore"));
    }
    above.exchange(kept, name).map_err(failed)
}

/// Copies `from` to the new file `to` if it has this size and digest. Blocks are shared if the file system
/// can.
///
/// # Errors
/// If `to` cannot be written; an unreadable `from` counts as different.
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

/// The digest of what was copied; `None` if it could not be read.
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
    fn two_restores_in_one_second_keep_two_old_states() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("data");
        let place = || {
            free_place(&dir, OsStr::new("data"), &Dir::open(above.path()).unwrap(), "20261120T015812Z")
                .unwrap()
        };
        for end in ["20261120T015812Z", "20261120T015812Z-2", "20261120T015812Z-3"] {
            let old_state = place();
            assert_eq!(old_state, above.path().join(format!("data.lifeboat-{end}")));
            disk::create_new_dir(&old_state, 0o700).unwrap();
            let replaced = Replaced { old_state, is_done: false, goes_on: false, wal_elsewhere: None };
            assert_eq!(replaced.stamp(), end);
        }
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
