//! The staging directory of a filestore: it is created, found again, and moved to its final place.
//!
//! It is in a directory of Odoo's user, and we may be root. So it gets a new name that cannot be guessed,
//! stays ours and closed to everybody else until it is complete, and is only used through its handle. Its
//! files are given to Odoo's user one by one, through the handles with which they were written. This is as
//! strict as writing with that user's rights: the user can neither read it nor place a link in our way,
//! and nothing beside it is changed. The state directory records which directory it is: one of an earlier
//! try is recognized by that, never by its name.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::disk;
use crate::disk::beneath::Dir;
use crate::error::{Error, Kind, Result};
use crate::odoo::filestore;
use crate::recovery::FileOwner;
use crate::recovery::place::FilestorePlan;
use crate::recovery::workplace::Made;

/// Closed to everybody else.
const CLOSED: u32 = 0o700;
/// The mode bits of directories that are copied from `filestore`: not write for all, sticky or setuid. A
/// group that shares the filestore (setgid) is the administrator's choice.
const DIR_MODES: u32 = 0o2775;

/// The mode of directories in it, after it is given to Odoo.
pub(super) fn dir_mode(all: &Dir) -> Result<u32> {
    let meta = all.metadata().map_err(|e| Error::file("look at", all.path(), e))?;
    Ok(meta.mode() & DIR_MODES | CLOSED)
}

/// The directory of all filestores, and the staging directory in it: the one of an earlier try, or a new
/// one. Blocking.
pub(super) fn open(plan: &FilestorePlan, owner: Option<FileOwner>) -> Result<(Dir, Dir)> {
    let all = match filestore::open_all(&plan.data_dir)? {
        Some(all) => all,
        None => make_all(&plan.data_dir, owner)?,
    };
    let (name, shown) = (name(&plan.staging)?, &plan.staging);
    if plan.take_back {
        let failed = |e| Error::file(&format!("rename to {}:", shown.display()), &plan.dir, e);
        all.rename(self::name(&plan.dir)?, name).and_then(|()| all.sync()).map_err(failed)?;
    }
    if let Some(made) = Made::read(&plan.record)?.filter(|made| made.path == plan.staging)
        && all.dir(Path::new(name)).is_ok()
    {
        let dir = known(&all, name, &made)?;
        let ours = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let ours = owner.map(|_| ours); // only root can give files away
        dir.give(CLOSED, ours).map_err(|e| Error::file("close", shown, e))?;
        Made { moved: false, ..made }.write(&plan.record)?;
        return Ok((all, dir));
    }
    let dir = all.make_dir(name).map_err(|e| Error::file("create directory", shown, e))?;
    let id = dir.id().map_err(|e| Error::file("look at", shown, e))?;
    Made::new(shown, id).write(&plan.record)?;
    Ok((all, dir))
}

fn make_all(data_dir: &Path, owner: Option<FileOwner>) -> Result<Dir> {
    disk::create_private_dir(data_dir)?;
    let failed = |e| Error::file("create directory", &data_dir.join("filestore"), e);
    let dir = Dir::open(data_dir).and_then(|dir| dir.make_dir(OsStr::new("filestore"))).map_err(failed)?;
    dir.give(CLOSED, owner.map(|owner| (owner.uid, owner.gid))).map_err(failed)?;
    Ok(dir)
}

/// The staging directory, if it is the recorded one.
fn known(all: &Dir, name: &OsStr, made: &Made) -> Result<Dir> {
    let failed = |e| Error::file("open", &all.path().join(name), e);
    let dir = all.dir(Path::new(name)).map_err(failed)?;
    match made.is(dir.id().map_err(failed)?) {
        true => Ok(dir),
        false => Err(Error::new(
            Kind::Refused,
            format!("{} is not the directory that Lifeboat created", dir.path().display()),
        )
        .because("another directory was put in its place")
        .effect("nothing in it was changed, and nothing was published")
        .next("find out who can write there, remove it, then run the restore again")),
    }
}

/// Moves the staging directory to its final place and gives it to `owner`; the record stays until [`settle`].
pub(super) fn publish(plan: &FilestorePlan, owner: Option<FileOwner>) -> Result<()> {
    let gone = || Error::new(Kind::Filestore, format!("{} is gone", plan.staging.display()));
    let all = filestore::open_all(&plan.data_dir)?.ok_or_else(gone)?;
    let made = Made::read(&plan.record)?.ok_or_else(gone)?;
    let dir = known(&all, name(&plan.staging)?, &made)?;
    dir.give(dir_mode(&all)?, owner.map(|owner| (owner.uid, owner.gid)))
        .map_err(|e| Error::file("give away", &plan.staging, e))?;
    Made { moved: true, ..made }.write(&plan.record)?;
    all.rename(name(&plan.staging)?, name(&plan.dir)?)
        .and_then(|()| all.sync())
        .map_err(|e| Error::file(&format!("rename to {}:", plan.dir.display()), &plan.staging, e))
}

/// Removes the record: the database is published and the directory final.
pub(super) fn settle(plan: &FilestorePlan) -> Result<()> {
    disk::remove_file(&plan.record)
}

fn name(path: &Path) -> Result<&OsStr> {
    path.file_name().ok_or_else(|| Error::new(Kind::Internal, "a directory without a name"))
}
