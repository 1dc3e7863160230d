//! Restoring onto an old data directory of the same cluster: what is the same is copied from it, the
//! rest is fetched, all of it into a new directory beside the old one; in the end the two change
//! places in one step, so that at every moment a whole cluster lies under the name.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};
use serde::Serialize;

use crate::archive::base::{BaseFacts, CONTROL_FILE};
use crate::archive::blake3::Blake3;
use crate::clock;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, shell_path};
use crate::postgres::control;
use crate::postgres::server_command;
use crate::recovery::instance::Marker;

/// Between the old directory's name and the time of the restore.
const INFIX: &str = ".lifeboat-";
/// While it is found out whether directories can change places.
const PROBE: &str = ".probe";
/// What is read and written at a time.
const BUFFER_BYTES: u64 = 256 << 10;
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
    if disk::metadata(dir)?.is_none() {
        return Err(refused(format!("there is no data directory {} to build upon", dir.display()))
            .next("leave --delta out: everything is fetched into a new directory"));
    }
    check_cluster(dir, facts)?;
    check_stopped(dir)?;
    let Some(parent) = dir.parent() else {
        return Err(refused(format!("{} has no directory above it", dir.display())));
    };
    if is_mount_point(dir, parent)? {
        let what = format!("{} is a mount point, and cannot change places with another", dir.display());
        return Err(refused(what).next("leave --delta out and restore into a directory below or beside it"));
    }
    let wal = dir.join("pg_wal");
    let wal_elsewhere = disk::read_link(&wal)?;
    let kept = |old_state, is_done, goes_on| Replaced { old_state, is_done, goes_on, wal_elsewhere };
    if let Some(Marker { snapshot: of, replaces: Some(said), .. }) = Marker::read(dir)?
        && (of == *snapshot && said.settings == settings && said.dir == dir)
        && disk::is_dir(&said.old_state)
    {
        return Ok(kept(said.old_state, true, true));
    }
    match unfinished(dir, parent)? {
        None => {
            let mut name = dir.as_os_str().to_owned();
            name.push(INFIX);
            name.push(clock::now().strftime("%Y%m%dT%H%M%SZ").to_string());
            Ok(kept(name.into(), false, false))
        }
        Some((old_state, of)) if of == *snapshot => Ok(kept(old_state, false, true)),
        Some((left, of)) => Err(refused(format!("{} holds an unfinished restore of {of}", left.display()))
            .next(format!(
                "--snapshot {of} goes on with it; or remove that directory, which is nothing but it"
            ))),
    }
}

fn is_mount_point(dir: &Path, parent: &Path) -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| disk::metadata(path).map(|meta| meta.map(|meta| meta.dev()));
    Ok(device(dir)? != device(parent)?)
}

/// The directory beside `dir` in which an earlier try was making the new one, and of what.
fn unfinished(dir: &Path, parent: &Path) -> Result<Option<(PathBuf, SnapshotId)>> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned() + INFIX;
    for entry in disk::read_dir(parent)?.unwrap_or_default() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with(&name)
            && let Some(Marker { snapshot, replaces: Some(said), .. }) = Marker::read(&path)?
            && said.old_state == path
        {
            return Ok(Some((path, snapshot)));
        }
    }
    Ok(None)
}

fn check_cluster(dir: &Path, facts: &BaseFacts) -> Result<()> {
    let refused = |what: String| {
        Error::new(Kind::Refused, what)
            .effect("nothing was changed")
            .next("leave --delta out and restore into a new directory")
    };
    let bytes = match disk::read(&dir.join(CONTROL_FILE), SMALL_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == Kind::NotFound => Vec::new(),
        Err(e) => return Err(e),
    };
    let Some(control) = control::parse(&bytes) else {
        return Err(refused(format!(
            "{} holds no data directory: its {CONTROL_FILE} is absent or damaged",
            dir.display()
        )));
    };
    let (found, wanted) = (control.system_identifier.to_string(), &facts.system_identifier);
    if found != *wanted {
        return Err(refused(format!(
            "{} is of another cluster: its system identifier is {found}, that of the backup is {wanted}",
            dir.display()
        )));
    }
    let version = disk::read_text(&dir.join("PG_VERSION"), SMALL_BYTES_MAX)?;
    if version.trim() != facts.server_major.to_string() {
        return Err(refused(format!(
            "{} is of PostgreSQL {}, the backup of {}",
            dir.display(),
            version.trim(),
            facts.server_major
        )));
    }
    Ok(())
}

