//! Root works in a restored directory of another user: the directory is closed to that user meanwhile, so
//! that nothing changes between two steps of the work. Everything goes through its handle, so that no link
//! leads root elsewhere.

use std::os::unix::fs::MetadataExt;

use crate::disk::beneath::Dir;
use crate::error::{Error, Result};
use crate::recovery::instance::tree::ours;

/// Permission bits of a directory.
const MODES: u32 = 0o7777;

/// Does `work` in `dir` while nobody else can change a name in it. Afterwards `owner` gets it back, also
/// after an error; if we are killed, the same command gives it back.
///
/// # Errors
/// Those of the work.
pub(super) fn closed<T>(
    dir: &Dir,
    owner: Option<(u32, u32)>,
    work: impl FnOnce(&Dir) -> Result<T>,
) -> Result<T> {
    let Some(owner) = owner else { return work(dir) };
    let failed = |e| Error::file("close", dir.path(), e);
    let mode = dir.metadata().map_err(failed)?.mode() & MODES;
    dir.give(0o700, ours(Some(owner))).map_err(failed)?;
    let done = work(dir);
    dir.give(mode, Some(owner)).map_err(|e| Error::file("give back", dir.path(), e))?;
    done
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};
    use std::path::Path;

    use super::*;
    use crate::disk;
    use crate::recovery::instance::aside::{ASIDE_DIR, put_aside};

    #[test]
    fn it_is_closed_while_root_works_and_a_link_is_not_gone_through() {
        let dir = tempfile::tempdir().unwrap();
        let (his, other) = (dir.path().join("his"), dir.path().join("other"));
        for made in [&his, &other] {
            disk::create_private_dir(made).unwrap();
        }
        let owner = (4_000_000, 4_000_001);
        if chown(&his, Some(owner.0), Some(owner.1)).is_err() {
            println!("SKIPPED a directory of another user: only root can make one");
            return;
        }
        let of =
            || std::fs::metadata(&his).map(|meta| (meta.uid(), meta.gid(), meta.mode() & 0o777)).unwrap();
        let opened = Dir::open(&his).unwrap();
        closed(&opened, Some(owner), |dir| {
            assert_eq!(of(), (0, 0, 0o700));
            dir.create_new(Path::new("file")).map(drop).map_err(|e| Error::file("make", dir.path(), e))
        })
        .unwrap();
        assert_eq!(of(), (owner.0, owner.1, 0o700));
        symlink(&other, his.join(ASIDE_DIR)).unwrap();
        assert!(closed(&opened, Some(owner), |dir| put_aside(dir, &[], false, Some(owner))).is_err());
        assert_eq!(of(), (owner.0, owner.1, 0o700));
        assert_eq!(
            (std::fs::metadata(&other).unwrap().uid(), disk::read_dir(&other).unwrap().unwrap().len()),
            (0, 0)
        );
    }
}
