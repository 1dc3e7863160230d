//! A disk that is soon full.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A file system of a few megabytes, in memory. Unmounted and removed when dropped.
pub struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// Mounts one of `bytes`; `None` where this user may not, so that the test can skip.
    pub fn mount(bytes: u64) -> Option<SmallDisk> {
        let dir = tempfile::Builder::new().prefix("lbd-").tempdir().unwrap();
        let size = format!("size={bytes},mode=0755");
        mount(&["-t", "tmpfs", "-o", &size, "tmpfs", dir.path().to_str().unwrap()])
            .then_some(SmallDisk { dir })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Gives it another size, as an operator does who makes room.
    pub fn resize(&self, bytes: u64) {
        let size = format!("remount,size={bytes}");
        assert!(
            mount(&["-o", &size, self.path().to_str().unwrap()]),
            "cannot resize {}",
            self.path().display()
        );
    }
}

fn mount(args: &[&str]) -> bool {
    Command::new("mount").args(args).output().is_ok_and(|done| done.status.success())
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // lazily: a process that is being killed may still hold a file
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}