/// Refuses where a server runs in `dir`, or where that cannot be ruled out.
pub fn check_stopped(dir: &Path) -> Result<()> {
    let file = dir.join("postmaster.pid");
    let text = match disk::read_text(&file, SMALL_BYTES_MAX) {
        Ok(text) => text,
        Err(e) if e.kind() == Kind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let pid = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok()).and_then(Pid::from_raw);
    // Of another user's process it may be told that it is there and no more.
    let runs = |pid: Pid| !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH));
    match pid {
        Some(pid) if !runs(pid) => Ok(()),
        _ => Err(Error::new(Kind::Refused, format!("a server runs in {}", dir.display()))
            .because(format!("{} names process {}", file.display(), text.lines().next().unwrap_or("unknown")))
            .effect("nothing was replaced")
            .next(format!(
                "{}; where no server is alive there and the number is another's, remove that file",
                server_command::pg_ctl(None, dir, "stop")
            ))),
    }
}

/// Makes the directory that will change places with the old one, and sees that it can.
pub fn make_beside(replaced: &Replaced) -> Result<()> {
    let mut probe = replaced.old_state.as_os_str().to_owned();
    probe.push(PROBE);
    let probe = PathBuf::from(probe);
    disk::create_new_dir(&replaced.old_state, 0o700)?;
    disk::create_new_dir(&probe, 0o700)?;
    let exchanged = disk::exchange_durable(&replaced.old_state, &probe);
    disk::remove_tree(&probe)?;
    exchanged.map_err(|e| {
        let _ = disk::remove_tree(&replaced.old_state); // empty; the error that came first is told
        Error::new(Kind::Refused, "two directories cannot change places in this file system")
            .because(e)
            .effect("nothing was changed")
            .next("leave --delta out, restore into a new directory, and rename by hand")
    })
}

/// Copies `from` to `to`, which is new, where it has this size and digest. Blocks are shared where
/// the file system can.
///
/// # Errors
/// Where `to` cannot be written; a `from` that cannot be read is as good as another.
pub fn copy_if_same(from: &Path, to: &Path, bytes: u64, digest: Blake3) -> Result<Option<std::fs::File>> {
    let Ok(mut source) = disk::open_nofollow(from) else { return Ok(None) };
    if !source.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == bytes) {
        return Ok(None);
    }
    let mut copy = disk::create_new(to, 0o600)?;
    let copied = match disk::clone_blocks(&source, &copy) {
        true => Blake3::of_file(to).ok(),
        false => copy_hashed(&mut source, &mut copy, bytes, to)?,
    };
    match copied == Some(digest) {
        true => Ok(Some(copy)),
        false => disk::remove_file(to).map(|()| None),
    }
}

/// The digest of what was copied; `None` where it could not be read.
fn copy_hashed(
    source: &mut std::fs::File,
    copy: &mut std::fs::File,
    bytes: u64,
    to: &Path,
) -> Result<Option<Blake3>> {
    let (mut source, mut hasher) = (source.take(bytes), blake3::Hasher::new());
    let mut buffer = vec![0; bytes.clamp(1, BUFFER_BYTES) as usize];
    loop {
        let Ok(n) = source.read(&mut buffer) else { return Ok(None) };
        if n == 0 {
            return Ok(Some(Blake3(hasher.finalize().into())));
        }
        hasher.update(&buffer[..n]);
        copy.write_all(&buffer[..n]).map_err(|e| Error::file("write", to, e))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_is_copied() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        disk::write_new_durable(&from, b"content").unwrap();
        let right = Blake3::of(b"content");
        assert!(copy_if_same(&from, &to, 7, Blake3::of(b"CONTENT")).unwrap().is_none());
        assert!(copy_if_same(&from, &to, 8, right).unwrap().is_none());
        assert!(copy_if_same(&dir.path().join("none"), &to, 7, right).unwrap().is_none());
        assert!(disk::metadata(&to).unwrap().is_none(), "what is not the same leaves nothing");
        assert!(copy_if_same(&from, &to, 7, right).unwrap().is_some());
        assert_eq!(disk::read(&to, 100).unwrap(), b"content");
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
