//! Root works in a restored directory that is another user's: it is closed to him meanwhile, so that he cannot put
//! a link in root's way.

use std::path::Path;

use crate::disk;
use crate::error::{Error, Kind, Result};

/// Does `work` in `dir`, where nobody else can exchange a name. `owner` has it back afterwards, also after an error;
/// where he does not, since we were killed, the same command gives it back.
///
/// # Errors
/// `Refused` where one of `through`, which are directories that the work goes through, is a link.
pub(super) fn closed<T>(
    dir: &Path,
    owner: Option<(u32, u32)>,
    through: &[&str],
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let Some(owner) = owner else { return work() };
    let us = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let mode = disk::mode(dir)?.unwrap_or(0o700);
    disk::make_dir(dir, 0o700, Some(us))?;
    let done = through.iter().try_for_each(|name| check(&dir.join(name))).and_then(|()| work());
    disk::make_dir(dir, mode, Some(owner))?;
    done
}

fn check(path: &Path) -> Result<()> {
    match disk::metadata(path)? {
        Some(meta) if !meta.is_dir() => {
            Err(Error::new(Kind::Refused, format!("{} is no directory", path.display()))
                .because("a link there could lead root elsewhere")
                .effect("nothing was changed")
                .next("run this as the user whom it belongs to"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, chown, symlink};

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
        closed(&his, Some(owner), &["aside"], || {
            assert_eq!(of(), (0, 0, 0o700));
            disk::write_new_durable(&his.join("file"), b"1")
        })
        .unwrap();
        assert_eq!(of(), (owner.0, owner.1, 0o700));
        symlink(&other, his.join("aside")).unwrap();
        let refused =
            closed(&his, Some(owner), &["aside"], || -> Result<()> { panic!("went on") }).unwrap_err();
        assert_eq!((refused.kind(), of()), (Kind::Refused, (owner.0, owner.1, 0o700)));
    }
}
