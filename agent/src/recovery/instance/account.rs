//! The owner of a restored data directory: PostgreSQL starts only on a directory of its own user.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::recovery::FileOwner;

/// The user that PostgreSQL packages create.
const USUAL_USER: &str = "postgres";

/// The owner: our own user. If we are root: the named user, else the owner of the directory (or of the one
/// above it), else `postgres`. Never root, because root cannot run PostgreSQL.
pub fn owner(data_dir: &Path, named: Option<&str>) -> Result<Option<FileOwner>> {
    if !rustix::process::geteuid().is_root() {
        return match named {
            None => Ok(None),
            Some(_) => Err(Error::new(
                Kind::Usage,
                "--os-user works only as root: no other user may give files away",
            )),
        };
    }
    if let Some(name) = named {
        return user(name)?.map(Some).ok_or_else(|| {
            Error::new(Kind::Usage, format!("/etc/passwd has no user {name} that could run PostgreSQL"))
        });
    }
    let at = match disk::metadata(data_dir)? {
        Some(meta) => Some(meta),
        None => data_dir.parent().map(disk::metadata).transpose()?.flatten(),
    };
    if let Some(meta) = at.filter(|meta| meta.uid() != 0) {
        return Ok(Some(FileOwner { uid: meta.uid(), gid: meta.gid() }));
    }
    user(USUAL_USER)?.map(Some).ok_or_else(|| {
        Error::new(
            Kind::Usage,
            "the data directory needs an owner other than root: root cannot run PostgreSQL",
        )
        .effect("nothing was changed")
        .next("name a user with --os-user, or restore as the user that will run it")
    })
}

fn user(name: &str) -> Result<Option<FileOwner>> {
    let found = disk::user_named(name)?.filter(|(uid, _)| *uid != 0);
    Ok(found.map(|(uid, gid)| FileOwner { uid, gid }))
}
