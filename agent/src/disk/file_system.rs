//! The type of a path's file system. The numbers are those of statfs(2).

use std::path::Path;

/// Whether `path` is on a file system that other machines write to as well: the kernel does not report what
/// they do there.
pub fn is_remote(path: &Path) -> bool {
    const REMOTE: [u64; 9] = [
        0x6969,      // NFS
        0xff53_4d42, // CIFS
        0xfe53_4d42, // SMB2
        0x517b,      // SMB
        0x00c3_6400, // Ceph
        0x6573_5546, // FUSE: GlusterFS, s3fs and others
        0x0bd0_0bd0, // Lustre
        0x0102_1997, // 9P
        0x0116_1970, // GFS2
    ];
    is_among(path, &REMOTE)
}

/// Whether it is on a file system whose times only this kernel sets, at each write and by its own clock.
/// Unknown file systems do not count.
pub fn has_kernel_times(path: &Path) -> bool {
    const LOCAL: [u64; 9] = [
        0xef53,      // ext2, ext3, ext4
        0x5846_5342, // XFS
        0x9123_683e, // Btrfs
        0x2fc1_2fc1, // ZFS
        0xf2f5_2010, // F2FS
        0xca45_1a4e, // bcachefs
        0x3153_464a, // JFS
        0x0102_1994, // tmpfs
        0x794c_7630, // overlayfs: those of the file system below it
    ];
    is_among(path, &LOCAL)
}

fn is_among(path: &Path, kinds: &[u64]) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| kinds.contains(&(stat.f_type as u64 & 0xffff_ffff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_neither() {
        for kind in [is_remote, has_kernel_times] {
            assert!(!kind(Path::new("/proc")) && !kind(Path::new("/proc/none")));
        }
        assert!(has_kernel_times(Path::new("/dev/shm")));
    }
}
