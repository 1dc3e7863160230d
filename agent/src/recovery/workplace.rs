//! Where a restore keeps temporary data: a directory for the dump, and records in the state directory.
//!
//! `restore.work_dir` may be a directory to which anybody can write, such as /var/tmp. So a new private
//! directory is created in it, with a name that cannot be guessed, and recorded in the state directory,
//! which only we can write. Nothing counts as ours because of its name: a directory of an earlier try must
//! be the recorded one and belong to us.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use serde::{Deserialize, Serialize};

use crate::archive::digest::Sha256;
use crate::archive::path::escape;
use crate::config::Config;
use crate::disk;
use crate::disk::beneath::Dir;
use crate::disk::dir_id::DirId;
use crate::error::{Error, Kind, Result};
use crate::names::{TenantName, random_hex, shell_path};
use crate::postgres::load::NotMade;

/// Largest record that is read.
const RECORD_BYTES_MAX: u64 = 8192;

/// The work directory and the records of one restore.
#[derive(Clone, Debug)]
pub struct Workplace {
    /// The directory of the dump; removed at the end.
    pub dir: PathBuf,
    /// The records of this restore in the state directory, by extension.
    record: PathBuf,
}

/// A directory that we created, recorded so that we recognize it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    pub(super) path: PathBuf,
    pub(super) id: DirId,
    /// Whether it was being renamed to its final name.
    #[serde(default)]
    pub(super) moved: bool,
}

impl Made {
    pub(super) fn new(path: &Path, id: DirId) -> Made {
        Made { path: path.to_owned(), id, moved: false }
    }

    pub(super) fn is(&self, found: DirId) -> bool {
        self.id == found
    }

    /// Whether `path` is this directory.
    pub(super) fn lies_at(&self, path: &Path) -> Result<bool> {
        let found = DirId::at(CWD, path).map_err(|e| Error::file("look at", path, e))?;
        Ok(found.is_some_and(|(id, _)| self.is(id)))
    }

    /// The same, and whether we can continue with it: it is our own, or we are root.
    pub(super) fn is_usable_at(&self, path: &Path) -> Result<bool> {
        let me = rustix::process::geteuid();
        let uid = disk::metadata(path)?.map(|meta| meta.uid());
        Ok(self.lies_at(path)? && (me.is_root() || uid == Some(me.as_raw())))
    }

    /// The record; `None` if there is none, or an invalid one.
    pub(super) fn read(record: &Path) -> Result<Option<Made>> {
        match disk::read(record, RECORD_BYTES_MAX) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(e) if e.kind() == Kind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub(super) fn write(&self, record: &Path) -> Result<()> {
        let bytes = serde_json::to_vec(self)
            .map_err(|e| Error::new(Kind::Internal, "cannot record a directory").because(e))?;
        if let Some(dir) = record.parent() {
            disk::create_private_dir(dir)?;
        }
        disk::replace_durable(record, &bytes)
    }
}

/// The directory of the records: in the state directory, whatever the work directory is.
pub(super) fn records(config: &Config) -> PathBuf {
    config.state_dir.join("restore")
}

/// The directory in which work directories are created.
pub(super) fn parent(config: &Config) -> PathBuf {
    config.restore.work_dir.clone().unwrap_or_else(|| records(config))
}

/// The places of a restore as `target` on the configured server; creates nothing. A database of the same name
/// on another server, such as that of a drill, has places of its own.
pub(super) fn workplace(config: &Config, target: &TenantName) -> Result<Workplace> {
    let (host, port) = (config.postgres.host.as_deref().unwrap_or_default(), config.postgres.port);
    let server = Sha256::of(format!("{host}:{port}").as_bytes()).to_string();
    let name = format!("{}@{}.restore", escape(target.as_str().as_bytes()), &server[..8]);
    let record = records(config).join(name);
    let parent = parent(config);
    let earlier = Made::read(&record.with_extension("work"))?;
    let earlier = earlier
        .filter(|made| made.path.parent() == Some(&parent) && made.lies_at(&made.path).unwrap_or(false));
    let dir = match earlier {
        Some(made) => made.path,
        None => parent.join(format!("lifeboat-restore-{}", random_hex(8))),
    };
    Ok(Workplace { dir, record })
}

/// A new private directory for what is fetched and read at once: `lifeboat-<for>-…` in the work directory.
/// The caller removes it.
///
/// # Errors
/// Those of [`check_parent`], and where it cannot be created.
pub(super) fn passing(config: &Config, what_for: &str) -> Result<(PathBuf, Dir)> {
    let work = parent(config);
    disk::create_private_dir(&work)?;
    check_parent(&work, &records(config), None)?;
    let dir = work.join(format!("lifeboat-{what_for}-{}", random_hex(8)));
    let made = Dir::open(&work).and_then(|work| work.make_dir(dir.file_name().unwrap_or_default()));
    let used = made.map_err(|e| Error::file("create directory", &dir, e))?;
    Ok((dir, used))
}

impl Workplace {
    /// The file that is locked while the restore runs.
    pub(super) fn lock(&self) -> PathBuf {
        self.record.with_extension("lock")
    }

