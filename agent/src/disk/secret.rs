//! Files with secrets: who may be able to read one; the same rule for every key, password and passphrase.
//!
//! The rule is PostgreSQL's own for private keys (manual, 19.9.2; libpq's `fe-secure-openssl.c`): a file of
//! ours is closed to group and others (0600); a file of root may be readable by its group (0640, 0440),
//! because root chose the group. So a secret that Kubernetes mounts for `fsGroup` is accepted. Others may
//! never read or write it.
#![allow(clippy::disallowed_methods)] // a part of the door

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_setfl};

use crate::error::{Error, Kind, Result};

/// Rights that group and others must not have to a file that does not belong to root.
const NOT_OURS: u32 = 0o077;
/// Rights that they must not have to a file of root.
const NOT_ROOTS: u32 = 0o037;

/// Where a shell puts the pipes that it passes to us.
const OUR_PIPES: [&str; 2] = ["/dev/fd", "/proc/self/fd"];

/// Reads a secret of at most `bytes_max`, checked on the file that is read, so that it cannot be exchanged in
/// between. `what` it is, for errors: `signing key`.
///
/// # Errors
/// `Config` where others could read it, with owner, mode, the rule and the command that corrects it;
/// otherwise that of the file.
pub fn read_secret(what: &str, path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let (file, meta) = open(path)?;
    fits(what, path, &meta, rustix::process::geteuid().as_raw())?;
    let mut data = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut data).map_err(|e| Error::file("read", path, e))?;
    match data.len() as u64 > bytes_max {
        true => Err(Error::new(Kind::Config, format!("{} is larger than {bytes_max} bytes", path.display()))),
        false => Ok(data),
    }
}

/// [`read_secret`] as UTF-8.
pub fn read_secret_text(what: &str, path: &Path, bytes_max: u64) -> Result<String> {
    String::from_utf8(read_secret(what, path, bytes_max)?)
        .map_err(|_| Error::new(Kind::Config, format!("{} is not UTF-8", path.display())))
}

/// The same check for a file that somebody else reads.
///
/// # Errors
/// As [`read_secret`].
pub fn check_secret(what: &str, path: &Path) -> Result<()> {
    let (_, meta) = open(path)?;
    fits(what, path, &meta, rustix::process::geteuid().as_raw())
}

/// A pipe passed to us (`--identity <(age --decrypt ...)`) is accepted like a file; a FIFO with a name would
/// block as long as nobody writes.
fn open(path: &Path) -> Result<(File, Metadata)> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path);
    let file = file.map_err(|e| Error::file("open", path, e))?;
    let meta = file.metadata().map_err(|e| Error::file("look at", path, e))?;
    if meta.file_type().is_fifo() && !OUR_PIPES.iter().any(|ours| path.starts_with(ours)) {
        return Err(Error::new(Kind::Config, format!("{} is a FIFO, not a file", path.display()))
            .effect("reading it could block forever")
            .next("write the secret to a file with mode 0600"));
    }
    fcntl_setfl(&file, OFlags::empty()).map_err(|e| Error::file("open", path, e.into()))?;
    Ok((file, meta))
}