    /// The record that says that the hidden database is being created.
    pub(super) fn creating(&self) -> PathBuf {
        self.record.with_extension("creating")
    }

    /// The list of the dump's entries to load, for pg_restore.
    pub(super) fn list(&self) -> PathBuf {
        self.record.with_extension("list")
    }

    /// Writes SQL for what a restore did not create, for a person to check and run; returns the file.
    /// Removes the file of an earlier restore.
    pub(super) fn write_not_made(&self, not_made: &[NotMade]) -> Result<Option<PathBuf>> {
        let path = self.record.with_extension("not-made.sql");
        if not_made.is_empty() {
            disk::remove_file(&path)?;
            return Ok(None);
        }
        let remark = |text: &str| format!("-- {}\n", text.split_whitespace().collect::<Vec<_>>().join(" "));
        let each = not_made.iter().map(|left| {
            [remark(&left.what), remark(&left.why), left.sql.trim_end().to_owned(), "\n\n".into()].concat()
        });
        disk::replace_durable(&path, each.collect::<String>().as_bytes())?;
        Ok(Some(path))
    }

    /// The record of the scratch directory.
    pub(super) fn scratch(&self) -> PathBuf {
        self.record.with_extension("scratch")
    }

    /// The record of the filestore's staging directory.
    pub(super) fn staging(&self) -> PathBuf {
        self.record.with_extension("staging")
    }

    /// The directory of records.
    pub(super) fn records(&self) -> &Path {
        self.record.parent().unwrap_or(Path::new("/"))
    }

    /// Creates the directory of records, so that a file in it can be locked.
    pub(super) fn prepare(&self) -> Result<()> {
        disk::create_private_dir(self.records())
    }

    /// Opens the directory; creates it if it does not exist.
    ///
    /// # Errors
    /// `Refused` if somebody else could replace it.
    pub(super) fn open(&self) -> Result<Dir> {
        let parent = self.dir.parent().unwrap_or(Path::new("/"));
        let name = self.dir.file_name().unwrap_or_default();
        disk::create_private_dir(parent)?;
        check_parent(parent, self.records(), None)?;
        let failed = |e| Error::file("make", &self.dir, e);
        let above = Dir::open(parent).map_err(failed)?;
        let record = self.record.with_extension("work");
        if let Ok(dir) = above.dir(Path::new(name)) {
            let meta = dir.metadata().map_err(failed)?;
            let recorded = Made::read(&record)?;
            let known = recorded.is_some_and(|made| dir.id().is_ok_and(|found| made.is(found)));
            let owner = above.metadata().map_err(failed)?.uid();
            if !known || ![rustix::process::geteuid().as_raw(), owner].contains(&meta.uid()) {
                return Err(not_ours(&self.dir, meta.uid()));
            }
            return Ok(dir);
        }
        let dir = above.make_dir(name).map_err(failed)?;
        let meta = above.metadata().map_err(failed)?;
        if rustix::process::geteuid().is_root() && meta.uid() != 0 {
            // The service's own directory: the service may use or remove what a killed run of root left.
            dir.give(0o700, Some((meta.uid(), meta.gid()))).map_err(failed)?;
        }
        Made::new(&self.dir, dir.id().map_err(failed)?).write(&record)?;
        Ok(dir)
    }

    /// Removes the directory with its content.
    pub(super) fn remove(&self) -> Result<()> {
        disk::remove_tree(&self.dir)?;
        disk::remove_file(&self.record.with_extension("work"))
    }