fn fits(what: &str, path: &Path, meta: &Metadata, us: u32) -> Result<()> {
    let mode = meta.mode() & 0o7777;
    let path = path.display();
    let fault = match meta.uid() {
        0 if mode & NOT_ROOTS != 0 && us == 0 => Some(format!("chmod 600 {path}")),
        0 if mode & NOT_ROOTS != 0 => Some(format!("chmod 640 {path}")),
        0 => None,
        // Root, who may read everything, may use the key of the user for whom it works.
        owner if owner != us && us != 0 => Some(format!("chown {us} {path} && chmod 600 {path}")),
        _ if mode & NOT_OURS != 0 => Some(format!("chmod 600 {path}")),
        _ => None,
    };
    let Some(mend) = fault else { return Ok(()) };
    let whose = match meta.uid() {
        0 => "root".to_owned(),
        owner => format!("user {owner}"),
    };
    let said = format!(
        "{what} {path} can be read by others: it belongs to {whose} and group {}, mode {mode:04o}",
        meta.gid()
    );
    Err(Error::new(Kind::Config, said.trim_start())
        .because(format!(
            "secrets need the same permissions as PostgreSQL's keys: owned by the user who runs this ({us}) and \
             closed to group and others (0600), or owned by root and at most readable by its group \
             (0640, 0440)"
        ))
        .next(mend))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    /// The error for a file of this owner and mode, as this user sees it; `None` where it is accepted.
    fn told(dir: &Path, owner: u32, mode: u32, us: u32) -> Option<String> {
        let path = dir.join("secret");
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, "s3cret").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        chown(&path, Some(owner), None).unwrap();
        let meta = std::fs::metadata(&path).unwrap();
        fits("signing key", &path, &meta, us).err().map(|e| format!("{e} -> {}", e.next_text().unwrap()))
    }

    #[test]
    fn roots_may_be_its_groups_and_ours_is_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        let me = rustix::process::geteuid().as_raw();
        if me != 0 {
            assert_eq!(told(dir.path(), me, 0o600, me), None);
            assert!(told(dir.path(), me, 0o640, me).is_some());
            return; // the rest needs root, which may change owners
        }
        for us in [0, 1000] {
            for fine in [0o600, 0o400, 0o640, 0o440] {
                assert_eq!(told(dir.path(), 0, fine, us), None, "root's, {fine:o}, seen by {us}");
            }
            for open in [0o644, 0o604, 0o660, 0o650, 0o602, 0o601] {
                assert!(told(dir.path(), 0, open, us).is_some(), "root's, {open:o}, seen by {us}");
            }
        }
        for us in [0, 1000] {
            assert_eq!(told(dir.path(), 1000, 0o600, us), None, "seen by {us}");
            assert_eq!(told(dir.path(), 1000, 0o400, us), None, "seen by {us}");
            for open in [0o640, 0o440, 0o604, 0o620, 0o610] {
                let told = told(dir.path(), 1000, open, us).unwrap();
                assert!(told.contains("belongs to user 1000") && told.contains("-> chmod 600"), "{told}");
                assert!(told.contains(&format!("mode {open:04o}")), "{told}");
            }
        }
        let other = told(dir.path(), 1001, 0o440, 1000).unwrap();
        assert!(other.contains("chown 1000"), "{other}");
    }

    #[test]
    fn links_are_followed_as_mounted_secrets_need_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("..2026_11_28");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("key"), "s3cret").unwrap();
        std::fs::set_permissions(data.join("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
        symlink("..2026_11_28", dir.path().join("..data")).unwrap();
        symlink("..data/key", dir.path().join("key")).unwrap();
        let key = dir.path().join("key");
        assert_eq!(read_secret_text("key", &key, 10).unwrap(), "s3cret");
        assert_eq!(read_secret("key", &key, 5).unwrap_err().kind(), Kind::Config);
        std::fs::set_permissions(data.join("key"), std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = read_secret("password file", &key, 10).unwrap_err();
        assert!(error.what().starts_with("password file /") && error.what().contains("mode 0644"), "{error}");
        assert!(!format!("{error:?}").contains("s3cret"));
        assert!(check_secret("key", &key).is_err());
    }

    #[test]
    fn a_fifo_holds_nobody_up_and_a_pipe_of_ours_is_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("key");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(read_secret("key", &fifo, 10).unwrap_err().what().contains("FIFO"));
        assert!(check_secret("key", &fifo).is_err());
        let (ours, mut other) = std::io::pipe().unwrap();
        let path = format!("/dev/fd/{}", ours.as_raw_fd());
        // It is written while we wait.
        let reading = std::thread::spawn(move || read_secret("key", Path::new(&path), 100));
        other.write_all(b"AGE-SECRET").unwrap();
        other.write_all(b"-KEY-1").unwrap();
        drop(other);
        assert_eq!(reading.join().unwrap().unwrap(), b"AGE-SECRET-KEY-1");
    }
}