    /// Removes what the killed restore with this record left.
    pub(super) fn remove_recorded(record: &Path) -> Result<()> {
        let work = record.with_extension("work");
        if let Some(made) = Made::read(&work)?
            && made.lies_at(&made.path)?
        {
            disk::remove_tree(&made.path)?;
        }
        disk::remove_file(&work)
    }
}

fn not_ours(dir: &Path, uid: u32) -> Error {
    Error::new(
        Kind::Refused,
        format!(
            "{} already exists, but Lifeboat did not create it (it belongs to user {uid})",
            dir.display()
        ),
    )
    .effect("nothing was changed; this directory was neither used nor removed")
    .next("check what it is, remove it, then run the restore again")
}

/// Checks that only trusted users can replace the content of `parent`: root, our own user, the service
/// (which owns the directory of `records`) and, if the place is for a server, the user that runs it.
///
/// # Errors
/// `Refused`, with how to correct it.
pub(super) fn check_parent(parent: &Path, records: &Path, server: Option<u32>) -> Result<()> {
    // Who made a link can write to its parent: that is the administrator.
    let meta =
        Dir::open(parent).and_then(|dir| dir.metadata()).map_err(|e| Error::file("look at", parent, e))?;
    let service = disk::metadata(records)?.map(|meta| meta.uid());
    let me = Some(rustix::process::geteuid().as_raw());
    let trusted = [Some(0), me, service, server].contains(&Some(meta.uid()));
    let sticky = meta.mode() & 0o1000 != 0;
    let why = match () {
        () if !trusted => {
            format!("it belongs to user {}, who is neither root nor the user that restores", meta.uid())
        }
        () if meta.mode() & 0o022 != 0 && !sticky => {
            format!("its mode {:o} lets others rename and remove the files in it", meta.mode() & 0o7777)
        }
        () => return Ok(()),
    };
    Err(Error::new(
        Kind::Refused,
        format!("{} is not safe as a work directory of a restore", parent.display()),
    )
    .because(why)
    .effect("nothing was changed; the dump is plain text and would not be safe there")
    .next(format!(
        "run chmod go-w {}, or set restore.work_dir to a directory of your own or to /var/tmp",
        shell_path(parent)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn place(dir: &Path) -> Workplace {
        Workplace { dir: dir.join("work/lifeboat-restore-0"), record: dir.join("state/restore/shop.restore") }
    }

    fn mode(dir: &Path, mode: u32) {
        std::fs::set_permissions(dir, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_directory_of_an_earlier_try_is_known_by_its_record_and_no_other_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        place.open().unwrap().create_new(Path::new("dump")).unwrap();
        assert!(place.open().unwrap().look(Path::new("dump")).unwrap().is_some(), "the earlier one");
        place.remove().unwrap();
        assert!(!place.dir.exists());
        // prepared by somebody: as a directory, and as a link to one
        disk::create_private_dir(&place.dir).unwrap();
        assert_eq!(place.open().unwrap_err().kind(), Kind::Refused);
        let outside = dir.path().join("outside");
        disk::rename(&place.dir, &outside).unwrap();
        disk::write_new_durable(&outside.join("file"), b"1").unwrap();
        symlink(&outside, &place.dir).unwrap();
        assert!(place.open().is_err());
        Workplace::remove_recorded(&place.record).unwrap();
        assert!(outside.join("file").exists());
    }

    #[test]
    fn a_parent_where_others_can_exchange_names_is_refused_and_a_sticky_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        let parent = dir.path().join("work");
        disk::create_private_dir(&parent).unwrap();
        mode(&parent, 0o777);
        let refused = place.open().unwrap_err();
        assert!(refused.kind() == Kind::Refused && refused.causes()[0].contains("mode 777"), "{refused:?}");
        mode(&parent, 0o1777);
        place.open().unwrap();
        place.remove().unwrap();
        if std::os::unix::fs::chown(&parent, Some(4_000_000), None).is_err() {
            println!("SKIPPED a directory of another user: only root can make one");
            return;
        }
        assert!(place.open().unwrap_err().causes()[0].contains("belongs to user 4000000"));
        check_parent(&parent, place.records(), Some(4_000_000)).unwrap();
    }
}
